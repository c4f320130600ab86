//! A lab with the driver and the program, and what tests say to them.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::pool::PoolKind;
use poolhit::guest::{FileHandle, ImageFile, Request, Response, Ticket, Win32Error};
use poolhit::memory::ReadMemory;
use poolhit::tag::Tag;
use poolhit_fixtures::prebuilt;
use std::collections::BTreeMap;

/// The two words in front of the options.
const MARK: [u8; 8] = 0x5b6a_7988_1f2e_3d4c_u64.to_le_bytes();

pub const PNP: u32 = 1;
pub const NO_UNLOAD: u32 = 2;
pub const KEEP_DEVICE: u32 = 4;
pub const FAIL_ENTRY: u32 = 8;
pub const REINITIALIZE: u32 = 16;
pub const STACK: u32 = 32;
pub const LISTEN: u32 = 64;

pub const BUFFERED: u32 = 0;
pub const IN_DIRECT: u32 = 1;
pub const OUT_DIRECT: u32 = 2;
pub const NEITHER: u32 = 3;

pub const ECHO: u32 = 0x800;
pub const PEND: u32 = 0x801;
pub const RELEASE: u32 = 0x802;
pub const START_IO: u32 = 0x803;
pub const SUB_REQUEST: u32 = 0x804;
pub const MISUSE: u32 = 0x805;
pub const MDL: u32 = 0x807;
pub const LEAK: u32 = 0x808;
pub const TOO_MUCH: u32 = 0x809;
pub const FAST: u32 = 0x80a;
pub const FAST_DECLINED: u32 = 0x80b;
pub const FILE_NAME: u32 = 0x80c;
pub const DEVICE: u32 = 0x80d;
pub const STATUS: u32 = 0x80e;
pub const FORGET: u32 = 0x840;
pub const LEAVE: u32 = 0x850;

/// A control code of the driver's: `CTL_CODE(FILE_DEVICE_UNKNOWN, function, method, FILE_ANY_ACCESS)`.
pub fn code(function: u32, method: u32) -> u32 {
    0x22 << 16 | function << 2 | method
}

/// The driver with these options, and what the second word of options says.
pub fn driver(options: u32, fault: u32) -> ImageFile {
    let mut bytes = prebuilt::IOTEST.bytes.to_vec();
    let mark: Vec<usize> = (0..bytes.len() - 16)
        .filter(|&at| bytes[at..at + 8] == MARK)
        .collect();
    let [mark] = mark[..] else {
        panic!("the driver has {} marks", mark.len());
    };
    bytes[mark + 8..mark + 12].copy_from_slice(&options.to_le_bytes());
    bytes[mark + 12..mark + 16].copy_from_slice(&fault.to_le_bytes());
    ImageFile::parse("iotest.sys", bytes, None).unwrap()
}

/// A lab with the driver as it is without options.
pub fn lab() -> Lab {
    lab_with(0, 0)
}

pub fn lab_with(options: u32, fault: u32) -> Lab {
    let driver = driver(options, fault);
    Lab::builder().driver(driver).requester().build().unwrap()
}

/// Makes a request that nothing stops.
#[track_caller]
pub fn ask(lab: &mut Lab, request: &Request<'_>) -> Response {
    lab.request(request)
        .unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub fn open(lab: &mut Lab, name: &str) -> FileHandle {
    open_as(lab, name, false)
}

#[track_caller]
pub fn open_overlapped(lab: &mut Lab, name: &str) -> FileHandle {
    open_as(lab, name, true)
}

#[track_caller]
fn open_as(lab: &mut Lab, name: &str, overlapped: bool) -> FileHandle {
    let name = format!(r"\\.\{name}");
    let response = ask(
        lab,
        &Request::Open {
            name: &name,
            access: 0xc000_0000,
            overlapped,
        },
    );
    response
        .handle
        .unwrap_or_else(|| panic!("{name}: {response:?}"))
}

#[track_caller]
pub fn close(lab: &mut Lab, handle: FileHandle) {
    assert!(ask(lab, &Request::Close { handle }).is_success());
}

/// A control request with this many bytes of output.
#[track_caller]
pub fn control(
    lab: &mut Lab,
    handle: FileHandle,
    code: u32,
    input: &[u8],
    output: usize,
) -> Response {
    ask(lab, &Request::ioctl(handle, code, input, output))
}

/// The end of a request that is on its way, which comes in the next ten seconds.
#[track_caller]
pub fn result(lab: &mut Lab, ticket: Ticket) -> Response {
    let response = ask(
        lab,
        &Request::Result {
            ticket,
            milliseconds: 10_000,
        },
    );
    assert_ne!(response.error, Win32Error::IO_INCOMPLETE);
    response
}

/// What the driver is to do with a request that it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Pend {
    pub way: u32,
    pub microseconds: u32,
    pub status: u32,
    pub value: u32,
}

impl Pend {
    pub fn bytes(self) -> [u8; 16] {
        let words = [self.way, self.microseconds, self.status, self.value];
        let mut bytes = [0; 16];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }
}

pub const BY_TIMER: u32 = 0;
pub const BY_WORK_ITEM: u32 = 1;
pub const BY_THREAD: u32 = 2;
pub const BY_QUEUE: u32 = 3;
pub const BY_OWN_CANCEL: u32 = 4;

/// What the driver counts, read from its memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counters(Vec<u32>);

impl Counters {
    pub fn of(lab: &Lab) -> Counters {
        let symbols = &lab.images().driver.symbols;
        let at = lab.bases().driver + symbols.by_name("IoTestCounters").unwrap().rva;
        let words = (0..51).map(|word| lab.machine().read_u32(at.wrapping_add(word * 4)).unwrap());
        Counters(words.collect())
    }

    pub fn creates(&self) -> u32 {
        self.0[0]
    }
    pub fn cleanups(&self) -> u32 {
        self.0[1]
    }
    pub fn closes(&self) -> u32 {
        self.0[2]
    }
    pub fn cancels(&self) -> u32 {
        self.0[3]
    }
    pub fn shutdowns(&self) -> u32 {
        self.0[4]
    }
    pub fn unloads(&self) -> u32 {
        self.0[5]
    }
    pub fn reinitializations(&self) -> u32 {
        self.0[6]
    }
    pub fn timer_ticks(&self) -> u32 {
        self.0[7]
    }
    /// Of the filters 1 and 2.
    pub fn completions(&self) -> [u32; 2] {
        [self.0[9], self.0[10]]
    }
    pub fn pending_returned(&self) -> [u32; 2] {
        [self.0[12], self.0[13]]
    }
    /// Who came when, a digit each.
    pub fn order(&self) -> u32 {
        self.0[14]
    }
    pub fn pnp(&self, minor: usize) -> u32 {
        self.0[15 + minor]
    }
    pub fn power(&self, minor: usize) -> u32 {
        self.0[39 + minor]
    }
    /// The device's power states, a digit each.
    pub fn power_states(&self) -> u32 {
        self.0[43]
    }
    /// What the remove lock answered when it was asked for last.
    pub fn remove_state(&self) -> u32 {
        self.0[44]
    }
    /// Interfaces that came and went, and how many there were at the last of these.
    pub fn interfaces(&self) -> [u32; 3] {
        [self.0[46], self.0[47], self.0[48]]
    }
    /// How often WMI has asked: in the old way, and the new.
    pub fn wmi(&self) -> [u32; 2] {
        [self.0[49], self.0[50]]
    }
    pub fn last_irql(&self) -> u32 {
        self.0[45]
    }
}

/// What is left in the pool, by tag: allocations that have not been freed, of both pools.
pub fn outstanding(lab: &Lab) -> BTreeMap<Tag, u64> {
    let trackers = lab.pool().unwrap().trackers().unwrap();
    trackers
        .iter()
        .map(|tracker| {
            let counts = PoolKind::ALL.map(|kind| u64::from(tracker.in_pool(kind).outstanding()));
            (tracker.tag, counts.into_iter().sum())
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

pub fn tag(text: &[u8; 4]) -> Tag {
    Tag::from_bytes(*text)
}

/// The numbers that the driver answers a request with.
#[track_caller]
pub fn numbers(lab: &mut Lab, device: &str, function: u32, input: &[u8]) -> Vec<u32> {
    let handle = open(lab, device);
    let response = control(lab, handle, code(function, BUFFERED), input, 32);
    assert!(response.is_success(), "{response:?}");
    close(lab, handle);
    (0..8).map(|at| word(&response, at * 4)).collect()
}

/// A word of an answer.
pub fn word(response: &Response, at: usize) -> u32 {
    u32::from_le_bytes(response.output[at..at + 4].try_into().unwrap())
}

pub fn read_u32(lab: &Lab, at: u64) -> u32 {
    lab.machine().read_u32(Va(at)).unwrap()
}
