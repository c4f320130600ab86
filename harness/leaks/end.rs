//! How the run ended that a report is of.

use super::blamed::{BlamedBlock, blamed_blocks};
use super::source::find_driver_lines;
use super::tracker::LeakTracker;
use crate::address::Va;
use crate::debugger::{CallSite, CallStack};
use crate::guest::{BugCheck, Lab, ModuleImages, Stopped};
use crate::hits::FRAME_LIMIT;
use crate::registers::Registers;
use crate::stack::walk::walk;
use crate::symbols::Modules;

/// How the run ended that a [report](super::LeakReport) is of. A report made by
/// [`Lab::leaks`](crate::Lab::leaks) knows of bug checks itself; of anything else that ended the run before
/// its time, such as a budget, whoever ran it tells the report by setting [`LeakReport::end`].
///
/// [`LeakReport::end`]: super::LeakReport::end
#[derive(Clone, PartialEq, Debug, Default)]
pub enum RunEnd {
    /// Nothing is known to have stopped it.
    #[default]
    Complete,
    /// Something stopped it: what the report says is as of then, and what would have come is not known.
    Stopped(Box<RunStop>),
}

/// What stopped a run.
#[derive(Clone, PartialEq, Debug)]
pub struct RunStop {
    /// Why, on one line.
    pub reason: String,
    /// What was being done, if that is known: a scenario's step.
    pub step: Option<String>,
    /// The kernel's own reason, if it gave up.
    pub bug_check: Option<BugCheck>,
    /// The blocks of pool that the bug check is about, if the ledger knows them.
    pub blocks: Vec<BlamedBlock>,
    /// Where it stopped, with the source line if the driver's PDB has it: the innermost frame of a driver
    /// on the stack; if there is none, the innermost of all, but not of a program that waits.
    pub place: Option<CallSite>,
    /// The stack there; of the program, if it waits.
    pub stack: Option<CallStack>,
}

impl RunEnd {
    /// What stopped the run, if something did.
    ///
    /// ```
    /// use poolhit::leaks::RunEnd;
    /// assert_eq!(RunEnd::Complete.stop(), None);
    /// assert_eq!(RunEnd::stopped("no more time").stop().unwrap().reason, "no more time");
    /// ```
    pub fn stop(&self) -> Option<&RunStop> {
        match self {
            RunEnd::Complete => None,
            RunEnd::Stopped(stop) => Some(stop),
        }
    }

    /// A run that was stopped for a reason that has no place in the guest. Lines become one.
    ///
    /// ```
    /// use poolhit::{Lab, leaks::RunEnd};
    /// let mut report = Lab::builder().track_leaks().build()?.leaks()?;
    /// report.end = RunEnd::stopped("the test gave up");
    /// assert!(report.to_string().contains("stopped: the test gave up; until then nothing leaked"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stopped(reason: &str) -> RunEnd {
        RunEnd::Stopped(Box::new(RunStop {
            reason: in_one_line(reason),
            step: None,
            bug_check: None,
            blocks: Vec::new(),
            place: None,
            stack: None,
        }))
    }

    /// The same, with what was being done.
    ///
    /// ```
    /// use poolhit::leaks::RunEnd;
    /// let end = RunEnd::stopped("no more time").in_step("step 3");
    /// assert_eq!(end.stop().unwrap().step.as_deref(), Some("step 3"));
    /// ```
    pub fn in_step(mut self, step: &str) -> RunEnd {
        if let RunEnd::Stopped(stop) = &mut self {
            stop.step = Some(step.to_owned());
        }
        self
    }
}

impl Lab {
    /// The end of a run that stopped where the lab is now: the kernel's bug check, or else `reason`, with
    /// the processor's stack.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let end = lab.stopped_here("a break instruction");
    /// assert_eq!(end.stop().unwrap().place.as_ref().unwrap().to_string(), "nt!DbgBreakPoint");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn stopped_here(&self, reason: &str) -> RunEnd {
        let check = self.bug_check();
        let reason = match &check {
            None => reason.to_owned(),
            Some(check) => match self.unloaded_driver_of(check) {
                None => check.in_one_line(),
                Some(place) => format!("{}, an address in {place}", check.in_one_line()),
            },
        };
        let start = (self.machine().registers(), self.modules());
        self.stop_at(&reason, check, start, true)
    }

    /// The end of a run that a request's stop ended. The lab is still at the stop.
    ///
    /// ```
    /// use poolhit::{Lab, guest::Request};
    /// let mut lab = Lab::builder().requester().track_leaks().build()?;
    /// let error = lab.request_within(&Request::Sleep { milliseconds: 1 }, 10).unwrap_err();
    /// let mut report = lab.leaks()?;
    /// report.end = lab.stopped_by(error.stopped().unwrap());
    /// assert!(report.to_string().contains("stopped: no end after 10 bytes of code at "), "{report}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stopped_by(&self, stopped: &Stopped) -> RunEnd {
        let start = self.stack_start(&stopped.exit);
        // Of a program that waits, where in the kernel it does so says nothing.
        let is_here = start.0.rip == self.machine().registers().rip;
        self.stop_at(&stopped.in_one_line(), self.bug_check(), start, is_here)
    }

    fn stop_at(
        &self,
        reason: &str,
        bug_check: Option<BugCheck>,
        (registers, modules): (Registers, Modules),
        is_here: bool,
    ) -> RunEnd {
        let stack = self.report_stack(&registers, &modules);
        let is_driver = |frame: &&CallSite| {
            let module = modules.containing(frame.address);
            frame.address.is_kernel()
                && module.map_or_else(
                    || frame.module.is_some(),
                    |module| module.base() != self.bases().kernel,
                )
        };
        let place = stack.frames.iter().find(is_driver);
        let place = place.or(stack.frames.first().filter(|_| is_here)).cloned();
        let RunEnd::Stopped(stop) = RunEnd::stopped(reason) else {
            return RunEnd::Complete;
        };
        let tracker = self.machine().watcher::<LeakTracker>();
        let about = tracker.zip(bug_check.as_ref());
        RunEnd::Stopped(Box::new(RunStop {
            blocks: about.map_or_else(Vec::new, |(tracker, check)| blamed_blocks(tracker, check)),
            bug_check,
            place,
            stack: Some(stack),
            ..*stop
        }))
    }

    /// A stack with names, and with the drivers' source lines. Code of a driver that has been unloaded has
    /// that one's name, as in the debugger.
    pub(super) fn report_stack(&self, registers: &Registers, modules: &Modules) -> CallStack {
        let machine = self.machine();
        let images = ModuleImages {
            modules,
            return_landing: machine.return_landing(),
        };
        let walk = walk(registers, machine, &images, FRAME_LIMIT);
        let mut stack = CallStack::name(walk, modules);
        find_driver_lines(&mut stack, modules, self.bases().kernel);
        for frame in stack.frames.iter_mut().filter(|it| it.module.is_none()) {
            if let Some(place) = unloaded_at(self, frame.address) {
                (frame.module, frame.offset) = (Some(place.0), place.1);
            }
        }
        stack
    }
}

/// The lines of a text one behind the other.
fn in_one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        line.push_str(match line.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => "; ",
        });
        line.push_str(part);
    }
    line
}

fn unloaded_at(lab: &Lab, address: Va) -> Option<(String, u64)> {
    let place = lab.unloaded_driver_at(address)?;
    Some((format!("<Unloaded_{}>", place.name), place.offset))
}

#[cfg(test)]
mod tests {
    use super::in_one_line;

    #[test]
    fn lines_become_one() {
        assert_eq!(
            in_one_line("still loaded:\n    a: b\n    c"),
            "still loaded: a: b; c"
        );
        assert_eq!(in_one_line("\n one \r\n"), "one");
        assert_eq!(in_one_line(""), "");
    }
}
