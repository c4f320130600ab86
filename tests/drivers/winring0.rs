//! WinRing0 at work, by the requests that its header names (OpenLibSys, `OlsIoctl.h`): a program reads
//! registers, ports, memory and PCI configuration through it.

use crate::state::file;
use poolhit::address::Va;
use poolhit::guest::{FileHandle, Request, Response};
use poolhit::memory::WriteMemory;
use poolhit::{Lab, assert_no_leaks};

const VERSION: u32 = 0x9c40_2000;
const REFERENCES: u32 = 0x9c40_2004;
const READ_MSR: u32 = 0x9c40_2084;
const READ_PORT_BYTE: u32 = 0x9c40_60cc;
const READ_MEMORY: u32 = 0x9c40_6104;
const READ_PCI: u32 = 0x9c40_6144;
/// `IA32_LSTAR`, where system calls go.
const LSTAR: u32 = 0xc000_0082;

struct Device {
    lab: Lab,
    handle: FileHandle,
}

impl Device {
    fn new() -> Device {
        let lab = Lab::builder().driver(file("winring0/WinRing0x64.sys"));
        let mut lab = lab.requester().track_leaks().build().unwrap();
        let handle = lab.open_device(r"\\.\WinRing0_1_2_0").unwrap();
        Device { lab, handle }
    }

    fn ask(&mut self, code: u32, input: &[u32], length: usize) -> Response {
        let input: Vec<u8> = input.iter().flat_map(|word| word.to_le_bytes()).collect();
        let request = Request::ioctl(self.handle, code, &input, length);
        self.lab.request(&request).unwrap()
    }

    #[track_caller]
    fn read(&mut self, code: u32, input: &[u32], length: usize) -> Vec<u8> {
        let response = self.ask(code, input, length);
        assert!(response.is_success(), "{response:?}");
        response.data().to_vec()
    }
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_answers() {
    let mut device = Device::new();
    assert_eq!(device.read(VERSION, &[], 4), 0x0102_0005_u32.to_le_bytes());
    assert_eq!(device.read(REFERENCES, &[], 4), 1_u32.to_le_bytes());
    let again = device.lab.open_device(r"\\.\WinRing0_1_2_0").unwrap();
    assert_eq!(device.read(REFERENCES, &[], 4), 2_u32.to_le_bytes());
    device
        .lab
        .request(&Request::Close { handle: again })
        .unwrap();
    assert_eq!(device.read(REFERENCES, &[], 4), 1_u32.to_le_bytes());
    // A request that it does not know.
    assert!(!device.ask(0x9c40_2ffc, &[], 4).is_success());
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_reads_registers_and_ports() {
    let mut device = Device::new();
    let entry = device.lab.kernel_symbol("KiSystemCall64").unwrap();
    assert_eq!(device.read(READ_MSR, &[LSTAR], 8), entry.0.to_le_bytes());
    // The serial port can always be written to (line status, bits 5 and 6).
    let status = device.read(READ_PORT_BYTE, &[0x3fd], 1);
    assert_eq!(status[0] & 0x60, 0x60);
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_reads_physical_memory() {
    let mut device = Device::new();
    let text = b"sixteen letters.";
    let routine = device.lab.kernel_function("MmMapIoSpace").unwrap();
    let mapped = device
        .lab
        .call_in_system_thread(routine, &[0xc_0010, 16, 0]);
    let mapped = Va(mapped.unwrap());
    device.lab.machine_mut().write(mapped, text).unwrap();
    // As bytes, words and doublewords: address, size of a unit, count of units.
    for size in [1, 2, 4] {
        let input = [0xc_0010, 0, size, 16 / size];
        assert_eq!(device.read(READ_MEMORY, &input, 16), text);
    }
    // It reads in the BIOS's range alone.
    for address in [0, 0x1000, 0x10_0000] {
        assert!(
            !device
                .ask(READ_MEMORY, &[address, 0, 1, 16], 16)
                .is_success()
        );
    }
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_reads_the_bus() {
    let mut device = Device::new();
    // The host bridge's vendor and device.
    assert_eq!(device.read(READ_PCI, &[0, 0], 4), [0x86, 0x80, 0x37, 0x12]);
    // Nobody is in slot 7, and there is no bus 3.
    for address in [7 << 3, 3 << 8] {
        assert!(!device.ask(READ_PCI, &[address, 0], 4).is_success());
    }
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_goes_and_leaves_nothing() {
    let mut device = Device::new();
    for _ in 0..3 {
        device.read(VERSION, &[], 4);
        device.read(READ_MEMORY, &[0xc_0000, 0, 1, 16], 16);
        device.lab.mark_repeat().unwrap();
    }
    let (mut lab, handle) = (device.lab, device.handle);
    // What it holds while it is there is its device, with the stack that made it.
    let report = lab.leaks().unwrap();
    let made = report.paths.iter().find(|path| {
        let frames = path.stack.iter().flat_map(|stack| &stack.frames);
        frames
            .into_iter()
            .any(|frame| frame.symbol.as_deref() == Some("IoCreateDevice"))
    });
    let stack = made.unwrap().stack.as_ref().unwrap();
    let names: Vec<String> = stack.frames.iter().map(|frame| frame.to_string()).collect();
    assert!(
        names.iter().any(|name| name.starts_with("WinRing0x64+")),
        "{names:?}"
    );
    lab.request(&Request::Close { handle }).unwrap();
    lab.unload_driver().unwrap();
    let unload = lab.mark_unloaded("WinRing0x64.sys").unwrap();
    assert_eq!(unload.unwrap().left.blocks, 0);
    assert_no_leaks!(lab);
}
