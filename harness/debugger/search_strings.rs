//! Finding whatever strings a range of memory holds.

use super::range::AddressRange;
use super::search::{CHUNK, READ_LIMIT, SearchError, behind_gap};
use super::string::CharacterSize;
use crate::address::Va;
use crate::memory::ReadMemory;

/// The longest string that is given in one piece; a longer one comes in several.
pub const STRING_LIMIT: usize = 0x1000;

/// Finds the strings of printable ASCII characters, in one byte or two each, in a range of memory:
/// those with `least` characters or more, lowest first. Memory that is not there is skipped. Wide
/// characters are looked for at even distances from the range's start.
///
/// `found` is called for each with its address and text, and says whether to go on.
///
/// # Errors
/// The range holds too much memory.
///
/// ```
/// use poolhit::debugger::{range::AddressRange, search_strings::search_strings};
/// use poolhit::debugger::string::CharacterSize;
/// let lab = poolhit::Lab::builder().build()?;
/// let range = AddressRange { start: lab.modules().by_name("nt").unwrap().base(), bytes: 0x100 };
/// let mut texts = Vec::new();
/// search_strings(lab.machine(), range, CharacterSize::Byte, 10, &mut |_, text| {
///     texts.push(text.to_string());
///     true
/// })?;
/// assert_eq!(texts, ["!This program cannot be run in DOS mode.$"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn search_strings(
    memory: &dyn ReadMemory,
    range: AddressRange,
    size: CharacterSize,
    least: usize,
    found: &mut dyn FnMut(Va, &str) -> bool,
) -> Result<(), SearchError> {
    let unit = size.bytes();
    let last = range.start.0.saturating_add(range.bytes.saturating_sub(1));
    let (mut at, mut read) = (range.start.0, 0);
    let mut text = String::new();
    let mut start = Va(at);
    // half of a wide character, from before a chunk's end
    let mut half = None;
    loop {
        let wanted = (last - at).saturating_add(1).min(CHUNK as u64) as usize;
        let mut buffer = vec![0; wanted];
        let fault = memory.read(Va(at), &mut buffer).err();
        let got = fault.map_or(wanted, |fault| fault.done.min(wanted));
        read += got as u64;
        for (place, &byte) in (at..).zip(&buffer[..got]) {
            let is_first = (place - range.start.0).is_multiple_of(unit);
            let character = match (size, is_first) {
                (CharacterSize::Byte, _) => Some(byte),
                (CharacterSize::Wide, true) => {
                    half = Some(byte);
                    continue;
                }
                (CharacterSize::Wide, false) => half.take().filter(|_| byte == 0),
            };
            match character.filter(|byte| matches!(byte, 0x20..0x7f)) {
                Some(byte) => {
                    if text.is_empty() {
                        start = Va(place - (unit - 1));
                    }
                    text.push(char::from(byte));
                    if text.len() < STRING_LIMIT {
                        continue;
                    }
                }
                None if text.is_empty() => continue,
                None => {}
            }
            if text.len() >= least.max(1) && !found(start, &text) {
                return Ok(());
            }
            text.clear();
        }
        let next = match fault {
            None => at.checked_add(got as u64),
            Some(fault) => {
                half = None;
                if text.len() >= least.max(1) && !found(start, &text) {
                    return Ok(());
                }
                text.clear();
                behind_gap(at.saturating_add(got as u64), fault.reason)
            }
        };
        match next.filter(|next| *next <= last) {
            Some(next) => at = next,
            None => {
                if text.len() >= least.max(1) {
                    found(start, &text);
                }
                return Ok(());
            }
        }
        if read >= READ_LIMIT {
            return Err(SearchError::ReadLimit { at: Va(at) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{FaultReason, MemoryFault};
    use proptest::prelude::*;

    /// Bytes from 10000 on, with a hole in the middle.
    struct Holed(Vec<u8>);

    impl Holed {
        fn byte(&self, at: u64) -> Option<u8> {
            let place = at.checked_sub(0x1_0000)? as usize;
            self.0.get(place).copied().filter(|_| at >> 12 != 0x12)
        }
    }

    impl ReadMemory for Holed {
        fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
            for (done, byte) in buffer.iter_mut().enumerate() {
                let at = address.wrapping_add(done as u64);
                *byte = self.byte(at.0).ok_or(MemoryFault {
                    address: at,
                    reason: FaultReason::NotPresent { level: 1 },
                    done,
                })?;
            }
            Ok(())
        }
    }

    proptest! {
        /// Against a search that asks of each place whether a string begins there.
        #[test]
        fn finds_what_a_plain_search_finds(
            seed in prop::collection::vec(prop_oneof![Just(b'a'), Just(0u8), Just(b'~'), Just(0x80)], 64),
            start in 0x1_0f00u64..0x1_1100,
            bytes in 1u64..0x2200,
            wide: bool,
            least in 1usize..6,
        ) {
            let memory = Holed((0..0x4000).map(|at| seed[at * 7 / 3 % 64]).collect());
            let size = if wide { CharacterSize::Wide } else { CharacterSize::Byte };
            let unit = size.bytes();
            let range = AddressRange { start: Va(start), bytes };
            let character = |at: u64| -> Option<u8> {
                (at >= start && at + unit <= start + bytes).then_some(())?;
                let byte = memory.byte(at).filter(|byte| (0x20..0x7f).contains(byte))?;
                (!wide || memory.byte(at + 1) == Some(0)).then_some(byte)
            };
            let mut expected = Vec::new();
            for at in (start..start + bytes).step_by(unit as usize) {
                if at >= start + unit && character(at - unit).is_some() {
                    continue;
                }
                let text: String = (0..)
                    .map_while(|place| character(at + place * unit).map(char::from))
                    .collect();
                if text.len() >= least {
                    expected.push((Va(at), text));
                }
            }
            let mut found = Vec::new();
            search_strings(&memory, range, size, least, &mut |at, text| {
                found.push((at, text.to_string()));
                true
            }).unwrap();
            prop_assert_eq!(found, expected);
        }
    }
}
