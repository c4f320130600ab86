//! The registers of one x64 processor, as a debugger and an unwinder see them.

use crate::address::Va;

/// A general-purpose register, numbered as instructions and unwind codes number it
/// (Microsoft, *x64 exception handling*, "Operation info").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Gpr {
    Rax = 0,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

impl Gpr {
    /// All sixteen, in the order of their numbers.
    pub const ALL: [Gpr; 16] = [
        Gpr::Rax,
        Gpr::Rcx,
        Gpr::Rdx,
        Gpr::Rbx,
        Gpr::Rsp,
        Gpr::Rbp,
        Gpr::Rsi,
        Gpr::Rdi,
        Gpr::R8,
        Gpr::R9,
        Gpr::R10,
        Gpr::R11,
        Gpr::R12,
        Gpr::R13,
        Gpr::R14,
        Gpr::R15,
    ];

    /// The register with this number; only the low four bits count.
    ///
    /// ```
    /// use poolhit::registers::Gpr;
    /// assert_eq!(Gpr::from_number(4), Gpr::Rsp);
    /// ```
    pub fn from_number(number: u8) -> Gpr {
        Gpr::ALL[usize::from(number & 15)]
    }
}

/// The register state that stacks are walked with: integer registers, instruction pointer, flags
/// and the vector registers' low 128 bits (XMM6 to XMM15 are non-volatile in Microsoft's calling
/// convention).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// RAX to R15, by [`Gpr`] number.
    pub gpr: [u64; 16],
    /// The instruction pointer.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
}

impl Registers {
    /// A general-purpose register's value.
    ///
    /// ```
    /// use poolhit::registers::{Gpr, Registers};
    /// let mut registers = Registers::default();
    /// registers.set(Gpr::Rbx, 7);
    /// assert_eq!(registers.get(Gpr::Rbx), 7);
    /// ```
    pub fn get(&self, register: Gpr) -> u64 {
        self.gpr[register as usize]
    }

    /// Sets a general-purpose register.
    ///
    /// ```
    /// use poolhit::registers::{Gpr, Registers};
    /// let mut registers = Registers::default();
    /// registers.set(Gpr::Rsp, 0x1000);
    /// assert_eq!(registers.rsp().0, 0x1000);
    /// ```
    pub fn set(&mut self, register: Gpr, value: u64) {
        self.gpr[register as usize] = value;
    }

    /// The instruction pointer as an address.
    ///
    /// ```
    /// use poolhit::registers::Registers;
    /// assert_eq!(Registers { rip: 5, ..Default::default() }.rip().0, 5);
    /// ```
    pub fn rip(&self) -> Va {
        Va(self.rip)
    }

    /// The stack pointer as an address.
    ///
    /// ```
    /// use poolhit::registers::Registers;
    /// assert_eq!(Registers::default().rsp().0, 0);
    /// ```
    pub fn rsp(&self) -> Va {
        Va(self.get(Gpr::Rsp))
    }
}
