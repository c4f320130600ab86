//! What a request came to: error codes, with their names in Windows' headers.

use minidump_common::errors::{NtStatusWindows, WinErrorWindows};
use num_traits::FromPrimitive;
use std::fmt;

/// An error code of the Windows API (winerror.h); 0 is a success.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Win32Error(pub u32);

impl Win32Error {
    /// `ERROR_IO_PENDING`: the request is on its way.
    pub const IO_PENDING: Win32Error = Win32Error(997);
    /// `ERROR_IO_INCOMPLETE`: it still is.
    pub const IO_INCOMPLETE: Win32Error = Win32Error(996);

    /// Its name in winerror.h.
    ///
    /// ```
    /// use poolhit::guest::Win32Error;
    /// assert_eq!(Win32Error(5).name().as_deref(), Some("ERROR_ACCESS_DENIED"));
    /// ```
    pub fn name(self) -> Option<String> {
        Some(format!("{:?}", WinErrorWindows::from_u32(self.0)?))
    }

    /// What a request came to, in words: the error and the status behind it, or the status alone where
    /// there is no error.
    ///
    /// ```
    /// use poolhit::guest::{NtStatus, Win32Error};
    /// assert_eq!(
    ///     Win32Error(2).with_status(NtStatus(0xc0000034)),
    ///     "error 2 ERROR_FILE_NOT_FOUND (status 0xc0000034 STATUS_OBJECT_NAME_NOT_FOUND)"
    /// );
    /// let status = NtStatus(0xc0000010);
    /// assert_eq!(Win32Error(0).with_status(status), "status 0xc0000010 STATUS_INVALID_DEVICE_REQUEST");
    /// ```
    pub fn with_status(self, status: NtStatus) -> String {
        match self.0 {
            0 => format!("status {status}"),
            _ => format!("error {self} (status {status})"),
        }
    }
}

/// As in `2 ERROR_FILE_NOT_FOUND`; the number alone, if it has no name.
impl fmt::Display for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match WinErrorWindows::from_u32(self.0) {
            Some(name) => write!(f, " {name:?}"),
            None => Ok(()),
        }
    }
}

/// An `NTSTATUS` (ntstatus.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtStatus(pub u32);

impl NtStatus {
    /// Its name in ntstatus.h.
    ///
    /// ```
    /// use poolhit::guest::NtStatus;
    /// assert_eq!(NtStatus(0x103).name().as_deref(), Some("STATUS_PENDING"));
    /// ```
    pub fn name(self) -> Option<String> {
        Some(format!("{:?}", NtStatusWindows::from_u32(self.0)?))
    }

    /// Success and information: the upper bit is not set.
    ///
    /// ```
    /// use poolhit::guest::NtStatus;
    /// assert!(NtStatus(0x103).is_success() && !NtStatus(0xc0000005).is_success());
    /// ```
    pub fn is_success(self) -> bool {
        self.0 >> 31 == 0
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NtStatus({:#010x})", self.0)
    }
}

/// As in `0xc0000034 STATUS_OBJECT_NAME_NOT_FOUND`; the number alone, if it has no name.
///
/// ```
/// use poolhit::guest::NtStatus;
/// assert_eq!(NtStatus(0x103).to_string(), "0x00000103 STATUS_PENDING");
/// assert_eq!(NtStatus(0xe0001234).to_string(), "0xe0001234");
/// ```
impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)?;
        match NtStatusWindows::from_u32(self.0) {
            Some(name) => write!(f, " {name:?}"),
            None => Ok(()),
        }
    }
}
