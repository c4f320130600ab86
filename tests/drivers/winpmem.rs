//! WinPmem at work, by the requests of its sources (Rekall, `tools/windows/winpmem`): a program asks
//! where the kernel's structures are, and reads physical memory as a file, in each of its ways.

use crate::state::file;
use poolhit::address::Va;
use poolhit::guest::{FileHandle, Request, Response, SeekFrom};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::{Lab, assert_no_leaks};

/// `CTL_CODE(0x22, …, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA)`.
const SET_MODE: u32 = 0x22_c404;
const INFORMATION: u32 = 0x22_c40c;
const MEMORY: i64 = 64 << 20;

/// Its ways to read: `MmMapIoSpace`, `\Device\PhysicalMemory`, and a page table entry of its own, with
/// and without looking where devices are.
const MODES: [u32; 4] = [0, 1, 2, 3];

struct Device {
    lab: Lab,
    handle: FileHandle,
}

impl Device {
    fn new() -> Device {
        let lab = Lab::builder().driver(file("winpmem/winpmem_x64.sys"));
        let mut lab = lab.requester().track_leaks().build().unwrap();
        let handle = lab.open_device(r"\\.\pmem").unwrap();
        Device { lab, handle }
    }

    /// Has a system thread call a routine of the kernel's.
    fn kernel(&mut self, routine: &str, arguments: &[u64]) -> u64 {
        let at = self.lab.kernel_function(routine).unwrap();
        self.lab.call_in_system_thread(at, arguments).unwrap()
    }

    fn ask(&mut self, code: u32, input: &[u8], length: usize) -> Response {
        let request = Request::ioctl(self.handle, code, input, length);
        self.lab.request(&request).unwrap()
    }

    fn read(&mut self, address: i64, length: usize) -> Response {
        let from = SeekFrom::Begin;
        let seek = Request::Seek {
            handle: self.handle,
            distance: address,
            from,
        };
        assert!(self.lab.request(&seek).unwrap().is_success());
        let request = Request::Read {
            handle: self.handle,
            offset: 0,
            length,
        };
        self.lab.request(&request).unwrap()
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8);
    words
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_tells_where_the_kernel_is() {
    let mut device = Device::new();
    // A buffer that is too short is refused.
    assert!(!device.ask(INFORMATION, &[], 16).is_success());
    let response = device.ask(INFORMATION, &[], 8192);
    assert!(response.is_success(), "{response:?}");
    let found = words(response.data());
    // CR3, build, the kernel's base, the processor's control region, and the one run of memory: 64 MB
    let top = device.kernel("MmGetVirtualForPhysical", &[found[0]]);
    assert_eq!(top, 0xffff_f6fb_7dbe_d000);
    let build = device.lab.kernel_symbol("NtBuildNumber").unwrap();
    let build = device.lab.machine().read_u32(build).unwrap() & 0xffff; // above it, "free build"
    assert_eq!(found[1], build.into());
    assert_eq!(found[2], device.lab.bases().kernel.0);
    assert!(found.contains(&0xfffff880_009e9000), "{found:x?}");
    let run = [1, 0, MEMORY as u64];
    assert!(found.windows(3).any(|words| words == run), "{found:x?}");
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_reads_memory_in_each_of_its_ways() {
    let mut device = Device::new();
    let text: Vec<u8> = (0..0x3000).map(|number| (number % 251) as u8).collect();
    let block = device.kernel("ExAllocatePoolWithTag", &[0, 0x3000, 0x7473_6554]);
    device.lab.machine_mut().write(Va(block), &text).unwrap();
    let pages: Vec<u64> = (0..3)
        .map(|page| device.kernel("MmGetPhysicalAddress", &[block + page * 0x1000]))
        .collect();
    for mode in MODES {
        let response = device.ask(SET_MODE, &mode.to_le_bytes(), 0);
        assert!(response.is_success(), "{mode}: {response:?}");
        for (number, &page) in pages.iter().enumerate() {
            let expected = &text[number * 0x1000..][..0x1000];
            for (skip, length) in [(0, 0x1000), (0x123, 0x100), (0xfff, 1)] {
                let response = device.read(page as i64 + skip as i64, length);
                assert!(response.is_success(), "{mode}: {response:?}");
                assert_eq!(
                    response.data(),
                    &expected[skip..skip + length],
                    "mode {mode}"
                );
            }
        }
        // The last page there is.
        let last = device.read(MEMORY - 0x1000, 0x1000);
        assert_eq!((last.is_success(), last.information), (true, 0x1000));
    }
}

#[test]
#[ignore = "needs drivers: make test-drivers"]
fn it_goes_and_leaves_nothing() {
    let mut device = Device::new();
    for mode in MODES {
        device.ask(SET_MODE, &mode.to_le_bytes(), 0);
        device.ask(INFORMATION, &[], 8192);
        device.read(0x1000, 0x2000);
        device.lab.mark_repeat().unwrap();
    }
    let (mut lab, handle) = (device.lab, device.handle);
    let report = lab.leaks().unwrap();
    // Its own block, and the call that it is from.
    let own = report
        .paths
        .iter()
        .find(|path| path.tag.to_string() == "PMEM");
    let stack = own.unwrap().stack.as_ref().unwrap();
    assert_eq!(
        stack.frames[0].symbol.as_deref(),
        Some("ExAllocatePoolWithTag")
    );
    assert_eq!(stack.frames[1].module.as_deref(), Some("winpmem_x64"));
    lab.request(&Request::Close { handle }).unwrap();
    lab.unload_driver().unwrap();
    let unload = lab.mark_unloaded("winpmem_x64.sys").unwrap();
    assert_eq!(unload.unwrap().left.blocks, 0);
    assert_no_leaks!(lab);
}
