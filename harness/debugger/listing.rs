//! Instructions in front of an address.

use super::session::Session;
use crate::address::Va;
use crate::disasm::{Instruction, MAX_INSTRUCTION_LENGTH};

/// The most instructions that are looked for.
pub const BACKWARD_LIMIT: u64 = 0x100;
/// How far in front of an address its function may begin.
const FUNCTION: u64 = 0x1000;
/// How many places to begin at are tried at either end of what is possible.
const TRIES: u64 = 64;

impl Session {
    /// The instructions in front of an address, the last of which ends there: `count` of them, at most
    /// [`BACKWARD_LIMIT`], or as many as can be found. Machine code cannot be read backwards: what is found
    /// is code that leads to the address from the start of its function or, if that is too near or not
    /// known, from as far away as possible.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let function = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    /// let first = session.instruction(function);
    /// let second = session.instruction(first.next_address());
    /// let found = session.instructions_before(second.next_address(), 2);
    /// assert_eq!(found, [first, second]);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn instructions_before(&self, address: Va, count: u64) -> Vec<Instruction> {
        let count = count.min(BACKWARD_LIMIT);
        let farthest = count * MAX_INSTRUCTION_LENGTH as u64;
        let before = Va(address.0.wrapping_sub(1));
        let near = self.modules().nearest(before);
        let function = near.filter(|near| near.symbol.is_some());
        let function = function.map(|near| u64::from(near.offset) + 1);
        let distances = function
            .into_iter()
            .filter(|distance| *distance <= FUNCTION);
        let far = (1..=farthest).rev();
        let far = far.filter(|distance| *distance <= TRIES || farthest - distance < TRIES);
        let mut best = Vec::new();
        for distance in distances.chain(far) {
            let start = Va(address.0.wrapping_sub(distance));
            let Some(mut found) = self.instructions_to(start, address) else {
                continue;
            };
            if found.len() as u64 >= count {
                return found.split_off(found.len() - count as usize);
            }
            if found.len() > best.len() {
                best = found;
            }
        }
        best
    }

    /// The instructions from one address to another, if the last ends there.
    fn instructions_to(&self, start: Va, end: Va) -> Option<Vec<Instruction>> {
        let mut found = Vec::new();
        let mut at = start;
        while end - at > 0 && end - at <= FUNCTION.max(BACKWARD_LIMIT * 15) {
            let instruction = self.instruction(at);
            if instruction.bytes().is_empty() || instruction.mnemonic() == "???" {
                return None;
            }
            at = instruction.next_address();
            found.push(instruction);
        }
        (at == end).then_some(found)
    }
}
