//! The environment blocks of a thread and of a process, as they lie in the program's memory.
//!
//! Offsets are those of `_TEB`, `_PEB`, `_PEB_LDR_DATA`, `_LDR_DATA_TABLE_ENTRY` and `_RTL_USER_PROCESS_PARAMETERS`
//! of Windows 7 x64.

use super::ImageHeaders;
use super::objects::{ListEnd, OBJECT_LIMIT};
use super::read_unicode_string;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};
use std::collections::BTreeSet;

/// The most bytes of environment variables that are read. A process of Windows can have no more than 32,767
/// characters of them (`SetEnvironmentVariable`).
const VARIABLES_LIMIT: u64 = 0x1_0000;

/// A thread's environment block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadEnvironment {
    /// Where it lies.
    pub address: Va,
    /// `_NT_TIB`: from `ExceptionList` to `Self`, and `EnvironmentPointer` behind it.
    pub information: [u64; 8],
    /// The numbers of the process and the thread.
    pub client: [u64; 2],
    /// `ActiveRpcHandle`.
    pub rpc_handle: u64,
    /// `ThreadLocalStoragePointer`.
    pub local_storage: u64,
    /// The process' environment block.
    pub process: Va,
    /// `LastErrorValue`.
    pub last_error: u32,
    /// `LastStatusValue`.
    pub last_status: u32,
    /// `CountOfOwnedCriticalSections`.
    pub owned_locks: u32,
    /// `HardErrorMode`.
    pub hard_error_mode: u32,
}

impl ThreadEnvironment {
    /// Reads the block at `address`.
    ///
    /// # Errors
    /// It cannot be read.
    ///
    /// ```
    /// use poolhit::{Session, Lab, address::Va, guest::ThreadEnvironment};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("bp nt!NtClose; g")?;
    /// let at = Va(0x000007ff_fffdd000);
    /// let block = ThreadEnvironment::read(session.lab().machine(), at)?;
    /// assert_eq!(block.information[6], at.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(memory: &dyn ReadMemory, address: Va) -> Result<ThreadEnvironment, MemoryFault> {
        let word = |offset: u64| memory.read_u64(address.wrapping_add(offset));
        let half = |offset: u64| memory.read_u32(address.wrapping_add(offset));
        let mut information = [0; 8];
        for (number, value) in (0..).zip(&mut information) {
            *value = word(number * 8)?;
        }
        Ok(ThreadEnvironment {
            address,
            information,
            client: [word(0x40)?, word(0x48)?],
            rpc_handle: word(0x50)?,
            local_storage: word(0x58)?,
            process: Va(word(0x60)?),
            last_error: half(0x68)?,
            last_status: half(0x1250)?,
            owned_locks: half(0x6c)?,
            hard_error_mode: half(0x16b0)?,
        })
    }
}

/// A process' environment block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessEnvironment {
    /// Where it lies.
    pub address: Va,
    /// `InheritedAddressSpace`, `ReadImageFileExecOptions` and `BeingDebugged`.
    pub flags: [bool; 3],
    /// `ImageBaseAddress`.
    pub image_base: Va,
    /// `Ldr`.
    pub loader: Va,
    /// What is there; `None` if it cannot be read.
    pub loaded: Option<LoaderData>,
    /// `SubSystemData`.
    pub subsystem_data: u64,
    /// `ProcessHeap`.
    pub heap: u64,
    /// `ProcessParameters`.
    pub parameters: Va,
    /// What is there; `None` if there is nothing.
    pub started_with: Option<ProcessParameters>,
}

/// What a process' loader keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoaderData {
    /// `Initialized`.
    pub initialized: bool,
    /// The first and the last link of the lists by initialization, loading and address.
    pub lists: [[Va; 2]; 3],
    /// The images, in the order of loading.
    pub images: Vec<LoadedImage>,
    /// What has ended their list too early.
    pub damage: Option<ListEnd>,
}

/// An image of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadedImage {
    /// Where it lies.
    pub base: Va,
    /// The time stamp of its headers, or the list's if they cannot be read: seconds since 1970.
    pub time_stamp: u32,
    /// Its path.
    pub path: String,
}

/// What a process was started with. A text that cannot be read is `None`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessParameters {
    /// `CurrentDirectory.DosPath`.
    pub current_directory: Option<String>,
    /// `WindowTitle`.
    pub window_title: Option<String>,
    /// `ImagePathName`.
    pub image_file: Option<String>,
    /// `CommandLine`.
    pub command_line: Option<String>,
    /// `DllPath`.
    pub dll_path: Option<String>,
    /// `Environment`.
    pub environment: Va,
    /// The variables there, `NAME=VALUE`; `None` if they cannot be read.
    pub variables: Option<Vec<String>>,
}

impl ProcessEnvironment {
    /// Reads the block at `address`, and what it leads to.
    ///
    /// # Errors
    /// The block itself cannot be read.
    ///
    /// ```
    /// use poolhit::{Session, Lab, address::Va, guest::ProcessEnvironment};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("bp nt!NtClose; g")?;
    /// let block = ProcessEnvironment::read(session.lab().machine(), Va(0x000007ff_fffdf000))?;
    /// let images = block.loaded.unwrap().images;
    /// assert!(images[0].path.ends_with("NotMyfault.exe"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(memory: &dyn ReadMemory, address: Va) -> Result<ProcessEnvironment, MemoryFault> {
        let word = |offset: u64| memory.read_u64(address.wrapping_add(offset));
        let mut flags = [false; 3];
        for (offset, flag) in (0..).zip(&mut flags) {
            *flag = memory.read_u8(address.wrapping_add(offset))? != 0;
        }
        let (loader, parameters) = (Va(word(0x18)?), Va(word(0x20)?));
        let is_there = parameters.0 != 0;
        Ok(ProcessEnvironment {
            address,
            flags,
            image_base: Va(word(0x10)?),
            loader,
            loaded: LoaderData::read(memory, loader).ok(),
            subsystem_data: word(0x28)?,
            heap: word(0x30)?,
            parameters,
            started_with: is_there.then(|| ProcessParameters::read(memory, parameters)),
        })
    }
}

impl LoaderData {
    fn read(memory: &dyn ReadMemory, at: Va) -> Result<LoaderData, MemoryFault> {
        let list = |offset: u64| -> Result<[Va; 2], MemoryFault> {
            let first = memory.read_va(at.wrapping_add(offset))?;
            Ok([first, memory.read_va(at.wrapping_add(offset + 8))?])
        };
        let lists = [list(0x30)?, list(0x10)?, list(0x20)?];
        let initialized = memory.read_u8(at.wrapping_add(4))? != 0;
        let head = at.wrapping_add(0x10);
        let mut images = Vec::new();
        let mut seen = BTreeSet::from([head]);
        let mut entry = lists[1][0];
        let damage = loop {
            if entry == head {
                break None;
            }
            if images.len() >= OBJECT_LIMIT {
                break Some(ListEnd::Limit);
            }
            if !seen.insert(entry) {
                break Some(ListEnd::Loop(entry));
            }
            let next = memory.read_va(entry);
            match (next, LoadedImage::read(memory, entry)) {
                (Ok(next), Ok(image)) => {
                    images.push(image);
                    entry = next;
                }
                _ => break Some(ListEnd::Unreadable(entry)),
            }
        };
        Ok(LoaderData {
            initialized,
            lists,
            images,
            damage,
        })
    }
}

impl LoadedImage {
    fn read(memory: &dyn ReadMemory, entry: Va) -> Result<LoadedImage, MemoryFault> {
        let base = memory.read_va(entry.wrapping_add(0x30))?;
        let time_stamp = match ImageHeaders::read(memory, base) {
            Ok(headers) => headers.file_u32(4),
            Err(_) => memory.read_u32(entry.wrapping_add(0x80))?,
        };
        let path = read_unicode_string(memory, entry.wrapping_add(0x48)).unwrap_or_default();
        Ok(LoadedImage {
            base,
            time_stamp,
            path,
        })
    }
}

impl ProcessParameters {
    fn read(memory: &dyn ReadMemory, at: Va) -> ProcessParameters {
        let text = |offset: u64| text(memory, at.wrapping_add(offset));
        let environment = memory.read_va(at.wrapping_add(0x80)).unwrap_or_default();
        ProcessParameters {
            current_directory: text(0x38),
            window_title: text(0xb0),
            image_file: text(0x60),
            command_line: text(0x70),
            dll_path: text(0x50),
            environment,
            variables: variables(memory, environment),
        }
    }
}

/// The text of a `_UNICODE_STRING`, none if it or its buffer is not there. What is no UTF-16 becomes U+FFFD.
fn text(memory: &dyn ReadMemory, at: Va) -> Option<String> {
    let length = memory.read_u16(at).ok()?;
    let buffer = memory.read_va(at.wrapping_add(8)).ok()?;
    if buffer.0 == 0 {
        return None;
    }
    let mut bytes = vec![0; usize::from(length & !1)];
    memory.read(buffer, &mut bytes).ok()?;
    let units = bytes.chunks_exact(2);
    let units: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    Some(String::from_utf16_lossy(&units))
}

/// The texts from an address on, each with a zero behind it, up to one that is empty.
fn variables(memory: &dyn ReadMemory, at: Va) -> Option<Vec<String>> {
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for offset in (0..VARIABLES_LIMIT).step_by(2) {
        match memory.read_u16(at.wrapping_add(offset)) {
            Ok(0) if one.is_empty() => return Some(all),
            Ok(0) => all.push(String::from_utf16_lossy(&std::mem::take(&mut one))),
            Ok(unit) => one.push(unit),
            Err(_) if all.is_empty() => return None,
            Err(_) => break,
        }
    }
    Some(all)
}
