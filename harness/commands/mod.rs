//! The debugger's commands, one file each, and how a line of them is executed.
//!
//! A command parses its arguments, does its work on a [`Session`], and writes text. What it shows
//! is also to be had as values from [`Session`]'s methods.

mod clear_breakpoints;
mod compare;
mod display;
mod display_list;
mod display_number;
mod display_pointers;
mod display_string;
mod display_type;
mod enter;
mod error;
mod evaluate;
mod examine;
mod fill;
mod for_each_module;
mod go;
mod lines;
mod list_breakpoints;
mod list_modules;
mod model_specific;
mod move_memory;
mod nearest;
mod page_table;
mod passing;
mod pool;
mod pool_find;
mod pool_used;
mod pool_validate;
mod quit;
mod radix;
mod register_mask;
mod registers;
pub mod search;
mod set_breakpoint;
mod stack;
mod symbol_files;
mod unassemble;
mod version;

pub use error::ExecuteError;

use crate::debugger::command_line::commands;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::{STOP_WORK, Session, Stop, StopReason};
use crate::report::{location::write_location, stop::write_stop};
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
}

/// A command's code.
type Run = fn(&mut Session, &mut Cursor<'_>, &mut dyn Write) -> Result<Flow, ExecuteError>;

/// The commands by name. Names are compared without case, as WinDbg does, but for those that differ in
/// nothing else.
static COMMANDS: [(&str, Run); 75] = [
    ("!for_each_module", for_each_module::run),
    ("!pool", pool::run),
    ("!poolfind", pool_find::run),
    ("!poolused", pool_used::run),
    ("!poolval", pool_validate::run),
    ("!pte", page_table::run),
    ("!vtop", page_table::run_walk),
    (".lines", lines::run),
    (".reload", symbol_files::run_reload),
    (".sympath", symbol_files::run_path),
    ("?", evaluate::run),
    ("bc", clear_breakpoints::run),
    ("bl", list_breakpoints::run),
    ("bp", set_breakpoint::run),
    ("c", compare::run),
    ("d", display::run_again),
    ("dD", display_number::run_float::<8>),
    ("dS", display_string::run_counted::<true>),
    ("dW", display::run::<2, true>),
    ("da", display_string::run::<false>),
    ("db", display::run::<1, true>),
    ("dc", display::run::<4, true>),
    ("dd", display::run::<4, false>),
    (
        "dda",
        display_pointers::run::<4, { display_pointers::ASCII }>,
    ),
    (
        "ddp",
        display_pointers::run::<4, { display_pointers::POINTERS }>,
    ),
    (
        "dds",
        display_pointers::run::<4, { display_pointers::SYMBOLS }>,
    ),
    (
        "ddu",
        display_pointers::run::<4, { display_pointers::UNICODE }>,
    ),
    ("df", display_number::run_float::<4>),
    ("dl", display_list::run::<false>),
    ("dlb", display_list::run::<true>),
    ("dp", display::run::<8, false>),
    (
        "dpa",
        display_pointers::run::<8, { display_pointers::ASCII }>,
    ),
    (
        "dpp",
        display_pointers::run::<8, { display_pointers::POINTERS }>,
    ),
    (
        "dps",
        display_pointers::run::<8, { display_pointers::SYMBOLS }>,
    ),
    (
        "dpu",
        display_pointers::run::<8, { display_pointers::UNICODE }>,
    ),
    ("dq", display::run::<8, false>),
    (
        "dqa",
        display_pointers::run::<8, { display_pointers::ASCII }>,
    ),
    (
        "dqp",
        display_pointers::run::<8, { display_pointers::POINTERS }>,
    ),
    (
        "dqs",
        display_pointers::run::<8, { display_pointers::SYMBOLS }>,
    ),
    (
        "dqu",
        display_pointers::run::<8, { display_pointers::UNICODE }>,
    ),
    ("ds", display_string::run_counted::<false>),
    ("dt", display_type::run),
    ("du", display_string::run::<true>),
    ("dw", display::run::<2, false>),
    ("dyb", display_number::run_binary::<1>),
    ("dyd", display_number::run_binary::<4>),
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
    ("g", go::run),
    ("k", stack::run),
    ("lm", list_modules::run),
    ("ln", nearest::run),
    ("m", move_memory::run),
    ("n", radix::run),
    ("q", quit::run),
    ("r", registers::run),
    ("rdmsr", model_specific::run_read),
    ("rm", register_mask::run),
    ("s", search::run),
    ("u", unassemble::run),
    ("version", version::run::<true>),
    ("vertarget", version::run::<false>),
    ("wrmsr", model_specific::run_write),
    ("x", examine::run),
];

/// The length of the name at the start of a command: the letters, or the one sign, that it starts
/// with; of an extension's command a `!`, and letters, digits and underscores; of a meta-command a `.`,
/// and letters.
fn name_length(text: &str) -> usize {
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

/// The command that a name means; of those whose options follow without a space, such as `lmvm` and
/// `rX`, the command.
fn find(name: &str) -> Option<&'static (&'static str, Run)> {
    let exact = COMMANDS.iter().find(|(known, _)| *known == name);
    exact.or_else(|| {
        let name = match name {
            "rM" | "rX" | "rF" | "rY" => "r",
            name if name
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("lm")) =>
            {
                "lm"
            }
            name => name,
        };
        // `DW` is `dw`: a capital letter in a name is meant.
        COMMANDS.iter().find(|(known, _)| {
            known.eq_ignore_ascii_case(name) && !known.contains(char::is_uppercase)
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
    COMMANDS.iter().map(|(name, _)| *name)
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

impl Session {
    /// Executes a line of commands, and gives what they print.
    ///
    /// # Errors
    /// A command cannot be executed; those behind it are not tried, and what those before it
    /// printed is lost. Use [`execute_to`](Session::execute_to) to keep it.
    ///
    /// ```
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c")?;
    /// let text = session.execute("dc nt!PoolHitTag l1")?;
    /// assert_eq!(text, "fffff800`016530fc  3261654c                             Lea2\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn execute(&mut self, line: &str) -> Result<String, ExecuteError> {
        let mut out = String::new();
        self.execute_to(line, &mut out)?;
        Ok(out)
    }

    /// Executes a line of commands; their text goes to `out` as it comes.
    ///
    /// # Errors
    /// As for [`execute`](Session::execute).
    ///
    /// ```
    /// use poolhit::commands::Flow;
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// let mut out = String::new();
    /// assert_eq!(session.execute_to("? 1+1; q", &mut out)?, Flow::Quit);
    /// assert_eq!(out, "Evaluate expression: 2 = 00000000`00000002\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn execute_to(&mut self, line: &str, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        for command in commands(line)? {
            match self.execute_one(command, out)? {
                Flow::Stay => {}
                Flow::Quit => return Ok(Flow::Quit),
                Flow::Go => {
                    self.start_budget();
                    let flow = self.go_on(out);
                    self.end_run();
                    if flow? == Flow::Quit {
                        return Ok(Flow::Quit);
                    }
                }
            }
        }
        Ok(Flow::Stay)
    }

    pub(crate) fn execute_one(
        &mut self,
        command: &str,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        let mut cursor = Cursor::new(command);
        let name = &command[..name_length(command)];
        if let Some((name, run)) = find(name) {
            cursor.eat(name);
            return run(self, &mut cursor, out);
        }
        match name.strip_prefix('!') {
            Some(name) if !name.is_empty() => Err(ExecuteError::NoExtension(name.to_string())),
            _ => {
                cursor.eat(command.get(..1).unwrap_or_default());
                Err(cursor.error(CommandErrorKind::Syntax).into())
            }
        }
    }

    /// Lets the guest go on until it stops and stays stopped: a breakpoint whose commands say `g`
    /// does not.
    fn go_on(&mut self, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let flow = self.go_on_passing(out);
        // Whoever goes on without commands stops.
        self.pass_at(Default::default());
        flow
    }

    fn go_on_passing(&mut self, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let mut points = self.passing_points();
        self.pass_at(points.clone());
        loop {
            let stop = self.resume();
            self.write_run_output(out)?;
            let stop = stop?;
            let StopReason::Breakpoint { number } = stop.reason else {
                return self.report(&stop, out);
            };
            let breakpoint = self.breakpoints().at(stop.address);
            let command = breakpoint.map(|one| one.command.clone());
            match command.filter(|command| !command.is_empty()) {
                None => return self.report(&stop, out),
                Some(command) => match self
                    .execute_at_breakpoint(&command, out)
                    .map_err(|error| error.at_breakpoint(number, self, stop.address))?
                {
                    Flow::Go => {
                        self.charge_stop();
                        // The commands may have been about breakpoints, or source lines.
                        let now = self.passing_points();
                        if now != points {
                            points.clone_from(&now);
                            self.pass_at(now);
                        }
                    }
                    Flow::Quit => return Ok(Flow::Quit),
                    Flow::Stay => {
                        write_location(out, self, stop.address)?;
                        return Ok(Flow::Stay);
                    }
                },
            }
        }
    }

    /// Executes a breakpoint's commands, up to the one that lets the guest go on.
    fn execute_at_breakpoint(
        &mut self,
        line: &str,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        for command in commands(line)? {
            match self.execute_one(command, out)? {
                Flow::Stay => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Stay)
    }

    fn report(&mut self, stop: &Stop, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        if let StopReason::Budget { work } = stop.reason {
            let near = self.modules().nearest(stop.address);
            let at = near.map_or(stop.address.to_string(), |near| near.to_string());
            return Err(ExecuteError::Budget { work, at });
        }
        if stop.reason == StopReason::BreakIn
            && let Some(key) = self.break_in_echo.take()
        {
            writeln!(out, "{key}")?;
        }
        write_stop(out, self, stop)?;
        Ok(Flow::Stay)
    }
}
