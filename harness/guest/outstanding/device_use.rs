//! Who keeps the devices of a driver that is to be unloaded.

use super::{OutstandingRequest, device_path, file_name, shown};
use crate::address::Va;
use crate::guest::Lab;
use std::collections::BTreeSet;
use std::fmt;

/// `DRVO_UNLOAD_INVOKED` in `_DRIVER_OBJECT.Flags` (ntddk.h).
const UNLOAD_INVOKED: u32 = 1;
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
pub(in crate::guest) fn listed(uses: &[DeviceUse]) -> String {
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
        let is_left = own.flags & UNLOAD_INVOKED != 0;
        let requests = self.outstanding_requests();
        let modules = self.modules();
        let uses = own.devices.into_iter().filter_map(|at| {
            let device = self.device_object(at).ok()?;
            let files = device.reference_count as u32;
            let above = device.attached_device;
            let attached = (above != Va(0)).then(|| {
                let driver = self.driver_of_device(above);
                file_name(driver.as_ref(), &modules)
            });
            let mine = requests.iter().filter(|request| request.device == at);
            let requests: Vec<OutstandingRequest> = mine.cloned().collect();
            let closed = requests.iter().filter(|request| request.is_file_closed);
            let closed: BTreeSet<Va> = closed.map(|request| request.file).collect();
            (files != 0 || attached.is_some() || is_left).then(|| DeviceUse {
                device: at,
                name: device_path(&named, at),
                files: (files, closed.len() as u32),
                attached,
                requests,
                is_left,
            })
        });
        uses.collect()
    }
}
