//! `.catch { COMMANDS }`: an error of one of the commands is shown and ends these commands alone, and not the
//! whole line. `.leave` ends them, too.
//!
//! What ends an endless loop, the budget or Ctrl+C, is not caught.
//!
//! The pages ".catch" and ".leave" of the debugger's manual.
//!
//! ```text
//! kd> .catch { ? poi(0); .echo not reached }
//! Memory access error at ')'
//! kd> .catch { zz }; .echo reached
//!        ^ Syntax error in 'zz'
//! reached
//! kd> .catch { .leave; .echo not reached }
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::command_line::next_block;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let commands = next_block(arguments)?;
    arguments.finish()?;
    let scripting = &mut session.state.scripting;
    let (depth, loops) = (scripting.depth, scripting.loops);
    scripting.catches += 1;
    let flow = session.run_block(commands, out);
    let scripting = &mut session.state.scripting;
    scripting.catches -= 1;
    match flow {
        Ok(Flow::Leave) => Ok(Flow::Stay),
        Err(error) if error.is_caught() => {
            debug_assert_eq!((scripting.depth, scripting.loops), (depth, loops));
            writeln!(out, "{}", error.below_prompt(session.prompt().len()))?;
            Ok(Flow::Stay)
        }
        flow => flow,
    }
}

pub(super) fn run_leave(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if session.state.scripting.catches == 0 {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    arguments.finish()?;
    Ok(Flow::Leave)
}
