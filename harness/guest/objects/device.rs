//! Devices (`_DEVICE_OBJECT`).

use super::ObjectError;
use super::fields::Fields;
use super::list::{ListEnd, OBJECT_LIMIT, chain};
use crate::address::Va;
use crate::guest::Lab;

/// `_DEVICE_OBJECT.Type`.
const TYPE: u16 = 3;
mod field {
    pub const REFERENCE_COUNT: u64 = 4;
    pub const DRIVER_OBJECT: u64 = 8;
    pub const ATTACHED_DEVICE: u64 = 0x18;
    pub const CURRENT_IRP: u64 = 0x20;
    pub const FLAGS: u64 = 0x30;
    pub const CHARACTERISTICS: u64 = 0x34;
    pub const VPB: u64 = 0x38;
    pub const EXTENSION: u64 = 0x40;
    pub const DEVICE_TYPE: u64 = 0x48;
    pub const QUEUE_LIST: u64 = 0xa0 + 8;
    pub const QUEUE_BUSY: u64 = 0xa0 + 0x20;
    pub const SECURITY_DESCRIPTOR: u64 = 0x110;
    pub const OBJECT_EXTENSION: u64 = 0x138;
}
/// `_DEVOBJ_EXTENSION`.
mod extension {
    pub const FLAGS: u64 = 0x20;
    pub const DEVICE_NODE: u64 = 0x28;
    pub const ATTACHED_TO: u64 = 0x30;
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceObject {
    /// Its `_DEVICE_OBJECT`.
    pub address: Va,
    /// Its name, without its directory; empty for none.
    pub name: String,
    /// Its driver, and that one's name.
    pub driver: (Va, String),
    /// The request that `StartIo` has.
    pub current_irp: Va,
    /// How many handles are open.
    pub reference_count: i32,
    /// `FILE_DEVICE_*`.
    pub device_type: u32,
    /// `DO_*`.
    pub flags: u32,
    /// `FILE_*` of `IoCreateDevice`.
    pub characteristics: u32,
    /// The volume that is mounted on it.
    pub vpb: Va,
    /// Its security descriptor.
    pub security: Va,
    /// The driver's own part.
    pub extension: Va,
    /// `_DEVOBJ_EXTENSION`.
    pub object_extension: Va,
    /// `DOE_*` in that.
    pub extension_flags: u32,
    /// The device's node, for one that a bus driver has made.
    pub device_node: Va,
    /// The device above; NULL for none.
    pub attached_device: Va,
    /// The device below.
    pub attached_to: Va,
    /// The queue for `StartIo` is busy.
    pub queue_busy: bool,
    /// Something is in the queue.
    pub queue_filled: bool,
}

/// The stack of devices that one is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceStack {
    /// The devices, the uppermost first.
    pub devices: Vec<DeviceObject>,
    /// Where it ends above: at NULL, if nothing is wrong, as below.
    pub top: ListEnd,
    /// Where it ends below.
    pub bottom: ListEnd,
}

impl Lab {
    /// The device with this `_DEVICE_OBJECT`.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let device = lab.device_object(lab.find_object(r"\Device\Myfault")?)?;
    /// assert_eq!((device.name.as_str(), device.driver.1.as_str()), ("Myfault", r"\Driver\myfault"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn device_object(&self, address: Va) -> Result<DeviceObject, ObjectError> {
        let memory = self.machine();
        let fields = Fields {
            memory,
            at: address,
        };
        if fields.u16(0) != Ok(TYPE) {
            return Err(ObjectError::NotDevice(address));
        }
        let driver = fields.va(field::DRIVER_OBJECT)?;
        let driver_name = self.driver_object_name(driver);
        let object_extension = fields.va(field::OBJECT_EXTENSION)?;
        let own = Fields {
            memory,
            at: object_extension,
        };
        let header = self.object_header(address).ok();
        let queue = fields.va(field::QUEUE_LIST)?;
        Ok(DeviceObject {
            address,
            name: header.map(|header| header.name).unwrap_or_default(),
            driver: (driver, driver_name.unwrap_or_default()),
            current_irp: fields.va(field::CURRENT_IRP)?,
            reference_count: fields.u32(field::REFERENCE_COUNT)? as i32,
            device_type: fields.u32(field::DEVICE_TYPE)?,
            flags: fields.u32(field::FLAGS)?,
            characteristics: fields.u32(field::CHARACTERISTICS)?,
            vpb: fields.va(field::VPB)?,
            security: fields.va(field::SECURITY_DESCRIPTOR)?,
            extension: fields.va(field::EXTENSION)?,
            object_extension,
            extension_flags: own.u32(extension::FLAGS).unwrap_or(0),
            device_node: own.va(extension::DEVICE_NODE).unwrap_or_default(),
            attached_device: fields.va(field::ATTACHED_DEVICE)?,
            attached_to: own.va(extension::ATTACHED_TO).unwrap_or_default(),
            queue_busy: fields.u8(field::QUEUE_BUSY)? != 0,
            queue_filled: queue != address.wrapping_add(field::QUEUE_LIST),
        })
    }

    /// The stack of devices that one is in. What is no device ends it.
    ///
    /// # Errors
    /// There is no device at this address.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let device = lab.find_object(r"\Device\Myfault")?;
    /// let stack = lab.device_stack(device)?;
    /// assert_eq!(stack.devices[0].address, device);
    /// assert_eq!(stack.bottom, poolhit::guest::objects::ListEnd::Null);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn device_stack(&self, address: Va) -> Result<DeviceStack, ObjectError> {
        let own = self.device_object(address)?;
        let mut devices = Vec::new();
        let above = chain(self.machine(), own.attached_device, field::ATTACHED_DEVICE);
        let mut top = above.end;
        for at in above {
            if at == address {
                top = ListEnd::Loop(at);
                break;
            }
            let Ok(device) = self.device_object(at) else {
                top = ListEnd::Unreadable(at);
                break;
            };
            devices.push(device);
        }
        devices.reverse();
        let mut below = own.attached_to;
        devices.push(own);
        let bottom = loop {
            if below == Va(0) {
                break ListEnd::Null;
            }
            if devices.iter().any(|known| known.address == below) {
                break ListEnd::Loop(below);
            }
            if devices.len() > OBJECT_LIMIT {
                break ListEnd::Limit;
            }
            let Ok(device) = self.device_object(below) else {
                break ListEnd::Unreadable(below);
            };
            below = device.attached_to;
            devices.push(device);
        };
        Ok(DeviceStack {
            devices,
            top,
            bottom,
        })
    }
}
