//! The guest: what is loaded into the machine, how it is laid out and booted, and where the
//! structures are that a debugger reads.

mod address_plan;
mod arena;
mod boot;
mod boot_cache;
mod bug_check;
mod bug_check_meaning;
mod call;
mod debug_output;
mod driver_links;
mod driver_object;
mod environment;
mod image_headers;
mod image_path;
mod images;
mod import_call;
mod lab;
mod lab_builder;
mod lab_error;
mod layout;
mod loaded;
mod loader;
mod make_watcher;
mod module_list;
pub mod objects;
mod outstanding;
pub(crate) mod passing;
mod places;
pub mod pool;
mod processor;
mod providers;
mod registered;
mod registry;
mod reload;
mod requests;
mod saved_lab;
mod shared_user_data;
mod step;
pub mod symbol_path;
mod unprovided;
mod user_process;

pub use address_plan::{AddressPlan, PlanError};
pub use boot::{BOOT_WORK, Booted, DriverFailed};
pub use bug_check::BugCheck;
pub use bug_check_meaning::BugCheckMeaning;
pub use call::{CALL_WORK, CallError, Called, KernelFunction};
pub(crate) use debug_output::debug_text;
pub use driver_object::DriverRoutines;
pub use environment::{
    LoadedImage, LoaderData, ProcessEnvironment, ProcessParameters, ThreadEnvironment,
};
pub use image_headers::{HeaderError, ImageHeaders, SECTION_LIMIT};
pub use image_path::OpenImageError;
pub use images::{FileError, GuestImages, ImageFile};
pub use import_call::{Call, PROVIDED_CALL_WORK};
pub use lab::Lab;
pub use lab_builder::{DEFAULT_MEMORY, LabBuilder};
pub use lab_error::LabError;
pub use layout::Bases;
pub use loaded::{Generation, ModuleImages, ModuleReader};
pub use make_watcher::Watching;
pub(crate) use module_list::read_unicode_string;
pub use module_list::{LIST_LIMIT, LoadedModule, loaded_modules};
pub(crate) use outstanding::PACKET_TAG;
pub use outstanding::{DeviceUse, OUTSTANDING_LIMIT, OutstandingRequest, UnloadedDriver};
pub use providers::{ListedImport, list_imports};
pub use registered::{Registration, RegistrationKind};
pub use registry::{REGISTRY_LIMIT, RegistryError, RegistryValue};
pub use reload::Reloaded;
pub use requests::{
    BusDevice, DeviceAction, DriverCallError, FileHandle, KERNEL_WORK_ARGUMENTS, NtStatus,
    READ_WRITE, REQUEST_BUFFER, REQUEST_NAME, REQUEST_SLOTS, REQUEST_WORK, Request, RequestError,
    RequestStop, Response, SeekFrom, Stopped, SystemPower, Ticket, Win32Error,
};
pub use saved_lab::SavedLab;
pub use symbol_path::{FoundPdb, SymbolPath};
pub use unprovided::{ProvidedResult, UnprovidedPolicy, UnprovidedUse, UseKind};
