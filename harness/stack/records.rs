//! The records that describe one point of a function: its own, and those it is chained to.

use crate::address::Rva;
use crate::image::function_table::{FunctionTable, ImageBytes, RuntimeFunction};
use crate::image::unwind_code::UnwindOperation;
use crate::image::unwind_info::{FrameRegister, UnwindInfo, UnwindInfoError};

/// How many steps of a chain are followed, as by `RtlVirtualUnwind` (`UNWIND_CHAIN_LIMIT`).
const CHAIN_LIMIT: usize = 32;

/// A record with the range of code it is for.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub function: RuntimeFunction,
    pub info: UnwindInfo<'a>,
}

/// The function that a point of code belongs to.
#[derive(Clone, Copy)]
pub(super) struct Function<'a> {
    pub image: &'a dyn ImageBytes,
    pub entry: RuntimeFunction,
}

impl<'a> Function<'a> {
    /// The function with a byte at `rva`, unless it is a leaf function.
    pub fn at(image: &'a dyn ImageBytes, rva: Rva) -> Option<Function<'a>> {
        let entry = FunctionTable::of(image)?.lookup(rva)?;
        Some(Function { image, entry })
    }

    /// The function's own record, then the ones it is chained to; the primary record is the last.
    pub fn records(&self) -> Records<'a> {
        Records {
            image: self.image,
            first: self.entry.unwind_info,
            next: Some(self.entry),
            steps: 0,
        }
    }

    /// The record that the chain ends with, which describes the function's entry.
    pub fn primary(&self) -> Result<Record<'a>, UnwindInfoError> {
        let mut primary = Err(UnwindInfoError::NotInImage {
            rva: self.entry.unwind_info,
            length: 4,
        });
        for record in self.records() {
            primary = Ok(record?);
        }
        primary
    }

    /// Whether some record says that the processor's own frame is below the function's.
    pub fn has_machine_frame(&self) -> Result<bool, UnwindInfoError> {
        for record in self.records() {
            for code in record?.info.codes() {
                if matches!(code?.operation, UnwindOperation::PushMachineFrame { .. }) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Records from a function's own to its primary one. Ends after an error.
#[derive(Clone)]
pub(super) struct Records<'a> {
    image: &'a dyn ImageBytes,
    first: Rva,
    next: Option<RuntimeFunction>,
    steps: usize,
}

impl<'a> Records<'a> {
    fn follow(&mut self, mut function: RuntimeFunction) -> Result<Record<'a>, UnwindInfoError> {
        loop {
            if self.steps > CHAIN_LIMIT {
                let limit = CHAIN_LIMIT;
                return Err(UnwindInfoError::ChainTooLong {
                    rva: self.first,
                    limit,
                });
            }
            self.steps += 1;
            let Some(rva) = function.indirect() else {
                let info = UnwindInfo::parse(self.image, function.unwind_info)?;
                self.next = info.chained();
                return Ok(Record { function, info });
            };
            let length = RuntimeFunction::SIZE;
            let bytes = self.image.bytes_at(rva, length);
            function = bytes
                .and_then(RuntimeFunction::parse)
                .ok_or(UnwindInfoError::NotInImage { rva, length })?;
        }
    }

    /// The frame register in use where these records (a function's own first) apply, if one is:
    /// `reached` is the offset in the code of the first, or `None` if its prologue is done.
    ///
    /// A chained record may leave the register to the record it is chained to, whose prologue has
    /// been done before.
    pub fn frame_register(
        &self,
        mut reached: Option<u32>,
    ) -> Result<Option<FrameRegister>, UnwindInfoError> {
        for record in self.clone() {
            let info = record?.info;
            if let Some(frame) = info.frame_register()
                && is_established(&info, reached)?
            {
                return Ok(Some(frame));
            }
            reached = None;
        }
        Ok(None)
    }
}

/// Whether code that is `reached` bytes into its function's prologue (or behind it) has its frame
/// register set.
fn is_established(info: &UnwindInfo, reached: Option<u32>) -> Result<bool, UnwindInfoError> {
    let Some(reached) = reached.filter(|reached| *reached < u32::from(info.prologue_size())) else {
        return Ok(true);
    };
    for code in info.codes() {
        let code = code?;
        if code.operation == UnwindOperation::SetFrameRegister {
            return Ok(u32::from(code.prologue_offset) <= reached);
        }
    }
    // Nor does it set the register elsewhere: if it has one already, a record further up says so.
    Ok(false)
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, UnwindInfoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let function = self.next.take()?;
        Some(self.follow(function))
    }
}
