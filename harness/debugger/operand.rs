//! What the instruction that is next uses in memory.

use super::session::Session;
use crate::address::Va;
use crate::disasm::{MAX_INSTRUCTION_LENGTH, MemoryOperand, Segment, memory_operand};
use crate::memory::ReadMemory;

/// The base of FS (`IA32_FS_BASE`).
const FS_BASE: u32 = 0xc000_0100;

/// A memory operand and what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperandValue {
    /// The operand.
    pub operand: MemoryOperand,
    /// What is in the segment register.
    pub selector: u16,
    /// The bytes there, if all of them are in memory.
    pub bytes: Option<Vec<u8>>,
}

impl OperandValue {
    /// The pointer there, if eight bytes are.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::operand::OperandValue};
    /// use poolhit::disasm::{MemoryOperand, Segment};
    /// let operand = MemoryOperand { segment: Segment::Ds, offset: Va(0), size: 8 };
    /// let bytes = Some(vec![1, 0, 0, 0, 0, 0, 0, 0]);
    /// assert_eq!(OperandValue { operand, selector: 0, bytes }.pointer(), Some(Va(1)));
    /// ```
    pub fn pointer(&self) -> Option<Va> {
        let bytes = self.bytes.as_deref()?.try_into().ok()?;
        Some(Va(u64::from_le_bytes(bytes)))
    }
}

impl Session {
    /// The memory operand of the instruction that is next, with what is there before it is executed; `None` if
    /// it has none.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.operand_value(), None); // int 3
    /// // mov eax,dword ptr [nt!PoolHitTag]
    /// session.execute("eb nt!NtClose 8b 04 25 00 00 00 00; g nt!NtClose; r rip")?;
    /// let value = session.operand_value().unwrap();
    /// assert_eq!((value.operand.size, value.bytes), (4, None)); // nothing is at 0
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn operand_value(&self) -> Option<OperandValue> {
        let machine = self.lab.machine();
        let registers = self.registers();
        let mut code = [0; MAX_INSTRUCTION_LENGTH];
        let length = machine.read_partial(registers.rip(), &mut code);
        let operand = memory_operand(registers.rip(), &code[..length], &registers)?;
        let [cs, ss, ds, es, fs, gs] = self.segments();
        let (selector, base) = match operand.segment {
            Segment::Cs => (cs, Va(0)),
            Segment::Ss => (ss, Va(0)),
            Segment::Ds => (ds, Va(0)),
            Segment::Es => (es, Va(0)),
            Segment::Fs => (fs, Va(machine.read_msr(FS_BASE).unwrap_or(0))),
            Segment::Gs => (gs, machine.gs_base()),
        };
        let mut bytes = vec![0; operand.size];
        let read = machine.read(base.wrapping_add(operand.offset.0), &mut bytes);
        Some(OperandValue {
            operand,
            selector,
            bytes: read.is_ok().then_some(bytes),
        })
    }
}
