//! Interrupt gates (`_KIDTENTRY64`).

use super::ObjectError;
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::ReadMemory;

/// A gate's bytes.
const SIZE: u64 = 16;
/// `_KTSS64.Ist`, whose first pointer, that of stack 0, no gate names.
const STACKS: u64 = 0x1c;

/// An interrupt gate that is present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptGate {
    /// Its number.
    pub vector: u8,
    /// Where it leads to.
    pub handler: Va,
    /// The top of the stack that it goes to, if it names one (Intel's manual, "Interrupt Stack Table").
    pub stack: Option<Va>,
}

impl Lab {
    /// The gates of the running processor's table that are present, by vector.
    ///
    /// # Errors
    /// The table, or a stack's address, cannot be read.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let gates = lab.interrupt_gates()?;
    /// assert_eq!((gates[0].vector, gates[0].stack), (0, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interrupt_gates(&self) -> Result<Vec<InterruptGate>, ObjectError> {
        let processor = self.processor(None)?;
        let [_, state, table] = processor.tables;
        let limit = u64::from(self.machine().system_registers().idtl) + 1;
        let memory = self.machine();
        let mut gates = Vec::new();
        for vector in 0..=255_u8 {
            let offset = u64::from(vector) * SIZE;
            if offset + SIZE > limit {
                break;
            }
            let low = memory.read_u64(table.wrapping_add(offset))?;
            let high = memory.read_u32(table.wrapping_add(offset + 8))?;
            // the present bit
            if low >> 47 & 1 == 0 {
                continue;
            }
            let handler = low & 0xffff | low >> 32 & 0xffff_0000 | u64::from(high) << 32;
            let number = low >> 32 & 7;
            let stack = match number {
                0 => None,
                _ => Some(memory.read_va(state.wrapping_add(STACKS + number * 8))?),
            };
            gates.push(InterruptGate {
                vector,
                handler: Va(handler),
                stack,
            });
        }
        Ok(gates)
    }
}
