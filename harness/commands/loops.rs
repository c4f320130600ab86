//! `.while (CONDITION) { COMMANDS }`, `.do { COMMANDS } (CONDITION)`,
//! `.for (COMMAND ; CONDITION ; COMMANDS) { COMMANDS }`: execute commands as long as an expression is not 0.
//! `COMMANDS ; z(EXPRESSION)`: the commands of the line in front of `z`. `.break` ends a loop, `.continue`
//! goes on with its next turn.
//!
//! Each turn, and each command in a block, takes some of the budget of a run (`--budget`), so that an endless
//! loop has an end all the same; Ctrl+C ends it sooner. `g` and steps in a loop are executed where they
//! stand; among a breakpoint's commands they end all of these.
//!
//! The pages ".while", ".do", ".for", ".break", ".continue" and "z (Execute While)" of the debugger's manual.
//!
//! ```text
//! kd> .for (r $t0 = 0; @$t0 < 4; r $t0 = @$t0 + 1) { .if (@$t0 == 2) .continue; .printf "%d\n", @$t0 }
//! 0
//! 1
//! 3
//! kd> r $t0 = 3; .while (1) { .if (@$t0 == 0) { .break }; r $t0 = @$t0 - 1 }; r $t0
//! $t0=0000000000000000
//! kd> .do { r $t0 = @$t0 + 1 } (@$t0 < 7); r $t0
//! $t0=0000000000000007
//! kd> r $t0 = @$t0 - 1; z(@$t0 > 4); r $t0
//! $t0=0000000000000004
//! ```

use super::condition::next_condition;
use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::command_line::{next_block, next_parenthesis};
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

impl Session {
    /// Executes the commands of one turn of a loop. `None` if the loop is to go on.
    pub(super) fn run_turn(
        &mut self,
        commands: &str,
        out: &mut dyn Write,
    ) -> Result<Option<Flow>, ExecuteError> {
        self.charge_turn()?;
        self.state.scripting.loops += 1;
        let flow = self.run_block(commands, out);
        self.state.scripting.loops -= 1;
        Ok(match flow? {
            Flow::Stay | Flow::Continue => None,
            Flow::Break => Some(Flow::Stay),
            flow => {
                self.control.leaves_loop |= flow == Flow::Go;
                Some(flow)
            }
        })
    }
}

pub(super) fn run_while(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    loop {
        let mut turn = arguments.clone();
        let holds = next_condition(session, &mut turn)?;
        let commands = next_block(&mut turn)?;
        turn.finish()?;
        if !holds {
            return Ok(Flow::Stay);
        }
        if let Some(flow) = session.run_turn(commands, out)? {
            return Ok(flow);
        }
    }
}

pub(super) fn run_do(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let commands = next_block(arguments)?;
    if arguments.at_end() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    loop {
        if let Some(flow) = session.run_turn(commands, out)? {
            return Ok(flow);
        }
        let mut end = arguments.clone();
        let holds = next_condition(session, &mut end)?;
        end.finish()?;
        if !holds {
            return Ok(Flow::Stay);
        }
    }
}

pub(super) fn run_for(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    // Between the parentheses, the end of a line is white space.
    let head = next_parenthesis(arguments)?.replace('\n', " ");
    let error = arguments.error(CommandErrorKind::Syntax);
    let commands = next_block(arguments)?;
    arguments.finish()?;
    let parts = head.split_once(';');
    let parts = parts.and_then(|(first, rest)| Some((first, rest.split_once(';')?)));
    let (first, (condition, increments)) = parts.ok_or(error)?;
    match session.run_block(first, out)? {
        Flow::Stay => {}
        flow => return Ok(flow),
    }
    loop {
        let mut condition = Cursor::new(condition);
        if !condition.at_end() {
            let holds = next_condition(session, &mut condition)?;
            condition.finish()?;
            if !holds {
                return Ok(Flow::Stay);
            }
        }
        if let Some(flow) = session.run_turn(commands, out)? {
            return Ok(flow);
        }
        match session.run_block(increments, out)? {
            Flow::Stay => {}
            flow => return Ok(flow),
        }
    }
}

/// `.break` and `.continue`.
pub(super) fn run_jump<const BREAK: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if session.state.scripting.loops == 0 {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    arguments.finish()?;
    Ok(if BREAK { Flow::Break } else { Flow::Continue })
}

/// `z`.
pub(super) fn run_again(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    _out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let holds = next_condition(session, arguments)?;
    arguments.finish()?;
    Ok(if holds { Flow::Again } else { Flow::Stay })
}
