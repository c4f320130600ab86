//! Stacks of a guest that runs.
//!
//! The same hit comes by the same way again and again, with the same stack pointer. A walk is a
//! function of the registers it starts with and of the words of memory it reads (page tables, stack,
//! code): a [`StackSource`] keeps both with what came of it, and as long as they are what they were,
//! so is the stack. Comparing some fifty words is what remains of a hit seen before.

use super::depot::{StackDepot, StackId};
use crate::address::{Pa, Va};
use crate::guest::{Generation, ModuleImages, ModuleReader};
use crate::machine::probe::{Observed, Words};
use crate::registers::Gpr;
use crate::stack::capture::{CapturedFrame, Capturer, LiveRegisters};
use crate::symbols::Modules;
use std::cell::RefCell;

/// The number of walks kept: [`WAYS`] for each of the places that they are put by their start.
const WALKS: usize = PLACES * WAYS;
/// A power of two.
const PLACES: usize = 128;
/// The same code with the same stack pointer may come from several callers.
const WAYS: usize = 4;
/// The most words that a walk kept may have read.
const WORDS: usize = 512;

/// What a walk starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Start {
    rip: u64,
    rsp: u64,
    root: Pa,
    limit: usize,
}

/// A walk that has been made.
#[derive(Clone, Debug)]
struct KeptWalk {
    start: Option<Start>,
    /// What was read.
    words: Words,
    /// The other registers that were needed.
    registers: Vec<(Gpr, u64)>,
    frames: Vec<CapturedFrame>,
    stack: StackId,
}

impl KeptWalk {
    /// Whether the guest is as it was, as far as the walk looked.
    #[inline]
    fn holds(&self, guest: &Observed<'_>) -> bool {
        let mut registers = self.registers.iter();
        guest.unchanged(&self.words)
            && registers.all(|(register, value)| guest.register(*register) == *value)
    }
}

/// Captures stacks from a probe, each kept once. Modules are read when the guest is first seen, and
/// again when it is in another process or has loaded another image.
#[derive(Debug)]
pub struct StackSource {
    reader: ModuleReader,
    modules: Modules,
    processor: u32,
    /// The processor's control region, once it is known.
    control_region: Option<Va>,
    /// What modules and rules are right for.
    generation: Option<(Pa, Generation)>,
    changes: u32,
    capturer: Capturer,
    /// In the last place is the last walk that could not be kept.
    walks: Vec<KeptWalk>,
    /// The last walk's place.
    last: usize,
    next_way: usize,
    depot: StackDepot,
}

/// The registers at a hit, of which those read are noted down but for RIP and RSP.
struct Noted<'a> {
    guest: &'a Observed<'a>,
    read: RefCell<Vec<(Gpr, u64)>>,
}

impl LiveRegisters for Noted<'_> {
    fn rip(&self) -> u64 {
        self.guest.rip()
    }

    fn get(&self, register: Gpr) -> u64 {
        let value = self.guest.register(register);
        if register != Gpr::Rsp {
            self.read.borrow_mut().push((register, value));
        }
        value
    }
}

impl StackSource {
    /// One that has seen nothing yet, and keeps at most `limit` stacks.
    ///
    /// ```
    /// use poolhit::{Lab, hits::StackSource};
    /// let source = StackSource::new(Lab::builder().build()?.module_reader(), 1000);
    /// assert!(source.modules().is_empty() && source.stacks().is_empty());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn new(reader: ModuleReader, limit: usize) -> StackSource {
        let empty = KeptWalk {
            start: None,
            words: Words::default(),
            registers: Vec::new(),
            frames: Vec::new(),
            stack: StackId::NOT_KEPT,
        };
        StackSource {
            reader,
            modules: Modules::default(),
            processor: 0,
            control_region: None,
            generation: None,
            changes: 0,
            capturer: Capturer::new(),
            walks: vec![empty; WALKS + 1],
            last: 0,
            next_way: 0,
            depot: StackDepot::new(limit),
        }
    }

    /// Captures the guest's stack, at most `limit` frames of it, and says which of the
    /// [`stacks`](Self::stacks) it is.
    #[inline]
    pub fn capture(&mut self, guest: &Observed<'_>, limit: usize) -> StackId {
        let (rsp, root) = guest.place();
        let start = Start {
            rip: guest.rip(),
            rsp: rsp.0,
            root,
            limit,
        };
        let first = place(&start);
        let mut ways = self.walks[first..first + WAYS].iter();
        let known = ways.position(|walk| walk.start == Some(start) && walk.holds(guest));
        self.last = match known {
            Some(way) => first + way,
            None => self.walk(guest, start, first),
        };
        self.walks[self.last].stack
    }

    /// The frames of the last stack captured.
    #[inline]
    pub fn frames(&self) -> &[CapturedFrame] {
        &self.walks[self.last].frames
    }

    /// Walks anew; keeps the walk, if it can be kept, in the next of the ways from `first` on, and says
    /// where it is.
    #[cold]
    fn walk(&mut self, guest: &Observed<'_>, start: Start, first: usize) -> usize {
        self.next_way = (self.next_way + 1) % WAYS;
        let place = first + self.next_way;
        self.walks[place].start = None;
        let words = std::mem::take(&mut self.walks[place].words);
        let noted = Noted {
            guest,
            read: RefCell::default(),
        };
        let (end, words) = guest.noting(words, || {
            let generation = |region| (start.root, self.reader.generation(guest, region));
            let now = self.control_region.map(generation);
            if now.is_none() || self.generation != now {
                self.read_modules(guest);
            }
            let images = ModuleImages {
                modules: &self.modules,
                return_landing: self.reader.return_landing(),
            };
            self.capturer.capture(&noted, guest, &images, start.limit)
        });
        let frames = self.capturer.frames();
        let words = words.filter(|words| words.len() <= WORDS);
        let place = if words.is_some() { place } else { WALKS };
        let walk = &mut self.walks[place];
        walk.stack = self.depot.intern(Va(start.rip), frames, end);
        walk.frames.clear();
        walk.frames.extend_from_slice(frames);
        walk.start = words.is_some().then_some(start);
        walk.words = words.unwrap_or_default();
        walk.registers = noted.read.into_inner();
        place
    }

    #[cold]
    fn read_modules(&mut self, guest: &Observed<'_>) {
        let bases = guest.gs_bases();
        self.modules = self.reader.read(guest, bases);
        self.processor = self.reader.processor(guest, bases);
        let region = self.reader.control_region(guest, bases);
        self.control_region = Some(region);
        self.generation = Some((guest.root(), self.reader.generation(guest, region)));
        self.forget_rules();
        self.changes = self.changes.wrapping_add(1);
    }

    /// Another one that keeps the same stacks, and has yet to learn by what they are captured.
    pub(crate) fn copy(&self) -> StackSource {
        let limit = self.depot.limit();
        StackSource {
            depot: self.depot.clone(),
            changes: self.changes,
            ..StackSource::new(self.reader.clone(), limit)
        }
    }

    /// The stacks captured.
    pub fn stacks(&self) -> &StackDepot {
        &self.depot
    }

    /// How often the modules have been read: names may be others when this is.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// The modules as of the last walk.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The processor as of the last walk (`_KPRCB.Number`).
    pub fn processor(&self) -> u32 {
        self.processor
    }

    /// Forgets by what stacks are captured, as if there had been none.
    pub fn forget_rules(&mut self) {
        self.capturer.clear();
        self.walks.iter_mut().for_each(|walk| walk.start = None);
    }
}

/// The first place in the table for a walk.
#[inline]
fn place(start: &Start) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let key = start.rip ^ start.rsp.rotate_left(32);
    ((key.wrapping_mul(GOLDEN) >> 48) as usize & (PLACES - 1)) * WAYS
}

const _: () = assert!(PLACES.is_power_of_two());
