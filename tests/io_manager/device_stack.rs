//! Stacks of devices, and requests that a driver makes itself.

use crate::guest::*;

#[test]
fn completion_routines_run_from_the_lowest_up() {
    let mut lab = lab_with(STACK, 0);
    let handle = open(&mut lab, "IoTestStack");
    let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"through", 16);
    assert_eq!(response.data(), b"through");
    let counters = Counters::of(&lab);
    assert_eq!(
        (
            counters.order(),
            counters.completions(),
            counters.pending_returned()
        ),
        (12, [1, 1], [0, 0])
    );
    // The upper filter takes those without output back, and completes them itself.
    let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"taken", 0);
    assert_eq!((response.error.0, response.information), (0, 1));
    assert_eq!(Counters::of(&lab).order(), 1219);
}

#[test]
fn pending_is_passed_on_from_filter_to_filter() {
    let mut lab = lab_with(STACK, 0);
    let synchronous = open(&mut lab, "IoTestStack");
    let overlapped = open_overlapped(&mut lab, "IoTestStack");
    let wanted = Pend {
        way: BY_TIMER,
        microseconds: 500,
        status: 0,
        value: 77,
    };
    let response = control(
        &mut lab,
        synchronous,
        code(PEND, BUFFERED),
        &wanted.bytes(),
        4,
    );
    assert_eq!(word(&response, 0), 77);
    let counters = Counters::of(&lab);
    assert_eq!(
        (counters.order(), counters.pending_returned()),
        (12, [1, 1])
    );
    let ticket = control(
        &mut lab,
        overlapped,
        code(PEND, BUFFERED),
        &wanted.bytes(),
        4,
    )
    .ticket;
    assert_eq!(word(&result(&mut lab, ticket.unwrap()), 0), 77);
    // Taken back while it is on its way: the filter's thread waits.
    let response = control(
        &mut lab,
        synchronous,
        code(PEND, BUFFERED),
        &wanted.bytes(),
        0,
    );
    assert_eq!((response.error.0, response.information), (0, 1));
    assert_eq!(outstanding(&lab).get(&tag(b"Irp ")), None);
    assert_eq!(outstanding(&lab).get(&tag(b"IoUs")), None);
}

#[test]
fn a_driver_makes_requests_itself() {
    let mut lab = lab_with(STACK, 0);
    for device in ["IoTest", "IoTestDirect"] {
        let handle = open(&mut lab, device);
        let before = outstanding(&lab);
        // Through the stack, by METHOD_OUT_DIRECT and as an internal request.
        for way in [0_u32, 1] {
            let input = [&way.to_le_bytes()[..], b"inner"].concat();
            let response = control(&mut lab, handle, code(SUB_REQUEST, BUFFERED), &input, 5);
            assert_eq!(
                (response.error.0, response.data()),
                (0, &b"inner"[..]),
                "{way}"
            );
        }
        let ask = |lab: &mut poolhit::Lab, way: u32| {
            let input = [&way.to_le_bytes()[..], &[0]].concat();
            let response = control(lab, handle, code(SUB_REQUEST, BUFFERED), &input, 0);
            assert_eq!(response.error.0, 0, "{way}");
            response.information
        };
        if device == "IoTest" {
            assert_eq!(ask(&mut lab, 2), 1); // IoAllocateIrp, reused
        }
        assert_eq!(ask(&mut lab, 3), 0x104); // the file systems' routines
        assert_eq!(ask(&mut lab, 4), 2); // in two parts
        assert_eq!(outstanding(&lab), before);
    }
}

#[test]
fn the_top_of_a_stack_is_found_by_name() {
    let mut lab = lab_with(STACK, 0);
    let handle = open(&mut lab, "IoTest");
    let before = outstanding(&lab);
    let response = control(
        &mut lab,
        handle,
        code(DEVICE, BUFFERED),
        &4_u32.to_le_bytes(),
        0,
    );
    assert_eq!((response.error.0, response.information), (0, 7));
    let counters = Counters::of(&lab);
    // It was opened and closed, with no handle left in between.
    assert_eq!(
        (counters.creates(), counters.cleanups(), counters.closes()),
        (2, 1, 1)
    );
    assert_eq!(outstanding(&lab), before);
}

/// IoInitializeTimer: once a second.
#[test]
fn a_devices_timer_ticks_every_second() {
    let mut lab = lab_with(STACK, 0);
    let handle = open(&mut lab, "IoTest");
    assert!(
        control(
            &mut lab,
            handle,
            code(DEVICE, BUFFERED),
            &1_u32.to_le_bytes(),
            0
        )
        .is_success()
    );
    ask(
        &mut lab,
        &poolhit::guest::Request::Sleep {
            milliseconds: 3_500,
        },
    );
    assert_eq!(Counters::of(&lab).timer_ticks(), 3);
    assert!(
        control(
            &mut lab,
            handle,
            code(DEVICE, BUFFERED),
            &2_u32.to_le_bytes(),
            0
        )
        .is_success()
    );
    ask(
        &mut lab,
        &poolhit::guest::Request::Sleep {
            milliseconds: 3_500,
        },
    );
    assert_eq!(Counters::of(&lab).timer_ticks(), 3);
}
