//! Processes (`_EPROCESS`).

use super::ObjectError;
use super::fields::Fields;
use super::list::{List, entries};
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::ReadMemory;

mod field {
    pub const DIRECTORY_BASE: u64 = 0x28;
    pub const UNIQUE_PROCESS_ID: u64 = 0x180;
    pub const ACTIVE_PROCESS_LINKS: u64 = 0x188;
    pub const QUOTA_USAGE: u64 = 0x198;
    pub const COMMIT_CHARGE: u64 = 0x1b8;
    pub const OBJECT_TABLE: u64 = 0x200;
    pub const TOKEN: u64 = 0x208;
    pub const LOCKED_PAGES: u64 = 0x250;
    pub const PARENT: u64 = 0x298;
    pub const IMAGE_FILE_NAME: u64 = 0x2e0;
    pub const THREAD_LIST: u64 = 0x308;
    pub const PEB: u64 = 0x338;
    pub const EXIT_STATUS: u64 = 0x444;
}
/// `_HANDLE_TABLE.HandleCount`.
const HANDLE_COUNT: u64 = 0x58;
/// `_ETHREAD.ThreadListEntry`.
const THREAD_LINKS: u64 = 0x420;
/// `_EPROCESS.ImageFileName` is so long.
const NAME_LENGTH: usize = 15;

/// A process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its `_EPROCESS`.
    pub address: Va,
    /// Its number.
    pub id: u64,
    /// The number of the process that has made it.
    pub parent_id: u64,
    /// Its `_PEB`; NULL for the system process.
    pub peb: Va,
    /// What is in CR3 while it runs.
    pub directory_base: u64,
    /// Its `_HANDLE_TABLE`.
    pub object_table: Va,
    /// How many handles are in that; `None` if that cannot be read.
    pub handle_count: Option<u32>,
    /// Its program's file name, its first 15 bytes.
    pub image: String,
    /// Its primary token.
    pub token: Va,
    /// Nonpaged and paged pool that its quota is charged for, in bytes.
    pub quota_usage: [u64; 2],
    /// Pages that are charged to it.
    pub commit_charge: u64,
    /// Pages that are locked for it.
    pub locked_pages: u64,
    /// `STATUS_PENDING` (103h) while it runs.
    pub exit_status: u32,
    /// Its threads' `_ETHREAD`s.
    pub threads: List,
}

impl Lab {
    /// The `_EPROCESS`es in the list `nt!PsActiveProcessHead`, whatever is there.
    ///
    /// # Errors
    /// The kernel has no such list.
    ///
    /// ```
    /// use poolhit::{Lab, guest::objects::ListEnd};
    /// let list = Lab::builder().build()?.process_list()?;
    /// assert_eq!((list.len(), list.end), (2, ListEnd::Head));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process_list(&self) -> Result<List, ObjectError> {
        const LIST: &str = "PsActiveProcessHead";
        let head = self
            .kernel_symbol(LIST)
            .ok_or(ObjectError::NoSymbol(LIST))?;
        Ok(entries(self.machine(), head, field::ACTIVE_PROCESS_LINKS))
    }

    /// The processes that run, in the order of their list, as far as it goes
    /// ([`process_list`](Lab::process_list) says how far); those that make no sense are left out.
    ///
    /// # Errors
    /// The kernel has no such list.
    ///
    /// ```
    /// let processes = poolhit::Lab::builder().build()?.processes()?;
    /// let names: Vec<&str> = processes.iter().map(|one| one.image.as_str()).collect();
    /// assert_eq!(names, ["System", "NotMyfault.exe"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processes(&self) -> Result<Vec<Process>, ObjectError> {
        let found = self.process_list()?.into_iter();
        Ok(found.filter_map(|at| self.process(at).ok()).collect())
    }

    /// The process with this `_EPROCESS`.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().build()?;
    /// assert!(lab.process(Va(0xfffff80000000000)).is_err());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn process(&self, address: Va) -> Result<Process, ObjectError> {
        if !self.is_of_type(address, "Process") {
            return Err(ObjectError::NotProcess(address));
        }
        let memory = self.machine();
        let fields = Fields {
            memory,
            at: address,
        };
        let mut name = [0; NAME_LENGTH];
        memory.read(address.wrapping_add(field::IMAGE_FILE_NAME), &mut name)?;
        let table = fields.va(field::OBJECT_TABLE)?;
        let threads = address.wrapping_add(field::THREAD_LIST);
        Ok(Process {
            address,
            id: fields.u64(field::UNIQUE_PROCESS_ID)?,
            parent_id: fields.u64(field::PARENT)?,
            peb: fields.va(field::PEB)?,
            directory_base: fields.u64(field::DIRECTORY_BASE)?,
            object_table: table,
            handle_count: memory.read_u32(table.wrapping_add(HANDLE_COUNT)).ok(),
            image: printable(&name),
            // an _EX_FAST_REF: the low four bits are none of the address
            token: Va(fields.u64(field::TOKEN)? & !0xf),
            quota_usage: [
                fields.u64(field::QUOTA_USAGE)?,
                fields.u64(field::QUOTA_USAGE + 8)?,
            ],
            commit_charge: fields.u64(field::COMMIT_CHARGE)?,
            locked_pages: fields.u64(field::LOCKED_PAGES)?,
            exit_status: fields.u32(field::EXIT_STATUS)?,
            threads: entries(memory, threads, THREAD_LINKS),
        })
    }
}

/// The text up to a zero; what is no ASCII is a dot.
fn printable(bytes: &[u8]) -> String {
    let text = bytes.iter().take_while(|byte| **byte != 0);
    text.map(|byte| match byte {
        0x20..0x7f => char::from(*byte),
        _ => '.',
    })
    .collect()
}
