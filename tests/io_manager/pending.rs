//! Requests that take longer than their call: how they end, and how they are cancelled.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{FileHandle, Request, RequestError, RequestStop, Ticket, Win32Error};

const OPERATION_ABORTED: u32 = 995;

fn pend(lab: &mut Lab, handle: FileHandle, pend: Pend) -> poolhit::guest::Response {
    control(lab, handle, code(PEND, BUFFERED), &pend.bytes(), 4)
}

fn keep(lab: &mut Lab, handle: FileHandle, way: u32) -> Ticket {
    let wanted = Pend {
        way,
        microseconds: 0,
        status: 0,
        value: 0,
    };
    let response = pend(lab, handle, wanted);
    assert_eq!(response.error, Win32Error::IO_PENDING);
    response.ticket.unwrap()
}

#[test]
fn whoever_completes_it_the_caller_gets_the_answer() {
    let mut lab = lab();
    let synchronous = open(&mut lab, "IoTest");
    let overlapped = open_overlapped(&mut lab, "IoTest");
    let before = outstanding(&lab);
    for (way, irql) in [(BY_TIMER, 2), (BY_WORK_ITEM, 0), (BY_THREAD, 0)] {
        for (status, error) in [(0, 0), (0xc000_0001, 31)] {
            let wanted = Pend {
                way,
                microseconds: 3_000,
                status,
                value: way + 100,
            };
            let response = pend(&mut lab, synchronous, wanted);
            assert_eq!(response.error.0, error, "{wanted:?}");
            assert_eq!(response.information, if error == 0 { 4 } else { 0 });
            assert_eq!(word(&response, 0), if error == 0 { way + 100 } else { 0 });
            assert_eq!(Counters::of(&lab).last_irql(), irql);

            let response = pend(&mut lab, overlapped, wanted);
            assert_eq!(
                (response.error, response.output.len()),
                (Win32Error::IO_PENDING, 0)
            );
            let ticket = response.ticket.unwrap();
            let soon = Request::Result {
                ticket,
                milliseconds: 1,
            };
            assert_eq!(ask(&mut lab, &soon).error, Win32Error::IO_INCOMPLETE);
            let response = result(&mut lab, ticket);
            assert_eq!(response.error.0, error, "{wanted:?}");
            assert_eq!(word(&response, 0), if error == 0 { way + 100 } else { 0 });
        }
    }
    // Threads that have ended are freed by the next one; events belong to the program.
    let mut after = outstanding(&lab);
    after.retain(|tag, _| before.contains_key(tag) || tag.to_bytes() == *b"Irp ");
    assert_eq!(after.get(&tag(b"Irp ")), None);
    assert_eq!(after.get(&tag(b"IoTt")), None);
}

#[test]
fn several_are_on_their_way_and_end_in_any_order() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let times = [9_000, 1_000, 5_000, 3_000];
    let tickets = times.map(|microseconds| {
        let wanted = Pend {
            way: BY_TIMER,
            microseconds,
            status: 0,
            value: microseconds,
        };
        pend(&mut lab, handle, wanted).ticket.unwrap()
    });
    for (ticket, microseconds) in tickets.into_iter().zip(times) {
        assert_eq!(word(&result(&mut lab, ticket), 0), microseconds);
    }
}

#[test]
fn there_is_room_for_so_many() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let tickets: Vec<Ticket> = (0..16).map(|_| keep(&mut lab, handle, BY_QUEUE)).collect();
    let more = Request::Sleep { milliseconds: 1 };
    assert!(matches!(lab.request(&more), Err(RequestError::TooMany(16))));
    let cancel = Request::CancelOne { ticket: tickets[3] };
    assert!(ask(&mut lab, &cancel).is_success());
    assert_eq!(result(&mut lab, tickets[3]).error.0, OPERATION_ABORTED);
    assert!(ask(&mut lab, &more).is_success());
    let gone = Request::Result {
        ticket: tickets[3],
        milliseconds: 0,
    };
    assert!(matches!(lab.request(&gone), Err(RequestError::NoTicket(3))));
}

#[test]
fn a_queue_gives_them_back_in_order() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let tickets: Vec<Ticket> = (0..5).map(|_| keep(&mut lab, handle, BY_QUEUE)).collect();
    assert!(ask(&mut lab, &Request::CancelOne { ticket: tickets[1] }).is_success());
    let released = control(&mut lab, handle, code(RELEASE, BUFFERED), &[], 0);
    assert_eq!(released.information, 4);
    let answers: Vec<_> = tickets
        .iter()
        .map(|ticket| result(&mut lab, *ticket))
        .collect();
    let values: Vec<Option<u32>> = answers
        .iter()
        .map(|answer| answer.is_success().then(|| word(answer, 0)))
        .collect();
    assert_eq!(values, [Some(0), None, Some(1), Some(2), Some(3)]);
    assert_eq!(Counters::of(&lab).cancels(), 1);
}

#[test]
fn cancelling_is_up_to_the_driver() {
    let mut lab = lab();
    for way in [BY_QUEUE, BY_OWN_CANCEL] {
        let handle = open_overlapped(&mut lab, "IoTest");
        let other = open_overlapped(&mut lab, "IoTest");
        let tickets = [handle, handle, other].map(|handle| keep(&mut lab, handle, way));
        let before = Counters::of(&lab).cancels();
        assert!(ask(&mut lab, &Request::Cancel { handle }).is_success());
        assert_eq!(Counters::of(&lab).cancels(), before + 2);
        for ticket in &tickets[..2] {
            let response = result(&mut lab, *ticket);
            assert_eq!(
                (response.error.0, response.status.0),
                (OPERATION_ABORTED, 0xc000_0120)
            );
        }
        let still = Request::Result {
            ticket: tickets[2],
            milliseconds: 5,
        };
        assert_eq!(ask(&mut lab, &still).error, Win32Error::IO_INCOMPLETE);
        ask(&mut lab, &Request::Cancel { handle: other });
        result(&mut lab, tickets[2]);
        close(&mut lab, handle);
        close(&mut lab, other);
    }
    // One without a cancel routine cannot be: CancelIo waits for its end.
    let handle = open_overlapped(&mut lab, "IoTest");
    let wanted = Pend {
        way: BY_TIMER,
        microseconds: 50_000,
        status: 0,
        value: 1,
    };
    let ticket = pend(&mut lab, handle, wanted).ticket.unwrap();
    assert!(ask(&mut lab, &Request::Cancel { handle }).is_success());
    let done = Request::Result {
        ticket,
        milliseconds: 0,
    };
    assert_eq!(word(&ask(&mut lab, &done), 0), 1);
}

#[test]
fn closing_a_handle_ends_what_the_driver_keeps_for_it() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let ticket = keep(&mut lab, handle, BY_QUEUE);
    close(&mut lab, handle);
    assert_eq!(result(&mut lab, ticket).error.0, OPERATION_ABORTED);
    assert_eq!(Counters::of(&lab).closes(), 1);
}

/// A process that ends takes its requests with it: they are cancelled, and their files closed.
#[test]
fn the_programs_end_cancels_its_requests() {
    for way in [BY_QUEUE, BY_OWN_CANCEL, BY_TIMER] {
        let mut lab = lab();
        let handle = open_overlapped(&mut lab, "IoTest");
        let wanted = Pend {
            way,
            microseconds: 30_000,
            status: 0,
            value: 0,
        };
        pend(&mut lab, handle, wanted);
        let end = lab.request(&Request::Exit { code: 7 }).unwrap_err();
        assert!(matches!(end, RequestError::Ended(7)), "{end}");
        let counters = Counters::of(&lab);
        assert_eq!((counters.cleanups(), counters.closes()), (1, 1));
        let left = outstanding(&lab);
        for pool_tag in [b"Irp ", b"File", b"Io  ", b"IoTt"] {
            assert_eq!(left.get(&tag(pool_tag)), None, "{way}: {left:?}");
        }
        let after = lab
            .request(&Request::Sleep { milliseconds: 1 })
            .unwrap_err();
        assert!(matches!(after, RequestError::Ended(7)), "{after}");
    }
}

/// A synchronous request that nobody completes: the program waits in the kernel for ever.
#[test]
fn waiting_for_ever_is_told_with_the_stack() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let wanted = Pend {
        way: BY_QUEUE,
        microseconds: 0,
        status: 0,
        value: 0,
    };
    let input = wanted.bytes();
    let request = Request::ioctl(handle, code(PEND, BUFFERED), &input, 4);
    let error = lab.request(&request).unwrap_err();
    let stopped = error.stopped().unwrap();
    assert_eq!(stopped.reason, RequestStop::WaitsForEver);
    for place in [
        "nt!KeWaitForSingleObject",
        "nt!NtDeviceIoControlFile",
        "KERNELBASE!DeviceIoControl",
        "Requester!",
    ] {
        let mut stack = stopped.stack.iter();
        assert!(stack.any(|at| at.starts_with(place)), "{place}: {error}");
    }
    // No other request can be made meanwhile.
    let other = lab
        .request(&Request::Sleep { milliseconds: 1 })
        .unwrap_err();
    assert!(matches!(other, RequestError::Unfinished), "{other}");
}

/// StartIo: one at a time, at DISPATCH_LEVEL, in the order of their coming.
#[test]
fn start_io_takes_one_after_the_other() {
    let mut lab = lab();
    let handle = open_overlapped(&mut lab, "IoTest");
    let tickets: Vec<Ticket> = (0..6)
        .map(|_| {
            control(&mut lab, handle, code(START_IO, BUFFERED), &[], 4)
                .ticket
                .unwrap()
        })
        .collect();
    let numbers: Vec<u32> = tickets
        .iter()
        .map(|ticket| word(&result(&mut lab, *ticket), 0))
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert_eq!(Counters::of(&lab).last_irql(), 2);
}
