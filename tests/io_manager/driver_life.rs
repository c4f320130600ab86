//! Drivers come and go.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{DriverCallError, NtStatus, Request};
use poolhit::memory::ReadMemory;

fn is_loaded(lab: &Lab) -> bool {
    lab.modules().by_name("iotest").is_some()
}

#[track_caller]
fn status(result: Result<(), DriverCallError>) -> u32 {
    match result {
        Err(DriverCallError::Failed { status, .. }) => status.0,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unloading_leaves_nothing_but_leaks() {
    let mut lab = lab();
    let driver = lab.bases().driver;
    let before = outstanding(&lab);
    // Once around for what is made at the first time: worker threads, page tables.
    lab.unload_driver().unwrap();
    assert!(!is_loaded(&lab) && lab.machine().read_u32(driver).is_err());
    lab.load_driver().unwrap();
    assert!(is_loaded(&lab) && lab.machine().read_u32(driver).is_ok());

    let handle = open(&mut lab, "IoTest");
    for _ in 0..3 {
        let leak = control(
            &mut lab,
            handle,
            code(LEAK, BUFFERED),
            &0x100_u32.to_le_bytes(),
            0,
        );
        assert!(leak.is_success());
    }
    close(&mut lab, handle);
    lab.unload_driver().unwrap();
    let after = outstanding(&lab);
    assert_eq!(after.get(&tag(b"Leak")), Some(&3));
    for pool_tag in [b"Devi", b"Driv", b"Irp ", b"File", b"IoTt"] {
        assert_eq!(after.get(&tag(pool_tag)), None, "{after:?}");
    }
    assert!(before.contains_key(&tag(b"Devi")));
    let gone = ask(
        &mut lab,
        &Request::Open {
            name: r"\\.\IoTest",
            access: 0,
            overlapped: false,
        },
    );
    assert_eq!(gone.error.0, 2);
}

/// The image comes back as it was: its variables too.
#[test]
fn a_driver_that_is_loaded_again_starts_anew() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    close(&mut lab, handle);
    assert_eq!(Counters::of(&lab).creates(), 1);
    for _ in 0..3 {
        lab.unload_driver().unwrap();
        lab.load_driver().unwrap();
        assert_eq!(Counters::of(&lab).creates(), 0);
        let handle = open(&mut lab, "IoTest");
        let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"again", 8);
        assert_eq!(response.data(), b"again");
        close(&mut lab, handle);
    }
    assert_eq!(status(lab.load_driver()), 0xc000_010e); // STATUS_IMAGE_ALREADY_LOADED
}

/// Who has a device open keeps the driver.
#[test]
fn a_driver_in_use_is_unloaded_later() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let error = lab.unload_driver().unwrap_err();
    let DriverCallError::StillLoaded(uses) = &error else {
        panic!("{error}")
    };
    assert_eq!(uses, &lab.device_uses());
    assert!(
        error
            .to_string()
            .ends_with(r"\Device\IoTest: a file is open"),
        "{error}"
    );
    assert!(is_loaded(&lab));
    assert_eq!(Counters::of(&lab).unloads(), 0);
    let refused = ask(
        &mut lab,
        &Request::Open {
            name: r"\\.\IoTest",
            access: 0,
            overlapped: false,
        },
    );
    assert!(!refused.is_success());
    let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"still", 8);
    assert_eq!(response.data(), b"still");
    close(&mut lab, handle);
    assert!(!is_loaded(&lab));
}

/// Devices on top of its own keep a driver, too.
#[test]
fn a_driver_below_others_is_not_unloaded() {
    let mut lab = lab_with(STACK, 0);
    let error = lab.unload_driver().unwrap_err();
    assert!(matches!(error, DriverCallError::StillLoaded(_)), "{error}");
    assert!(is_loaded(&lab));
    assert_eq!(Counters::of(&lab).unloads(), 0);
}

#[test]
fn some_drivers_cannot_be_unloaded() {
    assert_eq!(status(lab_with(NO_UNLOAD, 0).unload_driver()), 0xc000_0010);
    let mut pnp = lab_with(PNP, 0);
    assert_eq!(status(pnp.unload_driver()), 0xc000_0010);
    let mut lab = lab();
    lab.unload_driver().unwrap();
    assert_eq!(status(lab.unload_driver()), 0xc000_0034); // STATUS_OBJECT_NAME_NOT_FOUND
}

/// A device that is left behind keeps its driver's image.
#[test]
fn a_device_left_behind_keeps_the_image() {
    let mut lab = lab_with(KEEP_DEVICE, 0);
    let error = lab.unload_driver().unwrap_err();
    assert!(matches!(error, DriverCallError::StillLoaded(_)), "{error}");
    assert!(is_loaded(&lab));
    assert_eq!(Counters::of(&lab).unloads(), 1);
}

#[test]
fn the_program_unloads_it_too() {
    let mut lab = lab();
    let service = lab.driver_service();
    assert!(ask(&mut lab, &Request::UnloadDriver { service: &service }).is_success());
    assert!(!is_loaded(&lab));
    assert!(ask(&mut lab, &Request::LoadDriver { service: &service }).is_success());
    assert!(is_loaded(&lab));
    let wrong = ask(
        &mut lab,
        &Request::UnloadDriver {
            service: r"\Registry\Nothing",
        },
    );
    assert_eq!(wrong.status, NtStatus(0xc000_000d));
}

#[test]
fn the_guest_starts_without_a_driver_whose_entry_fails() {
    let builder = Lab::builder().driver(driver(FAIL_ENTRY, 0)).requester();
    let error = builder.clone().build().unwrap_err();
    assert!(error.to_string().contains("0xc0000001"), "{error}");
    let booted = builder.boot().unwrap();
    assert_eq!(
        booted.driver_failed().unwrap().status,
        NtStatus(0xc000_0001)
    );
}

#[test]
fn reinitialization_routines_may_come_back() {
    assert_eq!(
        Counters::of(&lab_with(REINITIALIZE, 0)).reinitializations(),
        3
    );
}

#[test]
fn shutdown_is_told_to_who_asked_for_it() {
    let mut lab = lab();
    lab.shutdown().unwrap();
    assert_eq!(Counters::of(&lab).shutdowns(), 0);
    let handle = open(&mut lab, "IoTest");
    assert!(
        control(
            &mut lab,
            handle,
            code(DEVICE, BUFFERED),
            &3_u32.to_le_bytes(),
            0
        )
        .is_success()
    );
    lab.shutdown().unwrap();
    assert_eq!(Counters::of(&lab).shutdowns(), 1);
}
