//! `.writemem FILE RANGE`: memory, written to a file; `.readmem FILE RANGE`: memory, read from a file that has at least
//! so many bytes. At most 256 MiB, with `L?`, too: how much memory there is, the guest says.
//!
//! ".writemem (Write Memory to File)" and ".readmem (Read Memory from File)" in the debugger's manual; the lines are those
//! of published sessions: "Writing f000 bytes" with a point for each 2 KiB, and "Unable to read memory at …, file is
//! incomplete". For a file that is too short no source was found. Files may be refused, as with `.logopen`.
//!
//! ```text
//! kd> .writemem /dev/null nt!PoolHitTag l4
//! Writing 4 bytes.
//! ```

use super::fill::next_bytes;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::elements::Space;
use crate::debugger::range::AddressRange;
use crate::memory::ReadMemory;
use std::fmt::Write;
use std::fs::{File, FileType};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

/// Where what is written is left; the one device that may be a file here.
const NULL: &str = "/dev/null";
/// Bytes that are read or written at once, and for which a point is shown.
const BLOCK: u64 = 0x800;

fn next_arguments(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<(PathBuf, AddressRange), ExecuteError> {
    let name = match arguments.next_quoted()? {
        Some(name) => name,
        None => arguments.next_word().unwrap_or_default().to_string(),
    };
    if name.is_empty() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let range = next_bytes(session, arguments)?;
    arguments.finish()?;
    session.check_files()?;
    let path = PathBuf::from(name);
    // A pipe would be waited for as it is opened.
    let is_pipe = |kind: FileType| !kind.is_file() && !kind.is_dir() && path != Path::new(NULL);
    if path.metadata().is_ok_and(|data| is_pipe(data.file_type())) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no file");
        return Err(ExecuteError::Read { path, source });
    }
    Ok((path, range))
}

/// The range in blocks: where each begins, and its bytes.
fn blocks(range: AddressRange) -> impl Iterator<Item = AddressRange> {
    let count = range.bytes.div_ceil(BLOCK);
    (0..count).map(move |number| AddressRange {
        start: range.start.wrapping_add(number * BLOCK),
        bytes: BLOCK.min(range.bytes - number * BLOCK),
    })
}

/// `.writemem`.
pub(super) fn run_write(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (path, range) = next_arguments(session, arguments)?;
    let failed = |source: io::Error| ExecuteError::Write {
        path: path.clone(),
        source,
    };
    // Without any memory there is nothing to make a file of.
    if session.lab().machine().read_u8(range.start).is_err() {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    }
    let mut file = File::create(&path).map_err(failed)?;
    write!(out, "Writing {:x} bytes", range.bytes)?;
    let mut buffer = [0; BLOCK as usize];
    for block in blocks(range) {
        let wanted = &mut buffer[..block.bytes as usize];
        let length = session.lab().machine().read_partial(block.start, wanted);
        file.write_all(&wanted[..length]).map_err(failed)?;
        if length < wanted.len() {
            let at = block.start.wrapping_add(length as u64);
            writeln!(out, "\n\nUnable to read memory at {at}, file is incomplete")?;
            return Ok(Flow::Stay);
        }
        out.write_char('.')?;
    }
    writeln!(out)?;
    Ok(Flow::Stay)
}

/// `.readmem`.
pub(super) fn run_read(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (path, range) = next_arguments(session, arguments)?;
    let failed = |source: io::Error| ExecuteError::Read {
        path: path.clone(),
        source,
    };
    let mut file = File::open(&path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size < range.bytes {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    if !session.is_there(Space::Virtual, range) {
        return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
    }
    write!(out, "Reading {:x} bytes", range.bytes)?;
    let mut buffer = [0; BLOCK as usize];
    for block in blocks(range) {
        let bytes = &mut buffer[..block.bytes as usize];
        file.read_exact(bytes).map_err(failed)?;
        if session.write(block.start, bytes).is_err() {
            writeln!(out)?;
            return Err(arguments.error(CommandErrorKind::MemoryAccess).into());
        }
        out.write_char('.')?;
    }
    writeln!(out)?;
    Ok(Flow::Stay)
}
