//! What a scenario does, step by step.

use crate::guest::{DeviceAction, REQUEST_BUFFER, REQUEST_NAME, SystemPower};
use std::fmt;
use std::str::FromStr;

/// The most bytes that a step puts in or asks for.
pub const BUFFER_LIMIT: usize = REQUEST_BUFFER;
/// The longest path, in UTF-16 units.
pub const PATH_LIMIT: usize = REQUEST_NAME;

/// A request of the program's, something that it waits for, or something that happens to the driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The name of what it is done to: a handle, a device, or a request that is on its way; `None` for the
    /// last one.
    pub target: Option<String>,
    /// The name of what it gives: a handle, a device, or a request that is on its way.
    pub name: Option<String>,
    /// What has to come of it.
    pub expected: Expected,
}

/// What is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `CreateFileW`: the path, `\\.\Name` for a device. [`Step::name`] names the handle.
    Open {
        /// The path.
        path: String,
        /// With `FILE_FLAG_OVERLAPPED`: requests to it may be on their way when their calls return.
        overlapped: bool,
    },
    /// `CloseHandle`.
    Close,
    /// `DeviceIoControl`.
    Ioctl {
        /// The control code.
        code: u32,
        /// What is put in.
        input: Vec<u8>,
        /// The room for what comes out, in bytes.
        output: u32,
    },
    /// `ReadFile`.
    Read {
        /// How many bytes.
        length: u32,
        /// From where in the file: `SetFilePointerEx` comes first, or `OVERLAPPED` has it. `None` is where
        /// the file's position is, and 0 for an overlapped handle.
        offset: Option<u64>,
    },
    /// `WriteFile`.
    Write {
        /// What is written.
        data: Vec<u8>,
        /// Where in the file, as for a read.
        offset: Option<u64>,
    },
    /// `Sleep`: timers and work items have that much time.
    Sleep {
        /// How long.
        milliseconds: u32,
    },
    /// `GetOverlappedResult` of a request that is on its way, when it has ended.
    Wait {
        /// How long to wait for that; `u32::MAX` is for ever.
        milliseconds: u32,
    },
    /// `CancelIoEx` of a request that is on its way, or `CancelIo` of all that are to a handle.
    Cancel,
    /// The bus finds a device for the driver: [`Lab::add_device`](crate::Lab::add_device). [`Step::name`]
    /// names it.
    AddDevice,
    /// Something happens to a device: [`Lab::device`](crate::Lab::device).
    Device(DeviceAction),
    /// [`Lab::set_device_power`](crate::Lab::set_device_power), 0 to 3 for D0 to D3.
    DevicePower(u32),
    /// [`Lab::set_system_power`](crate::Lab::set_system_power).
    SystemPower(SystemPower),
    /// [`Lab::shutdown`](crate::Lab::shutdown).
    Shutdown,
    /// [`Lab::unload_driver`](crate::Lab::unload_driver). What is open stays open.
    Unload,
    /// [`Lab::load_driver`](crate::Lab::load_driver).
    Load,
}

/// What has to come of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expected {
    /// Anything; the report tells of failures.
    #[default]
    Anything,
    /// Success. A request that is on its way counts as one.
    Success,
    /// A failure with this `NTSTATUS`.
    Status(u32),
}

/// A text is none of these.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` cannot be expected: success, anything, or an NTSTATUS (0xC000000D, say)")]
pub struct ExpectedError(pub(super) String);

/// `success`, `anything`, or an `NTSTATUS` in hexadecimal with `0x` or in decimal; 0 is a success.
///
/// ```
/// use poolhit::scenario::Expected;
/// assert_eq!("0xC000000D".parse(), Ok(Expected::Status(0xc000000d)));
/// assert_eq!("success".parse(), Ok(Expected::Success));
/// assert!("failure".parse::<Expected>().is_err());
/// ```
impl FromStr for Expected {
    type Err = ExpectedError;

    fn from_str(text: &str) -> Result<Expected, ExpectedError> {
        match text {
            "success" => Ok(Expected::Success),
            "anything" => Ok(Expected::Anything),
            _ => match number(text) {
                Some(0) => Ok(Expected::Success),
                Some(status) => Ok(Expected::Status(status)),
                None => Err(ExpectedError(shown(text).chars().take(40).collect())),
            },
        }
    }
}

/// A number of 32 bits, in hexadecimal with `0x` or in decimal.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Action {
    /// What is expected of it if nothing is said: anything of requests, and success of what later steps
    /// build on, such as an open handle.
    ///
    /// ```
    /// use poolhit::scenario::{Action, Expected};
    /// let open = Action::Open { path: r"\\.\My".into(), overlapped: false };
    /// assert_eq!(open.usual(), Expected::Success);
    /// assert_eq!(Action::Close.usual(), Expected::Anything);
    /// ```
    pub fn usual(&self) -> Expected {
        match self {
            Action::Close
            | Action::Ioctl { .. }
            | Action::Read { .. }
            | Action::Write { .. }
            | Action::Sleep { .. }
            | Action::Wait { .. }
            | Action::Cancel => Expected::Anything,
            Action::Open { .. }
            | Action::AddDevice
            | Action::Device(_)
            | Action::DevicePower(_)
            | Action::SystemPower(_)
            | Action::Shutdown
            | Action::Unload
            | Action::Load => Expected::Success,
        }
    }

    /// Whether it is a request to a handle, for which a device can be opened.
    pub(super) fn is_transfer(&self) -> bool {
        matches!(
            self,
            Action::Ioctl { .. } | Action::Read { .. } | Action::Write { .. }
        )
    }

    /// Whether a device or the driver may go with it, which an open handle would keep from going.
    pub(super) fn takes_away(&self) -> bool {
        matches!(self, Action::Device(_) | Action::Unload | Action::Load)
    }
}

impl Step {
    /// A step on what was opened last, with names for nothing, and of which the [usual](Action::usual) has
    /// to come.
    ///
    /// ```
    /// use poolhit::scenario::{Action, Expected, Step};
    /// assert_eq!(Step::new(Action::Close).expected, Expected::Anything);
    /// ```
    pub fn new(action: Action) -> Step {
        Step {
            expected: action.usual(),
            action,
            target: None,
            name: None,
        }
    }
}

/// A name without what a terminal would take for a command.
pub(super) fn shown(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

/// Why a path cannot be opened by any program, if that is so.
pub(super) fn path_error(path: &str) -> Option<String> {
    if path.contains('\0') {
        return Some(format!("the path `{}` has a NUL in it", shown(path)));
    }
    let units = path.encode_utf16().count();
    let text = format!("the path has {units} characters: at most {PATH_LIMIT}");
    (units > PATH_LIMIT).then_some(text)
}

/// As a report names it.
///
/// ```
/// use poolhit::scenario::{Action, Step};
/// let step = Step::new(Action::Ioctl { code: 0x83360018, input: vec![0; 4], output: 16 });
/// assert_eq!(step.to_string(), "ioctl 0x83360018 (4 bytes in, room for 16)");
/// ```
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Open { path, .. } => write!(f, "open {}", shown(path))?,
            Action::Close => f.write_str("close")?,
            Action::Ioctl {
                code,
                input,
                output,
            } => {
                let length = input.len();
                write!(
                    f,
                    "ioctl {code:#010x} ({length} bytes in, room for {output})"
                )?;
            }
            Action::Read { length, .. } => write!(f, "read of {length} bytes")?,
            Action::Write { data, .. } => write!(f, "write of {} bytes", data.len())?,
            Action::Sleep { milliseconds } => write!(f, "sleep of {milliseconds} ms")?,
            Action::Wait { .. } => f.write_str("wait")?,
            Action::Cancel => f.write_str("cancel")?,
            Action::AddDevice => f.write_str("add-device")?,
            Action::Device(DeviceAction::Start) => f.write_str("start-device")?,
            Action::Device(DeviceAction::Stop) => f.write_str("stop-device")?,
            Action::Device(DeviceAction::Remove) => f.write_str("remove-device")?,
            Action::Device(DeviceAction::SurpriseRemove) => f.write_str("surprise-remove")?,
            Action::DevicePower(state) => write!(f, "set-power D{state}")?,
            Action::SystemPower(state) => {
                let state = *state as u32 - SystemPower::Working as u32;
                write!(f, "set-power S{state}")?;
            }
            Action::Shutdown => f.write_str("shutdown")?,
            Action::Unload => f.write_str("unload")?,
            Action::Load => f.write_str("load")?,
        }
        for name in [&self.target, &self.name].into_iter().flatten() {
            write!(f, " [{}]", shown(name))?;
        }
        Ok(())
    }
}
