//! What a driver does when its request is long done.

use crate::{lab, run};
use poolhit::leaks::Growth;

const BY_TIMER: u8 = 0;
const BY_THREAD: u8 = 1;
const IS_FREED: u8 = 0;
const IS_LOST: u8 = 1;

/// Twelve requests that leave something to be done so much later.
fn text(by: u8, fate: u8, milliseconds: u16) -> String {
    let [low, high] = milliseconds.to_le_bytes();
    format!(
        r"device = '\\.\IoTest'
        repeat = 12
        [[step]]
        ioctl = 0x222080
        expect = 'success'
        input = '{by:02x} 00 00 00 {fate:02x} 00 00 00 {low:02x} {high:02x} 00 00'
        "
    )
}

#[test]
fn what_is_freed_later_is_no_leak() {
    // A second after the last repetition is waited for, too.
    for (by, milliseconds) in [
        (BY_THREAD, 0),
        (BY_TIMER, 0),
        (BY_TIMER, 10),
        (BY_TIMER, 900),
    ] {
        let mut lab = lab(0);
        run(&mut lab, &text(by, IS_FREED, milliseconds)).unwrap();
        let report = lab.leaks().unwrap();
        assert!(report.is_clean(), "{by} {milliseconds}: {report}");
    }
}

/// By a timer's DPC, too, which has on its stack what it interrupted.
#[test]
fn what_is_lost_later_is() {
    for (by, milliseconds) in [(BY_THREAD, 0), (BY_TIMER, 0), (BY_TIMER, 10)] {
        let mut lab = lab(0);
        run(&mut lab, &text(by, IS_LOST, milliseconds)).unwrap();
        let report = lab.leaks().unwrap();
        assert_eq!(report.leaked.blocks, 12, "{by} {milliseconds}: {report}");
        let growth = report.tags[0].growth;
        assert!(matches!(growth, Growth::Growing { .. }), "{growth:?}");
    }
}

#[test]
fn without_waiting_it_is_not_seen() {
    let text = text(BY_TIMER, IS_LOST, 10);
    let mut lab = lab(0);
    run(&mut lab, &format!("settle = 0\n{text}")).unwrap();
    assert_eq!(lab.leaks().unwrap().tags[0].tag.to_string(), "oITt");
    let mut one = crate::lab(0);
    run(&mut one, &text.replace("repeat = 12", "repeat = 1")).unwrap();
    assert_eq!(one.leaks().unwrap().leaked.bytes, 0x40);
}
