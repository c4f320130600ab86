//! One step of a stack walk: from a function's registers to its caller's.
//!
//! The rules are Microsoft's for `RtlVirtualUnwind` (*x64 exception handling*, "Unwind procedure"):
//! a function without a record is a leaf, whose return address is at the stack pointer; inside an
//! epilogue, the rest of it is done; everywhere else, the part of the prologue that has been done is
//! undone, with all records it is chained to. Only an instruction pointer can be inside an epilogue:
//! behind a call is never one.

use super::frame::FrameTrust;
use super::modules::UnwindModules;
use super::prologue::{Below, near_return};
use super::records::Function;
use super::{epilogue, prologue};
use crate::address::{CodeAddress, Va};
use crate::image::function_table::ImageBytes;
use crate::image::unwind_info::UnwindInfoError;
use crate::memory::{MemoryFault, ReadMemory};
use crate::registers::Registers;

/// A caller's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unwound {
    /// The caller's registers: the non-volatile ones, RSP and RIP restored (behind a machine frame
    /// RFLAGS too), all others as they were.
    pub registers: Registers,
    /// Where the caller's code is: RIP, and whether it is a return address.
    pub code: CodeAddress,
    /// How it was found.
    pub trust: FrameTrust,
}

/// Why a frame cannot be unwound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnwindError {
    /// The stack cannot be read.
    #[error("the stack cannot be unwound: {0}")]
    Stack(#[from] MemoryFault),
    /// The image's unwind data is broken.
    #[error("the stack cannot be unwound: in the image at {base}, {reason}")]
    UnwindInfo {
        /// Where the image is loaded.
        base: Va,
        /// What is wrong.
        #[source]
        reason: UnwindInfoError,
    },
}

/// An [`UnwindError`] before the image is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StepError {
    Stack(MemoryFault),
    UnwindInfo(UnwindInfoError),
}

impl From<MemoryFault> for StepError {
    fn from(fault: MemoryFault) -> StepError {
        StepError::Stack(fault)
    }
}

impl From<UnwindInfoError> for StepError {
    fn from(reason: UnwindInfoError) -> StepError {
        StepError::UnwindInfo(reason)
    }
}

impl StepError {
    fn in_image(self, base: Va) -> UnwindError {
        match self {
            StepError::Stack(fault) => UnwindError::Stack(fault),
            StepError::UnwindInfo(reason) => UnwindError::UnwindInfo { base, reason },
        }
    }
}

/// Finds the caller of the function that `code` is in, from the registers in that function.
///
/// An address in no image is treated like a leaf function's, as WinDbg does.
///
/// # Errors
/// Memory that the unwinding needs cannot be read, or unwind data is broken.
///
/// ```
/// use poolhit::address::{CodeAddress, Va};
/// use poolhit::image::function_table::ImageBytes;
/// use poolhit::memory::{MemoryFault, ReadMemory};
/// use poolhit::registers::{Gpr, Registers};
/// use poolhit::stack::{frame::FrameTrust, modules::UnwindModules, unwinder::unwind};
///
/// struct NoImages;
/// impl UnwindModules for NoImages {
///     fn find(&self, _: Va) -> Option<(Va, &dyn ImageBytes)> {
///         None
///     }
/// }
/// struct AddressesEverywhere;
/// impl ReadMemory for AddressesEverywhere {
///     fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
///         buffer.copy_from_slice(&(address.0 + 5).to_le_bytes()[..buffer.len()]);
///         Ok(())
///     }
/// }
/// let mut registers = Registers { rip: 0x1000, ..Default::default() };
/// registers.set(Gpr::Rsp, 0x8000);
/// let code = CodeAddress::InstructionPointer(registers.rip());
/// let caller = unwind(&registers, code, &AddressesEverywhere, &NoImages).unwrap();
/// assert_eq!(caller.code, CodeAddress::ReturnAddress(Va(0x8005)));
/// assert_eq!(caller.registers.rsp(), Va(0x8008));
/// assert_eq!(caller.trust, FrameTrust::Guess);
/// ```
pub fn unwind(
    registers: &Registers,
    code: CodeAddress,
    memory: &dyn ReadMemory,
    modules: &dyn UnwindModules,
) -> Result<Unwound, UnwindError> {
    let mut registers = registers.clone();
    let found = modules.find(code.for_lookup());
    let (below, trust) = match found {
        Some((base, image)) => {
            unwind_in(base, image, code, &mut registers, memory).map_err(|e| e.in_image(base))?
        }
        None => (leaf(&mut registers, memory)?, FrameTrust::Guess),
    };
    let code = match below {
        Below::ReturnAddress => CodeAddress::ReturnAddress(registers.rip()),
        Below::Interrupted => CodeAddress::InstructionPointer(registers.rip()),
    };
    Ok(Unwound {
        registers,
        code,
        trust,
    })
}

fn leaf(registers: &mut Registers, memory: &dyn ReadMemory) -> Result<Below, MemoryFault> {
    near_return(registers, memory)?;
    Ok(Below::ReturnAddress)
}

/// Unwinds a frame whose code is in `image`, and says how the registers now stand.
fn unwind_in(
    base: Va,
    image: &dyn ImageBytes,
    code: CodeAddress,
    registers: &mut Registers,
    memory: &dyn ReadMemory,
) -> Result<(Below, FrameTrust), StepError> {
    let function = code
        .for_lookup()
        .rva_from(base)
        .and_then(|rva| Function::at(image, rva));
    let at = code.address();
    let (Some(function), Some(rva)) = (function, at.rva_from(base)) else {
        let trust = match code {
            CodeAddress::InstructionPointer(_) => FrameTrust::Leaf,
            CodeAddress::ReturnAddress(_) => FrameTrust::Guess,
        };
        return Ok((leaf(registers, memory)?, trust));
    };
    let may_be_epilogue = match (code, function.records().next()) {
        (CodeAddress::InstructionPointer(_), Some(own)) => {
            let own = own?;
            rva.0.wrapping_sub(own.function.begin.0) >= u32::from(own.info.prologue_size())
        }
        _ => false,
    };
    if may_be_epilogue
        && let Some(ending) = epilogue::finish(&function, base, at, registers, memory)?
    {
        return Ok(match ending {
            epilogue::Ending::Return => (Below::ReturnAddress, FrameTrust::UnwindInfo),
            epilogue::Ending::InterruptReturn => (Below::Interrupted, FrameTrust::MachineFrame),
        });
    }
    match prologue::undo(&function, rva, registers, memory)? {
        Below::ReturnAddress => {
            near_return(registers, memory)?;
            Ok((Below::ReturnAddress, FrameTrust::UnwindInfo))
        }
        Below::Interrupted => Ok((Below::Interrupted, FrameTrust::MachineFrame)),
    }
}
