//! Objects and threads, of which some wait: who is woken, in which order, and whose turn it is. The rules are
//! [`model`](crate::model)'s.

use crate::objects::{Object, Outcome};
use crate::steps::{MAKER_PRIORITY, THREADS, Task, WaitKind, When, object};
use std::collections::BTreeSet;

const ABANDONED: i64 = 0x80;

/// What a thread waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub kind: WaitKind,
    pub objects: Vec<u8>,
    /// Who waits longer has a lower one.
    pub since: u64,
    pub due: Option<u64>,
    /// What it gets when that comes.
    pub late: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Runnable,
    Waiting(Waiting),
    Ended,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    pub priority: i64,
    pub state: State,
    /// Its place among those of its priority; none if that is open.
    pub place: Option<u64>,
    /// The step that it comes to, or is in.
    pub step: usize,
    /// What the step is going to have come to.
    pub outcome: Option<Outcome>,
}

/// What a run has come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct World {
    pub now: u64,
    pub objects: Vec<Object>,
    pub threads: Vec<Thread>,
    /// The thread that has run last, and that those of its priority have to let go on.
    pub running: Option<usize>,
    /// Counts calls, and timers that come due.
    pub calls: u64,
    pub waits: u64,
    pub due: BTreeSet<u64>,
}

pub type Checked<T> = Result<T, String>;

impl World {
    pub fn new(task: &Task) -> World {
        let thread = |number: usize| Thread {
            priority: match number {
                0 => MAKER_PRIORITY.into(),
                _ => task.programs[number].priority.into(),
            },
            state: State::Runnable,
            place: None,
            step: 0,
            outcome: None,
        };
        World {
            now: 0,
            objects: (0..object::THREADS.end)
                .map(|number| Object::new(number, &task.states))
                .collect(),
            threads: (0..THREADS).map(thread).collect(),
            running: Some(0),
            calls: 0,
            waits: 0,
            due: BTreeSet::new(),
        }
    }

    pub fn is_runnable(&self, thread: usize) -> bool {
        self.threads[thread].state == State::Runnable
    }

    pub fn runnable(&self) -> Vec<usize> {
        (0..THREADS).filter(|it| self.is_runnable(*it)).collect()
    }

    // ---- the processor

    /// It is this thread's turn.
    pub fn turn(&mut self, thread: usize) -> Checked<()> {
        if !self.is_runnable(thread) {
            return Err(format!(
                "thread {thread} cannot run: {:?}",
                self.threads[thread]
            ));
        }
        let it = &self.threads[thread];
        let is_behind = |other: &Thread| match (other.place, it.place) {
            (Some(other), Some(own)) => other < own,
            _ => false,
        };
        for other in self.runnable() {
            let before = &self.threads[other];
            let comes_first = before.priority > it.priority
                || before.priority == it.priority
                    && self.running != Some(thread)
                    && (self.running == Some(other) || is_behind(before));
            if other != thread && comes_first {
                return Err(format!("thread {other} comes before thread {thread}"));
            }
        }
        if let Some(last) = self.running
            && last != thread
        {
            self.threads[last].place = None; // it was preempted, if it is still ready
        }
        self.running = Some(thread);
        Ok(())
    }

    pub fn wake(&mut self, thread: usize, outcome: Outcome) {
        let it = &mut self.threads[thread];
        it.state = State::Runnable;
        it.place = Some(self.calls);
        it.outcome = Some(outcome);
    }

    // ---- objects

    pub fn is_signaled(&self, object: u8, thread: usize) -> bool {
        match self.objects[usize::from(object)] {
            Object::Thread(number) => self.threads[number].state == State::Ended,
            ref other => other.is_signaled(thread),
        }
    }

    pub fn take(&mut self, object: u8, thread: usize) -> bool {
        self.objects[usize::from(object)].take(thread)
    }

    /// Takes all objects, of which some may have been abandoned.
    pub fn take_all(&mut self, objects: &[u8], thread: usize) -> Outcome {
        let abandoned = |at: usize, world: &mut World| world.take(objects[at], thread);
        let abandoned: Vec<i64> = (0..objects.len())
            .filter(|at| abandoned(*at, self))
            .map(|at| ABANDONED + at as i64)
            .collect();
        match &abandoned[..] {
            [] => Outcome::Value(0),
            // The index "of the mutex": where there is none of one wait, it may be zero, too.
            _ => Outcome::OneOf([vec![ABANDONED], abandoned].concat()),
        }
    }

    pub fn take_any(&mut self, object: u8, index: usize, thread: usize) -> Outcome {
        let abandoned = if self.take(object, thread) {
            ABANDONED
        } else {
            0
        };
        Outcome::Value(abandoned + index as i64)
    }

    /// An object has been signaled: satisfies the waits that it can.
    pub fn signaled(&mut self, object: u8) {
        let mut waiting: Vec<(u64, usize, Waiting)> = Vec::new();
        for (number, thread) in self.threads.iter().enumerate() {
            if let State::Waiting(wait) = &thread.state
                && wait.objects.contains(&object)
            {
                waiting.push((wait.since, number, wait.clone()));
            }
        }
        waiting.sort_unstable_by_key(|(since, ..)| *since);
        for (_, thread, wait) in waiting {
            if !self.is_signaled(object, thread) {
                continue;
            }
            let outcome = if wait.kind != WaitKind::All {
                let index = wait.objects.iter().position(|it| *it == object);
                self.take_any(object, index.unwrap_or(0), thread)
            } else if wait.objects.iter().all(|it| self.is_signaled(*it, thread)) {
                self.take_all(&wait.objects, thread)
            } else {
                continue;
            };
            self.wake(thread, outcome);
        }
    }

    // ---- time

    pub fn next_due(&self) -> Option<u64> {
        let waits = self
            .threads
            .iter()
            .filter_map(|thread| match &thread.state {
                State::Waiting(wait) => wait.due,
                _ => None,
            });
        let timers = self.objects.iter().filter_map(Object::due);
        waits.chain(timers).min()
    }

    /// Time goes on, while no thread runs.
    pub fn advance(&mut self, tick: u64) -> Checked<()> {
        while let Some(due) = self.next_due().filter(|due| *due <= tick) {
            self.idle(tick)?;
            self.now = due;
            self.calls += 1;
            for number in object::TIMERS {
                if self.objects[usize::from(number)].expire(due) {
                    self.signaled(number);
                }
            }
            for thread in 0..THREADS {
                if let State::Waiting(wait) = &self.threads[thread].state
                    && wait.due == Some(due)
                {
                    let late = wait.late;
                    self.wake(thread, Outcome::Value(late));
                }
            }
        }
        if tick > self.now {
            self.idle(tick)?;
            self.now = tick;
        }
        Ok(())
    }

    pub fn idle(&self, tick: u64) -> Checked<()> {
        match self.runnable()[..] {
            [] => Ok(()),
            ref ready => Err(format!("{ready:?} did not run before tick {tick}")),
        }
    }

    /// What a step has made due.
    pub fn make_due(&mut self, when: When, due: u64) -> Checked<Option<u64>> {
        let (When::Relative(ticks) | When::Absolute(ticks)) = when else {
            return Ok(None);
        };
        if due < self.now + u64::from(ticks).max(1) || !self.due.insert(due) {
            return Err(format!("due at {due}, in {ticks} ticks"));
        }
        Ok(Some(due))
    }
}
