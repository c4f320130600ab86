//! The symbolic links to the driver's devices, by which programs open them: read in the guest's object
//! directories.

use super::lab::Lab;
use super::module_list::read_unicode_string;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};

/// The most entries of directories that are looked at.
const MOST_ENTRIES: usize = 10_000;
/// How many directories may lie in each other.
const MOST_LEVELS: usize = 8;

/// `_OBJECT_HEADER`, its size and offsets, and the distance of `_OBJECT_HEADER_NAME_INFO.Name` in front
/// of it.
mod header {
    pub const SIZE: u64 = 0x30;
    pub const TYPE_INDEX: u64 = 0x18;
    pub const INFO_MASK: u64 = 0x1a;
    pub const NAME_INFO: u8 = 2;
    pub const NAME_BEFORE: u64 = 0x18;
}
/// `_OBJECT_DIRECTORY.HashBuckets`, at its start.
const BUCKETS: u64 = 37;
/// `_OBJECT_DIRECTORY_ENTRY.Object`; `ChainLink` is at its start.
const ENTRY_OBJECT: u64 = 8;
const DIRECTORY: u8 = 3;
const SYMBOLIC_LINK: u8 = 4;
const DEVICE: u8 = 25;
/// The directory of the links that all programs see.
const LINKS: &str = r"\GLOBAL??\";
/// `_OBJECT_SYMBOLIC_LINK.LinkTarget`.
const LINK_TARGET: u64 = 8;
/// `_DEVICE_OBJECT.DriverObject`.
const DRIVER_OBJECT: u64 = 8;
/// `_DRIVER_OBJECT.DriverStart`.
const DRIVER_START: u64 = 0x18;

pub(super) struct Named {
    /// The whole path.
    pub name: String,
    pub kind: u8,
    pub object: Va,
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
            Some(format!(r"\\.\{}", link.name.strip_prefix(LINKS)?))
        };
        links.filter_map(path).collect()
    }

    /// The guest's named objects, as far as its directories make sense.
    pub(super) fn named_objects(&self) -> Vec<Named> {
        let mut all = Vec::new();
        let mut left = MOST_ENTRIES;
        let root = self.kernel_symbol("ObpRootDirectoryObject");
        if let Some(Ok(root)) = root.map(|root| self.machine().read_va(root)) {
            self.read_directory(root, "", MOST_LEVELS, &mut left, &mut all);
        }
        all
    }

    /// What is in a directory with this path, and in those in it. `left` is how many entries may be
    /// looked at yet.
    fn read_directory(
        &self,
        directory: Va,
        path: &str,
        levels: usize,
        left: &mut usize,
        all: &mut Vec<Named>,
    ) {
        let memory = self.machine();
        for bucket in 0..BUCKETS {
            let mut at = directory.wrapping_add(bucket * 8);
            while let Ok(entry) = memory.read_va(at) {
                if entry == Va(0) || *left == 0 {
                    break;
                }
                *left -= 1;
                at = entry;
                let Ok(Some(named)) = self.named_object(entry, path) else {
                    continue;
                };
                if named.kind == DIRECTORY && levels > 1 {
                    self.read_directory(named.object, &named.name, levels - 1, left, all);
                }
                all.push(named);
            }
        }
    }

    /// The object of a directory's entry, if it has a name.
    fn named_object(&self, entry: Va, path: &str) -> Result<Option<Named>, MemoryFault> {
        let memory = self.machine();
        let object = memory.read_va(entry.wrapping_add(ENTRY_OBJECT))?;
        let header = Va(object.0.wrapping_sub(header::SIZE));
        if memory.read_u8(header.wrapping_add(header::INFO_MASK))? & header::NAME_INFO == 0 {
            return Ok(None);
        }
        let name = Va(header.0.wrapping_sub(header::NAME_BEFORE));
        Ok(Some(Named {
            name: format!(r"{path}\{}", read_unicode_string(memory, name)?),
            kind: memory.read_u8(header.wrapping_add(header::TYPE_INDEX))?,
            object,
        }))
    }
}
