//! Unwind codes: what each instruction of a prologue did.
//!
//! An unwind code takes one to three 16-bit slots of a record's array: the offset of the end of its
//! instruction (8 bits), the operation (4) and its parameter (4), then a larger parameter if it has
//! one (Microsoft, *x64 exception handling*, "struct UNWIND_CODE").

use super::unwind_info::{UnwindInfo, UnwindInfoError};
use crate::registers::Gpr;

/// What one instruction of a prologue did (`UNWIND_CODE`, `UWOP_…`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnwindOperation {
    /// `UWOP_PUSH_NONVOL`: pushed a register.
    PushNonvolatile(Gpr),
    /// `UWOP_ALLOC_SMALL`, `UWOP_ALLOC_LARGE`: lowered the stack pointer by so many bytes.
    Allocate(u32),
    /// `UWOP_SET_FPREG`: set the frame register to the stack pointer plus the record's offset.
    SetFrameRegister,
    /// `UWOP_SAVE_NONVOL`, `UWOP_SAVE_NONVOL_FAR`: stored a register.
    SaveNonvolatile {
        /// The register stored.
        register: Gpr,
        /// Where, in bytes from the fixed allocation's lower end.
        offset: u32,
    },
    /// `UWOP_SAVE_XMM128`, `UWOP_SAVE_XMM128_FAR`: stored all 128 bits of an XMM register.
    SaveXmm128 {
        /// The register's number, 0 to 15.
        register: u8,
        /// Where, in bytes from the fixed allocation's lower end.
        offset: u32,
    },
    /// `UWOP_PUSH_MACHFRAME`: not an instruction; the processor pushed SS, RSP, RFLAGS, CS and RIP
    /// when it took an interrupt or exception (or system-call entry code did the same).
    PushMachineFrame {
        /// Whether an error code lies below RIP.
        error_code: bool,
    },
    /// A code without effect on unwinding: 7 (`UWOP_SPARE_CODE`), and 6 where it is not version
    /// 2's `UWOP_EPILOG`.
    Spare,
}

/// One unwind code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnwindCode {
    /// The offset of the end of its instruction from the function's begin, in bytes: the code
    /// counts once the processor has come so far.
    pub prologue_offset: u8,
    /// What the instruction did.
    pub operation: UnwindOperation,
}

/// The unwind codes of a record, from [`UnwindInfo::codes`].
#[derive(Clone, Debug)]
pub struct UnwindCodes<'a> {
    info: UnwindInfo<'a>,
    slot: usize,
}

impl<'a> UnwindInfo<'a> {
    /// The unwind codes of the prologue, its last instruction first. Ends after an error.
    ///
    /// ```
    /// # use poolhit::address::Rva;
    /// # use poolhit::image::{function_table::MappedImage, unwind_info::*};
    /// use poolhit::image::unwind_code::UnwindOperation;
    /// let image = MappedImage { bytes: &[1, 4, 1, 0, 4, 0x42, 0, 0], exception_directory: None };
    /// let info = UnwindInfo::parse(&image, Rva(0)).unwrap();
    /// let code = info.codes().next().unwrap().unwrap();
    /// assert_eq!((code.prologue_offset, code.operation), (4, UnwindOperation::Allocate(40)));
    /// ```
    pub fn codes(&self) -> UnwindCodes<'a> {
        UnwindCodes {
            info: *self,
            slot: 0,
        }
    }
}

impl UnwindCodes<'_> {
    fn parameter(&self, slot: usize) -> Option<u16> {
        let bytes = self.info.slots().get(slot * 2..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }

    /// The operation in this slot and the number of slots it takes; `None` if the slots end.
    fn decode(
        &self,
        slot: usize,
        operation: u8,
        info: u8,
    ) -> Option<Result<(UnwindOperation, usize), UnwindInfoError>> {
        let scaled = |scale| {
            self.parameter(slot + 1)
                .map(|value| u32::from(value) * scale)
        };
        let unscaled = || {
            let (low, high) = (self.parameter(slot + 1)?, self.parameter(slot + 2)?);
            Some(u32::from(low) | u32::from(high) << 16)
        };
        let register = Gpr::from_number(info);
        Some(Ok(match (operation, info) {
            (0, _) => (UnwindOperation::PushNonvolatile(register), 1),
            (1, 0) => (UnwindOperation::Allocate(scaled(8)?), 2),
            (1, 1) => (UnwindOperation::Allocate(unscaled()?), 3),
            (2, _) => (UnwindOperation::Allocate(u32::from(info) * 8 + 8), 1),
            (3, _) => (UnwindOperation::SetFrameRegister, 1),
            (4, _) => (
                UnwindOperation::SaveNonvolatile {
                    register,
                    offset: scaled(8)?,
                },
                2,
            ),
            (5, _) => (
                UnwindOperation::SaveNonvolatile {
                    register,
                    offset: unscaled()?,
                },
                3,
            ),
            (6, _) => (UnwindOperation::Spare, scaled(1).map(|_| 2)?),
            (7, _) => (UnwindOperation::Spare, unscaled().map(|_| 3)?),
            (8, _) => (
                UnwindOperation::SaveXmm128 {
                    register: info,
                    offset: scaled(16)?,
                },
                2,
            ),
            (9, _) => (
                UnwindOperation::SaveXmm128 {
                    register: info,
                    offset: unscaled()?,
                },
                3,
            ),
            (10, 0 | 1) => (
                UnwindOperation::PushMachineFrame {
                    error_code: info == 1,
                },
                1,
            ),
            _ => {
                let rva = self.info.rva();
                return Some(Err(UnwindInfoError::UndefinedCode {
                    rva,
                    slot,
                    operation,
                    info,
                }));
            }
        }))
    }
}

impl Iterator for UnwindCodes<'_> {
    type Item = Result<UnwindCode, UnwindInfoError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let slot = self.slot;
            let [prologue_offset, packed] = self.parameter(slot)?.to_le_bytes();
            let (operation, info) = (packed & 15, packed >> 4);
            if operation == 6 && self.info.version() == 2 {
                // Where an epilogue is; nothing the prologue did.
                self.slot += 1;
                continue;
            }
            let cut = UnwindInfoError::CutCode {
                rva: self.info.rva(),
                slot,
            };
            let decoded = self.decode(slot, operation, info).unwrap_or(Err(cut));
            return Some(match decoded {
                Ok((operation, taken)) => {
                    self.slot += taken;
                    Ok(UnwindCode {
                        prologue_offset,
                        operation,
                    })
                }
                Err(error) => {
                    self.slot = self.info.slots().len();
                    Err(error)
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rva;
    use crate::image::function_table::MappedImage;
    use UnwindOperation::*;

    fn codes(version: u8, slots: &[u8]) -> Result<Vec<UnwindOperation>, UnwindInfoError> {
        let mut bytes = vec![version, 0x20, (slots.len() / 2) as u8, 0];
        bytes.extend(slots);
        let image = MappedImage {
            bytes: &bytes,
            exception_directory: None,
        };
        let info = UnwindInfo::parse(&image, Rva(0)).unwrap();
        info.codes()
            .map(|code| code.map(|code| code.operation))
            .collect()
    }

    #[test]
    fn every_operation() {
        let check = |slots: &[u8], expected: UnwindOperation| {
            assert_eq!(codes(1, slots), Ok(vec![expected]), "{slots:x?}");
        };
        check(&[1, 0xf0], PushNonvolatile(Gpr::R15));
        check(&[1, 0x01, 0x2b, 0x00], Allocate(0x158));
        check(&[1, 0x11, 0x08, 0x00, 0x10, 0x00], Allocate(0x10_0008));
        check(&[1, 0xf2], Allocate(128));
        check(&[1, 0x03], SetFrameRegister);
        check(
            &[1, 0x34, 0x28, 0],
            SaveNonvolatile {
                register: Gpr::Rbx,
                offset: 0x140,
            },
        );
        check(
            &[1, 0x75, 8, 0, 8, 0],
            SaveNonvolatile {
                register: Gpr::Rdi,
                offset: 0x8_0008,
            },
        );
        check(
            &[1, 0x68, 3, 0],
            SaveXmm128 {
                register: 6,
                offset: 0x30,
            },
        );
        check(
            &[1, 0xf9, 0, 0, 0x10, 0],
            SaveXmm128 {
                register: 15,
                offset: 0x10_0000,
            },
        );
        check(&[1, 0x0a], PushMachineFrame { error_code: false });
        check(&[1, 0x1a], PushMachineFrame { error_code: true });
        check(&[1, 0x06, 0, 0], Spare);
        check(&[1, 0x07, 0, 0, 0, 0], Spare);
    }

    #[test]
    fn an_epilogue_code_takes_one_slot_in_version_2() {
        let slots = [3, 0x16, 0x20, 0x06, 0, 0x06, 4, 0x42];
        assert_eq!(codes(2, &slots), Ok(vec![Allocate(40)]));
    }

    #[test]
    fn a_code_that_is_undefined_or_cut_is_an_error() {
        let undefined = |operation, info| {
            Err(UnwindInfoError::UndefinedCode {
                rva: Rva(0),
                slot: 1,
                operation,
                info,
            })
        };
        assert_eq!(codes(1, &[1, 0, 0, 0x0b]), undefined(11, 0));
        assert_eq!(codes(1, &[1, 0, 0, 0x21, 0, 0, 0, 0]), undefined(1, 2));
        assert_eq!(codes(1, &[1, 0, 0, 0x2a]), undefined(10, 2));
        for slots in [
            &[1, 0, 0, 0x01][..],
            &[1, 0, 0, 0x05, 0, 0],
            &[1, 0, 0, 0x07, 0, 0],
        ] {
            assert_eq!(
                codes(1, slots),
                Err(UnwindInfoError::CutCode {
                    rva: Rva(0),
                    slot: 1
                })
            );
        }
    }
}
