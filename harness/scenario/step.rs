//! What a scenario does, step by step.

use crate::guest::{REQUEST_BUFFER, REQUEST_NAME};
use std::fmt;
use std::str::FromStr;

/// The most bytes that a step puts in or asks for.
pub const BUFFER_LIMIT: usize = REQUEST_BUFFER;
/// The longest path, in UTF-16 units.
pub const PATH_LIMIT: usize = REQUEST_NAME;

/// A request of the program's, or something that it waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The name of the handle it is done to; `None` for the last one opened.
    pub handle: Option<String>,
    /// What has to come of it.
    pub expected: Expected,
}

/// What is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `CreateFileW`: the path, `\\.\Name` for a device. [`Step::handle`] names what it gives.
    Open {
        /// The path.
        path: String,
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
        /// From where in the file.
        offset: u64,
    },
    /// `WriteFile`.
    Write {
        /// What is written.
        data: Vec<u8>,
        /// Where in the file.
        offset: u64,
    },
    /// `Sleep`: timers and work items have that much time.
    Sleep {
        /// How long.
        milliseconds: u32,
    },
}

/// What has to come of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expected {
    /// Anything; the report tells of failures.
    #[default]
    Anything,
    /// Success.
    Success,
    /// A failure with this `NTSTATUS`.
    Status(u32),
}

impl Step {
    /// A step on the last handle opened, of which anything may come.
    ///
    /// ```
    /// use poolhit::scenario::{Action, Expected, Step};
    /// assert_eq!(Step::new(Action::Close).expected, Expected::Anything);
    /// ```
    pub fn new(action: Action) -> Step {
        Step {
            action,
            handle: None,
            expected: Expected::Anything,
        }
    }
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
            Action::Open { path } => write!(f, "open {path}")?,
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
        }
        match &self.handle {
            Some(name) if !matches!(self.action, Action::Sleep { .. }) => write!(f, " [{name}]"),
            _ => Ok(()),
        }
    }
}

/// Why a text is no IOCTL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IoctlError {
    /// The code is no number of 32 bits.
    #[error("`{0}` is no control code: 0x22e004, say, or 2285572")]
    Code(String),
    /// The input is not bytes in hexadecimal.
    #[error("input `{0}`: bytes are written as pairs of hexadecimal digits, 00100000 say")]
    Input(String),
    /// The room for the output is no number, or too large.
    #[error("`{0}` is no length: a decimal number of bytes, at most {BUFFER_LIMIT}")]
    Output(String),
    /// There is more behind that.
    #[error("`{0}` has too many colons: CODE, CODE:INPUT or CODE:INPUT:OUTLEN")]
    TooMany(String),
}

/// `CODE`, `CODE:INPUT` or `CODE:INPUT:OUTLEN`: the control code in hexadecimal with `0x` or in decimal,
/// what is put in as hexadecimal digits, the room for the output in bytes.
///
/// ```
/// use poolhit::scenario::{Action, Step};
/// let step: Step = "0x83360018:0010:16".parse()?;
/// let action = Action::Ioctl { code: 0x83360018, input: vec![0x00, 0x10], output: 16 };
/// assert_eq!(step.action, action);
/// assert!("0x83360018:001".parse::<Step>().is_err());
/// # Ok::<(), poolhit::scenario::IoctlError>(())
/// ```
impl FromStr for Step {
    type Err = IoctlError;

    fn from_str(text: &str) -> Result<Step, IoctlError> {
        let quoted = |part: &str| part.chars().take(40).collect::<String>();
        let mut parts = text.split(':');
        let code = parts.next().unwrap_or_default().trim();
        let code = control_code(code).ok_or_else(|| IoctlError::Code(quoted(code)))?;
        let input = parts.next().unwrap_or_default();
        let input = bytes(input).ok_or_else(|| IoctlError::Input(quoted(input)))?;
        let output = match parts.next().map(str::trim) {
            None | Some("") => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|length| *length as usize <= BUFFER_LIMIT)
                .ok_or_else(|| IoctlError::Output(quoted(text)))?,
        };
        if parts.next().is_some() {
            return Err(IoctlError::TooMany(quoted(text)));
        }
        Ok(Step::new(Action::Ioctl {
            code,
            input,
            output,
        }))
    }
}

/// A control code, in hexadecimal with `0x` or in decimal.
fn control_code(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Bytes, as pairs of hexadecimal digits, with or without space between the pairs; at most
/// [`BUFFER_LIMIT`] of them.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (pairs, rest) = word.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || bytes.len() + pairs.len() > BUFFER_LIMIT {
            return None;
        }
        for pair in pairs {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        }
    }
    Some(bytes)
}
