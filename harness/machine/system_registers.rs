//! The registers that a debugger shows beside the general-purpose ones, and model-specific ones.

use super::unicorn::Msr;
use super::{EngineError, Machine};
use crate::address::Va;

/// Segment, control, debug and descriptor-table registers, as they are at a stop. CR8 is not among
/// them: the kernel's `_KPCR.Irql` stands for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct SystemRegisters {
    pub cs: u16,
    pub ss: u16,
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    /// DR0 to DR3, DR6 and DR7.
    pub debug: [u64; 6],
    pub gdtr: u64,
    /// The descriptor table's limit: its last byte's offset.
    pub gdtl: u16,
    pub idtr: u64,
    /// As `gdtl`.
    pub idtl: u16,
    pub tr: u16,
    pub ldtr: u16,
    pub mxcsr: u32,
}

/// A model-specific register cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteMsrError {
    /// The processor does not have it, or nothing may write it here.
    #[error("model-specific register {number:x} cannot be written")]
    NotWritable {
        /// Its number.
        number: u32,
    },
    /// The processor would refuse the value: a base that is no canonical address, or a mode that no
    /// processor is in with 64-bit code.
    #[error("model-specific register {number:x} cannot be {value:x}")]
    Value {
        /// The register's number.
        number: u32,
        /// The value.
        value: u64,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The number of the time-stamp counter.
const TIME_STAMP_COUNTER: u32 = 0x10;
/// Bits of EFER that 64-bit code cannot do without: LME and LMA.
const LONG_MODE: u64 = 0x500;
/// The bits of EFER that this processor has: SCE, LME, LMA and NXE.
const EFER_BITS: u64 = 0xd01;
/// The bits of MXCSR that are defined.
const MXCSR_BITS: u32 = 0xffff;

impl Machine {
    /// Segment, control, debug and descriptor-table registers.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let registers = lab.machine().system_registers();
    /// assert_eq!((registers.cs, registers.ss), (0x10, 0x18));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn system_registers(&self) -> SystemRegisters {
        self.engine.all_system_registers()
    }

    /// A model-specific register by its number; `None` if the processor has none of it.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let entry = lab.kernel_symbol("KiSystemCall64").unwrap();
    /// assert_eq!(lab.machine().read_msr(0xc000_0082), Some(entry.0));
    /// assert_eq!(lab.machine().read_msr(0x1234), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read_msr(&self, number: u32) -> Option<u64> {
        match number {
            TIME_STAMP_COUNTER => Some(self.time()),
            _ => self.engine.msr_by_number(number),
        }
    }

    /// Writes a model-specific register: those that the guest's state is made of, which are EFER,
    /// STAR, LSTAR, FMASK, the bases of FS and GS, and TSC_AUX.
    ///
    /// # Errors
    /// It is another one, the processor would refuse the value, or the engine does.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// lab.machine_mut().write_msr(0xc000_0103, 1)?;
    /// assert_eq!(lab.machine().read_msr(0xc000_0103), Some(1));
    /// assert!(lab.machine_mut().write_msr(0x10, 0).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_msr(&mut self, number: u32, value: u64) -> Result<(), WriteMsrError> {
        let not_writable = WriteMsrError::NotWritable { number };
        let msr = Msr::from_number(number).ok_or(not_writable)?;
        let taken = match msr {
            Msr::Efer => value & LONG_MODE == LONG_MODE && value & !EFER_BITS == 0,
            Msr::Lstar | Msr::FsBase | Msr::GsBase | Msr::KernelGsBase => Va(value).is_canonical(),
            Msr::Fmask | Msr::TscAux => value >> 32 == 0,
            Msr::Star => true,
        };
        if !taken {
            return Err(WriteMsrError::Value { number, value });
        }
        Ok(self.engine.set_msr(msr, value)?)
    }

    /// Sets MXCSR, the control and status register of vector arithmetic; bits that are not defined
    /// are left out.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// lab.machine_mut().set_mxcsr(0x1fa0)?;
    /// assert_eq!(lab.machine().system_registers().mxcsr, 0x1fa0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_mxcsr(&mut self, value: u32) -> Result<(), EngineError> {
        self.engine.set_mxcsr(value & MXCSR_BITS)
    }
}
