//! Where the code of a function lies, which may be in several places.

use super::session::Session;
use super::steps::Flow;
use crate::address::{Rva, Va};
use crate::disasm::Instruction;
use crate::image::function_table::{FunctionTable, ImageBytes, RuntimeFunction};
use crate::image::unwind_info::UnwindInfo;

/// The most bytes that a function's code may have. The project's own limit.
pub const FUNCTION_LIMIT: u64 = 0x10_0000;
/// How far in front of an address in a leaf function the function may begin, and how long one may be.
const LEAF: u64 = 0x1000;
/// How many records of a table are looked at.
const RECORDS: usize = 1 << 20;
/// How many steps of a chain are followed, as by the unwinder.
const CHAIN: usize = 32;

/// A part of a function's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeRange {
    /// The first byte.
    pub start: Va,
    /// The byte behind the last.
    pub end: Va,
}

impl CodeRange {
    /// Its size in bytes.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::function::CodeRange};
    /// assert_eq!(CodeRange { start: Va(0x10), end: Va(0x18) }.bytes(), 8);
    /// ```
    pub fn bytes(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }
}

impl Session {
    /// Where the code of the function lies that an address is in: by the image's unwind data, its entry's
    /// part first, then those chained to it (Microsoft, *x64 exception handling*, "Chained unwind info
    /// structures") by address. A leaf function has no such data: its code goes from its symbol, or else from
    /// the address, to the return or jump that nothing in it jumps behind.
    ///
    /// It is at most [`FUNCTION_LIMIT`] bytes; of one that seems to have more there are the first parts only.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let entry = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    /// let code = session.function_code(entry.wrapping_add(0x20));
    /// assert_eq!(code[0].start, entry);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn function_code(&self, address: Va) -> Vec<CodeRange> {
        let by_records = self.modules().containing(address).and_then(|module| {
            let image = module.image()?;
            let parts = parts(image.as_ref(), module.rva(address)?);
            let code = |one: &RuntimeFunction| CodeRange {
                start: module.base() + one.begin,
                end: module.base() + one.end,
            };
            (!parts.is_empty()).then(|| parts.iter().map(code).collect())
        });
        let mut code = by_records.unwrap_or_else(|| vec![self.leaf_code(address)]);
        let mut bytes = 0_u64;
        code.retain(|one| {
            bytes = bytes.saturating_add(one.bytes());
            bytes <= FUNCTION_LIMIT && one.bytes() > 0
        });
        code
    }

    fn leaf_code(&self, address: Va) -> CodeRange {
        let near = self.modules().nearest(address);
        let near = near.filter(|near| near.symbol.is_some() && u64::from(near.offset) < LEAF);
        let offset = near.map_or(0, |near| u64::from(near.offset));
        let start = Va(address.0.wrapping_sub(offset));
        let (mut at, mut farthest) = (start, start);
        while at - start < LEAF {
            let instruction = self.instruction(at);
            if instruction.bytes().is_empty() || instruction.mnemonic() == "???" {
                break;
            }
            at = instruction.next_address();
            let target = jump_target(&instruction);
            if let Some(target) = target.filter(|target| *target - start < LEAF) {
                farthest = farthest.max(target);
            }
            let ends =
                Flow::of(instruction.mnemonic()) == Flow::Return || instruction.mnemonic() == "jmp";
            if at < start || ends && at > farthest {
                break;
            }
        }
        CodeRange { start, end: at }
    }
}

/// Where a jump goes whose target stands in it, relative to it (Intel's manual, "Jcc", "JMP").
fn jump_target(instruction: &Instruction) -> Option<Va> {
    let distance = match *instruction.bytes() {
        [0x70..=0x7f | 0xe0..=0xe3 | 0xeb, near] => i64::from(near as i8),
        [0x0f, 0x80..=0x8f, a, b, c, d] | [0xe9, a, b, c, d] => {
            i64::from(i32::from_le_bytes([a, b, c, d]))
        }
        _ => return None,
    };
    Some(instruction.next_address().wrapping_add(distance as u64))
}

/// The records of a function's parts: its primary one's, then by address.
fn parts(image: &dyn ImageBytes, rva: Rva) -> Vec<RuntimeFunction> {
    let Some(table) = FunctionTable::of(image) else {
        return Vec::new();
    };
    let Some(primary) = table.lookup(rva).and_then(|one| primary(image, one)) else {
        return Vec::new();
    };
    let records = table.iter().take(RECORDS);
    let mut parts: Vec<RuntimeFunction> = records
        .filter(|one| one.begin < one.end && self::primary(image, *one) == Some(primary))
        .collect();
    parts.sort_by_key(|one| (one.begin != primary.begin, one.begin));
    parts.dedup();
    parts
}

/// The record that a chain ends with.
fn primary(image: &dyn ImageBytes, mut function: RuntimeFunction) -> Option<RuntimeFunction> {
    for _ in 0..CHAIN {
        if let Some(at) = function.indirect() {
            function = RuntimeFunction::parse(image.bytes_at(at, RuntimeFunction::SIZE)?)?;
            continue;
        }
        match UnwindInfo::parse(image, function.unwind_info)
            .ok()?
            .chained()
        {
            Some(next) => function = next,
            None => return Some(function),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Lab;
    use crate::image::function_table::MappedImage;
    use proptest::prelude::*;

    fn image(bytes: &[u8], records: u32) -> MappedImage<'_> {
        MappedImage {
            bytes,
            exception_directory: Some((Rva(0), records * 12)),
        }
    }

    /// Three records: a function, another, and a part of the first behind the second.
    #[test]
    fn chained_parts_belong_to_the_function() {
        let mut bytes = Vec::new();
        for word in [
            0x1000_u32, 0x1010, 36, 0x1020, 0x1030, 36, 0x1040, 0x1048, 40,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([1, 0, 0, 0]); // at 36: nothing to unwind
        bytes.extend([0x21, 0, 0, 0]); // at 40: chained
        for word in [0x1000_u32, 0x1010, 36] {
            bytes.extend(word.to_le_bytes());
        }
        let image = image(&bytes, 3);
        for (rva, expected) in [
            (0x1000, &[0x1000, 0x1040][..]),
            (0x1047, &[0x1000, 0x1040]),
            (0x1025, &[0x1020]),
            (0x1018, &[]),
        ] {
            let found: Vec<u32> = parts(&image, Rva(rva)).iter().map(|p| p.begin.0).collect();
            assert_eq!(found, expected, "{rva:x}");
        }
    }

    #[test]
    fn a_leaf_function_ends_at_its_return() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        let at = Va(session.registers().get(crate::registers::Gpr::Rsp) - 0x100);
        // test al,al; je +1; ret; nop; ret; int 3
        session
            .write(at, &[0x84, 0xc0, 0x74, 1, 0xc3, 0x90, 0xc3, 0xcc])
            .unwrap();
        let code = session.leaf_code(at);
        assert_eq!((code.start, code.bytes()), (at, 7));
        assert!(session.function_code(Va(0x10)).is_empty());
    }

    proptest! {
        #[test]
        fn any_records_give_parts_or_none(
            bytes in proptest::collection::vec(0_u8..64, 0..400), records in 0_u32..40, rva in 0_u32..80,
        ) {
            let image = image(&bytes, records);
            for part in parts(&image, Rva(rva)) {
                prop_assert!(part.begin < part.end);
            }
        }
    }
}
