//! Pool blocks and large allocations, as `!pool` and `!poolfind` show them.
//!
//! The forms are those of published sessions; the tests of the commands name them.

use crate::address::Va;
use crate::guest::pool::{BigPage, BlockState, DamageKind, PageDamage, PoolBlock, PoolKind};
use std::fmt::{self, Write};

/// An address as the pool's commands print it: sixteen digits, without the back-tick.
///
/// ```
/// use poolhit::{address::Va, report::pool::Plain};
/// assert_eq!(Plain(Va(0xfffffa80_0dba5000)).to_string(), "fffffa800dba5000");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain(pub Va);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

/// A pool's name in a sentence.
///
/// ```
/// use poolhit::{guest::pool::PoolKind, report::pool::kind_text};
/// assert_eq!(kind_text(PoolKind::NonPaged), "Nonpaged pool");
/// ```
pub fn kind_text(kind: PoolKind) -> &'static str {
    match kind {
        PoolKind::NonPaged => "Nonpaged pool",
        PoolKind::Paged => "Paged pool",
    }
}

/// Writes which pool an address belongs to.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, report::pool::write_region};
/// let mut text = String::new();
/// write_region(&mut text, Va(0xfffffa80_0dba6fa0))?;
/// assert_eq!(text, "Pool page fffffa800dba6fa0 region is Nonpaged pool\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_region(out: &mut dyn Write, address: Va) -> fmt::Result {
    let region = PoolKind::containing(address).map_or("Unknown", kind_text);
    writeln!(out, "Pool page {} region is {region}", Plain(address))
}

/// Which lines of a listing of blocks are marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// `!pool`: a space in front of the address and of the tag.
    Other,
    /// `!pool`: an asterisk at both, on the block that was asked for.
    Asked,
    /// `!poolfind`: an asterisk in front of the address, and nothing in front of the tag.
    Found,
}

/// Writes a block's line. A block in use shows its tag without the protection bit, and says that
/// it has it; a free one shows the bytes as they are.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, guest::pool::{PoolBlock, PoolHeader}};
/// use poolhit::report::pool::{Mark, write_block};
/// let header = PoolHeader::parse(b"\x28\x00\x50\x02Thr\xe5\0\0\0\0\0\0\0\0");
/// let block = PoolBlock { address: Va(0xfffffa80_0d168b00), header };
/// let mut text = String::new();
/// write_block(&mut text, &block, Mark::Asked)?;
/// let line = "*fffffa800d168b00 size:  500 previous size:  280  (Allocated) *Thre (Protected)\n";
/// assert_eq!(text, line);
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_block(out: &mut dyn Write, block: &PoolBlock, mark: Mark) -> fmt::Result {
    let (front, tag_front) = match mark {
        Mark::Other => (" ", " "),
        Mark::Asked => ("*", "*"),
        Mark::Found => ("*", ""),
    };
    let state = match block.header.state() {
        BlockState::Free => "(Free)     ",
        BlockState::Cached => "(Free )",
        BlockState::Allocated { .. } => "(Allocated)",
        BlockState::Unknown => "(Unknown)  ",
    };
    let tag = match block.is_allocated() {
        true => block.header.tag.unprotected(),
        false => block.header.tag,
    };
    write!(
        out,
        "{front}{} size: {:4x} previous size: {:4x}  {state} {tag_front}{}",
        Plain(block.address),
        block.size(),
        block.previous_size(),
        tag.shown()
    )?;
    if block.is_protected() {
        write!(out, " (Protected)")?;
    }
    if matches!(
        block.header.state(),
        BlockState::Allocated { quota: true, .. }
    ) {
        write!(out, " Process: {}", Plain(block.header.process_billed))?;
    }
    writeln!(out)
}

/// Writes a large allocation's line.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, guest::pool::{BigPage, PoolKind}, report::pool::write_big_page};
/// use poolhit::tag::Tag;
/// let big = BigPage {
///     address: Va(0xfffffa80_0dba5000),
///     tag: Tag::from_bytes(*b"Io  "),
///     kind: PoolKind::NonPaged,
///     bytes: 0x1fb0,
/// };
/// let mut text = String::new();
/// write_big_page(&mut text, &big)?;
/// let line = "*fffffa800dba5000 : large page allocation, Tag is Io  , size is 0x1fb0 bytes\n";
/// assert_eq!(text, line);
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_big_page(out: &mut dyn Write, big: &BigPage) -> fmt::Result {
    writeln!(
        out,
        "*{} : large page allocation, Tag is {}, size is {:#x} bytes",
        Plain(big.address),
        big.tag.unprotected().shown(),
        big.bytes
    )
}

/// What is wrong with a header, in the debugger's words where a published session has them
/// (`invalid previous size`), in their style elsewhere.
///
/// ```
/// use poolhit::{guest::pool::DamageKind, report::pool::damage_text};
/// let text = damage_text(&DamageKind::PreviousSize { found: 0x41, expected: 0 });
/// assert_eq!(text, "invalid previous size [ 0x41 ] should be [ 0x0 ]");
/// ```
pub fn damage_text(kind: &DamageKind) -> String {
    match kind {
        DamageKind::PreviousSize { found, expected } => {
            format!("invalid previous size [ {found:#x} ] should be [ {expected:#x} ]")
        }
        DamageKind::BlockSize {
            found,
            room,
            resumes,
        } => {
            let next = resumes.map_or("no block follows in this page".to_string(), |next| {
                format!("blocks go on at [ {} ]", Plain(next))
            });
            format!("invalid size [ {found:#x} ] should be [ 0x1 ] to [ {room:#x} ]; {next}")
        }
        DamageKind::PoolType { found } => format!("invalid pool type [ {found:#x} ]"),
        DamageKind::FreeLinks { flink, blink } => format!(
            "free list links [ {} ] [ {} ] do not lead back here",
            Plain(*flink),
            Plain(*blink)
        ),
    }
}

/// Writes the line of a damaged header.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, guest::pool::{DamageKind, PageDamage}};
/// use poolhit::report::pool::write_damage;
/// let kind = DamageKind::PreviousSize { found: 0x41, expected: 0 };
/// let mut text = String::new();
/// write_damage(&mut text, &PageDamage { address: Va(0xffffbd06_d46e0000), kind })?;
/// let line = "[ ffffbd06d46e0000 ]: invalid previous size [ 0x41 ] should be [ 0x0 ]\n";
/// assert_eq!(text, line);
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_damage(out: &mut dyn Write, damage: &PageDamage) -> fmt::Result {
    let text = damage_text(&damage.kind);
    writeln!(out, "[ {} ]: {text}", Plain(damage.address))
}
