//! What the kernel promises drivers: the driver does it, and gives numbers.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{Request, Win32Error};

const RULES: u32 = 0x80f;
const NO_FLUSH: u32 = 128;

const INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;

/// The numbers of a case.
fn numbers(lab: &mut Lab, device: &str, case: u32) -> Vec<u32> {
    crate::guest::numbers(lab, device, RULES, &case.to_le_bytes())
}

fn of(case: u32) -> Vec<u32> {
    numbers(&mut lab(), "IoTest", case)
}

/// WDK, "InitializeObjectAttributes": with OBJ_KERNEL_HANDLE "the handle can only be accessed in kernel
/// mode", whatever process is current; such a handle is negative.
#[test]
fn kernel_handles_are_the_kernels_in_any_process() {
    assert_eq!(of(1), [0, 1, 0, 1, 0, 1, 0, 0]);
}

/// `KeLowerIrql` is inline on x64: paged pool is there again all the same.
#[test]
fn paged_pool_is_there_when_the_driver_lowers_the_level_itself() {
    assert_eq!(of(2)[0], 0x1234);
}

/// WDK, "IoCsqInsertIrpEx": a request that the queue refuses is the driver's to complete.
#[test]
fn a_request_that_a_queue_refuses_is_completed_once() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let response = control(
        &mut lab,
        handle,
        code(RULES, BUFFERED),
        &3_u32.to_le_bytes(),
        32,
    );
    // STATUS_DEVICE_BUSY is ERROR_BUSY.
    assert_eq!(response.error, Win32Error(170));
    // A second completion would be a bug check, at the latest when the thread has its turn again.
    assert_eq!(numbers(&mut lab, "IoTest", 2)[0], 0x1234);
    close(&mut lab, handle);
    assert_eq!(outstanding(&lab).get(&tag(b"Irp ")), None);
}

/// Data that is not there is the request's end; what else a service touches for the kernel's own code is that
/// code's exception, and the caller's mode is what it was.
#[test]
fn exceptions_of_services_reach_the_driver_that_called() {
    let violation = 0xc000_0005;
    assert_eq!(of(4), [0, violation, 0, violation, 1, 0, 0, 0]);
}

/// WDK, "IoCheckEaBufferValidity", "OBJECT_ATTRIBUTES": lists that do not fit and structures of another size
/// are refused.
#[test]
fn opening_checks_its_arguments() {
    assert_eq!(of(5)[..3], [0, 0x8000_0014, 0xc000_000d]);
}

/// A file is opened relative to one of an exclusive device, or to a directory of the name space.
#[test]
fn relative_opens() {
    assert_eq!(of(6)[..5], [0, 0, 0xc000_0022, 0, 0]);
}

/// FILE_WRITE_THROUGH, FILE_SEQUENTIAL_ONLY, FILE_NO_INTERMEDIATE_BUFFERING, FILE_SYNCHRONOUS_IO_NONALERT.
#[test]
fn a_files_mode_is_what_it_was_opened_with() {
    assert_eq!(of(7)[..3], [0, 0, 0x2e]);
}

/// WDK, "Controlling Device Access": the device's security says who may open it; a name behind it is the
/// driver's to protect.
#[test]
fn a_devices_security_is_looked_at() {
    let mut lab = lab();
    let name = r"\\.\IoTestDirect";
    assert_eq!(numbers(&mut lab, "IoTest", 8)[..2], [0, 0]);
    let mut try_open = |name| {
        let request = Request::Open {
            name,
            access: 0xc000_0000,
            overlapped: false,
        };
        ask(&mut lab, &request).error
    };
    assert_eq!(try_open(name), Win32Error(5));
    assert_eq!(try_open(r"\\.\IoTestDirect\behind"), Win32Error(0));
}

#[test]
fn a_name_without_pool_is_an_error() {
    let driver = driver(0, 0);
    let builder = Lab::builder().driver(driver).requester();
    let mut lab = builder.paged_pool_limit(1 << 20).build().unwrap();
    let before = outstanding(&lab);
    let numbers = numbers(&mut lab, "IoTest", 9);
    assert_eq!(
        numbers[1], 0,
        "{numbers:x?}, not {INSUFFICIENT_RESOURCES:x}"
    );
    assert!(numbers[0] > 1, "{numbers:x?}");
    assert_eq!(outstanding(&lab), before);
}

/// Drivers free in them what they have kept for a file.
#[test]
fn cleanup_and_close_are_sent_without_pool() {
    let driver = driver(0, 0);
    let builder = Lab::builder().driver(driver).requester();
    let mut lab = builder.nonpaged_pool_limit(4 << 20).build().unwrap();
    assert_eq!(numbers(&mut lab, "IoTest", 10)[..4], [0, 0, 1, 1]);
}

/// WDK, "IoSetDeviceInterfaceState": STATUS_OBJECT_NAME_EXISTS for one that is enabled. Those that differ in
/// their reference strings share a link.
#[test]
fn interfaces_are_enabled_once_and_share_links() {
    let mut lab = lab_with(PNP, 0);
    lab.add_device().unwrap();
    let numbers = numbers(&mut lab, crate::plug_and_play::INTERFACE, 11);
    assert_eq!(numbers, [0x4000_0000, 0, 0, 0, 0, 0, 0, 0xc000_0034]);
}

#[test]
fn a_file_has_its_devices_name_and_its_own() {
    let mut lab = lab();
    for name in ["", r"\some\name"] {
        let handle = open(&mut lab, &format!("IoTest{name}"));
        let code = code(RULES, BUFFERED);
        let response = control(&mut lab, handle, code, &12_u32.to_le_bytes(), 100);
        let expected = format!(r"\Device\IoTest{name}");
        let units: Vec<u8> = expected.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(response.data(), units, "{name}");
        close(&mut lab, handle);
    }
}

/// The token, what the device's security has granted, and the path of the hardware's configuration.
#[test]
fn what_drivers_find_in_create_requests_and_driver_objects() {
    let path = r"\REGISTRY\MACHINE\HARDWARE\DESCRIPTION\SYSTEM";
    // FILE_GENERIC_READ, FILE_GENERIC_WRITE and FILE_READ_ATTRIBUTES.
    assert_eq!(of(13)[..3], [1, 0x12_019f, path.len() as u32 * 2]);
}

#[test]
fn a_routine_that_the_driver_has_taken_out_is_the_io_managers() {
    let mut lab = lab_with(NO_FLUSH, 0);
    let handle = open(&mut lab, "IoTest");
    let response = ask(&mut lab, &Request::Flush { handle });
    assert_eq!(response.error, Win32Error(1)); // ERROR_INVALID_FUNCTION
}

/// A work item's thread is the kernel's own, not the driver's leak.
#[test]
fn a_work_items_thread_was_there_before() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    let threads = outstanding(&lab).get(&tag(b"Thre")).copied();
    let pend = Pend {
        way: BY_WORK_ITEM,
        microseconds: 0,
        status: 0,
        value: 5,
    };
    let response = control(&mut lab, handle, code(PEND, BUFFERED), &pend.bytes(), 4);
    assert!(response.is_success(), "{response:?}");
    assert_eq!(outstanding(&lab).get(&tag(b"Thre")).copied(), threads);
}

/// WDK, "MmMapLockedPagesSpecifyCache": as many pages as there are addresses for, and where the driver says.
/// (That the program can use them: `lifetimes.rs`.)
#[test]
fn memory_is_mapped_where_the_driver_says() {
    assert_eq!(of(14)[..4], [77, 1, 78, 0x2345_0000]);
}

/// WDK, "OB_PRE_CREATE_HANDLE_INFORMATION": what was wanted at first is the same for all; what one leaves for
/// the other half of it is the call's, also where it opens a handle itself.
#[test]
fn callbacks_for_handles_know_their_call() {
    let expected = [100, 101, 0x400, 0x401, 0, 0, 0, 0];
    assert_eq!(of(15), expected);
}
