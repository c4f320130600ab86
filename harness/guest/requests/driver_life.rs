//! The life of a driver from outside: loading, unloading.

use super::super::lab::Lab;
use super::super::outstanding::{DeviceUse, listed};
use super::{NtStatus, RequestError, Win32Error};

/// Why something was not done to a driver or a device.
///
/// ```
/// use poolhit::guest::{DriverCallError, NtStatus};
/// let error = DriverCallError::Failed { what: "unloading the driver", status: NtStatus(0xc0000010) };
/// assert_eq!(error.to_string(), "unloading the driver failed with status 0xc0000010 STATUS_INVALID_DEVICE_REQUEST");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum DriverCallError {
    /// The kernel's answer is an error.
    #[error("{what} failed with status {status}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// The kernel's answer.
        status: NtStatus,
    },
    /// The program was told that it cannot be.
    #[error("{what} failed with {}", error.with_status(*status))]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// What `GetLastError` gave.
        error: Win32Error,
        /// The status behind it.
        status: NtStatus,
    },
    /// The driver was asked to unload, and is still loaded: the devices that keep it.
    #[error("the driver is still loaded:{}", listed(.0))]
    StillLoaded(Vec<DeviceUse>),
    /// There was no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl DriverCallError {
    /// What stopped the guest, if something did.
    ///
    /// ```
    /// use poolhit::guest::{DriverCallError, NtStatus};
    /// let error = DriverCallError::Failed { what: "unloading the driver", status: NtStatus(0xc0000010) };
    /// assert!(error.stopped().is_none());
    /// ```
    pub fn stopped(&self) -> Option<&super::Stopped> {
        match self {
            DriverCallError::Request(error) => error.stopped(),
            _ => None,
        }
    }
}

/// The folder of the services' registry keys.
const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services\";
/// The longest name of a service, in UTF-16 units: paths with it are passed to calls of the kernel, which
/// have room for so much. The name of a file may be longer.
const SERVICE_NAME: usize = 128;

/// The registry path of the service for a driver's file: its name up to the first point.
pub(in crate::guest) fn service_path(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default();
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= SERVICE_NAME
    };
    let name: String = stem.chars().take_while(fits).collect();
    format!("{SERVICES}{name}")
}

impl Lab {
    /// The registry path of the driver's service.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let path = r"\Registry\Machine\System\CurrentControlSet\Services\myfault";
    /// assert_eq!(lab.driver_service(), path);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_service(&self) -> String {
        service_path(self.images().driver.name())
    }

    /// Unloads the driver as `sc stop` does: `nt!NtUnloadDriver` calls its unload routine, if nobody uses
    /// its devices; else that happens when the last handle goes. What it has left in the pool stays there.
    ///
    /// # Errors
    /// The driver has no unload routine, or it is a Plug and Play driver
    /// (`STATUS_INVALID_DEVICE_REQUEST`); it is [still loaded](DriverCallError::StillLoaded), since
    /// somebody uses its devices; or something stops the guest on the way.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// lab.unload_driver()?;
    /// assert!(lab.modules().by_name("myfault").is_none());
    /// lab.load_driver()?;
    /// assert!(lab.modules().by_name("myfault").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unload_driver(&mut self) -> Result<(), DriverCallError> {
        self.call_with_service("NtUnloadDriver", "unloading the driver")?;
        let images = self.images.clone();
        let name = images.driver.name();
        let modules = self.modules();
        let is_ours = |image: &str| image.eq_ignore_ascii_case(name);
        if modules.iter().any(|module| is_ours(module.image_name())) {
            return Err(DriverCallError::StillLoaded(self.device_uses()));
        }
        self.machine.tell_unloaded(name);
        Ok(())
    }

    /// Loads the driver again: the image is as it was at first, and `DriverEntry` is called.
    ///
    /// # Errors
    /// It is loaded (`STATUS_IMAGE_ALREADY_LOADED`), or `DriverEntry` fails, or something stops the guest
    /// on the way.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// let error = lab.load_driver().unwrap_err();
    /// assert!(error.to_string().contains("0xc000010e"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_driver(&mut self) -> Result<(), DriverCallError> {
        self.machine.tell_starting();
        let loaded = self.call_with_service("NtLoadDriver", "loading the driver");
        self.machine.tell_started();
        loaded
    }

    fn call_with_service(
        &mut self,
        function: &str,
        what: &'static str,
    ) -> Result<(), DriverCallError> {
        let service = self.driver_service();
        self.call_with_string(function, &service, &[], what)
            .map(drop)
    }

    /// Calls a function of the kernel with a `UNICODE_STRING` as its first argument; gives its value.
    pub(super) fn call_with_string(
        &mut self,
        function: &str,
        string: &str,
        arguments: &[u64],
        what: &'static str,
    ) -> Result<u64, DriverCallError> {
        let function = self
            .kernel_function(function)
            .ok_or(RequestError::NotRequester)?;
        let at = self.kernel_text()?;
        let units: Vec<u8> = string.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u16::try_from(units.len()).unwrap_or(u16::MAX);
        let mut text = Vec::new();
        text.extend(length.to_le_bytes());
        text.extend(length.to_le_bytes());
        text.extend([0; 4]);
        text.extend(at.wrapping_add(16).0.to_le_bytes());
        text.extend(units);
        let all: Vec<u64> = [at.0].iter().chain(arguments).copied().collect();
        let status = NtStatus(self.call_with_text(function, &all, &text)? as u32);
        if status.is_success() {
            return Ok(u64::from(status.0));
        }
        Err(DriverCallError::Failed { what, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_where_characters_end() {
        let name = |file: &str| service_path(file)[SERVICES.len()..].to_owned();
        assert_eq!(name("my.fault.sys"), "my");
        assert_eq!(name(&"a".repeat(251)), "a".repeat(128));
        assert_eq!(
            name(&format!("a{}", "\u{1f600}".repeat(90))),
            format!("a{}", "\u{1f600}".repeat(63))
        );
    }
}
