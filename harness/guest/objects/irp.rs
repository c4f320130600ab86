//! Request packets (`_IRP`, `_IO_STACK_LOCATION`).

use super::ObjectError;
use super::fields::Fields;
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::MemoryFault;
use std::ops::RangeInclusive;

/// `_IRP.Type`.
const TYPE: u16 = 6;
/// `_IRP`'s size, behind which its stack locations are, and one's size.
const SIZE: u64 = 0xd0;
const LOCATION_SIZE: u64 = 0x48;
mod field {
    pub const SIZE: u64 = 2;
    pub const MDL: u64 = 8;
    pub const FLAGS: u64 = 0x10;
    pub const SYSTEM_BUFFER: u64 = 0x18;
    pub const STATUS: u64 = 0x30;
    pub const PENDING_RETURNED: u64 = 0x41;
    pub const STACK_COUNT: u64 = 0x42;
    pub const CURRENT_LOCATION: u64 = 0x43;
    pub const CANCEL: u64 = 0x44;
    pub const CANCEL_ROUTINE: u64 = 0x68;
    pub const THREAD: u64 = 0x98;
    pub const CURRENT_STACK_LOCATION: u64 = 0xb8;
    pub const ORIGINAL_FILE: u64 = 0xc0;
}
mod location {
    pub const FLAGS: u64 = 2;
    pub const CONTROL: u64 = 3;
    pub const PARAMETERS: u64 = 8;
    pub const DEVICE: u64 = 0x28;
    pub const FILE: u64 = 0x30;
    pub const COMPLETION: u64 = 0x38;
    pub const CONTEXT: u64 = 0x40;
}

/// `SL_PENDING_RETURNED` in `_IO_STACK_LOCATION.Control` (wdm.h).
const PENDING_RETURNED: u8 = 1;
/// `IRP_MJ_FILE_SYSTEM_CONTROL`, `IRP_MJ_DEVICE_CONTROL`, `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
const WITH_CODE: RangeInclusive<u8> = 0xd..=0xf;

/// One driver's part of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackLocation {
    /// `IRP_MJ_*`.
    pub major: u8,
    /// `IRP_MN_*`.
    pub minor: u8,
    /// `SL_*` that depend on the major function.
    pub flags: u8,
    /// When the completion routine is called, and whether the request is pending (`SL_*`).
    pub control: u8,
    /// The first four parameters.
    pub parameters: [u64; 4],
    /// The device it is for.
    pub device: Va,
    /// The file it is for.
    pub file: Va,
    /// Who is called when it is complete.
    pub completion: Va,
    /// What that one gets.
    pub context: Va,
}

impl StackLocation {
    /// The control code (`Parameters.DeviceIoControl.IoControlCode`), for the major functions that have
    /// one.
    ///
    /// ```
    /// # use poolhit::{address::Va, guest::objects::StackLocation};
    /// # let (device, file, completion, context) = (Va(0), Va(0), Va(0), Va(0));
    /// let mut location = StackLocation {
    ///     major: 14, // IRP_MJ_DEVICE_CONTROL
    ///     parameters: [0, 0, 0x222004, 0],
    /// #   minor: 0, flags: 0, control: 0, device, file, completion, context,
    ///     // ...
    /// };
    /// assert_eq!(location.control_code(), Some(0x222004));
    /// location.major = 3; // IRP_MJ_READ
    /// assert_eq!(location.control_code(), None);
    /// ```
    pub fn control_code(&self) -> Option<u32> {
        let has_code = WITH_CODE.contains(&self.major);
        has_code.then_some(self.parameters[2] as u32)
    }

    /// The driver has marked the request pending (`IoMarkIrpPending`).
    ///
    /// ```
    /// # use poolhit::{address::Va, guest::objects::StackLocation};
    /// # let (device, file, completion, context) = (Va(0), Va(0), Va(0), Va(0));
    /// # let (major, minor, flags, parameters) = (3, 0, 0, [0; 4]);
    /// let location = StackLocation {
    ///     control: 1, // SL_PENDING_RETURNED
    /// #   major, minor, flags, parameters, device, file, completion, context,
    ///     // ...
    /// };
    /// assert!(location.is_pending());
    /// ```
    pub fn is_pending(&self) -> bool {
        self.control & PENDING_RETURNED != 0
    }
}

/// A request packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Irp {
    /// Its `_IRP`.
    pub address: Va,
    /// Its whole size in bytes.
    pub size: u16,
    /// `IRP_*`.
    pub flags: u32,
    /// The memory descriptor list of its buffer.
    pub mdl: Va,
    /// Its system buffer.
    pub system_buffer: Va,
    /// What it has come to, and how much.
    pub status: (u32, u64),
    /// Somebody has said that it is pending.
    pub pending_returned: bool,
    /// It is to be cancelled.
    pub cancelled: bool,
    /// Who is to be told then.
    pub cancel_routine: Va,
    /// Whose request it is.
    pub thread: Va,
    /// The number of the location in use: above the count, it is complete.
    pub current_location: u8,
    /// That location's address.
    pub current_address: Va,
    /// The file that a program has made the request to (`Tail.Overlay.OriginalFileObject`); NULL for what
    /// drivers make.
    pub original_file: Va,
    /// The locations, the lowest driver's first.
    pub locations: Vec<StackLocation>,
}

impl Irp {
    /// The part of the driver that has the request; `None` if nobody has: it is not sent yet, or complete.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("g nt!IofCompleteRequest")?;
    /// let address = poolhit::address::Va(session.value_of("rcx").unwrap());
    /// let irp = session.lab().irp(address)?;
    /// let device = session.lab().find_object(r"\Device\Myfault")?;
    /// assert_eq!(irp.location().map(|location| location.device), Some(device));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn location(&self) -> Option<&StackLocation> {
        let index = usize::from(self.current_location).checked_sub(1)?;
        self.locations.get(index)
    }
}

impl Lab {
    /// The request packet at this address.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("g nt!IofCompleteRequest")?;
    /// let irp = poolhit::address::Va(session.value_of("rcx").unwrap());
    /// let irp = session.lab().irp(irp)?;
    /// // IRP_MJ_CREATE
    /// assert_eq!((irp.locations.len(), irp.locations[0].major), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn irp(&self, address: Va) -> Result<Irp, ObjectError> {
        let memory = self.machine();
        let fields = Fields {
            memory,
            at: address,
        };
        if fields.u16(0) != Ok(TYPE) {
            return Err(ObjectError::NotIrp(address));
        }
        let count = fields.u8(field::STACK_COUNT)?;
        // StackCount is signed.
        if count > 0x7f {
            return Err(ObjectError::NotIrp(address));
        }
        let count = u64::from(count);
        let location = |number: u64| -> Result<StackLocation, MemoryFault> {
            let at = address.wrapping_add(SIZE + number * LOCATION_SIZE);
            let fields = Fields { memory, at };
            let word = |number: u64| fields.u64(location::PARAMETERS + number * 8);
            Ok(StackLocation {
                major: fields.u8(0)?,
                minor: fields.u8(1)?,
                flags: fields.u8(location::FLAGS)?,
                control: fields.u8(location::CONTROL)?,
                parameters: [word(0)?, word(1)?, word(2)?, word(3)?],
                device: fields.va(location::DEVICE)?,
                file: fields.va(location::FILE)?,
                completion: fields.va(location::COMPLETION)?,
                context: fields.va(location::CONTEXT)?,
            })
        };
        let locations: Result<_, _> = (0..count).map(location).collect();
        Ok(Irp {
            address,
            size: fields.u16(field::SIZE)?,
            flags: fields.u32(field::FLAGS)?,
            mdl: fields.va(field::MDL)?,
            system_buffer: fields.va(field::SYSTEM_BUFFER)?,
            status: (fields.u32(field::STATUS)?, fields.u64(field::STATUS + 8)?),
            pending_returned: fields.u8(field::PENDING_RETURNED)? != 0,
            cancelled: fields.u8(field::CANCEL)? != 0,
            cancel_routine: fields.va(field::CANCEL_ROUTINE)?,
            thread: fields.va(field::THREAD)?,
            current_location: fields.u8(field::CURRENT_LOCATION)?,
            current_address: fields.va(field::CURRENT_STACK_LOCATION)?,
            original_file: fields.va(field::ORIGINAL_FILE)?,
            locations: locations?,
        })
    }
}
