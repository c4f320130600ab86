//! How far the guest is to go instruction by instruction: what `t`, `p` and their kin say.

use crate::address::Va;
use crate::disasm::Instruction;

/// Where steps end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepEnd {
    /// After as many as are asked for.
    Count,
    /// At this address (`ta`, `pa`).
    Address(Va),
    /// At a call (`tc`, `pc`).
    Call,
    /// At a return (`tt`, `pt`).
    Return,
    /// At a call or return (`tct`, `pct`).
    CallOrReturn,
    /// At any instruction that may go elsewhere (`th`, `ph`).
    Branch,
    /// Behind an instruction that has gone elsewhere (`tb`).
    TakenBranch,
}

/// Steps to take.
///
/// ```
/// use poolhit::debugger::{StepEnd, Steps};
/// let three = Steps { over: false, end: StepEnd::Count, count: 3 };
/// assert_eq!(three, Steps { count: 3, ..Steps::into_calls() });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steps {
    /// Calls, system calls, interrupts and repeated string instructions are one step (`p`), or all
    /// of their instructions are (`t`).
    pub over: bool,
    /// Where they end.
    pub end: StepEnd,
    /// How often that has to be come to; 0 is as 1.
    pub count: u64,
}

impl Steps {
    /// One instruction, into a call if it is one: `t`.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason, debugger::Steps};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let stop = session.step(&Steps::into_calls())?;
    /// assert_eq!(stop.reason, StopReason::Step);
    /// // behind the initial break instruction
    /// assert_eq!(Some(stop.address), session.resolve("nt!DbgBreakPoint").map(|at| at.wrapping_add(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_calls() -> Steps {
        Steps {
            over: false,
            end: StepEnd::Count,
            count: 1,
        }
    }

    /// One instruction, over a call if it is one: `p`.
    ///
    /// ```
    /// use poolhit::{Lab, Session, StopReason, debugger::Steps};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("g nt!NtDeviceIoControlFile; pc")?;
    /// let call = session.instruction(session.registers().rip());
    /// let stop = session.step(&Steps::over_calls())?;
    /// assert_eq!((call.mnemonic(), stop.address), ("call", call.next_address()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over_calls() -> Steps {
        Steps {
            over: true,
            ..Steps::into_calls()
        }
    }

    /// Whether the guest, at this instruction, has come to where steps end.
    pub(super) fn end_at(&self, instruction: &Instruction, jumped: bool) -> bool {
        let flow = Flow::of(instruction.mnemonic());
        match self.end {
            StepEnd::Count => true,
            StepEnd::Address(address) => instruction.address == address,
            StepEnd::Call => flow == Flow::Call,
            StepEnd::Return => flow == Flow::Return,
            StepEnd::CallOrReturn => matches!(flow, Flow::Call | Flow::Return),
            StepEnd::Branch => flow != Flow::Next,
            StepEnd::TakenBranch => jumped,
        }
    }

    /// Whether each step is shown, or the last alone.
    pub(crate) fn shows_each(&self) -> bool {
        matches!(self.end, StepEnd::Count | StepEnd::Address(_))
    }
}

/// Where an instruction goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// To the next one.
    Next,
    /// Into a function that comes back.
    Call,
    /// Back.
    Return,
    /// Into the kernel, which comes back.
    System,
    /// Elsewhere, perhaps.
    Jump,
}

impl Flow {
    /// By the mnemonic, without its prefixes but `bnd`'s and the like in front of it.
    pub fn of(mnemonic: &str) -> Flow {
        let word = mnemonic.rsplit(' ').next().unwrap_or(mnemonic);
        match word {
            "call" => Flow::Call,
            "ret" | "retf" | "iretq" | "iretd" | "iret" | "sysret" | "sysretq" | "sysexit" => {
                Flow::Return
            }
            "syscall" | "sysenter" | "int" | "int1" => Flow::System,
            _ if word.starts_with('j') || word.starts_with("loop") => Flow::Jump,
            _ => Flow::Next,
        }
    }
}

/// Whether `p` is to run to the instruction behind this one, rather than to step into it.
pub(super) fn is_stepped_over(instruction: &Instruction) -> bool {
    let mnemonic = instruction.mnemonic();
    match Flow::of(mnemonic) {
        Flow::Call => true,
        // A break instruction is the debugger's.
        Flow::System => instruction.bytes() != [0xcc] && instruction.bytes() != [0xcd, 3],
        Flow::Next => mnemonic.starts_with("rep"),
        Flow::Return | Flow::Jump => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disasm::Disassembler;

    fn decode(code: &[u8]) -> Instruction {
        Disassembler::new().decode(Va(0x1000), code, &|_| None)
    }

    #[test]
    fn instructions_are_known_by_where_they_go() {
        for (code, flow, over) in [
            (&[0xe8, 0, 0, 0, 0][..], Flow::Call, true),
            (&[0xff, 0xd0], Flow::Call, true),
            (&[0xc3], Flow::Return, false),
            (&[0xf3, 0xc3], Flow::Return, false),
            (&[0x48, 0xcf], Flow::Return, false),
            (&[0x48, 0x0f, 0x07], Flow::Return, false),
            (&[0x0f, 0x05], Flow::System, true),
            (&[0xcd, 0x2d], Flow::System, true),
            (&[0xcc], Flow::System, false),
            (&[0xcd, 3], Flow::System, false),
            (&[0x74, 0], Flow::Jump, false),
            (&[0xeb, 0xfe], Flow::Jump, false),
            (&[0xe2, 0], Flow::Jump, false),
            (&[0xf3, 0x48, 0xab], Flow::Next, true),
            (&[0x90], Flow::Next, false),
            (&[0xf0, 0x48, 0x0f, 0xba, 0x28, 1], Flow::Next, false),
        ] {
            let instruction = decode(code);
            assert_eq!(Flow::of(instruction.mnemonic()), flow, "{instruction}");
            assert_eq!(is_stepped_over(&instruction), over, "{instruction}");
        }
    }
}
