//! Objects that threads wait for, as the documentation has them.

use crate::steps::{Act, Event, ROUND, SEMAPHORE_LIMIT, object};

const SEMAPHORE_LIMIT_EXCEEDED: u32 = 0xc000_0047;
const MUTANT_NOT_OWNED: u32 = 0xc000_0046;
const MUTANT_LIMIT_EXCEEDED: u32 = 0xc000_0191;
const STATUS_ABANDONED: u32 = 0x80;
/// A mutex's state when it cannot be taken any more: MINLONG.
const LOWEST: i64 = i32::MIN as i64;

/// What a step may come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Value(i64),
    OneOf(Vec<i64>),
    Raised(Vec<u32>),
}

impl Outcome {
    pub fn is(&self, event: Event) -> bool {
        match (self, event) {
            (Outcome::Value(value), Event::Ends(found)) => *value == found,
            (Outcome::OneOf(values), Event::Ends(found)) => values.contains(&found),
            (Outcome::Raised(statuses), Event::Raises(found)) => statuses.contains(&found),
            _ => false,
        }
    }
}

/// A mutex is taken more often than it can be.
pub fn mutex_limit() -> Outcome {
    Outcome::Raised(vec![MUTANT_LIMIT_EXCEEDED])
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    Event {
        /// A wait that it satisfies resets it.
        resets: bool,
        signaled: bool,
    },
    Semaphore(i64),
    Mutex {
        owner: Option<usize>,
        /// 1 if it is free, and one less each time that it is taken.
        state: i64,
        abandoned: bool,
    },
    Timer {
        resets: bool,
        signaled: bool,
        due: Option<u64>,
        period: u64,
    },
    Thread(usize),
}

impl Object {
    pub fn new(number: u8, states: &[u8]) -> Object {
        let state = || states[usize::from(number)];
        if object::EVENTS.contains(&number) {
            Object::Event {
                resets: object::SYNCHRONIZATION_EVENTS.contains(&number),
                signaled: state() != 0,
            }
        } else if object::SEMAPHORES.contains(&number) {
            Object::Semaphore(state().into())
        } else if object::TIMERS.contains(&number) {
            Object::Timer {
                resets: number != object::NOTIFICATION_TIMER,
                signaled: false,
                due: None,
                period: 0,
            }
        } else if object::THREADS.contains(&number) {
            Object::Thread(usize::from(number - object::THREADS.start) + 1)
        } else {
            Object::Mutex {
                owner: None,
                state: 1,
                abandoned: false,
            }
        }
    }

    /// Whether a wait of a thread for it would be satisfied; for all but threads.
    pub fn is_signaled(&self, thread: usize) -> bool {
        match *self {
            Object::Event { signaled, .. } | Object::Timer { signaled, .. } => signaled,
            Object::Semaphore(count) => count > 0,
            Object::Mutex { owner, .. } => owner.is_none_or(|owner| owner == thread),
            Object::Thread(_) => false,
        }
    }

    pub fn is_owned_by(&self, thread: usize) -> bool {
        matches!(self, Object::Mutex { owner: Some(owner), .. } if *owner == thread)
    }

    pub fn is_full(&self, thread: usize) -> bool {
        self.is_owned_by(thread) && matches!(self, Object::Mutex { state: LOWEST, .. })
    }

    /// A wait of a thread is satisfied; whether it was for a mutex that had been abandoned.
    pub fn take(&mut self, thread: usize) -> bool {
        match self {
            Object::Event { resets, signaled }
            | Object::Timer {
                resets, signaled, ..
            } => {
                *signaled &= !*resets;
                false
            }
            Object::Semaphore(count) => {
                *count -= 1;
                false
            }
            Object::Mutex {
                owner,
                state,
                abandoned,
            } => {
                *owner = Some(thread);
                *state -= 1;
                std::mem::take(abandoned)
            }
            Object::Thread(_) => false,
        }
    }

    pub fn abandon(&mut self) {
        *self = Object::Mutex {
            owner: None,
            state: 1,
            abandoned: true,
        };
    }

    pub fn reset(&mut self) {
        if let Object::Event { signaled, .. } = self {
            *signaled = false;
        }
    }

    pub fn due(&self) -> Option<u64> {
        match self {
            Object::Timer { due, .. } => *due,
            _ => None,
        }
    }

    /// A timer that is due then expires.
    pub fn expire(&mut self, now: u64) -> bool {
        match self {
            Object::Timer {
                due,
                signaled,
                period,
                ..
            } if *due == Some(now) => {
                *signaled = true;
                *due = (*period > 0).then_some(now + *period);
                true
            }
            _ => false,
        }
    }

    /// Whether it was set is what comes of it.
    pub fn set_timer(&mut self, at: u64, rounds: i8) -> Outcome {
        let Object::Timer {
            signaled,
            due,
            period,
            ..
        } = self
        else {
            return Outcome::OneOf(Vec::new());
        };
        *signaled = false;
        *period = rounds as u64 * ROUND;
        Outcome::Value(due.replace(at).is_some().into())
    }

    /// What a call that changes or reads an object does: which object, what comes of it, and whether the
    /// object has been signaled.
    pub fn act(objects: &mut [Object], act: Act, thread: usize) -> (u8, Outcome, bool) {
        use Act::*;
        let (SetEvent(number)
        | ResetEvent(number)
        | ClearEvent(number)
        | PulseEvent(number)
        | ReadEvent(number)
        | ReleaseSemaphore(number, _)
        | ReadSemaphore(number)
        | ReleaseMutex(number)
        | ReadMutex(number)
        | DropMutex(number)
        | FillMutex(number)
        | CancelTimer(number)
        | ReadTimer(number)) = act
        else {
            return (0, Outcome::OneOf(Vec::new()), false);
        };
        let (outcome, signals) = match &mut objects[usize::from(number)] {
            Object::Event { signaled, .. } => event(signaled, act),
            Object::Semaphore(count) => semaphore(count, act),
            Object::Mutex {
                owner,
                state,
                abandoned,
            } => mutex(owner, state, *abandoned, act, thread),
            Object::Timer { signaled, due, .. } => match act {
                CancelTimer(_) => (Outcome::Value(due.take().is_some().into()), false),
                _ => (Outcome::Value((*signaled).into()), false),
            },
            Object::Thread(_) => (Outcome::OneOf(Vec::new()), false),
        };
        (number, outcome, signals)
    }
}

fn event(signaled: &mut bool, act: Act) -> (Outcome, bool) {
    let was = Outcome::Value((*signaled).into());
    match act {
        Act::SetEvent(_) | Act::PulseEvent(_) => {
            *signaled = true;
            (was, true)
        }
        Act::ResetEvent(_) => {
            *signaled = false;
            (was, false)
        }
        // It does not say what it was.
        Act::ClearEvent(_) => {
            *signaled = false;
            (Outcome::Value(0), false)
        }
        _ => (was, false),
    }
}

fn semaphore(count: &mut i64, act: Act) -> (Outcome, bool) {
    let was = *count;
    match act {
        Act::ReleaseSemaphore(_, more) if was + i64::from(more) > SEMAPHORE_LIMIT => {
            (Outcome::Raised(vec![SEMAPHORE_LIMIT_EXCEEDED]), false)
        }
        Act::ReleaseSemaphore(_, more) => {
            *count += i64::from(more);
            (Outcome::Value(was), true)
        }
        _ => (Outcome::Value(was), false),
    }
}

fn mutex(
    owner: &mut Option<usize>,
    state: &mut i64,
    abandoned: bool,
    act: Act,
    thread: usize,
) -> (Outcome, bool) {
    let was = *state;
    let is_own = *owner == Some(thread);
    match act {
        Act::ReleaseMutex(_) if !is_own && abandoned => {
            let either = vec![MUTANT_NOT_OWNED, STATUS_ABANDONED];
            (Outcome::Raised(either), false)
        }
        Act::ReleaseMutex(_) if !is_own => (Outcome::Raised(vec![MUTANT_NOT_OWNED]), false),
        Act::ReleaseMutex(_) => {
            *state += 1;
            if *state == 1 {
                *owner = None;
            }
            (Outcome::Value(was), *state == 1)
        }
        Act::DropMutex(_) => {
            if is_own {
                (*owner, *state) = (None, 1);
            }
            (Outcome::Value(1 - was).or_none(is_own), is_own)
        }
        Act::FillMutex(_) => {
            if is_own {
                *state = LOWEST + 1;
            }
            (Outcome::Value(is_own.into()), false)
        }
        _ => (Outcome::Value(was), false),
    }
}

impl Outcome {
    /// Zero, if it is not so.
    fn or_none(self, is_so: bool) -> Outcome {
        if is_so { self } else { Outcome::Value(0) }
    }
}
