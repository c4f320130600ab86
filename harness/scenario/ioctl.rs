//! IOCTLs as text: `CODE:INPUT:OUTLEN=EXPECTED`.

use super::step::{Action, BUFFER_LIMIT, Expected, ExpectedError, Step, number};
use std::str::FromStr;

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
    /// What is to come of it is nothing that can.
    #[error(transparent)]
    Expected(#[from] ExpectedError),
}

/// `CODE`, `CODE:INPUT` or `CODE:INPUT:OUTLEN`: the control code in hexadecimal with `0x` or in decimal,
/// what is put in as hexadecimal digits, the room for the output in bytes. Behind each, `=` and what has
/// to come of it: `success`, `anything` or an `NTSTATUS`.
///
/// ```
/// use poolhit::scenario::{Action, Expected, Step};
/// let step: Step = "0x83360018:0010:16".parse()?;
/// let action = Action::Ioctl { code: 0x83360018, input: vec![0x00, 0x10], output: 16 };
/// assert_eq!(step.action, action);
/// let refused: Step = "0x83360018=0xC000000D".parse()?;
/// assert_eq!(refused.expected, Expected::Status(0xc000000d));
/// assert!("0x83360018:001".parse::<Step>().is_err());
/// # Ok::<(), poolhit::scenario::IoctlError>(())
/// ```
impl FromStr for Step {
    type Err = IoctlError;

    fn from_str(text: &str) -> Result<Step, IoctlError> {
        let quoted = |part: &str| part.chars().take(40).collect::<String>();
        let (text, expected) = match text.split_once('=') {
            None => (text, None),
            Some((text, expected)) => (text, Some(expected.trim().parse::<Expected>()?)),
        };
        let mut parts = text.split(':');
        let code = parts.next().unwrap_or_default().trim();
        let code = number(code).ok_or_else(|| IoctlError::Code(quoted(code)))?;
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
        let mut step = Step::new(Action::Ioctl {
            code,
            input,
            output,
        });
        step.expected = expected.unwrap_or(step.expected);
        Ok(step)
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
