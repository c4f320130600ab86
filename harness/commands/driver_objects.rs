//! `!drvobj DRIVER [FLAGS]`, `!devobj DEVICE`, `!devstack DEVICE`: a driver's object; a device's; and the
//! stack of devices that one is in. A driver is named by its address or its name, to which `\Driver\` is
//! added, a device by its own, to which `\Device\` is.
//!
//! | bit of `!drvobj` | shows |
//! |---|---|
//! | 1 | its devices; so without flags |
//! | 2 | its routines |
//! | 4 | with 1, all about the devices |
//!
//! The rules are those of "!drvobj", "!devobj" and "!devstack" in the debugger's manual; the form is that of
//! its labs ("Debug Universal Drivers", "Getting Started with WinDbg (Kernel-Mode)").
//!
//! ```text
//! kd> !drvobj myfault
//! Driver object (fffffa800003d570) is for:
//!  \Driver\myfault
//!
//! Driver Extension List: (id , addr)
//!
//! Device Object list:
//! fffffa800005be30
//! ```

use super::processes::next_value;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::expression::evaluate;
use crate::report::objects::{write_device, write_device_stack, write_driver};
use std::fmt::Write;

/// Reads an object's name or address; a name comes first.
fn next_object(
    session: &Session,
    arguments: &mut Cursor<'_>,
    folder: &str,
) -> Result<Va, ExecuteError> {
    let Some(word) = arguments.next_word() else {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    };
    let path = match word.starts_with('\\') {
        true => word.to_string(),
        false => format!("{folder}{word}"),
    };
    match session.lab().find_object(&path) {
        Ok(found) => Ok(found),
        Err(error) if word.starts_with('\\') => Err(error.into()),
        Err(_) => Ok(Va(evaluate(word, session)?)),
    }
}

/// `!drvobj`.
pub(super) fn run_driver(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_object(session, arguments, r"\Driver\")?;
    let flags = next_value(session, arguments)?.unwrap_or(1);
    arguments.finish()?;
    let driver = session.lab().driver_object(at)?;
    write_driver(out, session, &driver, flags)?;
    Ok(Flow::Stay)
}

/// `!devobj`.
pub(super) fn run_device(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_object(session, arguments, r"\Device\")?;
    arguments.finish()?;
    let device = session.lab().device_object(at)?;
    write_device(out, session, &device)?;
    Ok(Flow::Stay)
}

/// `!devstack`.
pub(super) fn run_stack(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = next_object(session, arguments, r"\Device\")?;
    arguments.finish()?;
    write_device_stack(out, &session.lab().device_stack(at)?, at)?;
    Ok(Flow::Stay)
}
