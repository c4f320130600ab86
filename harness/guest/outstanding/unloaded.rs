//! Drivers that have been unloaded: `nt!MmUnloadedDrivers`, which the debugger's `lm` lists too.

use crate::address::Va;
use crate::guest::module_list::read_unicode_string;
use crate::guest::{BugCheck, Lab};
use crate::memory::ReadMemory;
use std::fmt;

/// `_UNLOADED_DRIVERS`: a name, the first and the last address, and a time.
const ENTRY_SIZE: u64 = 0x28;
const START: u64 = 0x10;
const END: u64 = 0x18;
/// `MI_UNLOADED_DRIVERS`: the kernel remembers so many.
const ENTRIES: u64 = 50;

/// A place in a driver that has been unloaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnloadedDriver {
    /// The driver's file.
    pub name: String,
    /// The distance of the place from the image's first byte.
    pub offset: u64,
}

/// As the debugger shows it: `<Unloaded_my.sys>+0x1010`.
impl fmt::Display for UnloadedDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = super::shown(&self.name);
        write!(f, "<Unloaded_{name}>+{:#x}", self.offset)
    }
}

impl Lab {
    /// The driver that has been unloaded and that this address was in, if nothing else is there now. Of
    /// several, the one whose entry comes first in `nt!MmUnloadedDrivers`, as in the kernel's own search.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// let at = lab.bases().driver.wrapping_add(0x1010);
    /// assert_eq!(lab.unloaded_driver_at(at), None);
    /// lab.unload_driver()?;
    /// let place = lab.unloaded_driver_at(at).unwrap();
    /// assert_eq!(place.to_string(), "<Unloaded_myfault.sys>+0x1010");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unloaded_driver_at(&self, address: Va) -> Option<UnloadedDriver> {
        let memory = self.machine();
        let table = self.kernel_symbol("MmUnloadedDrivers")?;
        let table = memory.read_va(table).ok()?;
        if table == Va(0) || memory.read_u8(address).is_ok() {
            return None;
        }
        let entries = (0..ENTRIES).map(|number| table.wrapping_add(number * ENTRY_SIZE));
        let mut found = entries.filter_map(|entry| {
            let start = memory.read_va(entry.wrapping_add(START)).ok()?;
            let end = memory.read_va(entry.wrapping_add(END)).ok()?;
            let is_in = start <= address && address < end;
            is_in.then(|| (entry, address.0 - start.0))
        });
        let (entry, offset) = found.next()?;
        Some(UnloadedDriver {
            name: read_unicode_string(memory, entry).unwrap_or_default(),
            offset,
        })
    }

    /// The unloaded driver that a bug check is about: the address that was referenced is in it.
    pub(crate) fn unloaded_driver_of(&self, check: &BugCheck) -> Option<UnloadedDriver> {
        const WITHOUT_CANCELLING: u32 = 0xce;
        (check.code == WITHOUT_CANCELLING)
            .then(|| self.unloaded_driver_at(Va(check.parameters[0])))
            .flatten()
    }
}
