//! Lists of loaded modules, as the loader writes them and a debugger reads them
//! (`_LDR_DATA_TABLE_ENTRY` of Windows 7 x64, 0xe0 bytes).

use super::arena::Arena;
use crate::address::Va;
use crate::image::PeImage;
use crate::memory::{MemoryFault, ReadMemory};

const ENTRY_SIZE: usize = 0xe0;
pub(super) const DLL_BASE: u64 = 0x30;
const ENTRY_POINT: u64 = 0x38;
pub(super) const SIZE_OF_IMAGE: u64 = 0x40;
const FULL_DLL_NAME: u64 = 0x48;
const BASE_DLL_NAME: u64 = 0x58;
const LOAD_COUNT: u64 = 0x6c;
const CHECK_SUM: u64 = 0x78;
const TIME_DATE_STAMP: u64 = 0x80;

/// The offsets of the three lists' links in an entry: load order, memory order, initialization
/// order.
pub(super) const LINKS: [u64; 3] = [0, 0x10, 0x20];

/// The most entries that a list is followed for. A running Windows has some two hundred.
pub const LIST_LIMIT: usize = 1024;

/// The longest name that is read, in bytes: `MAX_PATH` characters.
const NAME_LIMIT: u16 = 260 * 2;

/// Writes an entry; its links are still to be set.
pub(super) fn put_entry(arena: &mut Arena, image: &PeImage, base: Va, folder: &str) -> Va {
    let entry = arena.allocate(ENTRY_SIZE);
    arena.put_u64(entry.wrapping_add(DLL_BASE), base.0);
    arena.put_u64(
        entry.wrapping_add(ENTRY_POINT),
        (base + image.entry_point()).0,
    );
    arena.put_u32(entry.wrapping_add(SIZE_OF_IMAGE), image.size_of_image());
    arena.put_unicode_string(
        entry.wrapping_add(FULL_DLL_NAME),
        &format!("{folder}{}", image.name()),
    );
    arena.put_unicode_string(entry.wrapping_add(BASE_DLL_NAME), image.name());
    arena.put_u16(entry.wrapping_add(LOAD_COUNT), 1);
    arena.put_u32(entry.wrapping_add(CHECK_SUM), image.checksum());
    arena.put_u32(entry.wrapping_add(TIME_DATE_STAMP), image.timestamp());
    entry
}

/// A module that the guest says is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModule {
    /// The image's file name.
    pub name: String,
    /// Its whole path, as the guest has it.
    pub path: String,
    /// Its first byte.
    pub base: Va,
    /// Its size in bytes.
    pub size: u32,
}

/// Reads the list in load order whose head is at `head`, up to the first thing in it that is not
/// right: a list that the guest has corrupted gives the modules before the damage.
///
/// ```
/// use poolhit::{Lab, guest::loaded_modules};
/// let lab = Lab::builder().build()?;
/// let head = lab.kernel_symbol("PsLoadedModuleList").unwrap();
/// let names: Vec<_> = loaded_modules(lab.machine(), head).into_iter().map(|m| m.name).collect();
/// assert_eq!(names, ["ntoskrnl.exe", "myfault.sys"]);
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn loaded_modules(memory: &dyn ReadMemory, head: Va) -> Vec<LoadedModule> {
    let mut modules = Vec::new();
    let mut entry = head;
    while modules.len() < LIST_LIMIT {
        match memory.read_va(entry) {
            Ok(next) if next != head => entry = next,
            _ => break,
        }
        let Ok(module) = read_entry(memory, entry) else {
            break;
        };
        modules.push(module);
    }
    modules
}

fn read_entry(memory: &dyn ReadMemory, entry: Va) -> Result<LoadedModule, MemoryFault> {
    Ok(LoadedModule {
        name: read_unicode_string(memory, entry.wrapping_add(BASE_DLL_NAME))?,
        // a name without a path is a name still
        path: read_unicode_string(memory, entry.wrapping_add(FULL_DLL_NAME)).unwrap_or_default(),
        base: memory.read_va(entry.wrapping_add(DLL_BASE))?,
        size: memory.read_u32(entry.wrapping_add(SIZE_OF_IMAGE))?,
    })
}

/// Reads the text of a `_UNICODE_STRING`, its first [`NAME_LIMIT`] bytes; what is no UTF-16 becomes
/// U+FFFD.
pub(crate) fn read_unicode_string(memory: &dyn ReadMemory, at: Va) -> Result<String, MemoryFault> {
    let length = memory.read_u16(at)?.min(NAME_LIMIT);
    let buffer = memory.read_va(at.wrapping_add(8))?;
    let mut bytes = vec![0; usize::from(length & !1)];
    memory.read(buffer, &mut bytes)?;
    let units = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    Ok(char::decode_utf16(units)
        .map(|unit| unit.unwrap_or('\u{fffd}'))
        .collect())
}
