//! The log file of a session: a copy of what is typed and printed (`.logopen`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An open log file.
#[derive(Debug)]
struct OpenLog {
    path: PathBuf,
    file: File,
    /// In UTF-16 instead of UTF-8.
    wide: bool,
    /// Why the last text could not be written.
    failed: Option<io::Error>,
}

/// The log file, if one is open. Copies of it are the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Option<OpenLog>>>);

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OpenLog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether a file can be written, as [`open`](Log::open) will do it. What is in it stays; one that
    /// is not there is made.
    ///
    /// # Errors
    /// As for [`open`](Log::open).
    pub fn check(path: &Path) -> io::Result<()> {
        if path.exists() && !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file"));
        }
        OpenOptions::new().create(true).append(true).open(path)?;
        Ok(())
    }

    /// Opens a file for it, in place of one that is open.
    ///
    /// # Errors
    /// The file cannot be opened, or is none: a pipe, or a device.
    pub fn open(&self, path: &Path, appends: bool, wide: bool) -> io::Result<()> {
        if path.exists() && !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file"));
        }
        let mut options = OpenOptions::new();
        options.create(true);
        match appends {
            true => options.append(true),
            false => options.write(true).truncate(true),
        };
        let mut file = options.open(path)?;
        if wide && file.metadata()?.len() == 0 {
            file.write_all(&[0xff, 0xfe])?;
        }
        *self.lock() = Some(OpenLog {
            path: path.to_path_buf(),
            file,
            wide,
            failed: None,
        });
        Ok(())
    }

    /// Closes the file, and gives its path if one was open.
    pub fn close(&self) -> Option<PathBuf> {
        self.lock().take().map(|log| log.path)
    }

    /// The open file's path.
    pub fn path(&self) -> Option<PathBuf> {
        self.lock().as_ref().map(|log| log.path.clone())
    }

    /// Writes text to the file, if one is open. If it cannot be written, the file is written no more.
    pub fn write(&self, text: &str) {
        let mut log = self.lock();
        let Some(log) = log.as_mut().filter(|log| log.failed.is_none()) else {
            return;
        };
        let written = match log.wide {
            true => {
                let units = text.encode_utf16().flat_map(u16::to_le_bytes);
                log.file.write_all(&units.collect::<Vec<u8>>())
            }
            false => log.file.write_all(text.as_bytes()),
        };
        log.failed = written.err();
    }

    /// Why the file could not be written, if it could not; it is closed then.
    pub fn take_failure(&self) -> Option<(PathBuf, io::Error)> {
        let mut log = self.lock();
        let failed = log.as_mut()?.failed.take()?;
        let path = log.take()?.path;
        Some((path, failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_written_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = Log::default();
        log.write("nobody reads this");
        assert_eq!(log.path(), None);
        log.open(&path, false, false).unwrap();
        log.write("one\n");
        assert_eq!(log.path(), Some(path.clone()));
        assert_eq!(log.close(), Some(path.clone()));
        log.open(&path, true, false).unwrap();
        log.write("two\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        log.open(&path, false, true).unwrap();
        log.write("é");
        assert_eq!(std::fs::read(&path).unwrap(), [0xff, 0xfe, 0xe9, 0]);
        assert!(log.open(folder.path(), false, false).is_err());
        assert!(Log::check(folder.path()).is_err());
        Log::check(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0xff, 0xfe, 0xe9, 0]);
    }
}
