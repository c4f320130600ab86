//! Requests that are on their way, who keeps a driver loaded, and drivers that have gone, as values.

use crate::guest::*;
use poolhit::address::Va;
use poolhit::guest::{FileHandle, OUTSTANDING_LIMIT, Request, RequestError, RequestStop};
use poolhit::leaks::{LeakFilter, RequestFault};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::{Lab, Session};
use proptest::prelude::*;

const NOT_PENDED: u32 = 1;
const PENDED: u32 = 3;
const WITH_CANCEL: u32 = 4;

fn forget(lab: &mut Lab, handle: FileHandle, way: u32) {
    control(lab, handle, code(FORGET, BUFFERED), &way.to_le_bytes(), 0);
}

#[test]
fn requests_are_outstanding_until_they_are_complete() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let direct = open_overlapped(&mut lab, "IoTestDirect");
    let before = lab.machine().state_hash();
    assert_eq!(lab.outstanding_requests(), []);
    for (handle, way) in [
        (handle, NOT_PENDED),
        (handle, PENDED),
        (direct, WITH_CANCEL),
    ] {
        forget(&mut lab, handle, way);
    }
    let hash = lab.machine().state_hash();
    let found = lab.outstanding_requests();
    assert_ne!(before, hash);
    assert_eq!(lab.machine().state_hash(), hash, "it only reads");
    // The newest comes first.
    let states: Vec<_> = found
        .iter()
        .map(|it| (&*it.device_name, it.is_pending, it.has_cancel_routine))
        .collect();
    let expected = [
        (r"\Device\IoTestDirect", true, true),
        (r"\Device\IoTest", true, false),
        (r"\Device\IoTest", false, false),
    ];
    assert_eq!(states, expected);
    for request in &found {
        assert_eq!(
            (request.major, request.ioctl),
            (14, Some(code(FORGET, BUFFERED)))
        );
        assert_eq!(request.driver, "iotest.sys");
        assert!(!request.is_file_closed && !request.is_file_end && !request.cancelled);
        let module = lab.modules();
        assert_eq!(
            module.containing(request.dispatch).unwrap().name(),
            "iotest"
        );
    }
    close(&mut lab, direct);
    let closed = |lab: &Lab| {
        let found = lab.outstanding_requests();
        found.iter().map(|it| it.is_file_closed).collect::<Vec<_>>()
    };
    assert_eq!(closed(&lab), [true, false, false]);
}

/// One that the driver does complete is outstanding only until then.
#[test]
fn what_is_completed_is_not_outstanding() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let wanted = Pend {
        way: BY_TIMER,
        microseconds: 2_000,
        status: 0,
        value: 42,
    };
    let pend = control(&mut lab, handle, code(PEND, BUFFERED), &wanted.bytes(), 4);
    assert_eq!(lab.outstanding_requests().len(), 1);
    result(&mut lab, pend.ticket.unwrap());
    assert_eq!(lab.outstanding_requests(), []);
}

#[test]
fn a_program_that_waits_is_told_for_what() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTestNeither");
    let way = PENDED.to_le_bytes();
    let request = Request::ioctl(handle, code(FORGET, BUFFERED), &way, 0);
    let error = lab.request(&request).unwrap_err();
    let stopped = error.stopped().unwrap();
    assert_eq!(stopped.reason, RequestStop::WaitsForEver);
    let [culprit] = &stopped.waits_for[..] else {
        panic!("{stopped:?}");
    };
    assert_eq!(culprit.ioctl, Some(code(FORGET, BUFFERED)));
    assert_eq!(culprit.device_name, r"\Device\IoTestNeither");
    assert!(error.to_string().contains(&culprit.to_string()), "{error}");
}

/// The request that ends a file is on no list of the thread's.
#[test]
fn a_cleanup_that_never_ends_is_named() {
    const NEXT_CLEANUP: u32 = 5;
    let mut lab = tracked();
    let handle = open(&mut lab, "IoTest");
    forget(&mut lab, handle, NEXT_CLEANUP);
    let error = lab.request(&Request::Close { handle }).unwrap_err();
    let start = r"the program waits for what never comes: IRP_MJ_CLEANUP pending in iotest.sys (\Device\IoTest, ";
    assert!(error.to_string().contains(start), "{error}");
    let [culprit] = &error.stopped().unwrap().waits_for[..] else {
        panic!("{error}");
    };
    assert!(culprit.is_file_end && culprit.major == 0x12);
    assert_eq!(lab.leaks().unwrap().requests, []);
}

#[test]
fn who_keeps_a_driver_is_named() {
    let mut lab = lab();
    assert_eq!(lab.device_uses(), []);
    let handle = open_overlapped(&mut lab, "IoTest");
    let direct = open(&mut lab, "IoTestDirect");
    forget(&mut lab, handle, PENDED);
    close(&mut lab, handle);
    let texts: Vec<String> = lab.device_uses().iter().map(ToString::to_string).collect();
    let [open, pending] = &texts[..] else {
        panic!("{texts:?}");
    };
    assert_eq!(open, r"\Device\IoTestDirect: a file is open");
    let start = r"\Device\IoTest: ioctl 0x00222100 pending in iotest.sys (\Device\IoTest, IRP ";
    assert!(pending.starts_with(start), "{pending}");
    close(&mut lab, direct);
    assert_eq!(lab.device_uses().len(), 1);
}

#[test]
fn devices_on_top_and_devices_left_behind_are_named() {
    let lab = lab_with(STACK, 0);
    let uses = lab.device_uses();
    let attached = uses.iter().filter(|one| one.attached.is_some());
    let attached: Vec<_> = attached
        .map(|one| (&*one.name, one.attached.as_deref()))
        .collect();
    assert!(
        attached.contains(&(r"\Device\IoTestStack", Some("iotest.sys"))),
        "{uses:?}"
    );

    let mut lab = lab_with(KEEP_DEVICE, 0);
    let _ = lab.unload_driver();
    let uses = lab.device_uses();
    assert_eq!(uses.len(), 1, "{uses:?}");
    assert!(uses[0].is_left);
    assert!(
        uses[0]
            .to_string()
            .ends_with(": DriverUnload has not deleted it"),
        "{}",
        uses[0]
    );
}

/// A timer whose routine has gone with its driver.
#[test]
fn a_bug_check_names_the_driver_that_has_gone() {
    const LEAVE_TIMER: u32 = 8;
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    control(
        &mut lab,
        handle,
        code(MISUSE, BUFFERED),
        &LEAVE_TIMER.to_le_bytes(),
        0,
    );
    close(&mut lab, handle);
    lab.unload_driver().unwrap();
    let error = lab
        .request(&Request::Sleep { milliseconds: 100 })
        .unwrap_err();
    let stopped = error.stopped().unwrap();
    let Some(place) = &stopped.unloaded else {
        panic!("{error}");
    };
    assert_eq!(place.name, "iotest.sys");
    let text = error.to_string();
    let named = format!(
        ", an address in <Unloaded_iotest.sys>+{:#x} at ",
        place.offset
    );
    assert!(
        text.contains("DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS"),
        "{text}"
    );
    assert!(text.contains(&named), "{text}");
    assert!(text.contains(&format!("\n    {place}\n")), "{text}");
    let end = lab.stopped_by(stopped);
    let at = end.stop().unwrap().place.as_ref().unwrap().to_string();
    assert_eq!(at, place.to_string());
}

fn tracked() -> Lab {
    let lab = Lab::builder().driver(driver(0, 0)).requester();
    lab.track_leaks().build().unwrap()
}

#[test]
fn a_request_that_outlives_its_thread_is_leaked() {
    let mut lab = tracked();
    let handle = open_overlapped(&mut lab, "IoTest");
    forget(&mut lab, handle, PENDED);
    assert_eq!(lab.leaks().unwrap().requests, []);
    let error = lab.request_within(&Request::Exit { code: 7 }, 1 << 32);
    assert!(matches!(error, Err(RequestError::Ended(7))), "{error:?}");
    assert_eq!(lab.outstanding_requests(), []);
    let report = lab.leaks().unwrap();
    let [kind] = &report.requests[..] else {
        panic!("{report}");
    };
    assert_eq!((kind.why, kind.count), (RequestFault::ThreadEnded, 1));
    assert!(!report.is_clean());
}

/// While the driver is about to cancel what is pending, nothing of that has leaked; nor has what it makes
/// itself, and frees when it is done.
#[test]
fn what_is_being_cancelled_is_not_leaked() {
    let mut session = Session::new(tracked());
    let open = Request::Open {
        name: r"\\.\IoTest",
        access: 0xc000_0000,
        overlapped: true,
    };
    let handle = session.request(&open).unwrap().handle.unwrap();
    let wanted = Pend {
        way: BY_QUEUE,
        microseconds: 0,
        status: 0,
        value: 0,
    };
    let pend = wanted.bytes();
    let pend = Request::ioctl(handle, code(PEND, BUFFERED), &pend, 0);
    session.request(&pend).unwrap();
    let at = session.resolve("nt!IoCsqRemoveNextIrp").unwrap();
    session.set_breakpoint(at, "").unwrap();
    session.request(&Request::Close { handle }).unwrap_err();
    let [request] = &session.lab().outstanding_requests()[..] else {
        panic!("{:?}", session.lab().outstanding_requests());
    };
    assert!(request.is_file_closed && request.is_pending);
    assert_eq!(session.leaks().unwrap().requests, []);
    session.clear_breakpoint(0).unwrap();
    session.resume_request().unwrap();
    assert_eq!(session.lab().outstanding_requests(), []);
    assert_eq!(session.leaks().unwrap().requests, []);
}

#[test]
fn requests_are_their_drivers() {
    let mut lab = tracked();
    let handle = open(&mut lab, "IoTest");
    forget(&mut lab, handle, NOT_PENDED);
    let count = |driver: Option<&str>, tags: Option<&str>| {
        let filter = LeakFilter {
            driver: driver.map(str::to_owned),
            tags: tags.map(|tags| tags.parse().unwrap()),
            kernel: false,
        };
        lab.leaks_of(&filter).unwrap().request_count()
    };
    assert_eq!(count(None, None), 1);
    assert_eq!(count(Some("IOTEST.sys"), None), 1);
    assert_eq!(count(Some("iotest"), Some("Irp?")), 1);
    assert_eq!(count(Some("iotest"), Some("Leak")), 0);
    assert_eq!(count(Some("nt"), None), 0);
    let text = lab.leaks().unwrap().to_string();
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        poolhit::assert_no_leaks!(lab);
    }));
    let failed = failed.unwrap_err();
    let message = failed.downcast_ref::<String>().unwrap();
    assert!(message.contains(&text), "{message}");
}

/// A lab with requests of all kinds, and where the structures are that lead to them.
fn busy() -> (Lab, Vec<Va>) {
    let mut lab = tracked();
    let handle = open_overlapped(&mut lab, "IoTest");
    let closed = open_overlapped(&mut lab, "IoTestDirect");
    for (handle, way) in [
        (handle, NOT_PENDED),
        (closed, PENDED),
        (handle, WITH_CANCEL),
    ] {
        forget(&mut lab, handle, way);
    }
    close(&mut lab, closed);
    let requests = lab.outstanding_requests();
    let mut places: Vec<Va> = requests
        .iter()
        .flat_map(|it| {
            let driver = lab.machine().read_va(it.device.wrapping_add(8)).unwrap();
            [
                it.address,
                it.address.wrapping_add(0xd0),
                it.device,
                it.file,
                it.thread.wrapping_add(0x3e8),
                driver,
            ]
        })
        .collect();
    places.push(lab.kernel_symbol("PsActiveProcessHead").unwrap());
    (lab, places)
}

/// Lists that lead into themselves, to each other, and nowhere; pointers that are none.
#[test]
fn broken_memory_is_read_to_an_end() {
    let (lab, places) = busy();
    let saved = {
        let mut lab = lab;
        lab.save().unwrap()
    };
    let words = prop_oneof![
        Just(0_u64),
        Just(u64::MAX),
        any::<u64>(),
        proptest::sample::select(places.iter().map(|place| place.0).collect::<Vec<_>>()),
    ];
    let writes = proptest::collection::vec((0..places.len(), 0_u64..0x1a, words), 1..24);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    let mut lab = saved.lab().unwrap();
    let done = runner.run(&writes, |writes| {
        let mut lab = saved.lab().unwrap();
        for (place, word, value) in writes {
            let at = places[place].wrapping_add(word * 8);
            let _ = lab.machine_mut().write(at, &value.to_le_bytes());
        }
        let found = lab.outstanding_requests();
        prop_assert!(found.len() <= OUTSTANDING_LIMIT);
        for request in &found {
            prop_assert!(!request.to_string().contains('\n'));
        }
        for one in lab.device_uses() {
            prop_assert!(!one.to_string().contains('\n'));
        }
        lab.unloaded_driver_at(lab.bases().driver);
        let report = lab.leaks().unwrap();
        prop_assert!(report.request_count() <= 2 * OUTSTANDING_LIMIT as u64);
        Ok(())
    });
    done.unwrap();
    // A list of the thread's that never comes to its head: each packet is found once.
    let thread = lab.outstanding_requests()[0].thread;
    let first = lab.machine().read_va(thread.wrapping_add(0x3e8)).unwrap();
    let last = lab.machine().read_va(thread.wrapping_add(0x3f0)).unwrap();
    lab.machine_mut()
        .write(last, &first.0.to_le_bytes())
        .unwrap();
    assert_eq!(lab.outstanding_requests().len(), 3);
}
