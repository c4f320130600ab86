//! Where a function's arguments are while it runs.
//!
//! Microsoft's x64 convention puts the first four arguments into RCX, RDX, R8 and R9 at a function's
//! entry (*x64 calling convention*); from there on only the code knows. [`ArgumentFlow`] follows it:
//! copies between registers and to and from the stack keep an argument, anything else that writes to
//! its place loses it, calls lose the volatile registers, and where paths meet only what all of them
//! agree on is kept. What it says holds on every path; what it cannot follow it does not know.

mod code;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use code::entry_of;
pub(super) use code::{decode, next, place, target};
pub(super) use state::{gpr, writes};

use crate::address::{Rva, Va};
use crate::image::function_table::ImageBytes;
use crate::memory::{MemoryFault, ReadMemory};
use crate::registers::{Gpr, Registers};
use code::{FunctionCode, fixed_frame, successors};
use iced_x86::InstructionInfoFactory;
use state::{State, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Where a value is at some point of the code.
///
/// Prints as a debugger's expression: `rsi`, `poi(rsp+40)`.
///
/// ```
/// use poolhit::{hits::Location, registers::Gpr};
/// assert_eq!(Location::Register(Gpr::Rsi).to_string(), "rsi");
/// assert_eq!(Location::Stack(0x40).to_string(), "poi(rsp+40)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Location {
    /// In a register.
    Register(Gpr),
    /// On the stack, so many bytes above RSP at that point.
    Stack(i32),
}

impl Location {
    /// Reads the value, of which the low 32 bits or all 64 count, by the [`Width`] that was asked
    /// for.
    ///
    /// # Errors
    /// The stack cannot be read there.
    ///
    /// ```
    /// use poolhit::{Lab, hits::Location, memory::ReadMemory, registers::Gpr};
    /// let lab = Lab::builder().build()?;
    /// let (registers, machine) = (lab.machine().registers(), lab.machine());
    /// let top = Location::Stack(0).read(&registers, machine)?;
    /// assert_eq!(top, machine.read_u64(registers.rsp())?);
    /// assert_eq!(Location::Register(Gpr::Rsp).read(&registers, machine)?, registers.rsp().0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        &self,
        registers: &Registers,
        memory: &(impl ReadMemory + ?Sized),
    ) -> Result<u64, MemoryFault> {
        match *self {
            Location::Register(register) => Ok(registers.get(register)),
            Location::Stack(offset) => memory.read_u64(above(registers.rsp(), offset)),
        }
    }
}

/// The address so many bytes above a stack pointer.
#[inline]
pub(super) fn above(rsp: Va, offset: i32) -> Va {
    rsp.wrapping_add(i64::from(offset) as u64)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Location::Register(register) => {
                write!(f, "{}", format!("{register:?}").to_ascii_lowercase())
            }
            Location::Stack(offset @ ..0) => write!(f, "poi(rsp-{:x})", offset.unsigned_abs()),
            Location::Stack(offset) => write!(f, "poi(rsp+{offset:x})"),
        }
    }
}

/// How much of an argument is wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Width {
    /// The low 32 bits (`ULONG`, an enumeration): what is above them at the location is anything.
    Doubleword,
    /// All 64 (`SIZE_T`, a pointer).
    Quadword,
}

impl Width {
    fn bytes(self) -> i64 {
        match self {
            Width::Doubleword => 4,
            Width::Quadword => 8,
        }
    }
}

/// Where a function's arguments are at chosen places in it.
#[derive(Clone, Debug)]
pub struct ArgumentFlow {
    /// The places that can be reached.
    states: BTreeMap<Rva, State>,
    /// By unwind data alone, for all places that it is enough for.
    return_addresses: BTreeMap<Rva, Location>,
}

impl ArgumentFlow {
    /// Follows the code of the function whose entry is at `entry`, with all parts whose unwind
    /// records are chained to its own, up to the `places` that are to be asked about. A function
    /// without unwind record ends where a record begins, or after 4 KiB.
    ///
    /// Each instruction that is looked at takes one of `steps`, each time. When they are used up, or
    /// the function has more than 16,384 instructions, or not all ways through it can be seen (it
    /// has an exception handler, or jumps by a table), no argument is known. An instruction takes
    /// well below a microsecond and keeps at most 1 KiB.
    ///
    /// ```
    /// use poolhit::address::Rva;
    /// use poolhit::hits::{ArgumentFlow, Location, Width};
    /// use poolhit::image::function_table::MappedImage;
    /// use poolhit::registers::Gpr;
    /// // mov eax, edx; mov rdx, rcx; int 3; ret
    /// let code = [0x8b, 0xc2, 0x48, 0x8b, 0xd1, 0xcc, 0xc3];
    /// let image = MappedImage { bytes: &code, exception_directory: None };
    /// let flow = ArgumentFlow::follow(&image, Rva(0), &[Rva(5)], &mut 100);
    /// let at = |number, width| flow.argument(Rva(5), number, width);
    /// assert_eq!(at(1, Width::Quadword), Some(Location::Register(Gpr::Rcx)));
    /// assert_eq!(at(2, Width::Doubleword), Some(Location::Register(Gpr::Rax)));
    /// assert_eq!(at(2, Width::Quadword), None);
    /// ```
    pub fn follow(
        image: &dyn ImageBytes,
        entry: Rva,
        places: &[Rva],
        steps: &mut usize,
    ) -> ArgumentFlow {
        let states = FunctionCode::read(image, entry, places, steps)
            .filter(|code| !code.has_handler)
            .and_then(|code| states(&code, entry, steps))
            .unwrap_or_default();
        let unwound = |place: &Rva| Some((*place, Location::Stack(fixed_frame(image, *place)?)));
        ArgumentFlow {
            states: (states.into_iter())
                .filter(|(place, _)| places.contains(place))
                .collect(),
            return_addresses: places.iter().filter_map(unwound).collect(),
        }
    }

    /// Where an argument, 1 to 4, still is at one of the places: the lowest register that holds it,
    /// else the lowest place on the stack. `None` if it is nowhere, or cannot be told, or the place
    /// was not asked for.
    ///
    /// ```
    /// # use poolhit::{address::Rva, hits::{ArgumentFlow, Location, Width}};
    /// # use poolhit::image::function_table::MappedImage;
    /// // mov [rsp+8], rcx; xor ecx, ecx; int 3; ret
    /// let code = [0x48, 0x89, 0x4c, 0x24, 8, 0x31, 0xc9, 0xcc, 0xc3];
    /// let image = MappedImage { bytes: &code, exception_directory: None };
    /// let flow = ArgumentFlow::follow(&image, Rva(0), &[Rva(7)], &mut 100);
    /// assert_eq!(flow.argument(Rva(7), 1, Width::Quadword), Some(Location::Stack(8)));
    /// assert_eq!(flow.argument(Rva(5), 1, Width::Quadword), None);
    /// ```
    pub fn argument(&self, place: Rva, number: usize, width: Width) -> Option<Location> {
        let state = self.states.get(&place)?;
        let number = u8::try_from(number.checked_sub(1)?).ok()?;
        let register = Gpr::ALL.into_iter().find(|register| {
            matches!(state.get(*register), Value::Argument(n, w) if n == number && w >= width)
        });
        if let Some(register) = register {
            return Some(Location::Register(register));
        }
        let top = top_of(state)?;
        let mut slots = state.slots().iter();
        let slot = slots.find(|slot| slot.number == number && slot.width >= width)?;
        slot.at.checked_sub(top).map(Location::Stack)
    }

    /// Where the function's return address is at one of the places: by the unwind data; in a leaf
    /// function, or one with a frame register, by what the code does to RSP.
    ///
    /// ```
    /// # use poolhit::{address::Rva, hits::{ArgumentFlow, Location}};
    /// # use poolhit::image::function_table::MappedImage;
    /// let image = MappedImage { bytes: &[0xcc, 0xc3], exception_directory: None };
    /// let flow = ArgumentFlow::follow(&image, Rva(0), &[Rva(0)], &mut 100);
    /// assert_eq!(flow.return_address(Rva(0)), Some(Location::Stack(0)));
    /// ```
    pub fn return_address(&self, place: Rva) -> Option<Location> {
        if let Some(location) = self.return_addresses.get(&place) {
            return Some(*location);
        }
        let top = top_of(self.states.get(&place)?)?;
        top.checked_neg().map(Location::Stack)
    }
}

/// RSP, from its place at the function's entry on.
fn top_of(state: &State) -> Option<i32> {
    match state.get(Gpr::Rsp) {
        Value::Stack(top) => Some(top),
        _ => None,
    }
}

/// The state at each leader that is reached; `None` when the steps are used up, or the code jumps
/// to where nobody sees.
fn states(code: &FunctionCode, entry: Rva, steps: &mut usize) -> Option<BTreeMap<Rva, State>> {
    let mut factory = InstructionInfoFactory::new();
    let mut states = BTreeMap::from([(entry, State::entry())]);
    let mut work = vec![entry];
    while let Some(leader) = work.pop() {
        let Some(mut state) = states.get(&leader).cloned() else {
            continue;
        };
        let mut at = Some(leader);
        while let Some(instruction) = at.and_then(|at| code.instructions.get(&at)) {
            *steps = steps.checked_sub(1)?;
            let successors = successors(instruction);
            // With the stack as it was at the entry, a jump through a variable is a call that
            // returns in the function's place; others may be a `switch`.
            let leaves =
                instruction.is_ip_rel_memory_operand() && state.get(Gpr::Rsp) == Value::Stack(0);
            if successors.elsewhere && !leaves {
                return None;
            }
            state.step(instruction, &mut factory);
            let mut meet = |place: Rva, state: &State| {
                let changed = match states.get_mut(&place) {
                    Some(known) => known.join(state),
                    None => {
                        states.insert(place, state.clone());
                        true
                    }
                };
                if changed {
                    work.push(place);
                }
            };
            if let Some(target) = successors.jumps
                && code.instructions.contains_key(&target)
            {
                meet(target, &state);
            }
            at = successors.falls;
            if let Some(next) = at
                && code.leaders.contains(&next)
            {
                meet(next, &state);
                break;
            }
        }
    }
    Some(states)
}
