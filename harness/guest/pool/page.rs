//! A page of blocks, walked from its first header to its last, and what is wrong with it.
//!
//! A header whose size leads out of the page, or nowhere, breaks the walk. Blocks then go on at the
//! next header from which the sizes lead to the page's end and agree with each other; of several,
//! the one that says how far back the broken header is.

use super::{BLOCK_UNIT, BlockState, PAGE_SIZE, PoolBlock, PoolHeader, PoolKind, PoolView};
use crate::address::Va;

const UNITS: usize = (PAGE_SIZE / BLOCK_UNIT) as usize;
/// The bits of a header that the walk goes by: its first four bytes.
const HEADER_BITS: u32 = 32;

/// What is wrong with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DamageKind {
    /// It does not give the size of the block before it. In units of 16 bytes.
    PreviousSize {
        /// What it gives.
        found: u8,
        /// The size of the block before it.
        expected: u8,
    },
    /// Its size is not one that a block can have here. In units of 16 bytes.
    BlockSize {
        /// What it gives: 0, or more than the room.
        found: u8,
        /// What is left of the page.
        room: u16,
        /// Where blocks go on, if anywhere in the page.
        resumes: Option<Va>,
    },
    /// Its pool type is no value that the pool writes, or another pool's.
    PoolType {
        /// What it gives.
        found: u8,
    },
    /// The block is free, and its neighbours on the free list do not point back to it.
    FreeLinks {
        /// Its forward link.
        flink: Va,
        /// Its backward link.
        blink: Va,
    },
}

/// A damaged header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageDamage {
    /// The header's address.
    pub address: Va,
    /// What is wrong with it.
    pub kind: DamageKind,
}

/// A bit that makes a damaged page whole when it is flipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SingleBit {
    /// The header's address.
    pub address: Va,
    /// The bit of the header's first four bytes, from 0.
    pub bit: u32,
}

/// A page of blocks.
#[derive(Clone, Debug)]
pub struct PoolPage {
    /// Its first byte.
    pub base: Va,
    /// Its blocks, by ascending address. A header whose size makes no sense has none.
    pub blocks: Vec<PoolBlock>,
    /// The headers whose size makes no sense, by ascending address, as they stand: what they say is
    /// not to be trusted.
    pub broken: Vec<PoolBlock>,
    /// The headers that are wrong, of blocks and broken ones, by ascending address.
    pub damage: Vec<PageDamage>,
    bytes: Box<[u8; PAGE_SIZE as usize]>,
}

impl PoolPage {
    /// Walks a page, given its bytes. At most 256 headers are looked at.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::{DamageKind, PoolPage}};
    /// // Two blocks of half a page each, the second of which denies the first.
    /// let mut bytes = Box::new([0; 0x1000]);
    /// bytes[..8].copy_from_slice(b"\x00\x00\x80\x02Lea1");
    /// bytes[0x800..0x808].copy_from_slice(b"\x7f\x00\x80\x02Lea2");
    /// let page = PoolPage::parse(Va(0xfffffa80_00001000), bytes);
    /// assert_eq!(page.blocks.len(), 2);
    /// let kind = DamageKind::PreviousSize { found: 0x7f, expected: 0x80 };
    /// assert_eq!(page.damage[0].kind, kind);
    /// assert!(page.broken.is_empty());
    /// ```
    pub fn parse(base: Va, bytes: Box<[u8; PAGE_SIZE as usize]>) -> PoolPage {
        let walked = walk(base, &bytes);
        PoolPage {
            base,
            blocks: walked.blocks,
            broken: walked.broken,
            damage: walked.damage,
            bytes,
        }
    }

    /// The block that an address is in.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let mut lab = Lab::builder().build()?;
    /// let at = Va(lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x3261654c])?.value);
    /// let page = lab.pool()?.page(at)?;
    /// assert_eq!(page.block_at(at).unwrap().contents(), at);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn block_at(&self, address: Va) -> Option<&PoolBlock> {
        let behind = self.blocks.partition_point(|one| one.address <= address);
        let last = self.blocks[..behind].last()?;
        last.contains(address).then_some(last)
    }

    /// All headers of the page, of blocks and broken ones, by ascending address.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::PoolPage};
    /// // The second header says that its block is larger than what is left.
    /// let mut bytes = Box::new([0; 0x1000]);
    /// bytes[..8].copy_from_slice(b"\x00\x00\x80\x02Lea1");
    /// bytes[0x800..0x808].copy_from_slice(b"\x80\x00\xff\x02Lea2");
    /// let page = PoolPage::parse(Va(0xfffffa80_00001000), bytes);
    /// assert_eq!((page.blocks.len(), page.broken.len()), (1, 1));
    /// let tags: Vec<_> = page.headers().map(|one| one.header.tag.to_string()).collect();
    /// assert_eq!(tags, ["Lea1", "Lea2"]);
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = &PoolBlock> {
        let mut headers: Vec<_> = self.blocks.iter().chain(&self.broken).collect();
        headers.sort_by_key(|one| one.address);
        headers.into_iter()
    }

    /// Whether the page's first bytes are the header of a page's first block. Where not, the page
    /// holds something else, or its start has been overwritten.
    ///
    /// ```
    /// use poolhit::{Lab, guest::pool::PoolKind};
    /// let lab = Lab::builder().build()?;
    /// // The memory manager's own table lies at the start of nonpaged pool.
    /// assert!(!lab.pool()?.page(PoolKind::NonPaged.range().start)?.starts_with_block());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn starts_with_block(&self) -> bool {
        let sound = self
            .damage
            .first()
            .is_none_or(|one| one.address != self.base);
        sound
            && self
                .blocks
                .first()
                .is_some_and(|one| one.address == self.base)
    }

    /// Bytes of the page: those from `address` on, up to `length` and to the page's end.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::PoolPage};
    /// let page = PoolPage::parse(Va(0xfffffa80_00001000), Box::new([7; 0x1000]));
    /// assert_eq!(page.bytes(Va(0xfffffa80_00001ffe), 16), [7, 7]);
    /// assert!(page.bytes(Va(0x10), 16).is_empty());
    /// ```
    pub fn bytes(&self, address: Va, length: usize) -> &[u8] {
        let start = usize::try_from(address - self.base).unwrap_or(usize::MAX);
        let from = self.bytes.get(start..).unwrap_or_default();
        &from[..length.min(from.len())]
    }

    /// The single bits in the first damaged header, or in the one before it, that explain all
    /// damage: flipped back, they leave none. A bit in the size of the block before counts only if
    /// another header behind it agrees: a block may not just swallow the damage.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::pool::PoolPage};
    /// let mut bytes = Box::new([0; 0x1000]);
    /// bytes[..8].copy_from_slice(b"\x00\x00\x80\x02Lea1");
    /// bytes[0x800..0x808].copy_from_slice(b"\x90\x00\x80\x02Lea2");
    /// let page = PoolPage::parse(Va(0xfffffa80_00001000), bytes);
    /// let bits = page.single_bits();
    /// assert_eq!((bits.len(), bits[0].address, bits[0].bit), (1, Va(0xfffffa80_00001800), 4));
    /// ```
    pub fn single_bits(&self) -> Vec<SingleBit> {
        let Some(first) = self.damage.first() else {
            return Vec::new();
        };
        let before = self.blocks.iter().rev();
        let before = before.map(|one| one.address).find(|at| *at < first.address);
        let mut bytes = self.bytes.clone();
        let mut found = Vec::new();
        for address in before.into_iter().chain([first.address]) {
            let start = (address - self.base) as usize;
            for bit in 0..HEADER_BITS {
                let (byte, mask) = (start + bit as usize / 8, 1 << (bit % 8));
                bytes[byte] ^= mask;
                let walked = walk(self.base, &bytes);
                let last = walked.blocks.last();
                let last = last.is_some_and(|one| one.address == address);
                if walked.damage.is_empty() && (address == first.address || !last) {
                    found.push(SingleBit { address, bit });
                }
                bytes[byte] ^= mask;
            }
        }
        found
    }
}

impl PoolView<'_> {
    /// The free blocks of a page that the free list's links around them do not lead to.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// let mut lab = Lab::builder().build()?;
    /// let at = Va(lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x3261654c])?.value);
    /// let pool = lab.pool()?;
    /// assert!(pool.damaged_links(&pool.page(at)?).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn damaged_links(&self, page: &PoolPage) -> Vec<PageDamage> {
        // A block of one unit is a header alone, and on no list.
        let listed =
            |one: &&PoolBlock| one.header.state() == BlockState::Free && one.header.block_size > 1;
        let check = |block: &PoolBlock| {
            let link = block.contents();
            let flink = self.memory.read_va(link).ok()?;
            let blink = self.memory.read_va(link.wrapping_add(8)).ok()?;
            let ahead = self.memory.read_va(flink.wrapping_add(8));
            let behind = self.memory.read_va(blink);
            (ahead != Ok(link) || behind != Ok(link)).then_some(PageDamage {
                address: block.address,
                kind: DamageKind::FreeLinks { flink, blink },
            })
        };
        page.blocks
            .iter()
            .filter(listed)
            .filter_map(check)
            .collect()
    }
}

/// The headers at each of a page's units, read as such.
struct Units<'a> {
    bytes: &'a [u8; PAGE_SIZE as usize],
    kind: Option<PoolKind>,
}

impl Units<'_> {
    fn header(&self, unit: usize) -> PoolHeader {
        let start = unit * BLOCK_UNIT as usize;
        let bytes = self.bytes[start..start + BLOCK_UNIT as usize].try_into();
        PoolHeader::parse(&bytes.unwrap_or_default())
    }

    fn type_is_sound(&self, header: &PoolHeader) -> bool {
        match (header.state(), self.kind) {
            (BlockState::Unknown, _) => false,
            (BlockState::Allocated { kind, .. }, Some(expected)) => kind == expected,
            _ => true,
        }
    }

    /// For each unit, whether sound headers lead from there to the page's end.
    fn tails(&self) -> [bool; UNITS + 1] {
        let mut sound = [false; UNITS + 1];
        sound[UNITS] = true;
        for unit in (0..UNITS).rev() {
            let header = self.header(unit);
            let size = usize::from(header.block_size);
            let next = unit + size;
            sound[unit] = size > 0
                && next <= UNITS
                && sound[next]
                && self.type_is_sound(&header)
                && (next == UNITS || usize::from(self.header(next).previous_size) == size);
        }
        sound
    }

    /// Where blocks go on behind a header that leads nowhere.
    fn resume(&self, broken: usize) -> Option<usize> {
        let tails = self.tails();
        let back = |unit: usize| usize::from(self.header(unit).previous_size);
        let candidates =
            || (broken + 1..UNITS).filter(|&unit| tails[unit] && back(unit) <= unit - broken);
        candidates()
            .find(|&unit| back(unit) == unit - broken)
            .or_else(|| candidates().find(|&unit| back(unit) > 0))
    }
}

/// What a page's headers tell.
#[derive(Default)]
struct Walked {
    blocks: Vec<PoolBlock>,
    broken: Vec<PoolBlock>,
    damage: Vec<PageDamage>,
}

fn walk(base: Va, bytes: &[u8; PAGE_SIZE as usize]) -> Walked {
    let kind = PoolKind::containing(base);
    let units = Units { bytes, kind };
    let place = |unit: usize| base.wrapping_add(unit as u64 * BLOCK_UNIT);
    let mut walked = Walked::default();
    let mut unit = 0;
    // Behind a broken header the size of the block before is not known.
    let mut previous = Some(0);
    while unit < UNITS {
        let header = units.header(unit);
        let address = place(unit);
        let mut report = |kind| walked.damage.push(PageDamage { address, kind });
        if let Some(expected) = previous
            && expected != header.previous_size
        {
            let found = header.previous_size;
            report(DamageKind::PreviousSize { found, expected });
        }
        let room = UNITS - unit;
        let found = header.block_size;
        if found == 0 || usize::from(found) > room {
            let next = units.resume(unit);
            report(DamageKind::BlockSize {
                found,
                room: room as u16,
                resumes: next.map(place),
            });
            walked.broken.push(PoolBlock { address, header });
            previous = None;
            unit = next.unwrap_or(UNITS);
            continue;
        }
        if !units.type_is_sound(&header) {
            let found = header.pool_type;
            report(DamageKind::PoolType { found });
        }
        walked.blocks.push(PoolBlock { address, header });
        previous = Some(found);
        unit += usize::from(found);
    }
    walked
}
