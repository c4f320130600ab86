//! Data by each of the ways that there are for it (WDK, "Methods for Accessing Data Buffers").

use crate::guest::*;
use poolhit::guest::{Request, Win32Error};

const DEVICES: [&str; 3] = ["IoTest", "IoTestDirect", "IoTestNeither"];

#[test]
fn each_method_carries_the_bytes() {
    let mut lab = lab();
    for device in DEVICES {
        let handle = open(&mut lab, device);
        let input: Vec<u8> = (0..5000_u32).map(|at| at as u8).collect();
        for method in [BUFFERED, OUT_DIRECT, NEITHER] {
            for length in [0, 1, 7, 4096, 5000] {
                let response =
                    control(&mut lab, handle, code(ECHO, method), &input[..length], 4500);
                assert!(
                    response.is_success(),
                    "{device} {method} {length}: {response:?}"
                );
                let expected = &input[..length.min(4500)];
                assert_eq!(response.data(), expected, "{device} {method} {length}");
                assert!(
                    response.output[expected.len()..]
                        .iter()
                        .all(|byte| *byte == 0)
                );
            }
        }
        close(&mut lab, handle);
    }
}

/// `METHOD_IN_DIRECT`: the driver reads both buffers.
#[test]
fn the_output_buffer_of_in_direct_is_input() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let data: Vec<u8> = (0..9000_u32).map(|at| (at * 7) as u8).collect();
    let sum: u64 = data.iter().map(|byte| u64::from(*byte)).sum();
    let request = Request::Ioctl {
        handle,
        code: code(ECHO, IN_DIRECT),
        input: &[1, 2, 3],
        output_length: data.len(),
        output: &data,
    };
    let response = ask(&mut lab, &request);
    assert_eq!(
        (response.error, response.information),
        (Win32Error(0), sum + 6)
    );
    assert_eq!(response.output, data);
    assert_eq!(outstanding(&lab).get(&tag(b"Mdl ")), None);
}

/// A driver that says it gives more than there is room for is believed: what lies behind the buffer in the
/// program's memory is overwritten with what lies behind the driver's in the pool.
#[test]
fn a_driver_is_believed_how_much_it_gives() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let response = control(
        &mut lab,
        handle,
        code(TOO_MUCH, BUFFERED),
        &100_u32.to_le_bytes(),
        4,
    );
    assert_eq!((response.error, response.information), (Win32Error(0), 100));
    assert_eq!(word(&response, 0), 100);
    let symbols = &lab.images().program.symbols;
    let output = lab.bases().program + symbols.by_name("RequesterOutput").unwrap().rva;
    let behind: Vec<u32> = (1..25)
        .map(|at| read_u32(&lab, output.0 + at * 4))
        .collect();
    assert!(behind.iter().any(|word| *word != 0), "{behind:x?}");
}

/// FastIoDeviceControl comes first; what it declines comes as a request packet.
#[test]
fn fast_io_needs_no_packet() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let packets = |lab: &poolhit::Lab| {
        let trackers = lab.pool().unwrap().trackers().unwrap();
        let tracker = trackers
            .iter()
            .find(|tracker| tracker.tag == tag(b"Irp "))
            .unwrap();
        tracker
            .in_pool(poolhit::guest::pool::PoolKind::NonPaged)
            .allocs
    };
    let before = packets(&lab);
    let response = control(&mut lab, handle, code(FAST, BUFFERED), b"quick", 16);
    assert_eq!((response.data(), packets(&lab)), (&b"quick"[..], before));
    let response = control(&mut lab, handle, code(FAST_DECLINED, BUFFERED), b"slow", 16);
    assert_eq!((response.data(), packets(&lab)), (&b"slow"[..], before + 1));
}

/// A warning carries data, an error none.
#[test]
fn the_status_decides_whether_there_is_data() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    for (status, error, copied) in [
        (0_u32, 0, true),
        (0x4000_0000, 0, true),
        (0x8000_0005, 234, true), // STATUS_BUFFER_OVERFLOW, ERROR_MORE_DATA
        (0xc000_0001, 31, false), // STATUS_UNSUCCESSFUL, ERROR_GEN_FAILURE
    ] {
        let input = [status.to_le_bytes(), 0x5a5a_5a5a_u32.to_le_bytes()].concat();
        let response = control(&mut lab, handle, code(STATUS, BUFFERED), &input, 8);
        assert_eq!(response.error.0, error, "{status:x}");
        let expected = if copied { &input[..] } else { &[0; 8][..] };
        assert_eq!(response.output, expected, "{status:x}");
        let failed = status >> 31 == 1;
        assert_eq!(response.status.0, if failed { status } else { 0 });
    }
}

/// The rights that a control code asks for (`FILE_READ_ACCESS`, `FILE_WRITE_ACCESS`).
#[test]
fn a_code_asks_for_rights() {
    const ACCESS_DENIED: u32 = 5;
    let mut lab = lab();
    for (access, rights) in [(0x8000_0000_u32, 1_u32), (0x4000_0000, 2), (0xc000_0000, 3)] {
        let open = Request::Open {
            name: r"\\.\IoTest",
            access,
            overlapped: false,
        };
        let handle = ask(&mut lab, &open).handle.unwrap();
        for wanted in 0..4_u32 {
            let code = code(ECHO, BUFFERED) | wanted << 14;
            let response = control(&mut lab, handle, code, b"x", 1);
            let allowed = wanted & !rights == 0;
            let error = if allowed { 0 } else { ACCESS_DENIED };
            assert_eq!(response.error.0, error, "{access:x} {wanted}");
        }
        close(&mut lab, handle);
    }
}

/// Codes of file systems' devices are another major function; the driver here answers both alike.
#[test]
fn file_system_control_is_a_service_of_its_own() {
    let mut lab = lab();
    let fsctl = 9 << 16 | ECHO << 2;
    for overlapped in [false, true] {
        let handle = if overlapped {
            open_overlapped(&mut lab, "IoTest")
        } else {
            open(&mut lab, "IoTest")
        };
        let response = control(&mut lab, handle, fsctl, b"fs", 8);
        assert_eq!((response.error.0, response.data()), (0, &b"fs"[..]));
    }
}
