//! The driver's own driver object, and what it says.

use super::lab::Lab;
use super::objects::{DriverObject, NamedObject};
use crate::address::Va;

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
        let own = self.named_driver(&self.named_objects())?;
        Some(DriverRoutines {
            add_device: own.add_device != Va(0),
            unload: own.unload != Va(0),
        })
    }

    /// The driver's object, by its name.
    fn named_driver(&self, named: &[NamedObject]) -> Option<DriverObject> {
        let drivers = named.iter().filter(|named| named.type_name == "Driver");
        let mut objects = drivers.filter_map(|named| self.driver_object(named.object).ok());
        objects.find(|driver| driver.image.0 == self.bases().driver)
    }

    /// The driver's object: by its name, or by that of one of its devices, since the name goes first.
    pub(super) fn own_driver(&self, named: &[NamedObject]) -> Option<DriverObject> {
        self.named_driver(named).or_else(|| {
            let devices = named.iter().filter(|named| named.type_name == "Device");
            let mut drivers = devices.filter_map(|named| self.driver_of_device(named.object));
            drivers.find(|driver| driver.image.0 == self.bases().driver)
        })
    }

    /// The driver of a device.
    pub(super) fn driver_of_device(&self, device: Va) -> Option<DriverObject> {
        let device = self.device_object(device).ok()?;
        self.driver_object(device.driver.0).ok()
    }
}
