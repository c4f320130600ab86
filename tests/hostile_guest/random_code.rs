//! Code nobody wrote: random bytes, and random sequences of the instructions that touch what is
//! delicate.

use crate::support::*;
use poolhit::address::Va;
use poolhit::{Lab, Session};
use proptest::prelude::*;

/// Instructions, and beginnings of some.
const PIECES: [&[u8]; 72] = [
    &[0x0f, 0x0b],
    &[0xf4],
    &[0xfa],
    &[0xfb],
    &[0xcd, 0x80],
    &[0xcd, 0x2d],
    &[0x48, 0xcf],
    &[0xcf],
    &[0x0f, 0x30],
    &[0x0f, 0x32],
    &[0x0f, 0x22, 0xd8],
    &[0x0f, 0x22, 0xc0],
    &[0x0f, 0x22, 0xe0],
    &[0x0f, 0x01, 0x10],
    &[0x0f, 0x01, 0x18],
    &[0x0f, 0x00, 0xd8],
    &[0x0f, 0x00, 0xd0],
    &[0x0f, 0x01, 0xf0],
    &[0x0f, 0x06],
    &[0x0f, 0x05],
    &[0x48, 0x0f, 0x07],
    &[0x0f, 0x34],
    &[0x0f, 0x35],
    &[0x0f, 0xaa],
    &[0x0f, 0x01, 0xd8],
    &[0x0f, 0x01, 0xd1],
    &[0x0f, 0x01, 0xf8],
    &[0x0f, 0x01, 0xf9],
    &[0x0f, 0x09],
    &[0xf1],
    &[0xcc],
    &[0x9d],
    &[0x9c],
    &[0xcb],
    &[0x48, 0xcb],
    &[0xff, 0x28],
    &[0xff, 0x18],
    &[0x48, 0xff, 0x28],
    &[0x0f, 0xae, 0x08],
    &[0x0f, 0xae, 0x00],
    &[0x0f, 0x23, 0xf8],
    &[0x0f, 0x23, 0xc0],
    &[0xec],
    &[0xee],
    &[0x6c],
    &[0x6e],
    &[0xf3, 0x6c],
    &[0xf3, 0xaa],
    &[0xf3, 0xa4],
    &[0xf3, 0x48, 0xab],
    &[0x8e, 0xd8],
    &[0x8e, 0xe8],
    &[0x8e, 0xd0],
    &[0x50],
    &[0x58],
    &[0x5c],
    &[0xff, 0xe0],
    &[0xff, 0xd0],
    &[0xc3],
    &[0xc2, 8, 0],
    &[0x48, 0x89, 0x00],
    &[0x48, 0x8b, 0x00],
    &[0x48, 0xf7, 0xf0],
    &[0xeb, 0xfe],
    &[0xeb, 0xf0],
    &[0xe2, 0xf0],
    &[0xc8, 0x10, 0, 0x1f],
    &[0x0f, 0xa2],
    &[0x0f, 0x31],
    &[0x65],
    &[0x66],
    &[0xf0],
];

/// Values that mean something to these instructions.
const VALUES: [u64; 32] = [
    0,
    1,
    8,
    0x10,
    0x18,
    0x2b,
    0x33,
    0x40,
    0x73,
    0x202,
    0x302,
    0x4202,
    0x1000,
    0xd_f000,
    PROGRAM_CODE,
    DRIVER_CODE,
    0xfffff880_009e9000,
    0xfffff880_009f1000,
    0xfffff7ff_fff00000,
    0xfffff7ff_fff01000,
    0xfffff6fb_7dbed000,
    0xfffff800_014798f6,
    0x7fff_0000_0000_0000,
    u64::MAX,
    0xc000_0080,
    0xc000_0082,
    0xc000_0101,
    0xc000_0102,
    0x8005_0033,
    0x6f8,
    0x1006f8,
    0x4000_0000,
];

fn code() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 1..8),
        4 => (0u8..16, prop::sample::select(VALUES.to_vec()))
            .prop_map(|(register, value)| Code::default().set(register, value).0),
        1 => (0u8..16, any::<u64>())
            .prop_map(|(register, value)| Code::default().set(register, value).0),
        1 => prop::sample::select(VALUES.to_vec())
            .prop_map(|value| Code::default().set(RAX, value).raw(&[0x50]).0),
        5 => prop::sample::select(PIECES.to_vec()).prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 1..30).prop_map(|pieces| pieces.concat())
}

/// Runs, looks, breaks in, sets breakpoints; each step ends.
fn play(mut session: Session) {
    session.set_budget(5000);
    for step in 0..6 {
        if let Err(error) = session.go() {
            let text = error.to_string();
            assert!(
                text.starts_with("the processor emulator refused to "),
                "{text}"
            );
        }
        look(&mut session);
        let here = session.registers().rip;
        match step {
            2 => session.break_in_after(500),
            3 => drop(session.execute("bp @rip+2 \"r;g\"; bp @rip+3")),
            4 => drop(session.write(Va(here), &[0x90; 3])),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn random_drivers_end(code in code()) {
        match Lab::builder().driver(driver(&code)).build() {
            Ok(lab) => play(Session::new(lab)),
            Err(error) => {
                let text = error.to_string();
                // Random code may also return, with a status that says no.
                let expected = text.starts_with("the guest did not boot: ")
                    || text.starts_with("hostile.sys is not loaded: its DriverEntry");
                prop_assert!(expected, "{}", text);
            }
        }
    }

    #[test]
    fn random_programs_end(code in code()) {
        play(with_program(&code));
    }

    #[test]
    fn random_system_calls_end(code in code()) {
        play(with_system_call(&code).0);
    }
}

/// A status that says no: found by a random case.
#[test]
fn a_driver_that_says_no_is_not_loaded() {
    let code = Code::default().set(RAX, u64::MAX).raw(&[0xc3]).0;
    let error = Lab::builder().driver(driver(&code)).build().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("hostile.sys is not loaded: "), "{text}");
    assert!(text.contains("0xffffffff"), "{text}");
}

#[test]
fn after_all_that_a_fresh_lab_works() {
    fresh_lab_works();
}
