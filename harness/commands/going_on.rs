//! How the guest goes on to where it stays stopped, and what becomes of commands behind those that let it.
//!
//! "Any command that resumes program execution after a breakpoint (such as g or t) ends the execution of the
//! command list" ("bs (Update Breakpoint Command)"); but people write `bp ADDRESS "gu; r rax; gc"`, and their logs
//! have what is behind the `gu`. So it is with commands that end by themselves (`gu`, `p`, `pt`, `g ADDRESS` …):
//! what is behind is executed at their end, and `gc` there goes on as the guest did before the breakpoint. At a
//! breakpoint there its commands come first; one without commands stops the guest behind them. If the
//! guest stops elsewhere first, or goes on otherwise, they are skipped with the words that the debugger has for
//! it, as logs quote it. It is not known from any source when exactly it says them.

use super::registers;
use super::step;
use super::{ExecuteError, Flow};
use crate::debugger::command_line::next_command;
use crate::debugger::control::{Behind, Motion};
use crate::debugger::cursor::Cursor;
use crate::debugger::{Session, Stop, StopReason};
use crate::report::location::write_location;
use crate::report::stop::{write_event, write_stop};
use std::fmt::Write;

/// The debugger's words for commands that are not executed.
const SKIPPED: &str = "Some commands were skipped because previous commands caused target execution \
                       inside an event handler.";
/// How many breakpoints' commands may wait for the guest at the same time, in functions that call each other.
/// The project's own limit.
const MOST_WAITING: usize = 64;

/// Commands that wait for a motion to end.
struct Waiting {
    /// What is behind the command that lets the guest go on.
    commands: Vec<Behind>,
    /// The breakpoint whose commands they are.
    breakpoint: Option<usize>,
    /// How the guest went on before.
    before: Motion,
}

/// How the guest goes on.
struct GoingOn {
    motion: Motion,
    /// The commands that wait; the last ones wait for `motion`.
    waiting: Vec<Waiting>,
    /// There were others that will not be executed.
    skips: bool,
}

impl GoingOn {
    /// The commands to execute where the motion ends, and the breakpoint whose they are.
    fn take_commands(&mut self) -> (Vec<Behind>, Option<usize>) {
        let mut commands = pieces(self.motion.command());
        let Some(waiting) = self.waiting.last_mut() else {
            return (commands, None);
        };
        commands.append(&mut waiting.commands);
        (commands, waiting.breakpoint)
    }

    /// Goes on by `next`; `behind` is what stands behind the command that says so. `at_end` says that it is one
    /// of those of the motion's end, and not of something on its way.
    fn change(
        &mut self,
        next: Motion,
        behind: Vec<Behind>,
        breakpoint: Option<usize>,
        at_end: bool,
    ) {
        let before = match at_end {
            true => self.waiting.pop().map(|waiting| waiting.before),
            false => None,
        };
        if next == Motion::Same {
            self.skips |= !behind.is_empty();
            // A motion that nothing has waited for is taken up once more.
            self.motion = before.unwrap_or_else(|| std::mem::take(&mut self.motion));
            return;
        }
        let before = before.unwrap_or_else(|| std::mem::take(&mut self.motion));
        if next.ends() && !behind.is_empty() && self.waiting.len() < MOST_WAITING {
            self.waiting.push(Waiting {
                commands: behind,
                breakpoint,
                before,
            });
        } else {
            self.skips |= !behind.is_empty();
            self.give_up();
        }
        self.motion = next;
    }

    /// The commands that wait are not executed.
    fn give_up(&mut self) {
        let mut waiting = self.waiting.drain(..);
        self.skips |= waiting.any(|one| !one.commands.is_empty());
    }
}

impl Session {
    /// Lets the guest go on until it stops and stays stopped: a breakpoint whose commands say `g`
    /// does not.
    pub(super) fn go_on(&mut self, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
        let mut going = GoingOn {
            motion: self.control.next.take().unwrap_or_default(),
            waiting: Vec::new(),
            skips: false,
        };
        let flow = self.go_on_passing(&mut going, out);
        // Whoever goes on without commands stops.
        self.pass_at(Default::default());
        flow
    }

    fn go_on_passing(
        &mut self,
        going: &mut GoingOn,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        let mut points = Default::default();
        loop {
            // The commands may have been about breakpoints, or source lines. Where the guest goes to a
            // place, it has to be looked whether it is there.
            let now = match going.motion.ends() {
                false => self.passing_points(),
                true => Default::default(),
            };
            if now != points {
                points.clone_from(&now);
                self.pass_at(now);
            }
            let advanced = self.advance(&mut going.motion);
            self.write_run_output(out)?;
            let (stop, ended) = advanced?;
            if let Some(error) = self.control.condition_error.take() {
                writeln!(out, "{error}")?;
                return self.stay(going, &stop, out);
            }
            if let Some(event) = self.control.event.clone() {
                if event.shown && !event.breaks {
                    write_event(out, &stop.reason)?;
                }
                self.charge_stop();
                if event.shown && event.breaks {
                    self.report(&stop, out)?;
                }
                if !event.command.is_empty() {
                    match self.execute_at_breakpoint(pieces(&event.command), out)? {
                        Flow::Quit => return Ok(Flow::Quit),
                        Flow::Go => {
                            self.change_motion(going, None, false, out)?;
                            continue;
                        }
                        _ => {}
                    }
                }
                if event.breaks {
                    write_skipped(going, out)?;
                    return Ok(Flow::Stay);
                }
                continue;
            }
            if !ended {
                step::show(self, &going.motion, &stop, out)?;
                continue;
            }
            let waits = !going.waiting.is_empty();
            let mut at_end = stop.reason == StopReason::Step || self.control.stepped_onto && waits;
            let (mut commands, mut number) = match stop.reason {
                StopReason::Breakpoint { number } if !self.control.stepped_onto => {
                    (pieces(&self.breakpoint_commands(number)?), Some(number))
                }
                _ if at_end => going.take_commands(),
                _ => return self.stay(going, &stop, out),
            };
            if commands.is_empty() {
                return self.stay(going, &stop, out);
            }
            // A breakpoint where the motion ends: its commands come first.
            let arrives = waits && !at_end && self.arrives(&going.motion);
            loop {
                let flow = self.execute_at_breakpoint(commands, out);
                match flow.map_err(|error| match number {
                    Some(number) => error.at_breakpoint(number, self, stop.address),
                    None => error,
                })? {
                    Flow::Go => {}
                    Flow::Quit => return Ok(Flow::Quit),
                    _ => {
                        write_skipped(going, out)?;
                        write_location(out, self, stop.address)?;
                        return Ok(Flow::Stay);
                    }
                }
                // Commands that waited for a step go on, but for a breakpoint at the step's end.
                if self.control.stepped_onto && self.stops_here(&stop) {
                    self.control.next = None;
                    return self.stay(going, &stop, out);
                }
                self.charge_stop();
                let goes = !self.control.next.as_ref().is_some_and(Motion::ends);
                if at_end || !arrives || !goes {
                    break;
                }
                going.skips |= !std::mem::take(&mut self.control.behind).is_empty();
                self.control.next = None;
                (commands, number) = going.take_commands();
                at_end = true;
            }
            self.change_motion(going, number, at_end, out)?;
        }
    }

    /// The guest goes on as the commands that have been executed say.
    fn change_motion(
        &mut self,
        going: &mut GoingOn,
        breakpoint: Option<usize>,
        at_end: bool,
        out: &mut dyn Write,
    ) -> Result<(), ExecuteError> {
        let next = self.control.next.take().unwrap_or_default();
        let behind = std::mem::take(&mut self.control.behind);
        going.skips |= std::mem::take(&mut self.control.leaves_loop);
        going.change(next, behind, breakpoint, at_end);
        if std::mem::take(&mut going.skips) {
            writeln!(out, "{SKIPPED}")?;
        }
        Ok(())
    }

    /// The guest stays where it has stopped.
    fn stay(
        &mut self,
        going: &mut GoingOn,
        stop: &Stop,
        out: &mut dyn Write,
    ) -> Result<Flow, ExecuteError> {
        write_skipped(going, out)?;
        self.report(stop, out)
    }

    /// Keeps what stands behind a command that lets the guest go on, among the commands of a breakpoint. What
    /// is behind the blocks around the command comes behind that.
    pub(super) fn keep_behind(&mut self, behind: &str) {
        self.control.behind.extend(pieces(behind));
    }

    /// Keeps the lines of a script file behind one that lets the guest go on.
    pub(super) fn keep_lines(&mut self, behind: &str) {
        if !behind.trim().is_empty() {
            let lines = Behind::Lines(behind.to_string());
            self.control.behind.push(lines);
        }
    }

    /// Whether the breakpoint that has stopped the guest has no commands.
    fn stops_here(&self, stop: &Stop) -> bool {
        let StopReason::Breakpoint { number } = stop.reason else {
            return false;
        };
        let found = self.breakpoints().get(number);
        found.is_some_and(|one| one.command.trim().is_empty())
    }

    /// The commands of a breakpoint that has stopped the guest; one that does so once is gone then.
    fn breakpoint_commands(&mut self, number: usize) -> Result<String, ExecuteError> {
        let Some(breakpoint) = self.breakpoints().get(number).cloned() else {
            return Ok(String::new());
        };
        if breakpoint.options.once {
            self.clear_breakpoint(number)?;
        }
        Ok(breakpoint.command)
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
        if stop.reason == StopReason::Step && self.control.shows_registers {
            registers::run(self, &mut Cursor::new(""), out)?;
            return Ok(Flow::Stay);
        }
        write_stop(out, self, stop)?;
        Ok(Flow::Stay)
    }
}

/// A text's commands, if it has any.
fn pieces(text: &str) -> Vec<Behind> {
    let commands = next_command(text).map(|_| Behind::Commands(text.to_string()));
    commands.into_iter().collect()
}

/// Says that commands which wait are not executed, if there are any.
fn write_skipped(going: &mut GoingOn, out: &mut dyn Write) -> Result<(), ExecuteError> {
    going.give_up();
    if std::mem::take(&mut going.skips) {
        writeln!(out, "{SKIPPED}")?;
    }
    Ok(())
}
