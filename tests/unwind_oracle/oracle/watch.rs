//! Watching a run: at each instruction the shadow stack is brought up to date and compared with what
//! the unwinder says, and with what is captured by rules.

use super::compare::{capture_difference, difference};
use super::shadow::{Base, Event, Shadow, Ways};
use poolhit::address::Va;
use poolhit::machine::probe::{Observed, Tracer};
use poolhit::memory::ReadMemory;
use poolhit::registers::Registers;
use poolhit::stack::capture::Capturer;
use poolhit::stack::modules::UnwindModules;
use poolhit::stack::walk::{Walk, walk};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// More frames than any stack here has.
const LIMIT: usize = 200;
/// At how many addresses differences are told; one is too many.
const TOLD: usize = 20;

/// Code where no unwinder can be right, and why.
#[derive(Clone, Debug)]
pub struct Exempt {
    pub code: Range<Va>,
    pub reason: &'static str,
    /// How many boundaries there were.
    pub count: u64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instruction boundaries.
    pub boundaries: u64,
    /// Those where the whole stack was compared.
    pub compared: u64,
    /// Frames compared there.
    pub frames: u64,
    /// Those that are exempt.
    pub exempt: u64,
    /// Those where the frames of interrupted code were being changed.
    pub rewriting: u64,
    /// The deepest stack.
    pub deepest: usize,
}

/// What else is to be looked at where stacks are compared.
pub trait Check: Send {
    fn boundary(&mut self, now: &Registers, shadow: &Shadow, memory: &dyn ReadMemory);
}

/// What watches a run.
pub struct Oracle {
    pub shadow: Shadow,
    modules: Box<dyn UnwindModules + Send>,
    capturer: Capturer,
    pub exempt: Vec<Exempt>,
    /// How often a boundary is compared with the same callers below it; each time if not said.
    pub visits: Option<u32>,
    visited: BTreeMap<(u64, u64), u32>,
    /// Boundaries whose truth shows later: the stack pointer has been loaded by hand.
    pending: Vec<(Registers, Walk)>,
    pub counts: Counts,
    pub also: Option<Box<dyn Check>>,
    /// The first difference at each address.
    differences: BTreeMap<Va, String>,
    /// The shadow is lost: nothing more can be said.
    lost: bool,
}

impl Oracle {
    pub fn new(ways: Ways, modules: Box<dyn UnwindModules + Send>) -> Oracle {
        Oracle {
            shadow: Shadow::new(ways),
            modules,
            capturer: Capturer::new(),
            exempt: Vec::new(),
            visits: None,
            visited: BTreeMap::new(),
            pending: Vec::new(),
            counts: Counts::default(),
            also: None,
            differences: BTreeMap::new(),
            lost: false,
        }
    }

    /// The addresses of the instructions seen, if it is counted how often they are.
    pub fn code(&self) -> Vec<Va> {
        let mut code: Vec<Va> = self.visited.keys().map(|(rip, _)| Va(*rip)).collect();
        code.dedup();
        code
    }

    fn tell(&mut self, at: Va, difference: String) {
        if self.differences.len() < TOLD {
            let boundary = self.counts.boundaries;
            let text = || format!("boundary {boundary}, {at}: {difference}");
            self.differences.entry(at).or_insert_with(text);
        }
    }

    /// An interrupt or a fault has been delivered to code with these registers.
    pub fn interrupt(&mut self, registers: &Registers, memory: &dyn ReadMemory) {
        let event = self.shadow.interrupt(registers, memory);
        self.take_event(registers.rip(), event);
    }

    fn take_event(&mut self, at: Va, event: Result<Event, String>) {
        match event {
            Ok(Event::None) => {}
            Ok(Event::Loaded) => self.judge_pending(None),
            Ok(Event::Started(caller)) => self.judge_pending(Some(&caller)),
            Err(reason) => {
                self.lost = true;
                self.tell(at, reason);
            }
        }
    }

    fn boundary(&mut self, guest: &Observed<'_>) {
        if self.lost {
            return;
        }
        let now = guest.registers();
        self.counts.boundaries += 1;
        let event = self.shadow.step(&now, guest);
        self.take_event(now.rip(), event);
        if self.lost {
            return;
        }
        self.counts.deepest = self.counts.deepest.max(self.shadow.callers().len() + 1);
        if let Some(visits) = self.visits {
            let seen = self
                .visited
                .entry((now.rip, self.shadow.shape()))
                .or_default();
            if *seen >= visits {
                return;
            }
            *seen += 1;
        }
        self.compare(&now, guest);
    }

    fn compare(&mut self, now: &Registers, guest: &Observed<'_>) {
        let walk = walk(now, guest, &*self.modules, LIMIT);
        let end = self.capturer.capture(now, guest, &*self.modules, LIMIT);
        let mut found = capture_difference(&walk, &self.capturer, end);
        let exempt = self
            .exempt
            .iter_mut()
            .find(|exempt| exempt.code.contains(&now.rip()));
        if let Some(exempt) = exempt {
            exempt.count += 1;
            self.counts.exempt += 1;
        } else if self.shadow.is_rewriting() {
            self.counts.rewriting += 1;
        } else if self.shadow.base() == Base::Loaded && self.shadow.callers().is_empty() {
            self.pending.push((now.clone(), walk));
        } else {
            self.counts.compared += 1;
            self.counts.frames += walk.frames.len() as u64;
            let (callers, base) = (self.shadow.callers(), self.shadow.base());
            found = found.or_else(|| difference(now, callers, base, &walk));
            if let Some(also) = &mut self.also {
                also.boundary(now, &self.shadow, guest);
            }
        }
        if let Some(difference) = found {
            self.tell(now.rip(), difference);
        }
    }

    /// The code on a stack that was loaded by hand has returned to its caller, or (if there is none)
    /// was a thread's lowest.
    fn judge_pending(&mut self, caller: Option<&Registers>) {
        let mut shadow = Shadow::new(Ways::default());
        if let Some(caller) = caller {
            shadow.interrupted_at(caller);
        }
        for (now, walk) in std::mem::take(&mut self.pending) {
            self.counts.compared += 1;
            self.counts.frames += walk.frames.len() as u64;
            let found = difference(&now, shadow.callers(), Base::Thread, &walk);
            if let Some(difference) = found {
                self.tell(now.rip(), difference);
            }
        }
    }

    /// Ends the watch: nothing was different.
    #[track_caller]
    pub fn finish(&mut self) -> Counts {
        self.judge_pending(None);
        let differences: Vec<&str> = self.differences.values().map(String::as_str).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        self.counts
    }
}

/// The oracle, in the machine's hand and in the test's.
#[derive(Clone)]
pub struct Watch(Arc<Mutex<Oracle>>);

impl Watch {
    pub fn new(oracle: Oracle) -> Watch {
        Watch(Arc::new(Mutex::new(oracle)))
    }

    /// The oracle, while the machine stands still.
    pub fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.0.lock().unwrap()
    }
}

impl Tracer for Watch {
    fn instruction(&mut self, guest: &Observed<'_>) {
        self.oracle().boundary(guest);
    }
}
