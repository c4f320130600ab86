//! What waits are to do, by Microsoft's documentation, and nothing else: a world of objects and threads that
//! the records of a run lead through. It says no where a record tells what may not happen.
//!
//! The rules, and where they are written down:
//! - What satisfies a wait, and what that changes in the objects: WDK, "KeWaitForSingleObject",
//!   "KeWaitForMultipleObjects". A wait for all takes nothing before it can take all.
//! - "KeSetEvent", "KePulseEvent", "KeReleaseSemaphore", "KeReleaseMutex", "KeSetTimerEx", "KeCancelTimer":
//!   which waits each satisfies, and what it returns or raises.
//! - Threads that wait for one object are served first come first served, whatever their priorities:
//!   Microsoft Knowledge Base, Q125657.
//! - The ready thread of the highest priority runs; those of one priority are in a queue: Windows
//!   documentation, "Scheduling Priorities", "Context Switches". Where in it comes a thread that was preempted
//!   or whose priority was changed, and in which order those that one call wakes, is left open here.
//! - A thread that ends abandons its mutexes, in an order that is left open, and is signaled.

use crate::objects::{Object, Outcome, mutex_limit};
use crate::steps::{Act, Event, Record, Step, Task, WaitKind, When, object};
use crate::world::{Checked, State, Waiting, World};

const TIMEOUT: i64 = 0x102;

impl World {
    // ---- steps

    /// A step begins; gives the worlds that may come of it.
    fn begin(mut self, thread: usize, step: Option<&Step>, due: u64) -> Checked<Vec<World>> {
        self.calls += 1;
        let Some(step) = step else {
            return self.end_thread(thread);
        };
        let outcome = self.act(thread, step, due)?;
        let raised = matches!(outcome, Some(Outcome::Raised(_)));
        match &step.wait {
            Some(wait) if !raised => {
                let due = match wait.timeout {
                    Some(when) => self.make_due(when, due)?,
                    None => None,
                };
                let at_once = wait.timeout == Some(When::Now);
                self.wait(thread, wait.kind, &wait.objects, due, at_once);
            }
            // A delay's comes when it is over.
            _ if outcome.is_some() => self.threads[thread].outcome = outcome,
            _ => {}
        }
        Ok(vec![self])
    }

    fn wait(
        &mut self,
        thread: usize,
        kind: WaitKind,
        objects: &[u8],
        due: Option<u64>,
        at_once: bool,
    ) {
        let signaled = |it: &u8| self.is_signaled(*it, thread);
        let outcome = match kind {
            WaitKind::All if objects.iter().all(signaled) => Some(self.take_all(objects, thread)),
            WaitKind::All => None,
            WaitKind::Single | WaitKind::Any => objects.iter().position(signaled).map(|index| {
                let object = objects[index];
                match self.objects[usize::from(object)].is_full(thread) {
                    true => mutex_limit(),
                    false => self.take_any(object, index, thread),
                }
            }),
        };
        let outcome = outcome.or(at_once.then_some(Outcome::Value(TIMEOUT)));
        match outcome {
            Some(outcome) => self.threads[thread].outcome = Some(outcome),
            None => self.block(thread, kind, objects, due, TIMEOUT),
        }
    }

    fn block(
        &mut self,
        thread: usize,
        kind: WaitKind,
        objects: &[u8],
        due: Option<u64>,
        late: i64,
    ) {
        self.waits += 1;
        self.running = None;
        self.threads[thread].state = State::Waiting(Waiting {
            kind,
            objects: objects.to_vec(),
            since: self.waits,
            due,
            late,
        });
    }

    /// The call; nothing comes of one that blocks.
    fn act(&mut self, thread: usize, step: &Step, due: u64) -> Checked<Option<Outcome>> {
        let value = match step.act {
            Act::Nothing => Outcome::Value(0),
            Act::SetTimer(timer, when, period) => {
                // A periodic one is due at times that are its own.
                let due = match timer {
                    object::PERIODIC_TIMER => due,
                    _ => self.make_due(when, due)?.ok_or("a timer without a time")?,
                };
                self.objects[usize::from(timer)].set_timer(due, period)
            }
            Act::SetPriority(number, priority) => self.set_priority(number, priority.into()),
            Act::ApcsDisabled => {
                let owned = |it: u8| self.objects[usize::from(it)].is_owned_by(thread);
                Outcome::Value(object::MUTEXES.into_iter().any(owned).into())
            }
            Act::Delay(When::Now) => {
                self.yield_processor(thread);
                Outcome::Value(0)
            }
            Act::Delay(when) => {
                let due = self.make_due(when, due)?;
                self.block(thread, WaitKind::Any, &[], due, 0);
                return Ok(None);
            }
            act => {
                let (number, outcome, signals) = Object::act(&mut self.objects, act, thread);
                if signals {
                    self.signaled(number);
                }
                if let Act::PulseEvent(_) = act {
                    self.objects[usize::from(number)].reset();
                }
                outcome
            }
        };
        Ok(Some(value))
    }

    fn set_priority(&mut self, number: u8, priority: i64) -> Outcome {
        let thread = usize::from(number - object::THREADS.start) + 1;
        let it = &mut self.threads[thread];
        let old = std::mem::replace(&mut it.priority, priority);
        it.place = None;
        if self.running == Some(thread) {
            self.running = None;
        }
        Outcome::Value(old)
    }

    /// Others of the same priority come first, if there are any.
    fn yield_processor(&mut self, thread: usize) {
        let priority = self.threads[thread].priority;
        let is_other = |it: &usize| *it != thread && self.threads[*it].priority == priority;
        if self.runnable().iter().any(is_other) {
            self.threads[thread].place = Some(self.calls);
            self.running = None;
        }
    }

    fn end_thread(mut self, thread: usize) -> Checked<Vec<World>> {
        let owned = |it: &u8| self.objects[usize::from(*it)].is_owned_by(thread);
        if object::MUTEXES.into_iter().any(|it| owned(&it)) {
            return Err("a thread that ends with a mutex".to_string());
        }
        let mutants: Vec<u8> = object::MUTANTS.filter(owned).collect();
        self.running = None;
        // It cannot run any more, but is not signaled before it has given up all.
        let mut worlds: Vec<World> = Vec::new();
        for order in orders(&mutants) {
            let mut world = self.clone();
            for mutant in order {
                world.objects[usize::from(mutant)].abandon();
                world.signaled(mutant);
            }
            world.threads[thread].state = State::Ended;
            world.signaled(object::THREADS.start + thread as u8 - 1);
            if !worlds.contains(&world) {
                worlds.push(world);
            }
        }
        Ok(worlds)
    }

    // ---- records

    /// The worlds that may have come of this one when this is recorded.
    pub fn follow(mut self, record: &Record, task: &Task) -> Checked<Vec<World>> {
        self.advance(record.tick)?;
        self.turn(record.thread)?;
        let it = &mut self.threads[record.thread];
        if it.step != record.step {
            return Err(format!("not step {}", it.step));
        }
        match (record.event, it.outcome.take()) {
            (Event::Begins { due }, None) => {
                let step = task.programs[record.thread].steps.get(record.step);
                self.begin(record.thread, step, due)
            }
            (Event::Ends(_) | Event::Raises(_), Some(outcome)) if outcome.is(record.event) => {
                it.step += 1;
                // The thread that makes the others ends without a word.
                if record.thread == 0 && it.step == task.programs[0].steps.len() {
                    it.state = State::Ended;
                    self.running = None;
                }
                Ok(vec![self])
            }
            (_, outcome) => Err(format!("expected {outcome:?}")),
        }
    }

    /// All is recorded: nothing is going to happen any more.
    pub fn finish(mut self) -> Checked<()> {
        while let Some(due) = self.next_due() {
            self.advance(due)?;
        }
        self.idle(self.now)
    }
}

/// All orders of a few things.
fn orders(things: &[u8]) -> Vec<Vec<u8>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in things.iter().enumerate() {
        let rest = [&things[..at], &things[at + 1..]].concat();
        for mut order in orders(&rest) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

/// Whether a run is as it may be.
pub fn check(task: &Task, records: &[Record]) -> Checked<()> {
    let mut worlds = vec![World::new(task)];
    for (number, record) in records.iter().enumerate() {
        let step = task.programs[record.thread].steps.get(record.step);
        let mut next: Vec<World> = Vec::new();
        let mut reason = String::new();
        for world in worlds {
            match world.follow(record, task) {
                Ok(worlds) => next.extend(worlds),
                Err(why) => reason = why,
            }
        }
        if next.is_empty() {
            return Err(format!("record {number}, {record:?} of {step:?}: {reason}"));
        }
        worlds = next;
    }
    let ends: Vec<Checked<()>> = worlds.into_iter().map(World::finish).collect();
    match ends.iter().find(|end| end.is_ok()) {
        Some(_) => Ok(()),
        None => ends.into_iter().next().unwrap_or(Ok(())),
    }
}
