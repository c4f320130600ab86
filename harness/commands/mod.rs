//! The debugger's commands, one file each, and how a line of them is executed.
//!
//! A command parses its arguments, does its work on a [`Session`], and writes text. What it shows
//! is also to be had as values from [`Session`]'s methods.

mod absent;
mod aliases;
mod analyze;
mod break_on_access;
mod breakpoint_numbers;
mod breakpoint_options;
mod bug_check;
mod catch;
mod change_breakpoints;
mod compare;
mod condition;
mod context;
mod display;
mod display_list;
mod display_local;
mod display_number;
mod display_pointers;
mod display_string;
mod display_type;
mod display_type_options;
mod driver_objects;
mod echo;
mod effective_machine;
mod enter;
mod environment;
mod error;
mod error_code;
mod evaluate;
mod event_filters;
mod examine;
mod exception_record;
mod executor;
mod fill;
mod for_each;
mod for_each_module;
mod formats;
mod frame;
mod go;
mod go_up;
mod going_on;
mod handles;
mod help;
mod image_headers;
mod implicit;
mod interrupts;
mod kernel_object;
mod kernel_objects;
mod last_event;
mod lines;
mod list;
mod list_breakpoints;
mod list_modules;
mod local_variables;
mod log_file;
mod loops;
mod memory_files;
mod model_specific;
mod move_memory;
mod nearest;
mod page_table;
pub mod pages;
mod passing;
mod physical;
mod pool;
mod pool_find;
mod pool_used;
mod pool_validate;
mod print_formatted;
mod processes;
mod processors;
mod programs;
mod quit;
mod radix;
mod register_mask;
mod registers;
mod renumber_breakpoints;
mod request_packet;
mod running;
mod script_file;
pub mod search;
mod set_breakpoint;
mod set_stack_length;
mod stack;
mod step;
mod symbol_files;
mod threads;
mod time;
mod unassemble;
mod unassemble_function;
mod version;

/// The pages of all commands.
///
// Only for documentation: otherwise each change of the file would have everything compiled again.
#[cfg_attr(doc, doc = include_str!("../../docs/commands.md"))]
pub mod reference {}

pub use absent::absent_command;
pub use error::ExecuteError;

use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{STOP_WORK, Session};
use std::fmt::Write;

/// What is to happen after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// The next command.
    Stay,
    /// The guest goes on.
    Go,
    /// The session ends.
    Quit,
    /// The commands of the block are executed once more (`z`).
    Again,
    /// The loop around the command ends (`.break`).
    Break,
    /// The loop around the command goes on with its next turn (`.continue`).
    Continue,
    /// The `.catch` around the command ends (`.leave`).
    Leave,
}

/// A command's code.
type Run = fn(&mut Session, &mut Cursor<'_>, &mut dyn Write) -> Result<Flow, ExecuteError>;

/// The commands by name. Names are compared without case, as WinDbg does, but for those that differ in
/// nothing else.
static COMMANDS: [(&str, Run); 103] = [
    ("!analyze", analyze::run),
    ("!for_each_module", for_each_module::run),
    ("!pool", pool::run),
    ("!poolfind", pool_find::run),
    ("!poolused", pool_used::run),
    ("!poolval", pool_validate::run),
    ("!pte", page_table::run),
    ("!vtop", page_table::run_walk),
    (".bugcheck", bug_check::run),
    (".cxr", context::run_record),
    (".exr", exception_record::run),
    (".frame", frame::run),
    (".lines", lines::run),
    (".reload", symbol_files::run_reload),
    (".sympath", symbol_files::run_path),
    (".trap", context::run_trap_frame),
    ("?", evaluate::run),
    ("ba", break_on_access::run),
    (
        "bc",
        change_breakpoints::run::<{ change_breakpoints::CLEAR }>,
    ),
    (
        "bd",
        change_breakpoints::run::<{ change_breakpoints::DISABLE }>,
    ),
    (
        "be",
        change_breakpoints::run::<{ change_breakpoints::ENABLE }>,
    ),
    ("bl", list_breakpoints::run),
    ("bm", set_breakpoint::run_matching),
    ("bp", set_breakpoint::run::<false>),
    ("br", renumber_breakpoints::run),
    ("bu", set_breakpoint::run::<true>),
    ("c", compare::run),
    ("d", display::run_again),
    ("dD", display_number::run_float::<8>),
    ("dS", display_string::run_counted::<true>),
    ("dW", display::run::<2, true>),
    ("da", display_string::run::<false>),
    ("db", display::run::<1, true>),
    ("dc", display::run::<4, true>),
    ("dd", display::run::<4, false>),
    ("df", display_number::run_float::<4>),
    ("dl", display_list::run::<false>),
    ("dlb", display_list::run::<true>),
    ("dp", display::run::<8, false>),
    ("dq", display::run::<8, false>),
    ("ds", display_string::run_counted::<false>),
    ("dt", display_type::run),
    ("dv", local_variables::run),
    ("du", display_string::run::<true>),
    ("dw", display::run::<2, false>),
    ("dyb", display_number::run_binary::<1>),
    ("dyd", display_number::run_binary::<4>),
    ("e", enter::run_again),
    ("eD", enter::run_float::<8>),
    ("ea", enter::run_string::<false, false>),
    ("eb", enter::run::<1>),
    ("ed", enter::run::<4>),
    ("ef", enter::run_float::<4>),
    ("ep", enter::run::<8>),
    ("eq", enter::run::<8>),
    ("eu", enter::run_string::<true, false>),
    ("ew", enter::run::<2>),
    ("eza", enter::run_string::<false, true>),
    ("ezu", enter::run_string::<true, true>),
    ("f", fill::run::<false>),
    ("fp", fill::run::<true>),
    ("g", go::run::<false>),
    ("ga", go::run::<false>),
    ("gc", go::run_as_before),
    ("gh", go::run::<true>),
    ("gn", go::run::<false>),
    ("gu", go_up::run),
    ("k", stack::run),
    ("lm", list_modules::run),
    ("ln", nearest::run),
    ("m", move_memory::run),
    ("n", radix::run),
    ("p", step::run::<true, { step::COUNT }>),
    ("pa", step::run_to::<true>),
    ("pc", step::run::<true, { step::CALL }>),
    ("pct", step::run::<true, { step::CALL_OR_RETURN }>),
    ("ph", step::run::<true, { step::BRANCH }>),
    ("pt", step::run::<true, { step::RETURN }>),
    ("q", quit::run),
    ("r", registers::run),
    ("rdmsr", model_specific::run_read),
    ("rm", register_mask::run),
    ("s", search::run),
    ("sx", event_filters::run),
    (
        "sxd",
        event_filters::set::<{ event_filters::SECOND_CHANCE }>,
    ),
    ("sxe", event_filters::set::<{ event_filters::BREAK }>),
    ("sxi", event_filters::set::<{ event_filters::IGNORE }>),
    ("sxn", event_filters::set::<{ event_filters::OUTPUT }>),
    ("sxr", event_filters::reset),
    ("t", step::run::<false, { step::COUNT }>),
    ("ta", step::run_to::<false>),
    ("tb", step::run::<false, { step::TAKEN_BRANCH }>),
    ("tc", step::run::<false, { step::CALL }>),
    ("tct", step::run::<false, { step::CALL_OR_RETURN }>),
    ("th", step::run::<false, { step::BRANCH }>),
    ("tt", step::run::<false, { step::RETURN }>),
    ("u", unassemble::run),
    ("ub", unassemble::run_backwards),
    ("uf", unassemble_function::run),
    ("version", version::run::<true>),
    ("vertarget", version::run::<false>),
    ("wrmsr", model_specific::run_write),
    ("x", examine::run),
];

/// All of them: those of families are in the families' files.
fn all() -> impl Iterator<Item = &'static (&'static str, Run)> {
    let families = display_pointers::COMMANDS.iter();
    let families = families.chain(&kernel_objects::COMMANDS);
    let families = families.chain(&programs::COMMANDS);
    let families = families.chain(&physical::COMMANDS);
    let families = families.chain(&implicit::COMMANDS);
    COMMANDS.iter().chain(families)
}

/// The length of the name at the start of a command: the letters, or the one sign, that it starts
/// with; of an extension's command a `!`, and letters, digits and underscores; of a meta-command a `.`,
/// and letters.
fn name_length(text: &str) -> usize {
    if let Some(name) = script_file::NAMES
        .iter()
        .find(|name| text.starts_with(**name))
    {
        return name.len();
    }
    let is_extension = text.starts_with('!');
    let in_name = |c: char| match is_extension {
        true => c.is_ascii_alphanumeric() || c == '_',
        false => c.is_ascii_alphabetic(),
    };
    let sign = usize::from(is_extension || text.starts_with('.'));
    let rest = &text[sign..];
    let length = sign + rest.find(|c| !in_name(c)).unwrap_or(rest.len());
    match length {
        0 => text.chars().next().map_or(0, char::len_utf8),
        _ => length,
    }
}

/// Runs a command that another one stands for, by its name.
fn run_named(
    name: &str,
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    match find(name) {
        Some((_, run)) => run(session, arguments, out),
        None => Err(arguments.error(CommandErrorKind::Syntax).into()),
    }
}

/// The command that a name means; of those whose options follow without a space, such as `lmvm` and
/// `rX`, the command.
fn find(name: &str) -> Option<&'static (&'static str, Run)> {
    let exact = all().find(|(known, _)| *known == name);
    // `DW` is `dw`: a capital letter in a name is meant.
    let any_case = |name: &str| {
        all().find(|(known, _)| {
            known.eq_ignore_ascii_case(name) && !known.contains(char::is_uppercase)
        })
    };
    exact
        // `rM` is `r` with a mask, and not `rm`
        .or_else(|| matches!(name, "rM" | "rX" | "rF" | "rY").then(|| find("r"))?)
        .or_else(|| any_case(name))
        .or_else(|| {
            any_case(match name {
                name if name
                    .get(..2)
                    .is_some_and(|start| start.eq_ignore_ascii_case("lm")) =>
                {
                    "lm"
                }
                name => step::without_option(name).or(stack::without_options(name))?,
            })
        })
}

/// The names of all commands, as typed at the prompt, in ASCII order.
///
/// ```
/// use poolhit::commands;
/// assert!(commands::names().any(|name| name == "!poolused"));
/// assert!(commands::names().is_sorted());
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<&str> = all().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.into_iter()
}

/// The name of the command that `command` is, out of [`names`]; none if it is unknown.
///
/// ```
/// use poolhit::commands::name_of;
/// assert_eq!(name_of("DC nt!PoolHitTag l1"), Some("dc"));
/// assert_eq!(name_of("!pooltag Lea2"), None);
/// ```
pub fn name_of(command: &str) -> Option<&'static str> {
    find(&command[..name_length(command)]).map(|(name, _)| *name)
}
