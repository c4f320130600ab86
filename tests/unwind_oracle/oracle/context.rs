//! Contexts that the kernel goes on with after an exception: by `RtlRestoreContext`, or by the frames of the
//! interrupted code that `KeContextToKframes` changes.

use poolhit::address::Va;
use poolhit::memory::ReadMemory;
use poolhit::registers::{Gpr, Registers};

fn word(memory: &dyn ReadMemory, at: Va) -> Result<u64, String> {
    memory.read_u64(at).map_err(|error| error.to_string())
}

/// XMM6 to XMM15, one behind the other.
fn read_vectors(registers: &mut Registers, memory: &dyn ReadMemory, at: Va) -> Result<(), String> {
    for number in 6..16 {
        let at = at.wrapping_add((number as u64 - 6) * 16);
        let (low, high) = (word(memory, at)?, word(memory, at.wrapping_add(8))?);
        registers.xmm[number] = u128::from(high) << 64 | u128::from(low);
    }
    Ok(())
}

/// What `RtlRestoreContext` has laid out at the stack pointer: vector registers, room, the registers that
/// functions keep, and a machine frame.
pub fn laid_out(now: &Registers, memory: &dyn ReadMemory) -> Result<Registers, String> {
    use Gpr::{R12, R13, R14, R15, Rbp, Rbx, Rdi, Rsi};
    const KEPT: u64 = 0xb0;
    const MACHINE_FRAME: u64 = 0xf0;
    let read = |offset| word(memory, now.rsp().wrapping_add(offset));
    let mut target = Registers::default();
    read_vectors(&mut target, memory, now.rsp())?;
    let kept = [R15, R14, R13, R12, Rdi, Rsi, Rbp, Rbx];
    for (register, offset) in kept.into_iter().zip((KEPT..).step_by(8)) {
        target.set(register, read(offset)?);
    }
    target.rip = read(MACHINE_FRAME)?;
    target.rflags = read(MACHINE_FRAME + 0x10)?;
    target.set(Gpr::Rsp, read(MACHINE_FRAME + 0x18)?);
    Ok(target)
}

/// The frames of interrupted code, `_KTRAP_FRAME` and `_KEXCEPTION_FRAME`, while they are changed.
#[derive(Clone, Copy, Debug)]
pub struct Rewriting {
    trap: Va,
    rest: Va,
    /// How many callers the function has that changes them.
    pub depth: usize,
}

impl Rewriting {
    /// At the first instruction of that function, by its arguments.
    pub fn new(now: &Registers, depth: usize) -> Rewriting {
        Rewriting {
            trap: Va(now.get(Gpr::Rcx)),
            rest: Va(now.get(Gpr::Rdx)),
            depth,
        }
    }

    /// What the frames say.
    pub fn registers(&self, memory: &dyn ReadMemory) -> Result<Registers, String> {
        use Gpr::{R12, R13, R14, R15, Rbp, Rbx, Rdi, Rsi, Rsp};
        let trap = |offset| word(memory, self.trap.wrapping_add(offset));
        let mut registers = Registers::default();
        read_vectors(&mut registers, memory, self.rest.wrapping_add(0x30))?;
        for (register, offset) in [Rbx, Rdi, Rsi, R12, R13, R14, R15]
            .into_iter()
            .zip((0x100..).step_by(8))
        {
            registers.set(register, word(memory, self.rest.wrapping_add(offset))?);
        }
        registers.set(Rbp, trap(0x158)?);
        registers.rip = trap(0x168)?;
        registers.rflags = trap(0x178)? & 0xffff_ffff;
        registers.set(Rsp, trap(0x180)?);
        Ok(registers)
    }
}
