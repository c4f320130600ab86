//! What routines the driver has, besides those for requests: read in its driver object.

use super::lab::Lab;
use crate::address::Va;
use crate::memory::ReadMemory;

const DRIVER: u8 = 26;
/// `_DRIVER_OBJECT`, its fields on x64.
mod driver {
    pub const START: u64 = 0x18;
    pub const EXTENSION: u64 = 0x30;
    pub const UNLOAD: u64 = 0x68;
}
/// `_DRIVER_EXTENSION.AddDevice`.
const ADD_DEVICE: u64 = 8;

/// The routines that the driver has put into its driver object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverRoutines {
    /// `AddDevice`: it is a Plug and Play driver, whose devices are [added](Lab::add_device).
    pub add_device: bool,
    /// `DriverUnload`.
    pub unload: bool,
}

impl Lab {
    /// What routines the driver has; `None` if it is not loaded.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// let routines = lab.driver_routines().unwrap();
    /// assert!(routines.unload && !routines.add_device);
    /// lab.unload_driver()?;
    /// assert_eq!(lab.driver_routines(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn driver_routines(&self) -> Option<DriverRoutines> {
        let memory = self.machine();
        let read = |at: Va, offset| memory.read_va(at.wrapping_add(offset)).ok();
        let base = self.bases().driver;
        let objects = self.named_objects();
        let mut drivers = objects.iter().filter(|named| named.kind == DRIVER);
        let own = drivers.find(|named| read(named.object, driver::START) == Some(base))?;
        let extension = read(own.object, driver::EXTENSION)?;
        Some(DriverRoutines {
            add_device: read(extension, ADD_DEVICE)? != Va(0),
            unload: read(own.object, driver::UNLOAD)? != Va(0),
        })
    }
}
