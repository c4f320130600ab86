//! Why a lab could not be built.

use super::address_plan::PlanError;
use super::boot::DriverFailed;
use super::bug_check::BugCheck;
use super::images::FileError;
use super::places::below;
use super::registry::RegistryError;
use super::unprovided::UnprovidedUse;
use crate::address::Va;
use crate::image::ImageError;
use crate::image::binding::BindError;
use crate::machine::EngineError;
use crate::machine::paging::OutOfMemory;
use crate::memory::FaultReason;

/// Why a lab could not be built.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A value cannot be put into the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image cannot be loaded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Two things are to lie at one place.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An import that nothing provides.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The guest's memory is too small.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The host refuses the memory.
    #[error("memory for the guest: {0}")]
    Host(#[from] std::io::Error),
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A structure has no place: a fault in the layout.
    #[error("the guest's layout has no memory at {address}: {reason:?}")]
    Layout {
        /// The address.
        address: Va,
        /// Why not.
        reason: FaultReason,
    },
    /// An image's code has more places that use CR8 than any driver's.
    #[error("{image} has more than {limit} instructions that use CR8 in one section")]
    TaskPriority {
        /// The image's file name.
        image: String,
        /// The most that are watched.
        limit: usize,
    },
    /// An option names an image that the lab does not load.
    #[error("no image is called {name}; this lab loads {loaded}")]
    UnknownImage {
        /// The name given.
        name: String,
        /// The names there are.
        loaded: String,
    },
    /// The guest used an import that nobody provides before its kernel was ready.
    #[error("the guest did not boot: {used}{}", below(stack))]
    Unprovided {
        /// The import, and who used it.
        used: Box<UnprovidedUse>,
        /// Where the frames of the stack are, from the innermost on: `myfault+0x1634`.
        stack: Vec<String>,
    },
    /// The guest started up without its driver.
    #[error(transparent)]
    Driver(#[from] DriverFailed),
    /// The guest stopped before its kernel was ready.
    #[error("the guest did not boot: {what} at {at} ({place}){}{}",
        bug_check.as_ref().map(|check| format!(": {}", check.in_one_line())).unwrap_or_default(), below(stack))]
    Boot {
        /// What stopped it.
        what: String,
        /// The instruction.
        at: Va,
        /// The same as a symbol.
        place: String,
        /// The kernel's own reason, if it gave one.
        bug_check: Option<Box<BugCheck>>,
        /// Where the frames of the stack are, from the innermost on: `myfault+0x1634`.
        stack: Vec<String>,
    },
}
