//! `dv [OPTIONS] [PATTERN]`: the parameters and local variables of the frame that `.frame` has chosen, with their
//! values.
//!
//! | option | effect |
//! |---|---|
//! | `/i` | whether each is a parameter or a local variable |
//! | `/t` | their types |
//! | `/v` | where they are: an address, or a register |
//! | `/V` | and also how far from which register the address is |
//! | `/a`, `/n`, `/z` | in the order of their addresses, names or sizes |
//!
//! Options may be combined, with either sign: `dv /itv`, `dv -t -v`. Only what is in scope at the instruction is shown,
//! and nothing of functions that were inlined. Optimised code keeps its variables in registers, and only
//! for a while: `<value unavailable>` is one that is nowhere here, or in a register that the function called from
//! here has not kept.
//!
//! In expressions the name of a variable in memory is its address: `poi(Irp)`. It goes before a
//! symbol of that name.
//!
//! "dv (Display Local Variables)" in the debugger's manual has the rules; the columns are those of sessions that
//! users published; with `/V` what is in a register has it in both. `/f` is not there. What WinDbg adds for other kernel structures than drivers, devices and strings is not
//! shown.
//!
//! ```text
//! kd> bp nt!NtClose; g
//! Breakpoint 0 hit
//! nt!NtClose:
//! fffff800`01625910 56              push    rsi
//! kd> dv /i /t /v
//! prv param  @rcx              void * Handle = 0x00000000`00000004
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::locals::{FrameVariable, VariableLocation};
use crate::report::variable_row::{NAME_WIDTH, VariableRow, write_variable};
use crate::report::variables::value_text;
use crate::symbols::wildcard::matches;
use std::fmt::Write;

const LETTERS: &str = "itvVanz";

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let mut options = String::new();
    while let Some('/' | '-') = arguments.peek() {
        let word = arguments.next_word().unwrap_or_default();
        let letters = &word[1..];
        if letters.is_empty() || !letters.chars().all(|c| LETTERS.contains(c)) {
            return Err(arguments.error(CommandErrorKind::Syntax).into());
        }
        options.push_str(letters);
    }
    let pattern = arguments.next_word();
    arguments.finish()?;
    let session = &*session;
    let frame = session.chosen_frame();
    let variables = frame.and_then(|frame| session.frame_variables(&frame));
    let Some(mut variables) = variables else {
        writeln!(out, "Unable to enumerate locals, HRESULT 0x80004005")?;
        writeln!(
            out,
            "Private symbols (symbols.pri) are required for locals."
        )?;
        writeln!(out, "Type \".hh dbgerr005\" for details.")?;
        return Ok(Flow::Stay);
    };
    variables.retain(|one| pattern.is_none_or(|pattern| matches(pattern, &one.name)));
    for letter in options.chars() {
        match letter {
            'a' => variables.sort_by_key(address),
            'n' => variables.sort_by_key(|one| one.name.to_ascii_lowercase()),
            'z' => variables.sort_by_key(|one| one.ty.size().unwrap_or(0)),
            _ => {}
        }
    }
    let longest = variables.iter().map(|one| one.name.chars().count()).max();
    let width = longest.unwrap_or(0).max(NAME_WIDTH);
    let has = |letters: &[char]| options.contains(letters);
    for one in &variables {
        let row = VariableRow {
            parameter: has(&['i']).then_some(one.is_parameter),
            place: has(&['v', 'V']).then(|| place(one)),
            relative: has(&['V']).then(|| relative(one)),
            type_name: has(&['t']).then(|| one.ty.declared_name()),
            name: &one.name,
            value: value_text(session, one),
        };
        write_variable(out, &row, width)?;
    }
    Ok(Flow::Stay)
}

/// What it is sorted by: its address, behind all those that have none.
fn address(one: &FrameVariable<'_>) -> Option<u64> {
    match one.location? {
        VariableLocation::Memory { address, .. } => Some(address.0),
        VariableLocation::Register { .. } => None,
    }
}

/// The column of addresses.
fn place(one: &FrameVariable<'_>) -> String {
    match &one.location {
        Some(VariableLocation::Memory { address, .. }) => address.to_string(),
        Some(register) => format!("@{}", register.register_name()),
        None => "<unavailable>".to_owned(),
    }
}

/// The column of registers.
fn relative(one: &FrameVariable<'_>) -> String {
    match &one.location {
        Some(place @ VariableLocation::Memory { offset, .. }) => {
            let sign = if *offset < 0 { '-' } else { '+' };
            format!(
                "@{}{sign}{:#06x}",
                place.register_name(),
                offset.unsigned_abs()
            )
        }
        Some(register) => format!("@{}", register.register_name()),
        None => String::new(),
    }
}
