//! Requests of a user-mode program, made from outside.
//!
//! A lab built with [`LabBuilder::requester`](super::LabBuilder::requester) runs a program that does
//! what it is asked for, one request after the other, by the Windows API: `CreateFileW`,
//! `DeviceIoControl` and so on, through `ntdll` and a real system call. Between two requests it stands
//! at an `int 3` of its own, its prompt, where [`Lab::request`](super::Lab::request) finds it.
//!
//! What the program knows is in the program's memory and nowhere else, so that a saved lab holds it, too.
//!
//! ```
//! use poolhit::{Lab, guest::Request};
//! let mut lab = Lab::builder().requester().build()?;
//! let device = lab.open_device(r"\\.\Myfault")?;
//! let size = 64_u32.to_le_bytes();
//! let leak = Request::ioctl(device, 0x222004, &size, 0);
//! assert!(lab.request(&leak)?.is_success());
//! let refused = lab.request(&Request::ioctl(device, 0x222004, &[], 0))?;
//! assert_eq!((refused.status.0, refused.error.0), (0xc000_000d, 87));
//! lab.request(&Request::Close { handle: device })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod device_life;
mod driver_life;
mod error;
mod kernel_work;
mod protocol;
mod run;
mod status;

pub use device_life::{BusDevice, DeviceAction, SystemPower};
pub use driver_life::DriverCallError;
pub(super) use driver_life::service_path;
pub use error::{RequestError, RequestStop, Stopped};
pub use kernel_work::KERNEL_WORK_ARGUMENTS;
pub use run::REQUEST_WORK;
pub use status::{NtStatus, Win32Error};

/// The most bytes of input that a request has, and the most of output.
pub const REQUEST_BUFFER: usize = 0x10000;
/// The most requests that can be on their way at the same time.
pub const REQUEST_SLOTS: u32 = 16;
/// The longest name, in UTF-16 units, without the zero behind it.
pub const REQUEST_NAME: usize = 255;

/// A handle of the program's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct FileHandle(pub u64);

/// A request that is on its way: its place in the program's memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u32);

/// `GENERIC_READ | GENERIC_WRITE`, what [`Lab::open_device`](super::Lab::open_device) asks for.
pub const READ_WRITE: u32 = 0xc000_0000;

/// Where a file's new position is counted from (`dwMoveMethod` of `SetFilePointerEx`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeekFrom {
    /// The file's beginning.
    Begin,
    /// The position that it has.
    Current,
    /// The file's end.
    End,
}

/// What the program is to do.
///
/// A file that was opened as `overlapped` is used with an `OVERLAPPED` structure each time. A request to
/// it may be on its way when the call returns: [`Response::ticket`] then says by which
/// [`Result`](Request::Result) its end is to be asked for. Its buffers stay the driver's until then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// `CreateFileW` with `OPEN_EXISTING`; [`Response::handle`] has the handle.
    Open {
        /// A device's name, such as `\\.\Myfault`.
        name: &'a str,
        /// The access rights, such as [`READ_WRITE`].
        access: u32,
        /// With `FILE_FLAG_OVERLAPPED`.
        overlapped: bool,
    },
    /// `CloseHandle`.
    Close {
        /// The handle.
        handle: FileHandle,
    },
    /// `DeviceIoControl`. A buffer without bytes is a null pointer.
    Ioctl {
        /// The file.
        handle: FileHandle,
        /// The control code.
        code: u32,
        /// The input buffer.
        input: &'a [u8],
        /// The length of the output buffer in bytes.
        output_length: usize,
        /// The output buffer's first bytes before the call, which `METHOD_IN_DIRECT` hands to the driver;
        /// the rest is zero.
        output: &'a [u8],
    },
    /// `ReadFile`.
    Read {
        /// The file.
        handle: FileHandle,
        /// Where to begin; for an overlapped file only, others have a position of their own.
        offset: u64,
        /// The bytes wanted.
        length: usize,
    },
    /// `WriteFile`.
    Write {
        /// The file.
        handle: FileHandle,
        /// As for a read.
        offset: u64,
        /// The bytes to be written.
        data: &'a [u8],
    },
    /// `SetFilePointerEx`; [`Response::information`] is the new position.
    Seek {
        /// The file.
        handle: FileHandle,
        /// How far.
        distance: i64,
        /// From where.
        from: SeekFrom,
    },
    /// `GetFileSizeEx`; [`Response::information`] is the size in bytes.
    Size {
        /// The file.
        handle: FileHandle,
    },
    /// `SetEndOfFile`, at the position.
    SetEnd {
        /// The file.
        handle: FileHandle,
    },
    /// `FlushFileBuffers`.
    Flush {
        /// The file.
        handle: FileHandle,
    },
    /// Waits for a request that is on its way, for so long at most, and then `GetOverlappedResult`.
    /// [`Win32Error::IO_INCOMPLETE`] says that it still is.
    Result {
        /// The request.
        ticket: Ticket,
        /// How long, in the guest's time; `u32::MAX` is for ever.
        milliseconds: u32,
    },
    /// `CancelIo`: all that is on its way to a file. It returns when none is.
    Cancel {
        /// The file.
        handle: FileHandle,
    },
    /// `CancelIoEx` for one request. It does not wait; the result is still to be asked for.
    CancelOne {
        /// The request.
        ticket: Ticket,
    },
    /// `WaitForSingleObject`; [`Response::information`] is what it returns.
    Wait {
        /// The handle.
        handle: FileHandle,
        /// How long, in the guest's time; `u32::MAX` is for ever.
        milliseconds: u32,
    },
    /// `Sleep`.
    Sleep {
        /// How long, in the guest's time.
        milliseconds: u32,
    },
    /// `NtLoadDriver`, for a driver that has been unloaded.
    LoadDriver {
        /// The service's registry path.
        service: &'a str,
    },
    /// `NtUnloadDriver`.
    UnloadDriver {
        /// The service's registry path, `\Registry\Machine\System\CurrentControlSet\Services\` and its name.
        service: &'a str,
    },
    /// `ExitProcess`. No request comes behind it.
    Exit {
        /// The exit code.
        code: u32,
    },
}

impl<'a> Request<'a> {
    /// A device control request.
    ///
    /// ```
    /// use poolhit::guest::{FileHandle, Request};
    /// let request = Request::ioctl(FileHandle(4), 0x222004, b"in", 16);
    /// assert!(matches!(request, Request::Ioctl { input: b"in", output_length: 16, .. }));
    /// ```
    pub fn ioctl(
        handle: FileHandle,
        code: u32,
        input: &'a [u8],
        output_length: usize,
    ) -> Request<'a> {
        Request::Ioctl {
            handle,
            code,
            input,
            output_length,
            output: &[],
        }
    }
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// What `GetLastError` gave, if the call said that it failed.
    pub error: Win32Error,
    /// The status behind the error (`_TEB.LastStatusValue`); 0 for a success.
    pub status: NtStatus,
    /// The number of bytes transferred, or what else the call gives.
    pub information: u64,
    /// The whole output buffer, whatever of it the driver has filled. Empty while the request is on its
    /// way.
    pub output: Vec<u8>,
    /// The request is on its way.
    pub ticket: Option<Ticket>,
    /// The handle that was opened.
    pub handle: Option<FileHandle>,
}

impl Response {
    /// Whether the call said that it succeeded.
    ///
    /// ```
    /// use poolhit::{Lab, guest::Request};
    /// let mut lab = Lab::builder().requester().build()?;
    /// assert!(lab.request(&Request::Sleep { milliseconds: 1000 })?.is_success());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_success(&self) -> bool {
        self.error.0 == 0
    }

    /// The bytes that the driver says it has given, as far as the output buffer goes.
    ///
    /// ```
    /// use poolhit::guest::{NtStatus, Response, Win32Error};
    /// let response = Response {
    ///     error: Win32Error(0),
    ///     status: NtStatus(0),
    ///     information: 2,
    ///     output: b"abcd".to_vec(),
    ///     ticket: None,
    ///     handle: None,
    /// };
    /// assert_eq!(response.data(), b"ab");
    /// ```
    pub fn data(&self) -> &[u8] {
        let length = usize::try_from(self.information).unwrap_or(usize::MAX);
        &self.output[..length.min(self.output.len())]
    }
}
