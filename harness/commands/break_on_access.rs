//! `ba[NUMBER] ACCESS SIZE [OPTIONS] [ADDRESS [PASSES]] ["COMMANDS"]`: stops the guest behind an
//! instruction that uses memory (`w` for writes, `r` for reads and writes) or ports (`i`), or in front of
//! one that executes (`e`, of size 1). SIZE is 1, 2, 4 or 8, in bytes; the address is a multiple of it.
//! Options are those of `bp`.
//!
//! "ba (Break on Access)" in the debugger's manual has the rules. Processors have four such breakpoints;
//! here there is no limit but that of all breakpoints. Guest memory and the guest's debug registers do not
//! show them, and the guest runs many times slower while one is on memory or ports. That a wrong size or
//! an address that is no multiple of it is a range error is the project's own.
//!
//! ```text
//! kd> ba r4 nt!PoolHitTag; bl
//!  0 e fffff800`016530fc r 4 0001 (0001) nt!PoolHitTag
//! kd> g
//! Breakpoint 0 hit
//! nt!ExAllocatePoolWithTag+0x6c:
//! fffff800`0161014c 0f84ae97e6ff    je      nt! ?? ::FNODOBFM::`string'+0x24a34 (fffff800`01479900)
//! ```

use super::breakpoint_options::{finish, next_number, next_options, set};
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::breakpoint::{BreakpointKind, BreakpointOptions};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{Breakpoint, Session};
use crate::machine::DataAccess;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let number = next_number(arguments)?;
    let access = arguments.peek().map(|c| c.to_ascii_lowercase());
    let access = match access.filter(|c| arguments.eat(&c.to_string())) {
        Some('e') => None,
        Some('r') => Some(DataAccess::ReadWrite),
        Some('w') => Some(DataAccess::Write),
        Some('i') => Some(DataAccess::Port),
        _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
    };
    let size = match arguments.peek() {
        Some(digit @ '0'..='9') => {
            arguments.eat(&digit.to_string());
            u64::from(digit) - u64::from('0')
        }
        _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
    };
    let fits = match access {
        None => size == 1,
        Some(DataAccess::Port) => [1, 2, 4].contains(&size),
        Some(_) => [1, 2, 4, 8].contains(&size),
    };
    if !fits
        || arguments
            .rest()
            .starts_with(|c: char| !c.is_whitespace() && c != '/')
    {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let mut options = BreakpointOptions::default();
    next_options(session, arguments, &mut options, "")?;
    let address = match arguments.peek() {
        None | Some('"') => session.registers().rip,
        _ => arguments.next_expression(session)?,
    };
    if address % size != 0 || access == Some(DataAccess::Port) && address > 0xffff {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let command = finish(session, arguments, &mut options)?;
    let kind = match access {
        None => BreakpointKind::Execute { size },
        Some(access) => BreakpointKind::Data { access, size },
    };
    let breakpoint = Breakpoint {
        options,
        kind,
        ..Breakpoint::new(Va(address), &command)
    };
    set(session, breakpoint, number, out)?;
    Ok(Flow::Stay)
}
