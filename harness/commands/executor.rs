//! How lines are executed, and the blocks in them: the one way for what is typed, for script files, and
//! for the commands of breakpoints and steps.
//!
//! Whatever a line executes again and again takes some of the budget of a run, so that it has an end; a
//! break-in ends it sooner.

use super::script_file;
use super::{ExecuteError, Flow, absent_command, find, name_length};
use crate::debugger::command_line::{LineTooLong, MAX_LINE_LENGTH, next_command};
use crate::debugger::control::Behind;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::log::Log;
use crate::debugger::scripting::{COMMAND_WORK, MAX_BLOCK_DEPTH};
use crate::debugger::target_text::printable;
use crate::debugger::{Session, StopReason};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most text that commands may print whose output is not shown but worked on, in bytes. The
/// project's own limit.
const MAX_CAPTURED: usize = 4 << 20;

/// An output with a copy in the log file.
struct Output<'a> {
    out: &'a mut dyn Write,
    log: Log,
    printed: Arc<AtomicU64>,
}

impl Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = &*printable(text);
        self.printed.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.log.write(text);
        self.out.write_str(text)
    }
}

/// An output that is kept, up to a limit.
#[derive(Default)]
struct Captured {
    text: String,
    full: bool,
}

impl Write for Captured {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = &*printable(text);
        self.full |= self.text.len() + text.len() > MAX_CAPTURED;
        if self.full {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
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
        if line.len() > MAX_LINE_LENGTH {
            return Err(LineTooLong { length: line.len() }.into());
        }
        self.take_break_in();
        let prompt = self.prompt();
        let scripting = &mut self.state.scripting;
        scripting.start_line();
        scripting.log.write(&format!("{prompt}{line}\n"));
        let mut out = Output {
            out,
            log: scripting.log.clone(),
            printed: scripting.printed.clone(),
        };
        let flow = self.run_block(line, &mut out);
        if let Some((path, source)) = self.state.scripting.log.take_failure() {
            flow?;
            return Err(ExecuteError::Write { path, source });
        }
        Ok(match flow? {
            Flow::Quit => Flow::Quit,
            _ => Flow::Stay,
        })
    }

    /// The prompt, with the space behind it: the processor's number, and `kd>`.
    ///
    /// ```
    /// let session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// assert_eq!(session.prompt(), "1: kd> ");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn prompt(&self) -> String {
        format!("{}: kd> ", self.processor_number())
    }

    /// Executes the commands of a block: replaces their aliases, and executes one after the other, up to
    /// one after which they are not to go on.
    pub(super) fn run_block(
        &mut self,
        text: &str,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        if self.state.scripting.depth >= MAX_BLOCK_DEPTH {
            return Err(ExecuteError::TooDeep);
        }
        self.state.scripting.depth += 1;
        let flow = self.run_commands(text, out);
        self.state.scripting.depth -= 1;
        flow
    }

    fn run_commands(&mut self, text: &str, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let text = self.aliases().replace(text)?;
        let mut rest = text.as_str();
        while let Some((command, behind)) = next_command(rest) {
            self.charge_command()?;
            match self.execute_one(command, out)? {
                Flow::Stay => {}
                Flow::Again => {
                    self.charge_turn()?;
                    rest = &text;
                    continue;
                }
                Flow::Go if !self.state.scripting.at_breakpoint => {
                    if self.let_go(out)? == Flow::Quit {
                        return Ok(Flow::Quit);
                    }
                }
                flow => {
                    if flow == Flow::Go {
                        self.keep_behind(behind);
                    }
                    return Ok(flow);
                }
            }
            rest = behind;
        }
        Ok(Flow::Stay)
    }

    /// Lets the guest go on to where it stays stopped. A break-in ends the program of commands, too.
    fn let_go(&mut self, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let before = self.lab().machine().work();
        self.start_budget();
        let flow = self.go_on(out);
        self.end_run();
        let retired = self.lab().machine().work().saturating_sub(before);
        let scripting = &mut self.state.scripting;
        scripting.spent = scripting.spent.saturating_add(retired);
        let broken_into =
            matches!(self.last_stop(), Some(stop) if stop.reason == StopReason::BreakIn);
        if flow.is_ok() && broken_into && self.state.scripting.is_nested() {
            return Err(ExecuteError::Interrupted);
        }
        flow
    }

    /// Takes what a command costs from the budget, if it may be executed again and again.
    fn charge_command(&mut self) -> Result<(), ExecuteError> {
        if self.state.scripting.is_nested() {
            return self.charge_turn();
        }
        if !self.state.scripting.at_breakpoint && self.take_break_in() {
            return Err(ExecuteError::Interrupted);
        }
        Ok(())
    }

    /// Takes what a turn of a loop costs from the budget.
    pub(super) fn charge_turn(&mut self) -> Result<(), ExecuteError> {
        if self.take_break_in() {
            return Err(ExecuteError::Interrupted);
        }
        let work = self.budget();
        let scripting = &mut self.state.scripting;
        scripting.spent = scripting.spent.saturating_add(COMMAND_WORK);
        match scripting.work() > work {
            true => Err(ExecuteError::Endless { work }),
            false => Ok(()),
        }
    }

    /// Executes the commands of a breakpoint, or of the end of a step, up to the one that lets the guest
    /// go on.
    pub(super) fn execute_at_breakpoint(
        &mut self,
        commands: Vec<Behind>,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        self.control.behind.clear();
        self.control.leaves_loop = false;
        let scripting = &mut self.state.scripting;
        let before = (
            scripting.base,
            scripting.loops,
            scripting.catches,
            scripting.at_breakpoint,
        );
        (
            scripting.base,
            scripting.loops,
            scripting.catches,
            scripting.at_breakpoint,
        ) = (scripting.depth, 0, 0, true);
        let flow = self.execute_pieces(commands, out);
        let scripting = &mut self.state.scripting;
        (
            scripting.base,
            scripting.loops,
            scripting.catches,
            scripting.at_breakpoint,
        ) = before;
        flow
    }

    fn execute_pieces(
        &mut self,
        pieces: Vec<Behind>,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        let mut pieces = pieces.into_iter();
        while let Some(piece) = pieces.next() {
            let flow = match piece {
                Behind::Commands(text) => self.run_block(&text, out)?,
                Behind::Lines(text) => script_file::run_lines(self, &text, out)?,
            };
            if flow == Flow::Go {
                self.control.behind.extend(pieces.by_ref());
            }
            if flow != Flow::Stay {
                return Ok(flow);
            }
        }
        Ok(Flow::Stay)
    }

    /// Executes commands whose output is not shown, and gives it.
    pub(super) fn capture(&mut self, commands: &str) -> Result<(String, Flow), ExecuteError> {
        let mut captured = Captured::default();
        let flow = self.run_block(commands, &mut captured);
        if captured.full {
            return Err(ExecuteError::CapturedTooLong {
                limit: MAX_CAPTURED,
            });
        }
        // What is only worked on takes as long to print as what is shown.
        let printed = captured.text.len() as u64;
        self.state
            .scripting
            .printed
            .fetch_add(printed, Ordering::Relaxed);
        Ok((captured.text, flow?))
    }

    /// Whether the files of the host may be used.
    pub(super) fn check_files(&self) -> Result<(), ExecuteError> {
        match self.state.scripting.files {
            true => Ok(()),
            false => Err(ExecuteError::FilesRefused),
        }
    }

    fn execute_one(&mut self, command: &str, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let command = &*without_extension(command);
        let mut cursor = Cursor::new(command);
        let name = &command[..name_length(command)];
        if let Some(sentence) = absent_command(command) {
            return Err(ExecuteError::Absent(sentence));
        }
        if let Some((known, run)) = find(name) {
            // Options follow some names without a space.
            cursor.eat(known);
            return run(self, &mut cursor, out).map_err(|error| error.explained(&cursor));
        }
        match name.strip_prefix('!') {
            Some(name) if !name.is_empty() => Err(ExecuteError::NoExtension(name.to_string())),
            _ => {
                cursor.eat(command.get(..1).unwrap_or_default());
                Err(cursor.error(CommandErrorKind::Syntax).into())
            }
        }
    }
}

/// `!kdexts.process 0 0` as `!process 0 0`: of the extensions whose commands are here, the name is left out.
fn without_extension(command: &str) -> Cow<'_, str> {
    const KNOWN: [&str; 4] = ["kdexts", "kext", "ext", "exts"];
    let parts = command
        .strip_prefix('!')
        .and_then(|rest| rest.split_once('.'));
    match parts {
        Some((module, rest)) if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(module)) => {
            format!("!{rest}").into()
        }
        _ => command.into(),
    }
}
