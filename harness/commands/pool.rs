//! `!pool ADDRESS [FLAGS]`: the pool page that an address is in, block by block, with an asterisk at
//! the block that the address is in; or the large allocation it is in.
//!
//! Flags are bits: 1 shows the start of each block's contents, 2 shows the asked-for block alone,
//! 80000000 leaves out what is said about the pool and the tag. `(Free )` is a block in a
//! processor's cache, `(Free)` one that the pool itself has back. The asterisk also marks a header
//! that makes no sense, if the address is between it and where blocks go on.
//!
//! ```
//! let mut lab = poolhit::Lab::builder().build()?;
//! let at = lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c])?.value;
//! let mut session = poolhit::Session::new(lab);
//! let text = session.execute(&format!("!pool {at:x}"))?;
//! assert!(text.contains(" : large page allocation, Tag is Lea2, size is 0x2000 bytes\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! kd> r $t0 = poi(nt!PsActiveProcessHead) - 188
//! kd> !pool @$t0 2
//! Pool page fffffa800003c670 region is Nonpaged pool
//! *fffffa800003c630 size:  510 previous size:  500  (Allocated) *Proc
//!         Owning component : Unknown (update pooltag.txt)
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::pool::{
    BLOCK_UNIT, PAGE_SIZE, PageDamage, PoolBlock, PoolKind, PoolPage, PoolView,
};
use crate::report::pool::{Mark, Plain, write_big_page, write_block, write_damage, write_region};
use std::fmt::{self, Write};

const CONTENTS: u64 = 1;
const ONE_BLOCK: u64 = 2;
const NO_DESCRIPTION: u64 = 0x8000_0000;
/// How much of a block's contents is shown, in bytes.
const SHOWN: usize = 32;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let address = Va(arguments.next_expression(session)?);
    let flags = arguments.next_expression_or(session, 0)?;
    if flags & !(CONTENTS | ONE_BLOCK | NO_DESCRIPTION) != 0 {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    arguments.finish()?;
    let pool = session.lab().pool()?;
    let mut listing = Listing {
        out,
        asked: address,
        flags,
    };
    listing.write(&pool)?;
    Ok(Flow::Stay)
}

/// The address of the page that an address is in.
pub(super) fn page_of(address: Va) -> Va {
    Va(address.0 & !(PAGE_SIZE - 1))
}

/// Writes that a page cannot be read, as published sessions have it.
pub(super) fn write_unreadable(out: &mut dyn Write, page: Va) -> fmt::Result {
    let page = Plain(page);
    writeln!(
        out,
        "Address {page} could not be read. It may be a freed, invalid or paged out page"
    )
}

struct Listing<'a> {
    out: &'a mut dyn Write,
    asked: Va,
    flags: u64,
}

impl Listing<'_> {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    fn write(&mut self, pool: &PoolView<'_>) -> fmt::Result {
        if !self.has(NO_DESCRIPTION) {
            write_region(self.out, self.asked)?;
        }
        match pool.big_pages() {
            Ok(big) => {
                if let Some(big) = big.containing(self.asked) {
                    write_big_page(self.out, big)?;
                    return self.write_owner();
                }
            }
            // A damaged table hides large allocations only.
            Err(error) => writeln!(self.out, "{error}")?,
        }
        let page = pool.page(self.asked).ok();
        let in_pool = PoolKind::containing(self.asked).is_some();
        match page {
            Some(page) if in_pool && !page.blocks.is_empty() => self.write_page(&page),
            page => self.write_no_pool(page.is_some()),
        }
    }

    fn write_no_pool(&mut self, readable: bool) -> fmt::Result {
        let page = page_of(self.asked);
        writeln!(
            self.out,
            "{} is not valid pool. Checking for freed (or corrupt) pool",
            Plain(page)
        )?;
        match readable {
            true => writeln!(self.out, "Address {} holds no pool headers", Plain(page)),
            false => write_unreadable(self.out, page),
        }
    }

    /// The blocks, and between them what is wrong.
    fn write_page(&mut self, page: &PoolPage) -> fmt::Result {
        let mut damage = page.damage.as_slice();
        for block in &page.blocks {
            let broken = damage.partition_point(|one| one.address < block.address);
            self.write_broken(page, &damage[..broken], block.address)?;
            self.write_block(page, block)?;
            damage = &damage[broken..];
            let own = damage.partition_point(|one| one.address == block.address);
            if self.concerns(block) {
                for one in &damage[..own] {
                    write_damage(self.out, one)?;
                }
            }
            damage = &damage[own..];
        }
        self.write_broken(page, damage, page.base.wrapping_add(PAGE_SIZE))?;
        if !page.damage.is_empty() {
            let base = Plain(page.base);
            writeln!(self.out, "The page is corrupt: !poolval {base} says more")?;
        }
        Ok(())
    }

    /// A header that no block could be made of, and why; the bytes up to `end` are nobody's.
    fn write_broken(&mut self, page: &PoolPage, damage: &[PageDamage], end: Va) -> fmt::Result {
        let Some(first) = damage.first() else {
            return Ok(());
        };
        let asked = (first.address..end).contains(&self.asked);
        if self.has(ONE_BLOCK) && !asked {
            return Ok(());
        }
        writeln!(
            self.out,
            "{}{} doesn't look like a valid small pool allocation, checking to see\n\
             if the entire page is actually part of a large page allocation...",
            if asked { "*" } else { "" },
            Plain(first.address)
        )?;
        damage
            .iter()
            .try_for_each(|one| write_damage(self.out, one))?;
        if self.has(CONTENTS) {
            let contents = first.address.wrapping_add(BLOCK_UNIT);
            self.write_contents(page, contents, end)?;
        }
        Ok(())
    }

    /// Whether a block is to be shown.
    fn concerns(&self, block: &PoolBlock) -> bool {
        !self.has(ONE_BLOCK) || block.contains(self.asked)
    }

    fn write_block(&mut self, page: &PoolPage, block: &PoolBlock) -> fmt::Result {
        if !self.concerns(block) {
            return Ok(());
        }
        let asked = block.contains(self.asked);
        let mark = if asked { Mark::Asked } else { Mark::Other };
        write_block(self.out, block, mark)?;
        if asked {
            self.write_owner()?;
        }
        if self.has(CONTENTS) {
            self.write_contents(page, block.contents(), page.base.wrapping_add(PAGE_SIZE))?;
        }
        Ok(())
    }

    /// The debugger looks the tag up in a file of Microsoft's, which is not part of this one.
    fn write_owner(&mut self) -> fmt::Result {
        if self.has(NO_DESCRIPTION) {
            return Ok(());
        }
        writeln!(
            self.out,
            "\t\tOwning component : Unknown (update pooltag.txt)"
        )
    }

    /// The start of what is at an address, which belongs together up to `end`.
    fn write_contents(&mut self, page: &PoolPage, address: Va, end: Va) -> fmt::Result {
        let length = usize::try_from(end - address).unwrap_or(0);
        let bytes = page.bytes(address, length.min(SHOWN));
        for (line, words) in bytes.chunks(16).enumerate() {
            let indent = if line == 0 { " " } else { "    " };
            let at = address.wrapping_add(line as u64 * 16);
            write!(self.out, "{indent}{} ", Plain(at))?;
            for word in words.chunks_exact(4) {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                write!(self.out, " {word:08x}")?;
            }
            writeln!(self.out)?;
        }
        writeln!(self.out)
    }
}
