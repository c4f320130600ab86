//! Addresses as types: virtual, physical, and relative to an image.
//!
//! The three never mix by accident, and a return address is not an instruction pointer: a
//! look-up that has to use `address - 1` says so through [`CodeAddress`].

use std::fmt;
use std::ops::{Add, Sub};

/// A virtual address of the guest, in bytes.
///
/// Prints the way WinDbg prints a 64-bit address: sixteen lower-case hexadecimal digits with a
/// back-tick in the middle.
///
/// ```
/// use poolhit::address::Va;
/// assert_eq!(Va(0xfffff800_016530fc).to_string(), "fffff800`016530fc");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Va(pub u64);

/// A physical address of the guest, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pa(pub u64);

/// An offset from the base of a loaded image, in bytes (the `RVA` of the PE format).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rva(pub u32);

impl Va {
    /// Bits 63 to 47 are all equal, as x64 with four paging levels requires
    /// (Intel SDM volume 1, 3.3.7.1).
    ///
    /// ```
    /// use poolhit::address::Va;
    /// assert!(Va(0xfffff800_00000000).is_canonical());
    /// assert!(!Va(0x8000_00000000).is_canonical());
    /// ```
    pub fn is_canonical(self) -> bool {
        let top = (self.0 as i64) >> 47;
        top == 0 || top == -1
    }

    /// The upper half of the address space, which belongs to the kernel.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// assert!(Va(0xfffff800_00000000).is_kernel());
    /// assert!(!Va(0x7ff0_0000).is_kernel());
    /// ```
    pub fn is_kernel(self) -> bool {
        (self.0 as i64) < 0
    }

    /// The sum, wrapping at 64 bits as the processor's address arithmetic does.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// assert_eq!(Va(u64::MAX).wrapping_add(2), Va(1));
    /// ```
    pub fn wrapping_add(self, bytes: u64) -> Va {
        Va(self.0.wrapping_add(bytes))
    }

    /// The difference, wrapping at 64 bits.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// assert_eq!(Va(0).wrapping_sub(1), Va(u64::MAX));
    /// ```
    pub fn wrapping_sub(self, bytes: u64) -> Va {
        Va(self.0.wrapping_sub(bytes))
    }

    /// The distance from `base` as an offset into an image, if it fits one.
    ///
    /// ```
    /// use poolhit::address::{Rva, Va};
    /// assert_eq!(Va(0x1634).rva_from(Va(0x1000)), Some(Rva(0x634)));
    /// assert_eq!(Va(0).rva_from(Va(0x1000)), None);
    /// ```
    pub fn rva_from(self, base: Va) -> Option<Rva> {
        u32::try_from(self.0.checked_sub(base.0)?).ok().map(Rva)
    }
}

impl Add<Rva> for Va {
    type Output = Va;
    /// The address of an image's byte, given the image's base (wrapping at 64 bits).
    fn add(self, rva: Rva) -> Va {
        self.wrapping_add(u64::from(rva.0))
    }
}

impl Sub for Va {
    type Output = u64;
    /// The distance in bytes, wrapping at 64 bits.
    fn sub(self, other: Va) -> u64 {
        self.0.wrapping_sub(other.0)
    }
}

impl fmt::Display for Va {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}`{:08x}", self.0 >> 32, self.0 as u32)
    }
}

impl fmt::Display for Pa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for Rva {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Va {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Va({self})")
    }
}

impl fmt::Debug for Pa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pa({:#x})", self.0)
    }
}

impl fmt::Debug for Rva {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rva({:#x})", self.0)
    }
}

/// Where a stack frame's code is: the instruction the processor is at, or the one it will return
/// to.
///
/// A return address may be the first byte *behind* its function (a call that never returns can be
/// a function's last instruction), so a look-up of the function uses the byte before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CodeAddress {
    /// The instruction about to execute.
    InstructionPointer(Va),
    /// The instruction behind a call.
    ReturnAddress(Va),
}

impl CodeAddress {
    /// The address itself, as a debugger prints it.
    ///
    /// ```
    /// use poolhit::address::{CodeAddress, Va};
    /// assert_eq!(CodeAddress::ReturnAddress(Va(0x10)).address(), Va(0x10));
    /// ```
    pub fn address(self) -> Va {
        match self {
            CodeAddress::InstructionPointer(va) | CodeAddress::ReturnAddress(va) => va,
        }
    }

    /// An address that is certainly inside the instruction that is executing or called.
    ///
    /// ```
    /// use poolhit::address::{CodeAddress, Va};
    /// assert_eq!(CodeAddress::ReturnAddress(Va(0x10)).for_lookup(), Va(0xf));
    /// assert_eq!(CodeAddress::InstructionPointer(Va(0x10)).for_lookup(), Va(0x10));
    /// ```
    pub fn for_lookup(self) -> Va {
        match self {
            CodeAddress::InstructionPointer(va) => va,
            CodeAddress::ReturnAddress(va) => va.wrapping_sub(1),
        }
    }
}
