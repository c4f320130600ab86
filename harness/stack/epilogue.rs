//! Finding out whether code is in an epilogue, and doing the rest of it.
//!
//! Unwind codes describe a prologue; an epilogue undoes it instruction by instruction, so inside one
//! the codes no longer fit. Microsoft's convention gives epilogues a form that can be recognised
//! from any of their instructions (*x64 prolog and epilog*, "Epilog code"): one `add rsp, constant`
//! or `lea rsp, [frame register + constant]`, pops, then `ret` or a jump that leaves the function.
//! Looking at the code from the instruction pointer on tells; the epilogue's remaining effect is then
//! the caller's state.
//!
//! A jump leaves the function in these forms: `jmp` with a relative target in another function, and
//! as a call through a pointer `jmp [rip+…]`, or REX.W `jmp` to a register or to memory without
//! displacement (compilers write REX.W, which changes nothing, to tell it from a `switch`).
//! `iretq`, and nothing else, ends the epilogue of a function that has a machine frame.
//!
//! The order of `add`, `lea` and pops is not insisted on: what they do on the way to the end is plain
//! whichever comes first.

use super::prologue::{interrupt_return, near_return, pop};
use super::records::Function;
use super::unwinder::StepError;
use crate::address::{Rva, Va};
use crate::image::unwind_code::UnwindOperation;
use crate::image::unwind_info::Epilogue;
use crate::memory::{MemoryFault, ReadMemory};
use crate::registers::{Gpr, Registers};

/// More bytes than the longest epilogue: `lea` (8), fifteen pops (23), `add` (7), `jmp` (7).
const LONGEST: usize = 48;
/// The bytes looked at first; most code is no epilogue, and shows it at once.
const FIRST: usize = 16;
/// The longest instruction that an epilogue may have: `lea rsp, [r12 + disp32]`.
const LONGEST_INSTRUCTION: usize = 8;

/// How an epilogue ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// `ret`, or a jump to a function that returns in this one's place.
    Return,
    /// `iretq`.
    InterruptReturn,
}

/// An instruction that an epilogue may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instruction {
    AddRsp(u32),
    LeaRsp {
        base: Gpr,
        displacement: i32,
    },
    Pop(Gpr),
    /// With the bytes of arguments released, which is none in Microsoft's convention.
    Return(u16),
    InterruptReturn,
    /// With the distance from the next instruction.
    JumpRelative(i32),
    JumpIndirect,
}

/// Does the rest of the epilogue that `at` is in, if it is in one.
///
/// # Errors
/// The stack cannot be read, or the function's records are broken.
pub(super) fn finish(
    function: &Function,
    base: Va,
    at: Va,
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<Option<Ending>, StepError> {
    let mut buffer = [0; LONGEST];
    // No more than is needed, since whoever keeps what comes of it has to compare it.
    let mut present = memory.read_partial(at, &mut buffer[..FIRST]);
    if !shows_its_end(&buffer[..present]) {
        present = memory.read_partial(at, &mut buffer);
    }
    let code = &buffer[..present];
    if let Some(ending) = recognise(function, base, at, code)? {
        perform(code, registers, memory)?;
        return Ok(Some(ending));
    }
    finish_described(function, base, at, registers, memory)
}

/// Whether `code` is enough to say if it is the rest of an epilogue.
fn shows_its_end(code: &[u8]) -> bool {
    let mut done = 0;
    while let Some((instruction, length)) = decode(&code[done..]) {
        done += length;
        let goes_on = matches!(
            instruction,
            Instruction::AddRsp(_) | Instruction::Pop(_) | Instruction::LeaRsp { .. }
        );
        if !goes_on {
            return true;
        }
    }
    code.len() - done >= LONGEST_INSTRUCTION
}

/// Decides whether `code`, which is at `at`, is the rest of an epilogue.
fn recognise(
    function: &Function,
    base: Va,
    at: Va,
    code: &[u8],
) -> Result<Option<Ending>, StepError> {
    let mut done = 0;
    while let Some((instruction, length)) = decode(&code[done..]) {
        done += length;
        let ending = match instruction {
            Instruction::AddRsp(_) | Instruction::Pop(_) => continue,
            Instruction::LeaRsp { base, .. } => {
                let frame = function.records().frame_register(None)?;
                if frame.is_none_or(|frame| frame.register != base) {
                    return Ok(None);
                }
                continue;
            }
            Instruction::InterruptReturn => Ending::InterruptReturn,
            Instruction::JumpRelative(distance) => {
                let next = at.wrapping_add(done as u64);
                let target = next.wrapping_add(i64::from(distance) as u64);
                if !leaves(function, base, target)? {
                    return Ok(None);
                }
                Ending::Return
            }
            Instruction::Return(_) | Instruction::JumpIndirect => Ending::Return,
        };
        let needs_machine_frame = ending == Ending::InterruptReturn;
        return Ok((function.has_machine_frame()? == needs_machine_frame).then_some(ending));
    }
    Ok(None)
}

/// Whether a jump to `target` leaves the function for good: its target is in another function, or is
/// its own entry, where a prologue would be done again.
fn leaves(function: &Function, base: Va, target: Va) -> Result<bool, StepError> {
    let primary = function.primary()?;
    let Some(target) = target.rva_from(base) else {
        return Ok(true);
    };
    if target == primary.function.begin && primary.info.prologue_size() != 0 {
        return Ok(true);
    }
    if function.entry.contains(target) {
        return Ok(false);
    }
    // Parts of one function (a cold block put elsewhere) are chained to one primary record.
    Ok(match Function::at(function.image, target) {
        None => true,
        Some(other) => other
            .primary()
            .is_ok_and(|other| other.function.begin != primary.function.begin),
    })
}

/// Does what the instructions do that [`recognise`] found.
fn perform(
    code: &[u8],
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<(), MemoryFault> {
    let mut done = 0;
    while let Some((instruction, length)) = decode(&code[done..]) {
        let rsp = registers.rsp();
        match instruction {
            Instruction::AddRsp(bytes) => {
                registers.set(Gpr::Rsp, rsp.wrapping_add(u64::from(bytes)).0);
            }
            Instruction::LeaRsp { base, displacement } => {
                let rsp = Va(registers.get(base)).wrapping_add(displacement as i64 as u64);
                registers.set(Gpr::Rsp, rsp.0);
            }
            Instruction::Pop(register) => pop(register, registers, memory)?,
            Instruction::InterruptReturn => return interrupt_return(registers, memory),
            Instruction::JumpRelative(_) | Instruction::JumpIndirect => {
                return near_return(registers, memory);
            }
            Instruction::Return(released) => {
                near_return(registers, memory)?;
                let rsp = registers.rsp().wrapping_add(u64::from(released));
                registers.set(Gpr::Rsp, rsp.0);
                return Ok(());
            }
        }
        done += length;
    }
    Ok(())
}

/// The epilogues that version 2 of the unwind data describes, for code that cannot be read or that
/// has another form: inside one, the pushes whose pops are still ahead are undone.
///
/// Such an epilogue consists of a pop for each register that the prologue pushed, last one first,
/// perhaps a one-byte pop that releases 8 bytes of scratch space, and the return.
fn finish_described(
    function: &Function,
    base: Va,
    at: Va,
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<Option<Ending>, StepError> {
    let (Some(Ok(own)), Some(rva)) = (function.records().next(), at.rva_from(base)) else {
        return Ok(None);
    };
    let Some(done) = offset_in_epilogue(own.function.end, own.info.epilogues(), rva) else {
        return Ok(None);
    };
    if function.has_machine_frame()? {
        return Ok(None);
    }
    let mut place = 0;
    for record in function.records() {
        for code in record?.info.codes() {
            match code?.operation {
                UnwindOperation::PushNonvolatile(register) => {
                    if place >= done {
                        pop(register, registers, memory)?;
                    }
                    place += if (register as u8) < 8 { 1 } else { 2 };
                }
                UnwindOperation::Allocate(8) if place != 0 => {
                    if place >= done {
                        let rsp = registers.rsp().wrapping_add(8);
                        registers.set(Gpr::Rsp, rsp.0);
                    }
                    place += 1;
                }
                _ => {}
            }
        }
    }
    near_return(registers, memory)?;
    Ok(Some(Ending::Return))
}

/// How far into one of the epilogues `rva` is, in bytes.
fn offset_in_epilogue(
    end: Rva,
    epilogues: impl Iterator<Item = Epilogue>,
    rva: Rva,
) -> Option<u32> {
    epilogues
        .filter_map(|epilogue| {
            let start = end.0.checked_sub(epilogue.from_end)?;
            rva.0
                .checked_sub(start)
                .filter(|done| *done < epilogue.size)
        })
        .next()
}

/// The instruction at the start of `code` and its length in bytes, if an epilogue may have it.
/// Encodings: Intel SDM volume 2.
fn decode(code: &[u8]) -> Option<(Instruction, usize)> {
    let (rex, length) = match *code.first()? {
        rex @ 0x40..=0x4f => (rex, 1),
        _ => (0, 0),
    };
    let is_wide = rex & 8 != 0;
    let high_register = (rex & 1) << 3;
    let byte = |index: usize| code.get(length + index).copied();
    let signed_byte = |index| byte(index).map(|value| i32::from(value as i8));
    let signed_word = |index: usize| {
        let bytes = code.get(length + index..)?.first_chunk()?;
        Some(i32::from_le_bytes(*bytes))
    };
    let release = |amount: Option<i32>| u32::try_from(amount?).ok().map(Instruction::AddRsp);
    let (instruction, rest) = match (byte(0)?, byte(1)) {
        (0x83, Some(0xc4)) if rex == 0x48 => (release(signed_byte(2))?, 3),
        (0x81, Some(0xc4)) if rex == 0x48 => (release(signed_word(2))?, 6),
        (0x8d, Some(mod_rm)) if is_wide && rex & 6 == 0 && mod_rm >> 3 & 7 == Gpr::Rsp as u8 => {
            // A base with the number of RSP or R12 takes a SIB byte; 24 says no index.
            let base = Gpr::from_number(high_register | mod_rm & 7);
            let sib = usize::from(mod_rm & 7 == 4);
            if sib == 1 && byte(2)? != 0x24 {
                return None;
            }
            let (displacement, size) = match mod_rm >> 6 {
                0 if mod_rm & 7 != 5 => (0, 0),
                1 => (signed_byte(2 + sib)?, 1),
                2 => (signed_word(2 + sib)?, 4),
                _ => return None,
            };
            (Instruction::LeaRsp { base, displacement }, 2 + sib + size)
        }
        (pop @ 0x58..=0x5f, _) if rex == 0 || rex == 0x41 => match high_register | pop & 7 {
            4 => return None,
            number => (Instruction::Pop(Gpr::from_number(number)), 1),
        },
        (0xc3, _) if rex == 0 => (Instruction::Return(0), 1),
        (0xf3, Some(0xc3)) if rex == 0 => (Instruction::Return(0), 2),
        (0xc2, Some(low)) if rex == 0 => {
            (Instruction::Return(u16::from_le_bytes([low, byte(2)?])), 3)
        }
        (0xcf, _) if is_wide => (Instruction::InterruptReturn, 1),
        (0xeb, _) if rex == 0 => (Instruction::JumpRelative(signed_byte(1)?), 2),
        (0xe9, _) if rex == 0 => (Instruction::JumpRelative(signed_word(1)?), 5),
        (0xff, Some(0x25)) => (Instruction::JumpIndirect, 6),
        (0xff, Some(mod_rm)) if is_wide && mod_rm >> 3 & 7 == 4 && matches!(mod_rm >> 6, 0 | 3) => {
            (Instruction::JumpIndirect, 2)
        }
        _ => return None,
    };
    Some((instruction, length + rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let check = |code: &[u8], expected: Option<(Instruction, usize)>| {
            assert_eq!(decode(code), expected, "{code:x?}");
        };
        let lea = |base, displacement| Instruction::LeaRsp { base, displacement };
        check(
            &[0x48, 0x83, 0xc4, 0x28],
            Some((Instruction::AddRsp(0x28), 4)),
        );
        check(
            &[0x48, 0x81, 0xc4, 0xb0, 0, 0, 0],
            Some((Instruction::AddRsp(0xb0), 7)),
        );
        check(&[0x48, 0x83, 0xc4, 0x80], None);
        check(&[0x83, 0xc4, 0x28], None);
        check(&[0x48, 0x83, 0xc5, 0x28], None);
        check(&[0x48, 0x8d, 0x65, 0xf0], Some((lea(Gpr::Rbp, -16), 4)));
        check(
            &[0x48, 0x8d, 0xa5, 0xf8, 0, 0, 0],
            Some((lea(Gpr::Rbp, 0xf8), 7)),
        );
        check(&[0x49, 0x8d, 0x64, 0x24, 8], Some((lea(Gpr::R12, 8), 5)));
        check(&[0x49, 0x8d, 0x63, 8], Some((lea(Gpr::R11, 8), 4)));
        check(&[0x48, 0x8d, 0x23], Some((lea(Gpr::Rbx, 0), 3)));
        check(&[0x48, 0x8d, 0x25, 0, 0, 0, 0], None);
        check(&[0x4c, 0x8d, 0x65, 0], None);
        check(&[0x5d], Some((Instruction::Pop(Gpr::Rbp), 1)));
        check(&[0x41, 0x5c], Some((Instruction::Pop(Gpr::R12), 2)));
        check(&[0x5c], None);
        check(&[0xc3], Some((Instruction::Return(0), 1)));
        check(&[0xf3, 0xc3], Some((Instruction::Return(0), 2)));
        check(&[0xc2, 8, 0], Some((Instruction::Return(8), 3)));
        check(&[0x48, 0xcf], Some((Instruction::InterruptReturn, 2)));
        check(&[0xcf], None);
        check(&[0xeb, 0xfe], Some((Instruction::JumpRelative(-2), 2)));
        check(
            &[0xe9, 0, 1, 0, 0],
            Some((Instruction::JumpRelative(0x100), 5)),
        );
        check(
            &[0xff, 0x25, 0, 0, 0, 0],
            Some((Instruction::JumpIndirect, 6)),
        );
        check(
            &[0x48, 0xff, 0x25, 0, 0, 0, 0],
            Some((Instruction::JumpIndirect, 7)),
        );
        check(&[0x48, 0xff, 0xe0], Some((Instruction::JumpIndirect, 3)));
        check(&[0x49, 0xff, 0xe2], Some((Instruction::JumpIndirect, 3)));
        check(&[0xff, 0xe0], None);
        check(&[0xff, 0x24, 0xc5], None);
        check(&[0x48, 0xff, 0x60, 8], None);
        check(&[0x90], None);
        check(&[0xcc], None);
        check(&[0x48], None);
        check(&[], None);
    }
}
