//! What threads of the driver's do step by step: the task that a test writes for them, and their records.

use crate::guest::{ENOUGH, lab, notes};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::SavedLab;
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use std::fmt;

/// The scenario.
const STEPS: u32 = 51;
/// A tick of the driver's, in units of 100 ns.
const TICK: u64 = 10_000;
/// Ticks that this is a factor of are for the timer that is periodic.
pub const ROUND: u64 = 16;
/// Threads that have programs: the one that makes the others, and those.
pub const THREADS: usize = 7;
const PROGRAM_BYTES: usize = 0x150;
const MOST_STEPS: usize = 20;

/// Objects by their numbers in the driver.
pub mod object {
    use std::ops::Range;

    /// The first two are notification events.
    pub const EVENTS: Range<u8> = 0..5;
    pub const SYNCHRONIZATION_EVENTS: Range<u8> = 2..5;
    pub const SEMAPHORES: Range<u8> = 5..7;
    /// A thread that has one of them must not end.
    pub const MUTEXES: Range<u8> = 7..9;
    /// Those that have handles, and can be abandoned.
    pub const MUTANTS: Range<u8> = 9..12;
    pub const NOTIFICATION_TIMER: u8 = 12;
    pub const PERIODIC_TIMER: u8 = 14;
    pub const TIMERS: Range<u8> = 12..15;
    pub const THREADS: Range<u8> = 15..21;
}

/// The most that a semaphore counts to.
pub const SEMAPHORE_LIMIT: i64 = 3;
/// The priority of the thread that makes the others.
pub const MAKER_PRIORITY: u8 = 31;

/// When something is due, in ticks from now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    Now,
    /// Said as an interval.
    Relative(u32),
    /// Said as a system time.
    Absolute(u32),
}

/// A call, with an object's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Nothing,
    SetEvent(u8),
    ResetEvent(u8),
    ClearEvent(u8),
    PulseEvent(u8),
    ReadEvent(u8),
    ReleaseSemaphore(u8, i8),
    ReadSemaphore(u8),
    ReleaseMutex(u8),
    ReadMutex(u8),
    /// Released until that is an error: so often.
    DropMutex(u8),
    /// If it is the thread's, it is as if the thread had taken it as often as it can, but once.
    FillMutex(u8),
    /// With a period, in rounds.
    SetTimer(u8, When, i8),
    CancelTimer(u8),
    ReadTimer(u8),
    SetPriority(u8, i8),
    ApcsDisabled,
    Delay(When),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitKind {
    /// `KeWaitForSingleObject`.
    Single = 1,
    Any,
    All,
}

/// A wait; without a timeout, it may be for ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    pub objects: Vec<u8>,
    pub timeout: Option<When>,
}

/// A call, and a wait that follows at once (the call says so, by its `Wait` parameter).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub act: Act,
    pub wait: Option<Wait>,
}

impl Step {
    pub fn of(act: Act) -> Step {
        Step { act, wait: None }
    }

    /// What is due, and when.
    pub fn when(&self) -> Option<When> {
        match (self.act, &self.wait) {
            (Act::SetTimer(_, when, _) | Act::Delay(when), _) => Some(when),
            (_, Some(wait)) => wait.timeout,
            _ => None,
        }
    }

    fn encode(&self) -> [u8; 16] {
        use Act::*;
        let (code, object, argument) = match self.act {
            Nothing => (0, 0, 0),
            SetEvent(object) => (1, object, 0),
            ResetEvent(object) => (2, object, 0),
            ClearEvent(object) => (3, object, 0),
            PulseEvent(object) => (4, object, 0),
            ReadEvent(object) => (5, object, 0),
            ReleaseSemaphore(object, count) => (6, object, count),
            ReadSemaphore(object) => (7, object, 0),
            ReleaseMutex(object) => (8, object, 0),
            ReadMutex(object) => (9, object, 0),
            DropMutex(object) => (10, object, 0),
            FillMutex(object) => (11, object, 0),
            SetTimer(object, _, period) => (12, object, period),
            CancelTimer(object) => (13, object, 0),
            ReadTimer(object) => (14, object, 0),
            SetPriority(object, priority) => (15, object, priority),
            ApcsDisabled => (16, 0, 0),
            Delay(_) => (17, 0, 0),
        };
        let (timeout, ticks) = match self.when() {
            None => (0, 0),
            Some(When::Now) => (1, 0),
            Some(When::Relative(ticks)) => (2, ticks),
            Some(When::Absolute(ticks)) => (3, ticks),
        };
        let mut bytes = [0; 16];
        bytes[..3].copy_from_slice(&[code, object, argument as u8]);
        bytes[4] = timeout;
        if let Some(wait) = &self.wait {
            bytes[3] = wait.kind as u8;
            bytes[5] = wait.objects.len() as u8;
            bytes[6..6 + wait.objects.len()].copy_from_slice(&wait.objects);
        }
        bytes[12..].copy_from_slice(&ticks.to_le_bytes());
        bytes
    }
}

/// A thread's steps, and its first priority.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    pub priority: u8,
    pub steps: Vec<Step>,
}

/// What all threads do; the first one makes the others.
#[derive(Clone, PartialEq, Eq)]
pub struct Task {
    /// Whether events are signaled at first, and what semaphores count.
    pub states: [u8; object::SEMAPHORES.end as usize],
    pub programs: [Program; THREADS],
}

impl fmt::Debug for Task {
    /// A line for each thread, however it is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", self.states))?;
        for (number, Program { priority, steps }) in self.programs.iter().enumerate() {
            write!(f, "\n{number}, priority {priority}:")?;
            for Step { act, wait } in steps {
                match (act, wait) {
                    (Act::Nothing, Some(wait)) => f.write_str(&format!(" {wait:?};"))?,
                    (act, None) => f.write_str(&format!(" {act:?};"))?,
                    (act, Some(wait)) => f.write_str(&format!(" {act:?} and {wait:?};"))?,
                }
            }
        }
        Ok(())
    }
}

impl Task {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.states.to_vec();
        bytes.resize(16, 0);
        for program in &self.programs {
            let start = bytes.len();
            assert!(program.steps.len() <= MOST_STEPS);
            bytes.extend([program.steps.len() as u8, program.priority]);
            bytes.resize(start + 16, 0);
            bytes.extend(program.steps.iter().flat_map(Step::encode));
            bytes.resize(start + PROGRAM_BYTES, 0);
        }
        bytes
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A step begins, or a thread ends behind its last one.
    Begins {
        due: u64,
    },
    Ends(i64),
    Raises(u32),
}

/// What a thread has recorded of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    pub thread: usize,
    pub step: usize,
    pub event: Event,
    /// In ticks from the start.
    pub tick: u64,
}

/// A guest at its first prompt, to which it can be brought back.
pub struct Guest {
    lab: Lab,
    first: SavedLab,
}

impl Guest {
    pub fn new() -> Guest {
        let mut lab = lab(STEPS, 0);
        let first = lab.save().unwrap();
        Guest { lab, first }
    }

    fn at(&self, name: &str) -> Va {
        let driver = &self.lab.images().driver.symbols;
        self.lab.bases().driver + driver.by_name(name).unwrap().rva
    }

    /// Runs a task to where nothing is going to happen any more.
    pub fn run(&mut self, task: &Task) -> Result<Vec<Record>, String> {
        self.lab.restore(&self.first).unwrap();
        let place = self.at("SchedulerTask");
        let machine = self.lab.machine_mut();
        machine.write(place, &task.encode()).unwrap();
        let exit = self.lab.run(machine_limit(&self.lab)).unwrap();
        let records = self.records();
        if exit != Exit::Halt || !notes(&self.lab).iter().all(|note| note.event == 9999) {
            let check = self.lab.bug_check();
            return Err(format!("{exit:?} {check:x?}, {records:?}"));
        }
        Ok(records)
    }

    fn records(&self) -> Vec<Record> {
        let machine = self.lab.machine();
        let count = machine.read_u32(self.at("SchedulerRecordCount")).unwrap();
        let first = self.at("SchedulerRecords");
        let record = |number: u64| {
            let mut bytes = [0; 24];
            machine
                .read(first.wrapping_add(number * 24), &mut bytes)
                .unwrap();
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let event = match bytes[0] {
                1 => Event::Begins { due: word(0) >> 32 },
                2 => Event::Ends(word(8) as i64),
                3 => Event::Raises(word(8) as u32),
                other => panic!("a record of kind {other}"),
            };
            Record {
                thread: bytes[1].into(),
                step: bytes[2].into(),
                event,
                tick: word(16) / TICK,
            }
        };
        (0..count.into()).map(record).collect()
    }
}

fn machine_limit(lab: &Lab) -> u64 {
    lab.machine().work() + ENOUGH
}
