//! `sx`: what the debugger does about exceptions, and about modules that come and go.
//! `sxe`, `sxd`, `sxn`, `sxi [-c "COMMANDS"] [-c2 "COMMANDS"] [-h] EVENT` change it: the guest stops, stops
//! if nobody has handled the exception, goes on behind a message, or goes on. `sx- …` changes the commands
//! alone, `sxr` makes everything as it was at first.
//!
//! | EVENT | |
//! |---|---|
//! | `av`, `dz`, `ii`, `bpe`, … | an exception, by the name that `sx` shows |
//! | a number | an exception's code |
//! | `*` | all exceptions that have no filter of their own |
//! | `ld[:NAME]`, `ud[:NAME]` | a module that is loaded, or is about to be unloaded; with wildcards |
//!
//! `-c` gives commands for the event, `-c2` for an exception's second chance. `-h` says with `sxe` that the
//! exception is taken for handled when the guest goes on, with the others that it is not.
//!
//! At an exception's first chance registers, stacks and expressions are those of where it has come, `gh`
//! goes on there, `g` with the search for a handler. A filter that nobody has set looks for nothing: a
//! kernel without FLG_STOP_ON_EXCEPTION tells of no first chance in kernel mode. Second chances are seen
//! in front of KMODE_EXCEPTION_NOT_HANDLED; other bug checks come without. What only debuggers of programs
//! see (threads, processes, `ser`, `out`, CLR, …) has no filter here.
//!
//! "sx, sxd, sxe, sxi, sxn, sxr, sx- (Set Exceptions)" and "Controlling Exceptions and Events" in the
//! debugger's manual have the rules, the form of the list and of its commands; `(only break for …)` and
//! `sx state reset to defaults` are in published lists (houcy, "awesome-WinDbg"). For a number's row none
//! was found.
//!
//! ```text
//! kd> sx
//!   ld - Load module - output
//!   ud - Unload module - ignore
//!
//!   av - Access violation - break - not handled
//! asrt - Assertion failure - break - not handled
//!  bpe - Break instruction exception - break
//! bpec - Break instruction exception continue - handled
//!   eh - C++ EH exception - second-chance break - not handled
//!  cce - Control-Break exception - break
//!   cc - Control-Break exception continue - handled
//!  cce - Control-C exception - break
//!   cc - Control-C exception continue - handled
//!   dm - Data misaligned - break - not handled
//! dbce - Debugger command exception - ignore - handled
//!   gp - Guard page violation - break - not handled
//!   ii - Illegal instruction - second-chance break - not handled
//!   ip - In-page I/O error - break - not handled
//!   dz - Integer divide-by-zero - break - not handled
//!  iov - Integer overflow - break - not handled
//!   ch - Invalid handle - break
//!   hc - Invalid handle continue - not handled
//!  lsq - Invalid lock sequence - break - not handled
//!  isc - Invalid system call - break - not handled
//!   3c - Port disconnected - second-chance break - not handled
//!  sse - Single step exception - break
//! ssec - Single step exception continue - handled
//!  sbo - Security check failure or stack buffer overrun - break - not handled
//!  sov - Stack overflow - break - not handled
//!   vs - Verifier stop - break - not handled
//! vcpp - Visual C++ exception - ignore - handled
//!  wkd - Wake debugger - break - not handled
//!  wob - WOW64 breakpoint - break - handled
//!  wos - WOW64 single step exception - break - handled
//!
//!    * - Other exception - second-chance break - not handled
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::event_filter::{BreakStatus, EventFilter, EventFilters, Filtered};
use std::fmt::{self, Write};

pub(super) const BREAK: u8 = 0;
pub(super) const SECOND_CHANCE: u8 = 1;
pub(super) const OUTPUT: u8 = 2;
pub(super) const IGNORE: u8 = 3;
const COMMANDS_ALONE: u8 = 4;

/// `sx`, `sx-`.
pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if arguments.rest().starts_with('-') {
        arguments.eat("-");
        return set::<COMMANDS_ALONE>(session, arguments, out);
    }
    arguments.finish()?;
    let mut modules = true;
    for filter in session.control.filters.iter() {
        let exceptions = matches!(
            filter.filtered,
            Filtered::Exception(_) | Filtered::OtherExceptions
        );
        if modules && exceptions || filter.filtered == Filtered::OtherExceptions {
            writeln!(out)?;
        }
        modules = !exceptions;
        write_filter(out, filter)?;
    }
    Ok(Flow::Stay)
}

fn write_filter(out: &mut dyn Write, filter: &EventFilter) -> fmt::Result {
    let handled = match filter.handled {
        true => "handled",
        false => "not handled",
    };
    let (text, status) = (filter.text, filter.status.word());
    match &filter.filtered {
        Filtered::ModuleLoad(_) | Filtered::ModuleUnload(_) => {
            writeln!(out, "{:>4} - {text} - {status}", filter.name)?;
        }
        Filtered::Exception(code) if filter.name.is_empty() => {
            writeln!(out, "{code:08x} - {text} - {status} - {handled}")?;
        }
        _ if filter.handling_name.is_empty() => {
            writeln!(out, "{:>4} - {text} - {status} - {handled}", filter.name)?;
        }
        _ => {
            writeln!(out, "{:>4} - {text} - {status}", filter.name)?;
            writeln!(
                out,
                "{:>4} - {text} continue - {handled}",
                filter.handling_name
            )?;
        }
    }
    if let Filtered::ModuleLoad(Some(name)) | Filtered::ModuleUnload(Some(name)) = &filter.filtered
    {
        writeln!(out, "       (only break for {name})")?;
    }
    if !filter.command.is_empty() {
        writeln!(out, "       Command: \"{}\"", filter.command)?;
    }
    if !filter.second_command.is_empty() {
        writeln!(out, "       Second command: \"{}\"", filter.second_command)?;
    }
    Ok(())
}

/// `sxr`.
pub(super) fn reset(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    session.control.filters = EventFilters::default();
    writeln!(out, "sx state reset to defaults")?;
    Ok(Flow::Stay)
}

/// The manual's other filters ("Controlling Exceptions and Events"), of which nothing comes here.
const ABSENT: [&str; 9] = ["ct", "et", "cpr", "epr", "out", "ser", "ibp", "iml", "asrt"];
const ABSENT_TEXT: &str =
    "This filter is not here, since no such event comes: sx lists those that are.";

/// What is to be changed of a filter.
struct Change {
    status: Option<BreakStatus>,
    handling: bool,
    command: Option<String>,
    second_command: Option<String>,
}

impl Change {
    fn make(&self, filter: &mut EventFilter, by_handling_name: bool) {
        match self.status {
            Some(status) if self.handling || by_handling_name => {
                filter.handled = status == BreakStatus::Break;
            }
            Some(status) => filter.status = status,
            None => {}
        }
        if let Some(command) = &self.command {
            filter.command.clone_from(command);
        }
        if let Some(command) = &self.second_command {
            filter.second_command.clone_from(command);
        }
    }
}

/// `sxe`, `sxd`, `sxn`, `sxi`, `sx-`.
pub(super) fn set<const STATUS: u8>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut change = Change {
        status: match STATUS {
            BREAK => Some(BreakStatus::Break),
            SECOND_CHANCE => Some(BreakStatus::SecondChance),
            OUTPUT => Some(BreakStatus::Output),
            IGNORE => Some(BreakStatus::Ignore),
            _ => None,
        },
        handling: false,
        command: None,
        second_command: None,
    };
    while arguments.peek() == Some('-') {
        let rest = arguments.rest();
        if rest.starts_with("-c2") {
            arguments.eat("-c2");
            change.second_command = Some(next_command(arguments)?);
        } else if rest.starts_with("-c") {
            arguments.eat("-c");
            change.command = Some(next_command(arguments)?);
        } else if rest.starts_with("-h") {
            arguments.eat("-h");
            change.handling = true;
        } else {
            arguments.eat("-");
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
    }
    let mut ahead = arguments.clone();
    let Some(word) = ahead.next_word() else {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    };
    let (name, of) = word
        .split_once(':')
        .map_or((word, None), |(name, of)| (name, Some(of)));
    let module = ["ld", "ud"]
        .iter()
        .any(|one| one.eq_ignore_ascii_case(name));
    if of.is_some() && !module {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let of = of.filter(|of| !of.is_empty());
    let of = if module {
        of.or_else(|| ahead.next_word())
    } else {
        of
    };
    let filters = &session.control.filters;
    if filters.iter().any(|one| is_named(one, name)) {
        ahead.finish()?;
        for filter in session.control.filters.named(name) {
            let by_handling = filter.handling_name.eq_ignore_ascii_case(name);
            change.make(filter, by_handling);
            if let Filtered::ModuleLoad(pattern) | Filtered::ModuleUnload(pattern) =
                &mut filter.filtered
            {
                *pattern = of.map(str::to_string);
            }
        }
        return Ok(Flow::Stay);
    }
    if ABSENT.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        return Err(ExecuteError::Absent(ABSENT_TEXT));
    }
    let code = arguments.next_expression(session)?;
    arguments.finish()?;
    let code = u32::try_from(code).map_err(|_| arguments.error(CommandErrorKind::Range))?;
    let filter = session.control.filters.numbered(code);
    change.make(filter.ok_or(ExecuteError::TooManyFilters)?, false);
    Ok(Flow::Stay)
}

fn is_named(filter: &EventFilter, name: &str) -> bool {
    let is = |known: &str| !known.is_empty() && known.eq_ignore_ascii_case(name);
    is(filter.name) || is(filter.handling_name)
}

fn next_command(arguments: &mut Cursor<'_>) -> Result<String, ExecuteError> {
    match arguments.next_quoted()? {
        Some(command) => Ok(command),
        None => Err(arguments.error(CommandErrorKind::Syntax).into()),
    }
}
