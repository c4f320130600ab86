//! Request packets (`_IRP`, `_IO_STACK_LOCATION`), as far as they tell whose turn it is.

use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};

/// `_IRP.Type`.
const TYPE: u16 = 6;
/// `_IRP`'s size, behind which its stack locations are, and one's size.
const SIZE: u64 = 0xd0;
const LOCATION_SIZE: u64 = 0x48;
mod field {
    pub const FLAGS: u64 = 0x10;
    pub const STACK_COUNT: u64 = 0x42;
    pub const CURRENT_LOCATION: u64 = 0x43;
    pub const CANCEL: u64 = 0x44;
    pub const CANCEL_ROUTINE: u64 = 0x68;
    pub const THREAD: u64 = 0x98;
    pub const ORIGINAL_FILE: u64 = 0xc0;
}
mod location {
    pub const CONTROL: u64 = 3;
    pub const PARAMETERS: u64 = 8;
    pub const DEVICE: u64 = 0x28;
}
/// `_IRP.Flags`: `IRP_CLOSE_OPERATION`; `_IO_STACK_LOCATION.Control`: `SL_PENDING_RETURNED` (wdm.h).
const CLOSE_OPERATION: u32 = 0x400;
const PENDING_RETURNED: u8 = 1;
/// `IRP_MJ_FILE_SYSTEM_CONTROL`, `IRP_MJ_DEVICE_CONTROL`, `IRP_MJ_INTERNAL_DEVICE_CONTROL`.
const WITH_CODE: std::ops::RangeInclusive<u8> = 0xd..=0xf;
/// `_FILE_OBJECT.Type`, `Flags`, and of these `FO_CLEANUP_COMPLETE`.
const FILE_TYPE: u16 = 5;
const FILE_FLAGS: u64 = 0x50;
const CLEANUP_COMPLETE: u32 = 0x4000;

/// The part of the driver whose turn it is.
pub(super) struct StackLocation {
    pub major: u8,
    pub minor: u8,
    pub parameters: [u64; 4],
    pub device: Va,
}

/// A packet that a driver has.
pub(super) struct Packet {
    pub address: Va,
    pub cancelled: bool,
    pub cancel_routine: Va,
    pub thread: Va,
    pub file: Va,
    pub is_file_closed: bool,
    pub is_file_end: bool,
    pub is_pending: bool,
    pub location: StackLocation,
}

impl Packet {
    /// The packet at this address; `None` if there is none, or it is not with a driver: not sent yet, or
    /// complete.
    pub fn read(memory: &dyn ReadMemory, address: Va) -> Option<Packet> {
        Packet::try_read(memory, address).ok().flatten()
    }

    fn try_read(memory: &dyn ReadMemory, address: Va) -> Result<Option<Packet>, MemoryFault> {
        let field = |offset| address.wrapping_add(offset);
        if memory.read_u16(address)? != TYPE {
            return Ok(None);
        }
        // Both are signed; the location is above the count in a packet that is not sent, or complete.
        let count = memory.read_u8(field(field::STACK_COUNT))?;
        let current = memory.read_u8(field(field::CURRENT_LOCATION))?;
        if count > 0x7f || current == 0 || current > count {
            return Ok(None);
        }
        let at = field(SIZE + u64::from(current - 1) * LOCATION_SIZE);
        let word =
            |number: u64| memory.read_u64(at.wrapping_add(location::PARAMETERS + number * 8));
        let control = memory.read_u8(at.wrapping_add(location::CONTROL))?;
        let file = memory.read_va(field(field::ORIGINAL_FILE))?;
        Ok(Some(Packet {
            address,
            cancelled: memory.read_u8(field(field::CANCEL))? != 0,
            cancel_routine: memory.read_va(field(field::CANCEL_ROUTINE))?,
            thread: memory.read_va(field(field::THREAD))?,
            file,
            is_file_closed: is_closed(memory, file).unwrap_or(false),
            is_file_end: memory.read_u32(field(field::FLAGS))? & CLOSE_OPERATION != 0,
            is_pending: control & PENDING_RETURNED != 0,
            location: StackLocation {
                major: memory.read_u8(at)?,
                minor: memory.read_u8(at.wrapping_add(1))?,
                parameters: [word(0)?, word(1)?, word(2)?, word(3)?],
                device: memory.read_va(at.wrapping_add(location::DEVICE))?,
            },
        }))
    }

    /// The control code, if it is a request that has one.
    pub fn ioctl(&self) -> Option<u32> {
        let has_code = WITH_CODE.contains(&self.location.major);
        // `Parameters.DeviceIoControl.IoControlCode`
        has_code.then_some(self.location.parameters[2] as u32)
    }
}

fn is_closed(memory: &dyn ReadMemory, file: Va) -> Result<bool, MemoryFault> {
    let flags = memory.read_u32(file.wrapping_add(FILE_FLAGS))?;
    Ok(memory.read_u16(file)? == FILE_TYPE && flags & CLEANUP_COMPLETE != 0)
}
