//! The parameters and local variables of a frame of the stack.

use super::register_name::{Part, gpr_names};
use super::session::Session;
use super::stack_frame::StackFrame;
use crate::address::{CodeAddress, Va};
use crate::guest::ModuleImages;
use crate::image::locals::LocalPlace;
use crate::registers::{Gpr, Registers};
use crate::stack::frame::FrameTrust;
use crate::stack::unwinder::unwind;
use crate::symbols::types::{Local, Type};

/// The registers that a function gives back as it was given them (Microsoft, "x64 calling convention"), and the stack
/// pointer: what unwinding finds out of the frames that called.
const NONVOLATILE: [Gpr; 9] = [
    Gpr::Rbx,
    Gpr::Rbp,
    Gpr::Rsp,
    Gpr::Rsi,
    Gpr::Rdi,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
];

/// A parameter or local variable in a frame.
#[derive(Clone, Debug)]
pub struct FrameVariable<'s> {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type<'s>,
    /// It is a parameter.
    pub is_parameter: bool,
    /// Where its value is; `None` where the PDB names no place here, or the place is a register that the function
    /// that was called from here has not kept.
    pub location: Option<VariableLocation>,
}

/// Where a variable of a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VariableLocation {
    /// In memory.
    Memory {
        /// Its first byte.
        address: Va,
        /// The register that the address is told from.
        base: Gpr,
        /// How far from it, in bytes.
        offset: i32,
    },
    /// In a register, or a part of one.
    Register {
        /// Which.
        register: Gpr,
        /// Which bits.
        part: Part,
        /// Their value in the frame.
        value: u64,
    },
}

impl VariableLocation {
    /// The name of its register: `rsi`, `r14b`; in memory that of the register that the address is told from.
    ///
    /// ```
    /// use poolhit::debugger::{locals::VariableLocation, register_name::Part};
    /// use poolhit::registers::Gpr;
    /// let at = VariableLocation::Register { register: Gpr::R14, part: Part::Low8, value: 1 };
    /// assert_eq!(at.register_name(), "r14b");
    /// ```
    pub fn register_name(&self) -> String {
        let (register, part) = match *self {
            VariableLocation::Memory { base, .. } => (base, Part::Whole),
            VariableLocation::Register { register, part, .. } => (register, part),
        };
        let whole = gpr_names().find(|(gpr, _)| *gpr == register);
        let whole = whole.map_or("", |(_, name)| name);
        let short = whole.trim_start_matches('r');
        let letter = short.trim_end_matches('x');
        match part {
            Part::Whole => whole.to_owned(),
            Part::Low32 if register < Gpr::R8 => format!("e{short}"),
            Part::Low32 => format!("{whole}d"),
            Part::Low16 if register < Gpr::R8 => short.to_owned(),
            Part::Low16 => format!("{whole}w"),
            Part::Low8 if register < Gpr::R8 => format!("{letter}l"),
            Part::Low8 => format!("{whole}b"),
            Part::High8 => format!("{letter}h"),
        }
    }
}

/// The general-purpose register of a number in symbol records (`CV_AMD64_AL` … `CV_AMD64_R15D` of `cvconst.h`).
fn register(number: u16) -> Option<(Gpr, Part)> {
    const OLD: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
    // RAX RBX RCX RDX RSI RDI RBP RSP
    const NEW: [u8; 8] = [0, 3, 1, 2, 6, 7, 5, 4];
    let old = |first: u16| Gpr::from_number(OLD[usize::from(number - first)]);
    let upper = |first: u16| Gpr::from_number((8 + number - first) as u8);
    Some(match number {
        1..=4 => (old(1), Part::Low8),
        5..=8 => (old(5), Part::High8),
        9..=16 => (old(9), Part::Low16),
        17..=24 => (old(17), Part::Low32),
        324 => (Gpr::Rsi, Part::Low8),
        325 => (Gpr::Rdi, Part::Low8),
        326 => (Gpr::Rbp, Part::Low8),
        327 => (Gpr::Rsp, Part::Low8),
        328..=335 => (
            Gpr::from_number(NEW[usize::from(number - 328)]),
            Part::Whole,
        ),
        336..=343 => (upper(336), Part::Whole),
        344..=351 => (upper(344), Part::Low8),
        352..=359 => (upper(352), Part::Low16),
        360..=367 => (upper(360), Part::Low32),
        _ => return None,
    })
}

impl Session {
    /// The parameters and local variables that are in scope in a frame, in the PDB's order; `None` where the module
    /// has no private symbols of the function. Of a frame that has called another, those in volatile registers have no
    /// location.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("bp nt!NtClose; g")?;
    /// let frame = session.stack_frames(&session.registers(), 1).remove(0);
    /// let variables = session.frame_variables(&frame).unwrap();
    /// assert_eq!((variables[0].name.as_str(), variables[0].is_parameter), ("Handle", true));
    /// assert_eq!(variables[0].location.unwrap().register_name(), "rcx");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn frame_variables(&self, frame: &StackFrame) -> Option<Vec<FrameVariable<'_>>> {
        let is_whole = frame.site.trust == FrameTrust::Context && !self.control.context_is_partial;
        self.variables_at(frame.site.code(), &frame.registers, is_whole)
    }

    /// The frame that `.frame` has chosen, or else the innermost.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute(".frame 1")?;
    /// let frame = session.chosen_frame().unwrap();
    /// assert_eq!(frame.site.symbol.as_deref(), Some("PspUserThreadStartup"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn chosen_frame(&self) -> Option<StackFrame> {
        let number = self.control.frame;
        let mut frames = self.stack_frames(&self.registers(), number + 1);
        (frames.len() > number).then(|| frames.pop()).flatten()
    }

    /// A variable of the chosen frame: one with the very same letters, else one that differs in case.
    pub(crate) fn variable_named(&self, name: &str) -> Option<FrameVariable<'_>> {
        let mut variables = match self.control.frame {
            0 => {
                let registers = self.registers();
                let here = CodeAddress::InstructionPointer(registers.rip());
                self.variables_at(here, &registers, !self.control.context_is_partial)?
            }
            _ => self.frame_variables(&self.chosen_frame()?)?,
        };
        // What is declared in the innermost block hides the rest.
        let exact = variables.iter().rposition(|one| one.name == name);
        let folded = || {
            let mut names = variables.iter().map(|one| one.name.as_str());
            names.rposition(|one| one.eq_ignore_ascii_case(name))
        };
        let found = exact.or_else(folded)?;
        Some(variables.swap_remove(found))
    }

    fn variables_at(
        &self,
        code: CodeAddress,
        registers: &Registers,
        is_whole: bool,
    ) -> Option<Vec<FrameVariable<'_>>> {
        let at = code.for_lookup();
        let module = self.modules.containing(at)?;
        let rva = module.rva(at)?;
        let locals = module.types().procedure(rva)?.locals(rva);
        let in_memory = |one: &Local<'_>| matches!(one.place, Some(LocalPlace::Memory { .. }));
        let frame = Known {
            shift: match locals.iter().any(in_memory) {
                true => self.popped(code, registers),
                false => 0,
            },
            registers,
            is_whole,
        };
        let all = locals.into_iter().map(|local| FrameVariable {
            location: local.place.and_then(|place| frame.locate(place)),
            name: local.name,
            ty: local.ty,
            is_parameter: local.is_parameter,
        });
        Some(all.collect())
    }

    /// How much of a frame its epilogue has given back already, in bytes: compilers go on to say where its variables
    /// are as if it had not. It is the difference between the caller's stack pointer and what it would be were there no
    /// epilogue, as unwinding takes it behind a call.
    fn popped(&self, code: CodeAddress, registers: &Registers) -> u64 {
        let CodeAddress::InstructionPointer(at) = code else {
            return 0;
        };
        let machine = self.lab.machine();
        let images = ModuleImages {
            modules: &self.modules,
            return_landing: machine.return_landing(),
        };
        let as_called = CodeAddress::ReturnAddress(at.wrapping_add(1));
        let caller = |code| unwind(registers, code, machine, &images).ok();
        match (caller(as_called), caller(code)) {
            // An epilogue of another size is none of this function's: it has lost its caller in any case.
            (Some(body), Some(here)) if here.registers.rsp() <= body.registers.rsp() => {
                body.registers.rsp() - here.registers.rsp()
            }
            _ => 0,
        }
    }
}

/// What is known of a frame.
struct Known<'r> {
    registers: &'r Registers,
    /// All registers are those of the frame, not the non-volatile ones alone.
    is_whole: bool,
    /// How far the stack pointer is above where it was in the function's body, in bytes.
    shift: u64,
}

impl Known<'_> {
    fn register(&self, number: u16) -> Option<(Gpr, Part)> {
        register(number).filter(|(gpr, _)| self.is_whole || NONVOLATILE.contains(gpr))
    }

    /// Where a place is.
    fn locate(&self, place: LocalPlace) -> Option<VariableLocation> {
        Some(match place {
            LocalPlace::Register(number) => {
                let (register, part) = self.register(number)?;
                let (first, width) = part.bits();
                let mask = u64::MAX >> (64 - width);
                VariableLocation::Register {
                    register,
                    part,
                    value: self.registers.get(register) >> first & mask,
                }
            }
            LocalPlace::Memory { base, offset } => {
                let (base, _) = self.register(base)?;
                let mut from = self.registers.get(base);
                match base {
                    Gpr::Rsp => from = from.wrapping_sub(self.shift),
                    // It may be the caller's again.
                    _ if self.shift != 0 => return None,
                    _ => {}
                }
                VariableLocation::Memory {
                    address: Va(from.wrapping_add_signed(offset.into())),
                    base,
                    offset,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debugger::register_name::Register;

    /// The numbers of `CV_HREG_e`, by the names that it gives them.
    #[test]
    fn registers_have_their_numbers() {
        for (first, names) in [
            (1, "al cl dl bl ah ch dh bh ax cx dx bx sp bp si di"),
            (17, "eax ecx edx ebx esp ebp esi edi"),
            (324, "sil dil bpl spl rax rbx rcx rdx rsi rdi rbp rsp"),
            (336, "r8 r9 r10 r11 r12 r13 r14 r15"),
            (344, "r8b r9b r10b r11b r12b r13b r14b r15b"),
            (352, "r8w r9w r10w r11w r12w r13w r14w r15w"),
            (360, "r8d r9d r10d r11d r12d r13d r14d r15d"),
        ] {
            for (number, name) in (first..).zip(names.split(' ')) {
                let (gpr, part) = register(number).unwrap();
                assert_eq!(Register::named(name), Some(Register::General(gpr, part)));
                let (register, value) = (gpr, 0);
                let at = VariableLocation::Register {
                    register,
                    part,
                    value,
                };
                assert_eq!(at.register_name(), name);
            }
        }
        for number in (0..=u16::MAX).filter(|n| !matches!(n, 1..=24 | 324..=367)) {
            assert_eq!(register(number), None);
        }
    }

    #[test]
    fn what_a_call_has_not_kept_is_nowhere() {
        let mut registers = Registers::default();
        registers.set(Gpr::Rcx, 0x1122_3344_5566_7788);
        registers.set(Gpr::Rsp, 0x1000);
        let frame = |is_whole, shift| Known {
            registers: &registers,
            is_whole,
            shift,
        };
        let value = |number, whole| match frame(whole, 0).locate(LocalPlace::Register(number)) {
            Some(VariableLocation::Register { value, .. }) => Some(value),
            _ => None,
        };
        assert_eq!(value(330, true), Some(0x1122_3344_5566_7788));
        assert_eq!(value(18, true), Some(0x5566_7788));
        assert_eq!(value(6, true), Some(0x77));
        assert_eq!(value(330, false), None);
        assert_eq!(value(335, false), Some(0x1000));
        let address = |base, frame: Known<'_>| {
            let offset = -0x10;
            match frame.locate(LocalPlace::Memory { base, offset }) {
                Some(VariableLocation::Memory { address, .. }) => Some(address.0),
                _ => None,
            }
        };
        assert_eq!(address(335, frame(false, 0)), Some(0xff0));
        assert_eq!(address(335, frame(false, 0x38)), Some(0xfb8));
        assert_eq!(address(330, frame(false, 0)), None);
        assert_eq!(address(334, frame(false, 0)), Some(-0x10_i64 as u64));
        assert_eq!(address(334, frame(false, 8)), None);
    }
}
