//! The kernel's objects, read from guest memory in Windows 7 x64's layouts (listings of `dt nt!_EPROCESS`,
//! `_ETHREAD`, `_OBJECT_HEADER`, `_DRIVER_OBJECT`, `_DEVICE_OBJECT`, `_IRP` and others of that system's
//! debuggers, which the guest's sources assert).
//!
//! Nothing in guest memory is trusted: lists end at what is no entry, in themselves, or at a limit, and
//! say so ([`ListEnd`]).

mod device;
mod directory;
mod driver;
mod fields;
mod function_code;
mod gate;
mod handle;
mod header;
mod irp;
mod list;
mod process;
mod processor;
mod thread;

pub use device::{DeviceObject, DeviceStack};
pub use directory::{Directory, DirectoryEntry, NamedObject};
pub use driver::DriverObject;
pub use function_code::{MAJOR_FUNCTIONS, major_function_name, minor_function_name};
pub use gate::InterruptGate;
pub use handle::{Handle, HandleTable};
pub use header::ObjectHeader;
pub use irp::{Irp, StackLocation};
pub(in crate::guest) use list::entries;
pub use list::{List, ListEnd, OBJECT_LIMIT};
pub use process::Process;
pub use processor::Processor;
pub use thread::{Thread, ThreadState, WaitBlock};

use crate::address::Va;
use crate::memory::MemoryFault;

/// An object cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ObjectError {
    /// It is not in memory.
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// What is there is no process.
    #[error("TYPE mismatch for process object at {:016x}", .0.0)]
    NotProcess(Va),
    /// What is there is no thread.
    #[error("TYPE mismatch for thread object at {:016x}", .0.0)]
    NotThread(Va),
    /// What is there is no driver.
    #[error("{:016x}: is not a driver object", .0.0)]
    NotDriver(Va),
    /// What is there is no device.
    #[error("{:016x}: is not a device object", .0.0)]
    NotDevice(Va),
    /// What is there is no request packet.
    #[error("IRP signature does not match, probably not an IRP")]
    NotIrp(Va),
    /// What is there has no type.
    #[error("{:016x}: Not a valid object (ObjectType invalid)", .0.0)]
    NotObject(Va),
    /// No object has that name.
    #[error("Object {0} not found")]
    NotFound(String),
    /// There is no processor with this number.
    #[error("Cannot get PRCB address")]
    NoProcessor(u64),
    /// The kernel has no symbol that is needed to find the objects.
    #[error("Unable to resolve nt!{0}")]
    NoSymbol(&'static str),
}
