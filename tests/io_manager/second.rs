//! Exports that a driver calls now and then. WDK: "IoOpenDeviceRegistryKey", "IoCreateFile",
//! "RtlCaptureStackBackTrace", "IoWithinStackLimits".

use crate::guest::*;
use crate::plug_and_play::INTERFACE;
use poolhit::Lab;
use poolhit::address::Va;

const SECOND: u32 = 0x853;
const DEVICE_KEY: u32 = 0;
const CREATE_FILE: u32 = 1;
const BACK_TRACE: u32 = 2;
const INVALID_PARAMETER: u64 = 0xc000_000d;
const INVALID_DEVICE_REQUEST: u64 = 0xc000_0010;
const NAME_NOT_FOUND: u64 = 0xc000_0034;
const ACCESS_VIOLATION: u64 = 0xc000_0005;

#[track_caller]
fn numbers(lab: &mut Lab, name: &str, what: u32) -> [u64; 8] {
    let handle = open(lab, name);
    let answer = control(lab, handle, code(SECOND, BUFFERED), &what.to_le_bytes(), 64);
    assert!(answer.is_success(), "{answer:?}");
    close(lab, handle);
    let (words, _) = answer.data().as_chunks();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

#[test]
fn a_device_has_a_key_of_its_own() {
    let mut lab = lab_with(PNP, 0);
    lab.add_device().unwrap_or_else(|error| panic!("{error}"));
    let expected = [
        0,
        0,
        0,
        0,
        0x1234,
        NAME_NOT_FOUND,
        INVALID_DEVICE_REQUEST,
        INVALID_PARAMETER,
    ];
    assert_eq!(numbers(&mut lab, INTERFACE, DEVICE_KEY), expected);
}

#[test]
fn a_file_is_made_for_the_kernel_or_for_its_caller() {
    let numbers = numbers(&mut lab(), "IoTest", CREATE_FILE);
    let [made, creates, closed, closes, checked, pipe, all, _] = numbers;
    assert_eq!((made, creates, closed, closes), (0, 1, 0, 1));
    assert_eq!(checked, ACCESS_VIOLATION);
    assert_eq!((pipe, all), (INVALID_PARAMETER, 1));
}

#[test]
fn callers_are_known() {
    let mut lab = lab();
    let [count, first, second, is_own, skipped, same, hash, within] =
        numbers(&mut lab, "IoTest", BACK_TRACE);
    assert_eq!((count, is_own, skipped), (6, 1, 2));
    let modules = lab.modules();
    for address in [first, second] {
        assert_eq!(modules.containing(Va(address)).unwrap().name(), "iotest");
    }
    assert_eq!((same, hash), (1, 1));
    assert_eq!(within, 1);
}
