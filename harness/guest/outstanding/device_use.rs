//! Who keeps the devices of a driver that is to be unloaded.

use super::{OUTSTANDING_LIMIT, OutstandingRequest, device_name, shown};
use crate::address::Va;
use crate::guest::Lab;
use crate::guest::driver_links::Named;
use crate::guest::module_list::read_unicode_string;
use crate::memory::ReadMemory;
use crate::symbols::Modules;
use std::collections::BTreeSet;
use std::fmt;

const DRIVER_KIND: u8 = 26;
const DEVICE_KIND: u8 = 25;
/// `_DRIVER_OBJECT`.
mod driver {
    pub const TYPE: u16 = 4;
    pub const DEVICE_OBJECT: u64 = 8;
    pub const FLAGS: u64 = 0x10;
    pub const START: u64 = 0x18;
    pub const NAME: u64 = 0x38;
    pub const MAJOR_FUNCTION: u64 = 0x70;
    /// `DRVO_UNLOAD_INVOKED` in `Flags` (ntddk.h).
    pub const UNLOAD_INVOKED: u32 = 1;
}
/// `_DEVICE_OBJECT`.
mod device {
    pub const TYPE: u16 = 3;
    pub const REFERENCE_COUNT: u64 = 4;
    pub const DRIVER_OBJECT: u64 = 8;
    pub const NEXT_DEVICE: u64 = 0x10;
    pub const ATTACHED_DEVICE: u64 = 0x18;
}
/// The most devices and requests that a text names.
const SHOWN: usize = 8;

/// A device that keeps its driver loaded, and why it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceUse {
    /// Its `_DEVICE_OBJECT`.
    pub device: Va,
    /// Its path in the object directories; empty for one without a name.
    pub name: String,
    /// How many files are open on it (`ReferenceCount`), and of these, how many are so only by requests
    /// that are outstanding: their handles are closed.
    pub files: (u32, u32),
    /// The driver of the device that is attached on top of it.
    pub attached: Option<String>,
    /// The requests that are outstanding on it.
    pub requests: Vec<OutstandingRequest>,
    /// The driver's unload routine has been called, and has not deleted it.
    pub is_left: bool,
}

impl fmt::Display for DeviceUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.is_empty() {
            true => write!(f, "device {}: ", self.device)?,
            false => write!(f, "{}: ", shown(&self.name))?,
        }
        let (files, closed) = self.files;
        let mut reasons = Vec::new();
        if self.is_left {
            reasons.push("DriverUnload has not deleted it".to_owned());
        }
        match files.saturating_sub(closed) {
            0 => {}
            1 => reasons.push("a file is open".to_owned()),
            open => reasons.push(format!("{open} files are open")),
        }
        if let Some(attached) = &self.attached {
            reasons.push(format!("a device of {} is attached to it", shown(attached)));
        }
        let named = self.requests.iter().take(SHOWN);
        reasons.extend(named.map(ToString::to_string));
        if let more @ 1.. = self.requests.len().saturating_sub(SHOWN) {
            reasons.push(format!("{more} more requests"));
        }
        f.write_str(&reasons.join("; "))
    }
}

/// The lines of a text about these devices, each with a line's end in front.
pub(crate) fn listed(uses: &[DeviceUse]) -> String {
    if uses.is_empty() {
        return "\n    none of its devices is in use: somebody refers to its driver object".into();
    }
    let lines = uses.iter().take(SHOWN).map(|one| format!("\n    {one}"));
    let mut text: String = lines.collect();
    if let more @ 1.. = uses.len().saturating_sub(SHOWN) {
        text.push_str(&format!("\n    and {more} more devices"));
    }
    text
}

impl Lab {
    /// The driver's devices that somebody uses, or that its unload routine has left: what keeps the driver
    /// loaded.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// assert_eq!(lab.device_uses(), []);
    /// let handle = lab.open_device(r"\\.\Myfault")?;
    /// let uses = lab.device_uses();
    /// assert_eq!(uses[0].to_string(), r"\Device\Myfault: a file is open");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn device_uses(&self) -> Vec<DeviceUse> {
        let named = self.named_objects();
        let Some(own) = self.own_driver(&named) else {
            return Vec::new();
        };
        let memory = self.machine();
        let flags = memory.read_u32(own.wrapping_add(driver::FLAGS));
        let is_left = flags.is_ok_and(|flags| flags & driver::UNLOAD_INVOKED != 0);
        let requests = self.outstanding_requests();
        let modules = self.modules();
        let uses = self.devices_of(own).into_iter().filter_map(|at| {
            let field = |offset| at.wrapping_add(offset);
            let files = memory.read_u32(field(device::REFERENCE_COUNT)).ok()?;
            let attached = memory.read_va(field(device::ATTACHED_DEVICE)).ok()?;
            let attached = (attached != Va(0)).then(|| self.driver_of_device(attached));
            let mine = requests.iter().filter(|request| request.device == at);
            let requests: Vec<OutstandingRequest> = mine.cloned().collect();
            let closed = requests.iter().filter(|request| request.is_file_closed);
            let closed: BTreeSet<Va> = closed.map(|request| request.file).collect();
            (files != 0 || attached.is_some() || is_left).then(|| DeviceUse {
                device: at,
                name: device_name(&named, at),
                files: (files, closed.len() as u32),
                attached: attached.map(|driver| self.driver_name(driver, &modules)),
                requests,
                is_left,
            })
        });
        uses.collect()
    }

    /// The driver's object: by its name, or by that of one of its devices, since the name goes first.
    fn own_driver(&self, named: &[Named]) -> Option<Va> {
        let base = self.bases().driver;
        let memory = self.machine();
        let is_own = |object: &Va| {
            let kind = memory.read_u16(*object);
            let start = memory.read_va(object.wrapping_add(driver::START));
            kind == Ok(driver::TYPE) && start == Ok(base)
        };
        let objects = named.iter().filter_map(|named| match named.kind {
            DRIVER_KIND => Some(named.object),
            DEVICE_KIND => Some(self.driver_of_device(named.object)),
            _ => None,
        });
        objects.into_iter().find(is_own)
    }

    fn devices_of(&self, own: Va) -> Vec<Va> {
        let memory = self.machine();
        let mut seen = BTreeSet::new();
        let mut at = memory.read_va(own.wrapping_add(driver::DEVICE_OBJECT));
        let mut found = Vec::new();
        while let Ok(one) = at
            && memory.read_u16(one) == Ok(device::TYPE)
            && found.len() < OUTSTANDING_LIMIT
            && seen.insert(one)
        {
            found.push(one);
            at = memory.read_va(one.wrapping_add(device::NEXT_DEVICE));
        }
        found
    }

    /// The driver object of a device; NULL if there is none.
    pub(super) fn driver_of_device(&self, at: Va) -> Va {
        let memory = self.machine();
        let driver = match memory.read_u16(at) {
            Ok(device::TYPE) => memory.read_va(at.wrapping_add(device::DRIVER_OBJECT)),
            _ => return Va(0),
        };
        let is_driver = |at: &Va| memory.read_u16(*at) == Ok(driver::TYPE);
        driver.ok().filter(is_driver).unwrap_or_default()
    }

    /// The file of a driver's image, by the driver object; the object's own name, if that is not loaded.
    pub(super) fn driver_name(&self, object: Va, modules: &Modules) -> String {
        let memory = self.machine();
        let start = memory.read_va(object.wrapping_add(driver::START));
        match start.ok().and_then(|start| modules.containing(start)) {
            Some(module) => module.image_name().to_owned(),
            None => {
                let name = object.wrapping_add(driver::NAME);
                let name = read_unicode_string(memory, name);
                name.ok()
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "an unknown driver".into())
            }
        }
    }

    /// A driver's routine for a major function; NULL if there is none.
    pub(super) fn dispatch(&self, object: Va, major: u8) -> Va {
        let offset = driver::MAJOR_FUNCTION + u64::from(major) * 8;
        let routine = self.machine().read_va(object.wrapping_add(offset));
        let is_major = usize::from(major) < super::MAJORS.len() && object != Va(0);
        routine.ok().filter(|_| is_major).unwrap_or_default()
    }
}
