//! The symbolic links to the driver's devices, by which programs open them: read in the guest's list of
//! named objects.

use super::lab::Lab;
use super::module_list::read_unicode_string;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};

/// The most named objects that are looked at.
const MOST_OBJECTS: usize = 10_000;

/// `_OBJECT_HEADER`, its sizes and offsets, and what lies around it: the name in front
/// (`_OBJECT_HEADER_NAME_INFO`), the object behind.
mod header {
    pub const SIZE: u64 = 0x30;
    pub const TYPE_INDEX: u64 = 0x18;
    pub const NAME_BEFORE: u64 = 0x18;
}
/// The kernel's list of names: `LIST_ENTRY`, then the header. Names in `\??` have lost that part.
const NAMED_HEADER: u64 = 0x10;
const SYMBOLIC_LINK: u8 = 4;
const DEVICE: u8 = 25;
/// `_OBJECT_SYMBOLIC_LINK.LinkTarget`.
const LINK_TARGET: u64 = 8;
/// `_DEVICE_OBJECT.DriverObject`.
const DRIVER_OBJECT: u64 = 8;
/// `_DRIVER_OBJECT.DriverStart`.
const DRIVER_START: u64 = 0x18;

struct Named {
    name: String,
    kind: u8,
    object: Va,
}

impl Lab {
    /// The paths by which a program opens the driver's devices, `\\.\Name` each: the symbolic links whose
    /// target is a device of its. Memory that makes no sense has none.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert_eq!(lab.driver_links(), [r"\\.\Myfault"]);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_links(&self) -> Vec<String> {
        let named = self.named_objects();
        let memory = self.machine();
        let is_own = |device: &&Named| {
            let driver = memory.read_va(device.object.wrapping_add(DRIVER_OBJECT));
            let start = driver.and_then(|driver| memory.read_va(driver.wrapping_add(DRIVER_START)));
            device.kind == DEVICE && start == Ok(self.bases().driver)
        };
        let devices: Vec<&Named> = named.iter().filter(is_own).collect();
        let links = named.iter().filter(|named| named.kind == SYMBOLIC_LINK);
        let path = |link: &Named| {
            let target = link.object.wrapping_add(LINK_TARGET);
            let target = read_unicode_string(memory, target).ok()?;
            let same = |device: &&Named| device.name.eq_ignore_ascii_case(&target);
            devices.iter().copied().find(same)?;
            Some(format!(r"\\.\{}", link.name.strip_prefix('\\')?))
        };
        links.filter_map(path).collect()
    }

    /// The guest's named objects, in the order of the list, as far as it makes sense.
    fn named_objects(&self) -> Vec<Named> {
        let mut all = Vec::new();
        let Some(list) = self.kernel_symbol("ObpNamedObjects") else {
            return all;
        };
        let mut at = list;
        while let Ok(next) = self.machine().read_va(at) {
            if next == list || all.len() == MOST_OBJECTS {
                break;
            }
            let Ok(named) = self.named_object(next) else {
                break;
            };
            all.push(named);
            at = next;
        }
        all
    }

    fn named_object(&self, entry: Va) -> Result<Named, MemoryFault> {
        let memory = self.machine();
        let header = memory.read_va(entry.wrapping_add(NAMED_HEADER))?;
        let name = Va(header.0.wrapping_sub(header::NAME_BEFORE));
        Ok(Named {
            name: read_unicode_string(memory, name)?,
            kind: memory.read_u8(header.wrapping_add(header::TYPE_INDEX))?,
            object: header.wrapping_add(header::SIZE),
        })
    }
}
