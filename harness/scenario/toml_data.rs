//! Bytes of a scenario's steps, written in one of four ways, and the files that have them.

use super::file::ScenarioError;
use super::ioctl::bytes;
use super::step::BUFFER_LIMIT;
use super::toml_step::{StepError, wrong};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Reads a file of so many bytes at most.
pub(super) fn limited(path: &Path, limit: u64) -> Result<Vec<u8>, ScenarioError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let text = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    };
    read().map_err(|source| ScenarioError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Bytes, written in one of four ways.
pub(super) struct Data {
    pub name: &'static str,
    pub hex: Option<String>,
    pub text: Option<String>,
    pub utf16: Option<String>,
    pub file: Option<PathBuf>,
}

impl Data {
    pub fn is_given(&self) -> bool {
        self.hex.is_some() || self.text.is_some() || self.utf16.is_some() || self.file.is_some()
    }

    pub fn bytes(self, folder: &Path) -> Result<Vec<u8>, StepError> {
        let name = self.name;
        let bytes = match (self.hex, self.text, self.utf16, self.file) {
            (None, None, None, None) => Vec::new(),
            (Some(hex), None, None, None) => match bytes(&hex) {
                Some(bytes) => bytes,
                None => {
                    return wrong(format!(
                        "{name}: pairs of hexadecimal digits, at most {BUFFER_LIMIT}; {name}-text \
                         is text"
                    ));
                }
            },
            (None, Some(text), None, None) => text.into_bytes(),
            (None, None, Some(text), None) => {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            (None, None, None, Some(file)) => {
                let path = folder.join(file);
                limited(&path, BUFFER_LIMIT as u64).map_err(StepError::Read)?
            }
            _ => return wrong(format!("{name} is given in more than one way")),
        };
        match bytes.len() <= BUFFER_LIMIT {
            true => Ok(bytes),
            false => wrong(format!("{name}: at most {BUFFER_LIMIT} bytes")),
        }
    }
}
