//! Drivers (`_DRIVER_OBJECT`).

use super::ObjectError;
use super::fields::Fields;
use super::list::{List, chain};
use crate::address::Va;
use crate::guest::Lab;

/// `_DRIVER_OBJECT.Type`.
const TYPE: u16 = 4;
mod field {
    pub const DEVICE_OBJECT: u64 = 8;
    pub const FLAGS: u64 = 0x10;
    pub const START: u64 = 0x18;
    pub const SIZE: u64 = 0x20;
    pub const EXTENSION: u64 = 0x30;
    pub const NAME: u64 = 0x38;
    pub const INIT: u64 = 0x58;
    pub const START_IO: u64 = 0x60;
    pub const UNLOAD: u64 = 0x68;
    pub const MAJOR_FUNCTION: u64 = 0x70;
}
/// `_DRIVER_EXTENSION.AddDevice`, `ClientDriverExtension`.
const ADD_DEVICE: u64 = 8;
const CLIENTS: u64 = 0x28;
/// `_DEVICE_OBJECT.NextDevice`.
const NEXT_DEVICE: u64 = 0x10;

/// A driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriverObject {
    /// Its `_DRIVER_OBJECT`.
    pub address: Va,
    /// Its name: `\Driver\myfault`.
    pub name: String,
    /// `DRVO_*`.
    pub flags: u32,
    /// Where its image lies, and how large it is.
    pub image: (Va, u32),
    /// `DriverEntry`.
    pub entry: Va,
    /// `StartIo`; NULL for none, as of the others.
    pub start_io: Va,
    /// `DriverUnload`.
    pub unload: Va,
    /// `AddDevice`.
    pub add_device: Va,
    /// Its dispatch routines, by major function.
    pub major_functions: [Va; 28],
    /// Its devices, the newest first.
    pub devices: List,
    /// What `IoAllocateDriverObjectExtension` has made: identification and address each.
    pub extensions: List<(Va, Va)>,
}

impl Lab {
    /// The driver with this `_DRIVER_OBJECT`.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let driver = lab.driver_object(lab.find_object(r"\Driver\myfault")?)?;
    /// assert_eq!(driver.image.0, lab.bases().driver);
    /// assert_eq!(driver.devices.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn driver_object(&self, address: Va) -> Result<DriverObject, ObjectError> {
        let memory = self.machine();
        let fields = self.driver_fields(address)?;
        let mut major_functions = [Va(0); 28];
        for (number, routine) in (0..).zip(&mut major_functions) {
            *routine = fields.va(field::MAJOR_FUNCTION + number * 8)?;
        }
        let extension = Fields {
            memory,
            at: fields.va(field::EXTENSION)?,
        };
        let clients = extension.va(CLIENTS).unwrap_or_default();
        let clients = chain(memory, clients, 0).map(|at| {
            let id = Fields { memory, at }.va(8);
            (id.unwrap_or_default(), at.wrapping_add(0x10))
        });
        Ok(DriverObject {
            address,
            name: fields.text(field::NAME),
            flags: fields.u32(field::FLAGS)?,
            image: (fields.va(field::START)?, fields.u32(field::SIZE)?),
            entry: fields.va(field::INIT)?,
            start_io: fields.va(field::START_IO)?,
            unload: fields.va(field::UNLOAD)?,
            add_device: extension.va(ADD_DEVICE).unwrap_or_default(),
            major_functions,
            devices: chain(memory, fields.va(field::DEVICE_OBJECT)?, NEXT_DEVICE),
            extensions: clients,
        })
    }

    /// The name of the driver with this `_DRIVER_OBJECT`.
    pub(super) fn driver_object_name(&self, address: Va) -> Result<String, ObjectError> {
        Ok(self.driver_fields(address)?.text(field::NAME))
    }

    fn driver_fields(&self, address: Va) -> Result<Fields<'_>, ObjectError> {
        let fields = Fields {
            memory: self.machine(),
            at: address,
        };
        match fields.u16(0) {
            Ok(TYPE) => Ok(fields),
            _ => Err(ObjectError::NotDriver(address)),
        }
    }
}
