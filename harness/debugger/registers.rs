//! Reading and writing registers by name, and assigning pseudo-registers.

use super::register_name::{Part, Register};
use super::session::Session;
use crate::machine::EngineError;
use crate::memory::ReadMemory;
use crate::registers::Gpr;

/// Offset of `_KPCR.Irql`, which stands for CR8.
const PCR_IRQL: u64 = 0x50;
/// The bits of RFLAGS that can be set: all but those that are always 0 or 1 (Intel SDM volume 1,
/// figure 3-8), and but VM, which no 64-bit code has.
const FLAG_BITS: u64 = 0x3d_7fd5;
/// Bit 1 is always set.
const FLAGS_ALWAYS: u64 = 2;

/// A register cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There is none of that name, or it tells something that cannot be changed.
    #[error("Bad register error at '{name}'")]
    NotWritable {
        /// Its name.
        name: String,
    },
    /// It is a register that only the guest changes.
    #[error("{name} cannot be changed here")]
    Fixed {
        /// Its name.
        name: String,
    },
    /// The value has more bits than the register.
    #[error("{value:x} has more than the {width} bits of {name}")]
    TooWide {
        /// The register's name.
        name: String,
        /// The value.
        value: u64,
        /// The register's width in bits.
        width: u32,
    },
    /// The debugger looks from other registers than the processor's ([`Session::look_from`]), and
    /// those are in memory or on the stack: changing the processor's instead would not be meant.
    #[error("{name} cannot be changed in a frame's or a record's context; .cxr leaves it")]
    OtherContext {
        /// The register's name.
        name: String,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn mask(width: u32) -> u64 {
    match width {
        64.. => u64::MAX,
        width => (1 << width) - 1,
    }
}

fn extract(value: u64, part: Part) -> u64 {
    let (first, width) = part.bits();
    value >> first & mask(width)
}

fn insert(whole: u64, part: Part, value: u64) -> u64 {
    let (first, width) = part.bits();
    let mask = mask(width) << first;
    whole & !mask | value << first & mask
}

impl Session {
    /// A register's value; of those with fewer than 128 bits the rest is zero.
    ///
    /// ```
    /// use poolhit::debugger::register_name::Register;
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let read = |name| session.read_register(Register::named(name).unwrap());
    /// assert_eq!(read("cs"), 0x10);
    /// assert_eq!(read("rip") & 0xffff, read("ip"));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read_register(&self, register: Register) -> u128 {
        let registers = self.registers();
        let machine = self.lab().machine();
        let system = || machine.system_registers();
        u128::from(match register {
            Register::General(gpr, part) => extract(registers.get(gpr), part),
            Register::InstructionPointer(part) => extract(registers.rip, part),
            Register::Flags => registers.rflags & 0xffff_ffff,
            Register::Flag(first, width) => registers.rflags >> first & mask(width),
            Register::Segment(place) => {
                let all = self.segments();
                all.get(usize::from(place)).copied().unwrap_or(0).into()
            }
            Register::Control(0) => system().cr0,
            Register::Control(2) => system().cr2,
            Register::Control(3) => system().cr3,
            Register::Control(4) => system().cr4,
            Register::Control(_) => {
                let irql = self.lab().processor_control_region();
                let irql = machine.read_u8(irql.wrapping_add(PCR_IRQL));
                irql.unwrap_or(0).into()
            }
            Register::Debug(number) => {
                let place = usize::from(number.min(7)) - if number > 3 { 2 } else { 0 };
                system().debug.get(place).copied().unwrap_or(0)
            }
            Register::Descriptor(place) => {
                let s = system();
                match place {
                    0 => s.gdtr,
                    1 => s.gdtl.into(),
                    2 => s.idtr,
                    3 => s.idtl.into(),
                    4 => s.tr.into(),
                    _ => s.ldtr.into(),
                }
            }
            Register::Vector(number) => {
                let vector = registers.xmm.get(usize::from(number));
                return vector.copied().unwrap_or(0);
            }
            Register::VectorControl => system().mxcsr.into(),
        })
    }

    /// Changes a register of the processor, or a flag: general-purpose registers and parts of them,
    /// the instruction pointer, flags, and MXCSR. A part leaves the rest as it is.
    ///
    /// # Errors
    /// The value does not fit; it is another register; the debugger looks from a frame or a record;
    /// or the engine refuses.
    ///
    /// ```
    /// use poolhit::debugger::register_name::Register;
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.write_register("al", 0x5a)?;
    /// assert_eq!(session.read_register(Register::named("rax").unwrap()) & 0xff, 0x5a);
    /// let error = session.write_register("al", 0x100).unwrap_err();
    /// assert_eq!(error.to_string(), "100 has more than the 8 bits of al");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_register(&mut self, name: &str, value: u64) -> Result<(), RegisterError> {
        let not_writable = || RegisterError::NotWritable {
            name: name.to_string(),
        };
        let register = Register::named(name).ok_or_else(not_writable)?;
        let width = register.width();
        if width < 64 && value >> width != 0 {
            return Err(RegisterError::TooWide {
                name: name.to_string(),
                value,
                width,
            });
        }
        if self.control.context.is_some() || self.control.exception.is_some() {
            return Err(RegisterError::OtherContext {
                name: name.to_string(),
            });
        }
        let mut registers = self.lab().machine().registers();
        match register {
            Register::General(gpr, part) => {
                let whole = registers.get(gpr);
                registers.set(gpr, insert(whole, part, value));
            }
            Register::InstructionPointer(part) => {
                registers.rip = insert(registers.rip, part, value);
            }
            Register::Flags => registers.rflags = value & FLAG_BITS | FLAGS_ALWAYS,
            Register::Flag(first, width) => {
                let mask = mask(width) << first;
                registers.rflags = registers.rflags & !mask | value << first;
            }
            Register::VectorControl => {
                let value = u32::try_from(value).map_err(|_| not_writable())?;
                return Ok(self.lab_mut().machine_mut().set_mxcsr(value)?);
            }
            _ => {
                let name = name.to_string();
                return Err(RegisterError::Fixed { name });
            }
        }
        Ok(self.lab_mut().machine_mut().set_registers(&registers)?)
    }

    /// The value of a register or pseudo-register, by its name in either case and without its `@`.
    /// Of a vector register it is the low half.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.value_of("$ip"), Some(session.registers().rip));
    /// assert_eq!(session.value_of("$nothing"), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn value_of(&self, name: &str) -> Option<u64> {
        if name.starts_with('$') {
            return self.pseudo_register(name);
        }
        Some(self.read_register(Register::named(name)?) as u64)
    }

    /// Changes a register, or one of the pseudo-registers `$t0` to `$t19`, by its name.
    ///
    /// # Errors
    /// As for [`write_register`](Session::write_register); other pseudo-registers cannot be changed,
    /// but `$ip`, `$retreg`, `$retreg64` and `$csp` are registers.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.set_value_of("$t5", 7)?;
    /// assert_eq!(session.value_of("$T5"), Some(7));
    /// assert!(session.set_value_of("$proc", 0).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_value_of(&mut self, name: &str, value: u64) -> Result<(), RegisterError> {
        if let Some(number) = super::pseudo_register::user_register(name) {
            self.state.user_registers[number] = value;
            return Ok(());
        }
        match name.to_ascii_lowercase().as_str() {
            "$ip" => self.write_register("rip", value),
            "$retreg" | "$retreg64" => self.write_register("rax", value),
            "$csp" => self.write_register("rsp", value),
            _ => self.write_register(name, value),
        }
    }

    /// CS, SS, DS, ES, FS and GS: the processor's, or those of the record that the debugger looks from.
    pub(crate) fn segments(&self) -> [u16; 6] {
        let processor = self.lab().machine().system_registers();
        let at_exception = self.control.exception.as_ref().map(|chosen| chosen.1);
        let at_exception = at_exception.filter(|_| self.control.context.is_none());
        self.control.segments.or(at_exception).unwrap_or([
            processor.cs,
            processor.ss,
            processor.ds,
            processor.es,
            processor.fs,
            processor.gs,
        ])
    }

    /// The stack pointer.
    pub(crate) fn stack_pointer(&self) -> u64 {
        self.registers().get(Gpr::Rsp)
    }
}
