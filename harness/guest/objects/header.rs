//! What is in front of every object: `_OBJECT_HEADER`, and its name.

use super::ObjectError;
use super::fields::Fields;
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::ReadMemory;

/// `_OBJECT_HEADER`.
mod field {
    pub const SIZE: u64 = 0x30;
    pub const HANDLE_COUNT: u64 = 8;
    pub const TYPE_INDEX: u64 = 0x18;
    pub const INFO_MASK: u64 = 0x1a;
}
/// `InfoMask`: there is an `_OBJECT_HEADER_CREATOR_INFO`, a name. The name is behind the creator in memory.
const CREATOR_INFO: u8 = 1;
const NAME_INFO: u8 = 2;
const CREATOR_SIZE: u64 = 0x20;
const NAME_SIZE: u64 = 0x20;
/// `_OBJECT_HEADER_NAME_INFO.Name`; `Directory` is at its start.
const NAME: u64 = 8;
/// `_OBJECT_TYPE.Name`, `Index`.
const TYPE_NAME: u64 = 0x10;
const TYPE_INDEX: u64 = 0x28;
/// Windows 7 has 42 types, and no more than a byte can count.
const TYPES: u64 = 256;

/// What an object's header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectHeader {
    /// The object.
    pub address: Va,
    /// The header.
    pub header: Va,
    /// Its type's object.
    pub type_object: Va,
    /// Its type's name.
    pub type_name: String,
    /// How many handles there are to it.
    pub handle_count: i64,
    /// How many references.
    pub pointer_count: i64,
    /// The directory that its name is in; NULL without one.
    pub directory: Va,
    /// Its name; empty without one.
    pub name: String,
}

impl Lab {
    /// An object's header, by the address of the object.
    ///
    /// # Errors
    /// There is none.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let lab = Lab::builder().build()?;
    /// let driver = lab.find_object(r"\Driver\myfault")?;
    /// let header = lab.object_header(driver)?;
    /// assert_eq!((header.type_name.as_str(), header.name.as_str()), ("Driver", "myfault"));
    /// assert!(lab.object_header(Va(0x10)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn object_header(&self, object: Va) -> Result<ObjectHeader, ObjectError> {
        let at = Va(object.0.wrapping_sub(field::SIZE));
        let memory = self.machine();
        let fields = Fields { memory, at };
        let wrong = |_| ObjectError::NotObject(object);
        let index = fields.u8(field::TYPE_INDEX).map_err(wrong)?;
        let (type_object, type_name) = self.object_type(index, object)?;
        let mask = fields.u8(field::INFO_MASK)?;
        let before = match mask & CREATOR_INFO {
            0 => NAME_SIZE,
            _ => NAME_SIZE + CREATOR_SIZE,
        };
        let (mut directory, mut name) = (Va(0), String::new());
        if mask & NAME_INFO != 0 {
            let info = Va(at.0.wrapping_sub(before));
            let info = Fields { memory, at: info };
            directory = info.va(0)?;
            name = info.text(NAME);
        }
        Ok(ObjectHeader {
            address: object,
            header: at,
            type_object,
            type_name,
            handle_count: fields.u64(field::HANDLE_COUNT)? as i64,
            pointer_count: fields.u64(0)? as i64,
            directory,
            name,
        })
    }

    /// The type with this index in `nt!ObTypeIndexTable`, and its name.
    fn object_type(&self, index: u8, object: Va) -> Result<(Va, String), ObjectError> {
        const TABLE: &str = "ObTypeIndexTable";
        let table = self
            .kernel_symbol(TABLE)
            .ok_or(ObjectError::NoSymbol(TABLE))?;
        let memory = self.machine();
        let wrong = || ObjectError::NotObject(object);
        // the first two are none
        if u64::from(index) < 2 || u64::from(index) >= TYPES {
            return Err(wrong());
        }
        let at = memory.read_va(table.wrapping_add(u64::from(index) * 8))?;
        let fields = Fields { memory, at };
        let own = fields.u8(TYPE_INDEX).map_err(|_| wrong())?;
        if own != index {
            return Err(wrong());
        }
        Ok((at, fields.text(TYPE_NAME)))
    }

    /// Whether an object is of the type with this name.
    pub(super) fn is_of_type(&self, object: Va, name: &str) -> bool {
        let header = self.object_header(object);
        header.is_ok_and(|header| header.type_name == name)
    }
}
