//! The instructions of one function that can be reached from its entry, its chained parts included.

use crate::address::Rva;
use crate::image::function_table::{FunctionTable, ImageBytes, RuntimeFunction};
use crate::image::unwind_code::UnwindOperation;
use crate::image::unwind_info::UnwindInfo;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use std::collections::{BTreeMap, BTreeSet};

/// How many steps of a chain are followed, as by `RtlVirtualUnwind` (`UNWIND_CHAIN_LIMIT`).
const CHAIN_LIMIT: usize = 32;
/// How far a function without a record may reach, in bytes: nothing says where it ends.
const LEAF_LIMIT: u32 = 0x1000;
/// The most instructions of one function that are kept.
const INSTRUCTION_LIMIT: usize = 1 << 14;

/// The interrupt that never returns (`__fastfail`).
const FAST_FAIL: u64 = 0x29;

/// The instruction at `rva`, whose address is its RVA; `None` where there is none.
pub(in crate::hits) fn decode(image: &dyn ImageBytes, rva: Rva) -> Option<Instruction> {
    let mut lengths = (1..=crate::disasm::MAX_INSTRUCTION_LENGTH).rev();
    let bytes = lengths.find_map(|length| image.bytes_at(rva, length))?;
    let decoded = Decoder::with_ip(64, bytes, rva.0.into(), DecoderOptions::NONE).decode();
    (!decoded.is_invalid()).then_some(decoded)
}

/// Where an instruction is, of those that [`decode`] gives.
pub(in crate::hits) fn place(instruction: &Instruction) -> Rva {
    // Instructions are decoded at an RVA: only targets and ends can be outside 32 bits.
    Rva(instruction.ip() as u32)
}

/// Where the instruction behind this one is.
pub(in crate::hits) fn next(instruction: &Instruction) -> Option<Rva> {
    u32::try_from(instruction.next_ip()).ok().map(Rva)
}

/// Where a direct near branch goes.
pub(in crate::hits) fn target(instruction: &Instruction) -> Option<Rva> {
    let near = matches!(instruction.op0_kind(), OpKind::NearBranch64);
    let target = near.then(|| instruction.near_branch_target())?;
    u32::try_from(target).ok().map(Rva)
}

/// The record that the chain from `first` ends with. `each` sees every record on the way.
fn chain(
    image: &dyn ImageBytes,
    first: RuntimeFunction,
    mut each: impl FnMut(&RuntimeFunction, &UnwindInfo) -> Option<()>,
) -> Option<RuntimeFunction> {
    let mut record = first;
    for _ in 0..=CHAIN_LIMIT {
        if let Some(rva) = record.indirect() {
            record = RuntimeFunction::parse(image.bytes_at(rva, RuntimeFunction::SIZE)?)?;
            continue;
        }
        let info = UnwindInfo::parse(image, record.unwind_info).ok()?;
        each(&record, &info)?;
        match info.chained() {
            Some(next) => record = next,
            None => return Some(record),
        }
    }
    None
}

/// The entry of the function that has a byte at `rva`, by its primary unwind record; `None` where
/// there is no record, or a broken one.
pub(crate) fn entry_of(image: &dyn ImageBytes, rva: Rva) -> Option<Rva> {
    let record = FunctionTable::of(image)?.lookup(rva)?;
    chain(image, record, |_, _| Some(())).map(|primary| primary.begin)
}

/// How far below its place at the function's entry RSP is at `rva`, in bytes, where the unwind data
/// alone tells: in a function that is not a leaf and has no frame register, behind its prologue.
pub(super) fn fixed_frame(image: &dyn ImageBytes, rva: Rva) -> Option<i32> {
    let record = FunctionTable::of(image)?.lookup(rva)?;
    let mut reached = Some(rva.0 - record.begin.0);
    let mut bytes = 0_i32;
    chain(image, record, |_, info| {
        let reached = reached.take();
        for code in info.codes() {
            let code = code.ok()?;
            if reached.is_some_and(|reached| reached < u32::from(code.prologue_offset)) {
                continue;
            }
            let more = match code.operation {
                UnwindOperation::PushNonvolatile(_) => 8,
                UnwindOperation::Allocate(bytes) => i32::try_from(bytes).ok()?,
                UnwindOperation::SetFrameRegister | UnwindOperation::PushMachineFrame { .. } => {
                    return None;
                }
                _ => 0,
            };
            bytes = bytes.checked_add(more)?;
        }
        info.frame_register().is_none().then_some(())
    })?;
    Some(bytes)
}

/// Which addresses are the function's.
struct Extent<'a> {
    image: &'a dyn ImageBytes,
    table: Option<FunctionTable<'a>>,
    entry: Rva,
    /// Without a record.
    leaf: bool,
    /// The part that was asked for last.
    part: Option<RuntimeFunction>,
    has_handler: bool,
}

impl<'a> Extent<'a> {
    fn new(image: &'a dyn ImageBytes, entry: Rva) -> Extent<'a> {
        let table = FunctionTable::of(image);
        Extent {
            image,
            table,
            entry,
            leaf: table.and_then(|table| table.lookup(entry)).is_none(),
            part: None,
            has_handler: false,
        }
    }

    fn contains(&mut self, rva: Rva) -> bool {
        if self.part.is_some_and(|part| part.contains(rva)) {
            return true;
        }
        let Some(record) = self.table.and_then(|table| table.lookup(rva)) else {
            let offset = rva.0.checked_sub(self.entry.0);
            return self.leaf && offset.is_some_and(|offset| offset < LEAF_LIMIT);
        };
        let mut has_handler = false;
        let primary = chain(self.image, record, |_, info| {
            has_handler |= info.handler().is_some();
            Some(())
        });
        if self.leaf || primary.is_none_or(|primary| primary.begin != self.entry) {
            return false;
        }
        self.has_handler |= has_handler;
        self.part = Some(record);
        true
    }
}

/// Where the processor can go from an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Successors {
    /// The instruction behind it.
    pub falls: Option<Rva>,
    /// The target of a direct jump.
    pub jumps: Option<Rva>,
    /// It may go elsewhere too: a jump through a register or memory.
    pub elsewhere: bool,
}

/// Where the processor can go from `instruction`; calls come back.
pub(super) fn successors(instruction: &Instruction) -> Successors {
    let falls = next(instruction);
    let through = Successors {
        falls,
        ..Successors::default()
    };
    match instruction.flow_control() {
        FlowControl::Return | FlowControl::Exception => Successors::default(),
        FlowControl::Interrupt if is_fast_fail(instruction) => Successors::default(),
        FlowControl::UnconditionalBranch => Successors {
            jumps: target(instruction),
            ..Successors::default()
        },
        FlowControl::ConditionalBranch => Successors {
            jumps: target(instruction),
            ..through
        },
        FlowControl::IndirectBranch => Successors {
            elsewhere: true,
            ..Successors::default()
        },
        // The target of `xbegin` is reached with the state of an earlier moment.
        FlowControl::XbeginXabortXend => Successors {
            elsewhere: true,
            ..through
        },
        _ => through,
    }
}

fn is_fast_fail(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Int && instruction.immediate(0) == FAST_FAIL
}

/// The instructions of a function.
pub(super) struct FunctionCode {
    /// By address.
    pub instructions: BTreeMap<Rva, Instruction>,
    /// Where paths meet, or may: the entry, the targets of jumps, and the places asked for.
    pub leaders: BTreeSet<Rva>,
    /// Exception handlers come back into the function in ways that are not followed.
    pub has_handler: bool,
}

impl FunctionCode {
    /// Reads what can be reached from `entry`. Each instruction takes one of `steps`; `None` when
    /// they are used up, or the function is too long.
    pub fn read(
        image: &dyn ImageBytes,
        entry: Rva,
        places: &[Rva],
        steps: &mut usize,
    ) -> Option<FunctionCode> {
        let mut extent = Extent::new(image, entry);
        let mut instructions = BTreeMap::new();
        let mut leaders: BTreeSet<Rva> = places.iter().copied().collect();
        leaders.insert(entry);
        let mut work = vec![entry];
        while let Some(start) = work.pop() {
            let mut at = Some(start);
            while let Some(rva) = at.take() {
                if instructions.contains_key(&rva) || !extent.contains(rva) {
                    break;
                }
                *steps = steps.checked_sub(1)?;
                let Some(instruction) = decode(image, rva) else {
                    break;
                };
                if instructions.len() == INSTRUCTION_LIMIT {
                    return None;
                }
                instructions.insert(rva, instruction);
                let successors = successors(&instruction);
                if let Some(target) = successors.jumps {
                    leaders.insert(target);
                    work.push(target);
                }
                at = successors.falls;
            }
        }
        Some(FunctionCode {
            instructions,
            leaders,
            has_handler: extent.has_handler,
        })
    }
}
