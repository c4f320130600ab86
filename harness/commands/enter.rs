//! `eb ADDRESS VALUE…` and `ed ADDRESS VALUE…`: write bytes or doublewords to memory.
//!
//! Code written runs as written at once: `eb ADDRESS 90` makes an `int 3` a `nop`.

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::memory::ReadMemory;
use std::fmt::Write;

/// Writes values of `SIZE` bytes. All of them are read, and all of their places are looked at,
/// before the first is written: a line that fails changes nothing.
pub(super) fn run<const SIZE: usize>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    let mut bytes = Vec::new();
    loop {
        // Without any value WinDbg asks for them one by one; here that is an error.
        let value = arguments.next_expression(session)?;
        bytes.extend_from_slice(&value.to_le_bytes()[..SIZE]);
        if arguments.at_end() {
            break;
        }
    }
    let mut before = vec![0; bytes.len()];
    let machine = session.lab().machine();
    machine
        .read(address, &mut before)
        .and_then(|()| session.write(address, &bytes))
        .map_err(|_| arguments.error(CommandErrorKind::MemoryAccess))?;
    Ok(Flow::Stay)
}
