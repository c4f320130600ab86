//! What a session keeps about how the guest goes on, and where the debugger looks from meanwhile.

use super::cursor::ArgumentError;
use super::event::Event;
use super::event_filter::EventFilters;
use super::steps::Steps;
use crate::address::Va;
use crate::registers::Registers;

/// How the guest goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Motion {
    /// To the next stop, or to one of these places.
    Go { places: Vec<Place> },
    /// Instruction by instruction.
    Step {
        steps: Steps,
        /// What is still to be counted.
        left: u64,
        /// The commands to execute at their end.
        command: String,
        /// The last step has come to where they end, if not for the last time.
        counted: bool,
        /// Where the step ends that a breakpoint has come into.
        under_way: Option<Place>,
    },
    /// As before the breakpoint whose commands go on (`gc`).
    Same,
}

impl Default for Motion {
    fn default() -> Motion {
        Motion::to(Vec::new())
    }
}

/// What stands behind a command that lets the guest go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Behind {
    /// Commands of the same text.
    Commands(String),
    /// The other lines of a script file, each executed for itself.
    Lines(String),
}

impl Motion {
    /// To one of these places.
    pub fn to(places: Vec<Place>) -> Motion {
        Motion::Go { places }
    }

    /// Whether it ends by itself.
    pub fn ends(&self) -> bool {
        match self {
            Motion::Go { places } => !places.is_empty(),
            Motion::Step { .. } => true,
            Motion::Same => false,
        }
    }

    /// The commands to execute at its end.
    pub fn command(&self) -> &str {
        match self {
            Motion::Step { command, .. } => command,
            _ => "",
        }
    }

    pub fn step(steps: Steps) -> Motion {
        let left = steps.count.max(1);
        Motion::Step {
            steps,
            left,
            command: String::new(),
            counted: false,
            under_way: None,
        }
    }
}

/// A place where the guest is to stop once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub address: Va,
    /// Only with this stack pointer: in this very call of a function.
    pub stack: Option<Va>,
    /// Only in this thread.
    pub thread: Option<Va>,
}

impl Place {
    /// An address, whoever comes there.
    pub fn anywhere(address: Va) -> Place {
        Place {
            address,
            stack: None,
            thread: None,
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// The last stop is at a breakpoint that a step has ended at, which has not been executed past.
    pub stepped_onto: bool,
    /// Whether steps show the registers.
    pub shows_registers: bool,
    /// How the guest goes on at the next command that lets it.
    pub next: Option<Motion>,
    /// The commands behind the one that has said so, among those of a breakpoint.
    pub behind: Vec<Behind>,
    /// That command has ended a loop, whose other turns are not executed.
    pub leaves_loop: bool,
    /// The registers that the debugger looks from, if not the processor's.
    pub context: Option<Registers>,
    /// They have been chosen: a trap frame's, a context record's or a frame's.
    pub context_is_set: bool,
    /// They are those of a frame that has called another: the volatile ones are not right.
    pub context_is_partial: bool,
    /// CS, SS, DS, ES, FS and GS there, if not the processor's.
    pub segments: Option<[u16; 6]>,
    /// What is done about exceptions and modules.
    pub filters: EventFilters,
    /// Where the guest is being let go to.
    pub going_to: Vec<Va>,
    /// The event that the guest has come by.
    pub event: Option<Event>,
    /// The registers at the exception that has stopped the guest, and the segments.
    pub exception: Option<(Registers, [u16; 6])>,
    /// Why the condition of the breakpoint that has stopped the guest has no value, if it has none.
    pub condition_error: Option<ArgumentError>,
    /// The frame of the stack that is looked at.
    pub frame: usize,
    /// The effective addresses of the instruction that the last step has executed.
    pub effective: Vec<Va>,
    /// Where the guest was at the last event, and at the one before.
    pub event_at: Option<Va>,
    pub previous_event: Option<Va>,
}

impl Control {
    /// The guest is elsewhere than at the last stop.
    pub fn forget_stop(&mut self) {
        self.reset_context();
        self.event = None;
        self.exception = None;
        self.condition_error = None;
        self.stepped_onto = false;
        self.effective.clear();
    }

    /// The guest goes on: the debugger looks from where it stands again.
    pub fn reset_context(&mut self) {
        self.context = None;
        self.context_is_set = false;
        self.context_is_partial = false;
        self.segments = None;
        self.frame = 0;
    }
}
