//! `!analyze [-v]`: what a bug check means, where it happened, and the driver to look at. Without one it is
//! about where the guest stands. `!analyze -show CODE [PARAMETERS…]` tells what a code means.
//!
//! The layout is that of Windows 7's debuggers: "Using the !analyze Extension" in the manual has an example
//! of each form. Lines that would have to be made up are left out: buckets, hashes, time stamps of a failure
//! database. Addresses stand without a back-tick in them. With a context record its registers come in front of the
//! bug check's code, the stack is the one there, and `STACK_COMMAND` stands behind the image's time stamp: so in
//! analyses of Windows 7 with `SYSTEM_SERVICE_EXCEPTION` ("Intel Network Adapter Diagnostic Driver DoS", `iqvw64e+3fd2`)
//! and `SYSTEM_THREAD_EXCEPTION_NOT_HANDLED` (`nm3!NetmonOidRequestComplete+53`). With a trap frame alone its registers
//! come behind the process' name, the stack is the one that the bug check was made on, with `KeBugCheckEx` at its top,
//! and `STACK_COMMAND` is `kb` and stands behind the stack: so with `DRIVER_IRQL_NOT_LESS_OR_EQUAL` (`e22w7x64+6c8f`,
//! debugger 6.12). `tests/published_analysis.rs` has what these have in common. `MachineOwner` is what debuggers say
//! who know nobody else (triage.ini). The texts are this project's own, in short, by Microsoft's "Bug Check Code
//! Reference".
//!
//! ```text
//! kd> ed nt!PoolHitTag 3261654c; g
//! Break instruction exception - code 80000003 (first chance)
//! nt! ?? ::FNODOBFM::`string'+0x24a2a:
//! fffff800`014798f6 cc              int     3
//! kd> !analyze
//! *******************************************************************************
//! *                                                                             *
//! *                        Bugcheck Analysis                                    *
//! *                                                                             *
//! *******************************************************************************
//!
//! Use !analyze -v to get detailed debugging information.
//!
//! BugCheck 0, {0, 0, 0, 0}
//!
//! Probably caused by : myfault.sys ( myfault+1634 )
//!
//! Followup: MachineOwner
//! ---------
//!
//! ```

use super::context::NOTE;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::analysis::{Analysis, StackSource};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::state::register_mask;
use crate::debugger::{Session, StackFrame};
use crate::guest::BugCheck;
use crate::report::exception;
use crate::report::location::shown_line;
use crate::report::registers::write_registers;
use crate::report::stack_columns::{StackColumns, write_rows};
use std::fmt::{self, Write};

const BANNER: &str = "\
*******************************************************************************
*                                                                             *
*                        Bugcheck Analysis                                    *
*                                                                             *
*******************************************************************************

";

/// Who is to look at it.
const OWNER: &str = "Followup: MachineOwner\n---------\n\n";

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if arguments.rest().trim_start().starts_with("-show") {
        arguments.eat("-show");
        return show(session, arguments, out);
    }
    let mut verbose = false;
    while let Some(word) = arguments.next_word() {
        match word {
            "-v" => verbose = true,
            "-f" => {}
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }
    let analysis = session.analyze();
    out.write_str(BANNER)?;
    if verbose {
        write_check(out, analysis.check.as_ref())?;
        write_details(session, &analysis, out)?;
    } else {
        write_short(session, &analysis, out)?;
    }
    Ok(Flow::Stay)
}

/// `-show`.
fn show(
    session: &Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let code = arguments.next_expression(session)?;
    let mut parameters = [0; 4];
    for parameter in &mut parameters {
        *parameter = arguments.next_expression_or(session, 0)?;
    }
    arguments.finish()?;
    let code = u32::try_from(code).map_err(|_| arguments.error(CommandErrorKind::Range))?;
    write_check(out, Some(&BugCheck { code, parameters }))?;
    Ok(Flow::Stay)
}

/// The code, what it means, and its parameters.
fn write_check(out: &mut dyn Write, check: Option<&BugCheck>) -> fmt::Result {
    let (code, parameters) = check.map_or((0, [0; 4]), |one| (one.code, one.parameters));
    let meaning = check.and_then(BugCheck::meaning);
    let name = check.and_then(BugCheck::name);
    match name {
        Some(name) => writeln!(out, "{name} ({code:x})")?,
        None => writeln!(out, "Unknown bugcheck code ({code:x})")?,
    }
    let text = meaning.map_or("Unknown bugcheck description", |one| one.text);
    writeln!(out, "{text}\nArguments:")?;
    for (number, value) in parameters.into_iter().enumerate() {
        write!(out, "Arg{}: {value:016x}", number + 1)?;
        match meaning.map_or("", |one| one.parameters[number]) {
            "" => writeln!(out)?,
            text => writeln!(out, ", {text}")?,
        }
    }
    writeln!(out)
}

/// Without `-v`: one line for what, one for who.
fn write_short(session: &Session, analysis: &Analysis, out: &mut dyn Write) -> fmt::Result {
    writeln!(
        out,
        "Use !analyze -v to get detailed debugging information.\n"
    )?;
    let check = analysis.check;
    let (code, parameters) = check.map_or((0, [0; 4]), |one| (one.code, one.parameters));
    let [one, two, three, four] = parameters;
    writeln!(
        out,
        "BugCheck {code:X}, {{{one:x}, {two:x}, {three:x}, {four:x}}}\n"
    )?;
    if let Some(frame) = culprit(analysis) {
        let image = image_name(session, frame);
        writeln!(out, "Probably caused by : {image} ( {} )\n", near(frame))?;
        out.write_str(OWNER)?;
    }
    Ok(())
}

fn write_details(
    session: &mut Session,
    analysis: &Analysis,
    out: &mut dyn Write,
) -> Result<(), ExecuteError> {
    writeln!(out, "Debugging Details:\n------------------\n\n")?;
    if let Some(check) = &analysis.check {
        write_parameters(out, check)?;
        if let Some(fault) = analysis.fault {
            write_place(session, out, "FAULTING_IP", fault)?;
        }
        if let Some(at) = analysis.exception {
            writeln!(
                out,
                "EXCEPTION_RECORD:  {:016x} -- (.exr {:#x})\n",
                at.0, at.0
            )?;
        }
    }
    if let StackSource::Context(at) = analysis.source {
        writeln!(out, "CONTEXT:  {:016x} -- (.cxr {:#x})", at.0, at.0)?;
        write_source(session, analysis, out)?;
    }
    if let Some(check) = &analysis.check {
        writeln!(out, "BUGCHECK_STR:  {:#X}\n", check.code)?;
    }
    if let Some(process) = &analysis.process {
        writeln!(out, "PROCESS_NAME:  {process}\n")?;
    }
    if let StackSource::TrapFrame(at) = analysis.source {
        writeln!(out, "TRAP_FRAME:  {:016x} -- (.trap {:#x})", at.0, at.0)?;
        out.write_str(NOTE)?;
        write_source(session, analysis, out)?;
    }
    if let Some(top) = analysis.stack.first() {
        let (from, to) = (top.site.return_address, top.site.address);
        writeln!(
            out,
            "LAST_CONTROL_TRANSFER:  from {:016x} to {:016x}\n",
            from.0, to.0
        )?;
    }
    writeln!(out, "STACK_TEXT:  ")?;
    let columns = StackColumns {
        home: true,
        ..StackColumns::default()
    };
    write_rows(out, &analysis.stack, &columns)?;
    writeln!(out, "\n")?;
    let with_context = match analysis.source {
        StackSource::Context(at) => Some(format!("STACK_COMMAND:  .cxr {:#x} ; kb\n", at.0)),
        _ => {
            writeln!(out, "STACK_COMMAND:  kb\n")?;
            None
        }
    };
    let Some(frame) = culprit(analysis) else {
        return Ok(());
    };
    write_place(session, out, "FOLLOWUP_IP", frame.site.address)?;
    let number = analysis.culprit.unwrap_or_default();
    writeln!(out, "SYMBOL_STACK_INDEX:  {number:x}\n")?;
    writeln!(out, "SYMBOL_NAME:  {}\n", near(frame))?;
    writeln!(out, "FOLLOWUP_NAME:  MachineOwner\n")?;
    let module = frame.site.module.as_deref().unwrap_or("Unknown_Module");
    writeln!(out, "MODULE_NAME: {module}\n")?;
    writeln!(out, "IMAGE_NAME:  {}\n", image_name(session, frame))?;
    let module = session.modules().containing(frame.site.address);
    let stamp = module.and_then(|module| Some(module.image()?.timestamp()));
    if let Some(stamp) = stamp {
        writeln!(out, "DEBUG_FLR_IMAGE_TIMESTAMP:  {stamp:x}\n")?;
    }
    if let Some(command) = with_context {
        writeln!(out, "{command}")?;
    }
    out.write_str(OWNER)?;
    Ok(())
}

/// The registers that a trap frame or a context record has.
fn write_source(
    session: &mut Session,
    analysis: &Analysis,
    out: &mut dyn Write,
) -> Result<(), ExecuteError> {
    let (segments, mask) = match analysis.source {
        StackSource::Context(at) => (session.context_segments(at), register_mask::DEFAULT),
        _ => (None, register_mask::INTEGER),
    };
    let context = session.control.context.replace(analysis.registers.clone());
    let kept = std::mem::replace(&mut session.control.segments, segments);
    let written = write_registers(out, session, mask);
    session.control.context = context;
    session.control.segments = kept;
    written?;
    writeln!(out, "Resetting default scope\n")?;
    Ok(())
}

/// What some bug checks' parameters are, under the names that analyses give them.
fn write_parameters(out: &mut dyn Write, check: &BugCheck) -> fmt::Result {
    let [one, two, three, _] = check.parameters;
    let accessed = |access: u64| match access {
        0 => "READ_ADDRESS",
        1 => "WRITE_ADDRESS",
        _ => "EXECUTE_ADDRESS",
    };
    match check.code {
        0x0a | 0xd1 => {
            writeln!(out, "{}:  {one:016x} \n", accessed(three))?;
            writeln!(out, "CURRENT_IRQL:  {two:x}\n")
        }
        0x50 => writeln!(out, "{}:  {one:016x} \n", accessed(two)),
        0x1e | 0x3b | 0x7e => {
            let code = one as u32;
            write!(out, "EXCEPTION_CODE: (NTSTATUS) {code:#x}")?;
            match status_text(code) {
                Some(name) => writeln!(out, " - {name}\n"),
                None => writeln!(out, "\n"),
            }
        }
        _ => Ok(()),
    }
}

/// What analyses say of an exception's code: the system's message for it, with what would be put in; of two codes
/// these are known by published analyses.
fn status_text(code: u32) -> Option<&'static str> {
    match code {
        0xc000_0005 => Some(
            "The instruction at 0x%08lx referenced memory at 0x%08lx. The memory could not be %s.",
        ),
        0xc000_0094 => Some("{EXCEPTION}  Integer division by zero."),
        _ => exception::name(code),
    }
}

/// A place, and the instruction there.
fn write_place(session: &Session, out: &mut dyn Write, name: &str, at: Va) -> fmt::Result {
    writeln!(out, "{name}: ")?;
    if let Some(near) = session.modules().nearest(at) {
        let near = without_prefix(&near.to_string());
        match shown_line(session, at) {
            Some(line) => writeln!(out, "{near} [{line}]")?,
            None => writeln!(out, "{near}")?,
        }
    }
    writeln!(out, "{}\n", session.instruction(at))
}

fn culprit(analysis: &Analysis) -> Option<&StackFrame> {
    analysis.stack.get(analysis.culprit?)
}

fn near(frame: &StackFrame) -> String {
    without_prefix(&frame.site.to_string())
}

/// Analyses write offsets without `0x`.
fn without_prefix(place: &str) -> String {
    place.replace("+0x", "+")
}

/// The image's file, as the guest's list of modules names it.
fn image_name(session: &Session, frame: &StackFrame) -> String {
    let module = session.modules().containing(frame.site.address);
    module.map_or("Unknown_Image".to_string(), |one| {
        one.image_name().to_string()
    })
}
