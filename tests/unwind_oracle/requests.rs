//! Requests of a program to a driver: every way that the I/O manager has to send one and to complete it.

use crate::VISITS;
use crate::guest::Guest;
use poolhit::Lab;
use poolhit::guest::{FileHandle, ImageFile, Request, Response};
use poolhit_fixtures::prebuilt;

/// In front of the driver's options.
const MARK: [u8; 8] = 0x5b6a_7988_1f2e_3d4c_u64.to_le_bytes();
/// With a stack of three devices.
const STACK: u8 = 32;

/// A control code of the driver's.
fn code(function: u32, method: u32) -> u32 {
    0x22 << 16 | function << 2 | method
}

fn boot() -> Guest {
    let mut bytes = prebuilt::IOTEST.bytes.to_vec();
    let mark = bytes.windows(8).position(|window| window == MARK).unwrap();
    bytes[mark + 8] = STACK;
    let driver = ImageFile::parse("iotest.sys", bytes, None).unwrap();
    Guest::boot_with(Lab::builder().driver(driver).requester(), Some(VISITS))
}

#[track_caller]
fn ask(guest: &mut Guest, request: &Request<'_>) -> Response {
    let answer = guest.lab.request(request);
    answer.unwrap_or_else(|error| panic!("{error}"))
}

fn open(guest: &mut Guest, name: &str, overlapped: bool) -> FileHandle {
    let access = 0xc000_0000;
    let open = Request::Open {
        name,
        access,
        overlapped,
    };
    ask(guest, &open).handle.unwrap()
}

/// Echoes by each method, reads and writes, requests that take their time in each of the driver's ways and
/// those that are cancelled; and the driver's unloading.
#[test]
fn requests_of_all_kinds() {
    let mut guest = boot();
    for name in [r"\\.\IoTest", r"\\.\IoTestDirect", r"\\.\IoTestStack"] {
        for overlapped in [false, true] {
            let handle = open(&mut guest, name, overlapped);
            for method in 0..4 {
                let echo = Request::ioctl(handle, code(0x800, method), b"echo", 8);
                assert!(ask(&mut guest, &echo).is_success());
            }
            let write = Request::Write {
                handle,
                offset: 0,
                data: &[7; 5000],
            };
            ask(&mut guest, &write);
            // Completed by a timer, a work item, a thread.
            for way in 0..3_u32 {
                let input = [way, 700, 0, 1].map(u32::to_le_bytes).concat();
                let pend = Request::ioctl(handle, code(0x801, 0), &input, 4);
                let answer = ask(&mut guest, &pend);
                if let Some(ticket) = answer.ticket {
                    let milliseconds = 100;
                    let result = Request::Result {
                        ticket,
                        milliseconds,
                    };
                    assert!(ask(&mut guest, &result).is_success());
                }
            }
            // Kept by the driver, and cancelled.
            for way in [3_u32, 4].into_iter().filter(|_| overlapped) {
                let input = [way, 0, 0, 0].map(u32::to_le_bytes).concat();
                let pend = Request::ioctl(handle, code(0x801, 0), &input, 4);
                assert!(ask(&mut guest, &pend).ticket.is_some());
                assert!(ask(&mut guest, &Request::Cancel { handle }).is_success());
            }
            assert!(ask(&mut guest, &Request::Close { handle }).is_success());
        }
    }
    let end = guest.lab.request(&Request::Exit { code: 0 }).unwrap_err();
    assert!(end.to_string().contains("has ended"), "{end}");
    let counts = guest.finish();
    assert!(counts.boundaries > 100_000, "{counts:?}");
}

#[test]
fn a_driver_is_unloaded_and_loaded() {
    let bytes = prebuilt::IOTEST.bytes;
    let driver = ImageFile::parse("iotest.sys", bytes, None).unwrap();
    let builder = Lab::builder().driver(driver).requester();
    let mut guest = Guest::boot_with(builder, Some(VISITS));
    let service = guest.lab.driver_service();
    let service = service.as_str();
    assert!(ask(&mut guest, &Request::UnloadDriver { service }).is_success());
    assert!(ask(&mut guest, &Request::LoadDriver { service }).is_success());
    guest.finish();
}
