//! What a session does at hits and breakpoints without stopping the guest.

use super::call_site::CallStack;
use super::printed::Printed;
use super::session::Session;
use crate::address::Va;
use crate::hits::{Keep, Recorder, StackId};
use crate::machine::probe::{Observed, Pass, Point, Probe};
use std::fmt::{self, Write};

/// The commands of breakpoints that only look at the guest and let it go on.
pub(crate) trait PassingCommands: Send {
    /// The breakpoints they are for.
    fn points(&self) -> Vec<Va>;

    /// The guest is at a breakpoint: the work to charge for it, or `None` to stop the guest there
    /// after all.
    fn pass(&mut self, guest: &Observed<'_>, address: Va) -> Option<u64>;

    /// Writes what they have printed since the last time, with what the guest has printed in between.
    fn write_output(&mut self, guest: &mut Printed, out: &mut dyn Write) -> fmt::Result;
}

/// The probe of a session: records hits, and executes breakpoints' commands.
#[derive(Default)]
pub(crate) struct SessionProbe {
    recorder: Option<Recorder>,
    passing: Option<Box<dyn PassingCommands>>,
}

impl SessionProbe {
    fn points(&self) -> Vec<Va> {
        let sites = self.recorder.iter().flat_map(Recorder::points);
        let passing = self.passing.iter().flat_map(|passing| passing.points());
        sites.chain(passing).collect()
    }

    fn record(&mut self, guest: &Observed<'_>, point: Point) -> Option<Pass> {
        self.recorder.as_mut()?.hit(guest, point)
    }
}

impl Probe for SessionProbe {
    fn hit(&mut self, guest: &Observed<'_>, point: Point) -> Option<Pass> {
        let Point::Breakpoint { address } = point else {
            return self.record(guest, point);
        };
        let recorded = self.record(guest, point).unwrap_or_default();
        let passing = self.passing.as_mut();
        let charge = passing.and_then(|passing| passing.pass(guest, address));
        Some(Pass {
            charge: charge.unwrap_or(0),
            stops: charge.is_none(),
            ..recorded
        })
    }

    fn returned(&mut self, guest: &Observed<'_>, token: u64) {
        if let Some(recorder) = &mut self.recorder {
            recorder.returned(guest, token);
        }
    }
}

impl Session {
    /// Records pool hits from now on, without stopping at them: in place of the break instruction
    /// exception, a hit is counted, and kept if `keep` says so. What was recorded before is gone, and
    /// so is a probe that was set on the [machine](crate::machine::Machine::set_probe).
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason, hits::{HitKind, Keep}};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c")?;
    /// session.record_hits(Keep::First(1000));
    /// assert!(matches!(session.go()?.reason, StopReason::Idle { .. }));
    ///
    /// let recorded = session.recorded_hits().unwrap();
    /// let hit = recorded.hits().next().unwrap();
    /// assert_eq!((hit.tag.to_string().as_str(), hit.kind), ("Lea2", HitKind::Allocate));
    /// assert_eq!(session.hit_stack(hit.stack).unwrap().frames.len(), 11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_hits(&mut self, keep: Keep) {
        let recorder = Recorder::of(self.lab(), keep);
        self.change_probe(|probe| probe.recorder = Some(recorder));
        // Those are the recorder's before, and numbered by it.
        self.lab_mut().machine_mut().forget_calls();
    }

    /// What has been recorded, if it is being recorded. See [`record_hits`](Session::record_hits).
    pub fn recorded_hits(&self) -> Option<&Recorder> {
        self.probe()?.recorder.as_ref()
    }

    /// The same, to change it: to have it forget what it has learnt.
    ///
    /// ```
    /// use poolhit::{Lab, Session, hits::Keep};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.record_hits(Keep::Counts);
    /// session.recorded_hits_mut().unwrap().forget_rules();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recorded_hits_mut(&mut self) -> Option<&mut Recorder> {
        let machine = self.lab_mut().machine_mut();
        machine.probe_mut::<SessionProbe>()?.recorder.as_mut()
    }

    /// Ends recording: the guest stops at hits again. Gives what has been recorded; its stacks have
    /// no names from [`hit_stack`](Session::hit_stack) any more, but by
    /// [`Recorder::modules`].
    ///
    /// ```
    /// use poolhit::{Lab, Session, hits::Keep};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.record_hits(Keep::Counts);
    /// assert_eq!(session.stop_recording().unwrap().count(), 0);
    /// assert!(session.stop_recording().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop_recording(&mut self) -> Option<Recorder> {
        self.recorded_hits()?;
        let mut recorder = None;
        self.change_probe(|probe| recorder = probe.recorder.take());
        recorder
    }

    /// A recorded stack with names; its stack pointers are those of its first hit. `None` for one
    /// that is not kept, and if nothing is being recorded. See
    /// [`record_hits`](Session::record_hits).
    pub fn hit_stack(&self, stack: StackId) -> Option<CallStack> {
        let recorder = self.recorded_hits()?;
        let kept = recorder.stacks().stack(stack)?;
        let modules = recorder.modules();
        Some(CallStack::of_capture(
            kept.at,
            kept.frames,
            kept.end,
            modules,
        ))
    }

    fn probe(&self) -> Option<&SessionProbe> {
        self.lab().machine().probe()
    }

    fn change_probe(&mut self, change: impl FnOnce(&mut SessionProbe)) {
        let machine = self.lab_mut().machine_mut();
        if let Some(probe) = machine.probe_mut::<SessionProbe>() {
            change(probe);
            let points = probe.points();
            machine.set_probe_points(&points);
        } else {
            let mut probe = SessionProbe::default();
            change(&mut probe);
            let points = probe.points();
            machine.set_probe(Some(Box::new(probe)), &points);
        }
    }

    /// Says which breakpoints' commands are executed without a stop.
    pub(crate) fn set_passing(&mut self, passing: Option<Box<dyn PassingCommands>>) {
        if passing.is_none() && self.probe().is_none() {
            // A probe that came with the lab stays.
            return;
        }
        self.change_probe(|probe| probe.passing = passing);
    }

    /// Writes what those commands and the guest have printed in the last run, in that order.
    pub(crate) fn write_run_output(&mut self, out: &mut dyn Write) -> fmt::Result {
        let printed = &mut self.printed;
        // What was printed in front of a note is in the note.
        out.write_str(&printed.show_notes())?;
        let probe = self.lab.machine_mut().probe_mut::<SessionProbe>();
        if let Some(passing) = probe.and_then(|probe| probe.passing.as_mut()) {
            passing.write_output(printed, out)?;
        }
        out.write_str(&printed.show_rest())
    }

    /// Tells something of the session's own in a run, behind what has been printed up to now.
    pub(super) fn tell(&mut self, text: &str) {
        self.collect_printed();
        let mut told = String::new();
        // A String takes any text.
        let _ = self.write_run_output(&mut told);
        self.printed.note(told + text);
    }
}
