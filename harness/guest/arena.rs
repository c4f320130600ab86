//! Laying out structures in a part of guest memory, one behind the other.

use crate::address::Va;

/// Bytes that will be at `base` in the guest.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    base: Va,
    bytes: Vec<u8>,
}

impl Arena {
    pub fn new(base: Va) -> Arena {
        Arena {
            base,
            bytes: Vec::new(),
        }
    }

    pub fn base(&self) -> Va {
        self.base
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Room for a structure of `size` bytes, zeroed and aligned to 16.
    pub fn allocate(&mut self, size: usize) -> Va {
        let start = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(start + size, 0);
        self.base.wrapping_add(start as u64)
    }

    fn put(&mut self, at: Va, bytes: &[u8]) {
        let start = (at - self.base) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn put_u16(&mut self, at: Va, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    pub fn put_u32(&mut self, at: Va, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub fn put_u64(&mut self, at: Va, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    pub fn put_bytes(&mut self, at: Va, bytes: &[u8]) {
        self.put(at, bytes);
    }

    /// A `_UNICODE_STRING` at `at`, its text in fresh room, with a terminating zero.
    pub fn put_unicode_string(&mut self, at: Va, text: &str) {
        let units: Vec<u16> = text.encode_utf16().take(0x7ffe).collect();
        let bytes: Vec<u8> = units
            .iter()
            .chain([&0])
            .flat_map(|unit| unit.to_le_bytes())
            .collect();
        let buffer = self.allocate(bytes.len());
        self.put(buffer, &bytes);
        self.put_u16(at, (units.len() * 2) as u16);
        self.put_u16(at.wrapping_add(2), bytes.len() as u16);
        self.put_u64(at.wrapping_add(8), buffer.0);
    }

    /// Makes the `_LIST_ENTRY` at `head` and those at the entries one circular list, in order.
    pub fn link_list(&mut self, head: Va, entries: &[Va]) {
        let ring: Vec<Va> = std::iter::once(head)
            .chain(entries.iter().copied())
            .collect();
        for (index, &at) in ring.iter().enumerate() {
            let next = ring[(index + 1) % ring.len()];
            self.put_u64(at, next.0);
            self.put_u64(next.wrapping_add(8), at.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_circular_both_ways() {
        let mut arena = Arena::new(Va(0x1000));
        let head = arena.allocate(16);
        let one = arena.allocate(16);
        arena.link_list(head, &[one]);
        let words: Vec<u64> = arena
            .bytes()
            .chunks(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [one.0, one.0, head.0, head.0]);
        let empty = arena.allocate(16);
        arena.link_list(empty, &[]);
        assert_eq!(arena.bytes()[32..40], empty.0.to_le_bytes());
    }
}
