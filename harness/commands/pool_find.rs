//! `!poolfind TAG [TYPE]` and `!poolfind [-nonpaged | -paged] [-tag] TAG`: all blocks and large
//! allocations with a tag.
//!
//! `TAG` is a pattern as `TagPattern` reads it: four characters, or some with `*` and `?`, or a
//! number that starts with `0x`. `TYPE` is 0 for nonpaged pool, 1 for paged pool; without it,
//! nonpaged pool is searched. The first form prints what the debugger of Windows 7's time prints,
//! blocks by their headers, free ones too; the second what later ones print, with the address and
//! size of what was allocated.
//!
//! ```
//! let mut lab = poolhit::Lab::builder().build()?;
//! lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x3261654c])?;
//! let mut session = poolhit::Session::new(lab);
//! let text = session.execute("!poolfind Lea2 1")?;
//! assert!(text.contains(" : large page allocation, Tag is Lea2, size is 0x2000 bytes\n"));
//! let text = session.execute("!poolfind -tag Lea? -paged")?;
//! assert!(text.contains(" : tag Lea2, size    0x2000, Paged pool\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! kd> !poolfind Proc 0
//!
//! Scanning large pool allocation table for Tag: Proc (fffffa8000023000 : fffffa800003b000)
//!
//! Searching NonPaged pool (fffffa8000000000 : fffffa8010000000) for Tag: Proc
//!
//! *fffffa800003c630 size:  510 previous size:  500  (Allocated) Proc
//! *fffffa800005b8c0 size:  510 previous size:   e0  (Allocated) Proc
//! ```

use super::pool::page_of;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::pool::{BLOCK_UNIT, BigPage, PoolBlock, PoolKind, PoolView};
use crate::report::pool::{Mark, Plain, kind_text, write_big_page, write_block};
use crate::tag::{Tag, TagPattern};
use std::fmt::{self, Write};
use std::ops::Range;

/// The most lines that are shown. The project's own limit: it bounds what a pool full of small
/// blocks prints.
const LINE_LIMIT: usize = 1 << 16;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let request = Request::read(session, arguments)?;
    let pool = session.lab().pool()?;
    request.search(&pool, out)?;
    Ok(Flow::Stay)
}

/// What to look for, and how to show it.
struct Request {
    pattern: TagPattern,
    kind: PoolKind,
    /// Whether options said so.
    later_form: bool,
}

impl Request {
    fn read(session: &Session, arguments: &mut Cursor<'_>) -> Result<Request, ExecuteError> {
        let (mut pattern, mut kind) = (None, None);
        let mut later_form = false;
        while !arguments.at_end() {
            if arguments.peek() == Some('-') {
                later_form = true;
                match arguments.next_word() {
                    Some("-nonpaged") => kind = Some(PoolKind::NonPaged),
                    Some("-paged") => kind = Some(PoolKind::Paged),
                    Some("-tag") => pattern = Some(arguments.next_tag_pattern()?),
                    _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
                }
            } else if pattern.is_none() {
                pattern = Some(arguments.next_tag_pattern()?);
            } else if kind.is_none() && !later_form {
                kind = Some(match arguments.next_expression(session)? {
                    0 => PoolKind::NonPaged,
                    1 => PoolKind::Paged,
                    // The special and the session pool, which this guest has none of.
                    _ => return Err(arguments.error(CommandErrorKind::Range).into()),
                });
            } else {
                arguments.finish()?;
            }
        }
        match pattern {
            Some(pattern) => Ok(Request {
                pattern,
                kind: kind.unwrap_or(PoolKind::NonPaged),
                later_form,
            }),
            None => Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }

    fn search(&self, pool: &PoolView<'_>, out: &mut dyn Write) -> Result<(), ExecuteError> {
        let big = pool.big_pages()?;
        let tag = self.tag_title();
        let table = extent(&big.table());
        writeln!(
            out,
            "\nScanning large pool allocation table for {tag} {table}\n"
        )?;
        let mut lines = 0;
        let wanted = |one: &&BigPage| one.kind == self.kind && self.pattern.matches(one.tag);
        for one in big.iter().filter(wanted) {
            if lines == LINE_LIMIT {
                return Ok(write_limit(out, one.address)?);
            }
            lines += 1;
            self.write_big(out, one)?;
        }
        if lines > 0 || self.later_form {
            writeln!(out)?;
        }
        let range = extent(&self.kind.range());
        let name = match (self.kind, self.later_form) {
            (PoolKind::NonPaged, false) => "NonPaged",
            (PoolKind::Paged, false) => "Paged",
            (PoolKind::NonPaged, true) => "nonpaged",
            (PoolKind::Paged, true) => "paged",
        };
        writeln!(out, "Searching {name} pool {range} for {tag}\n")?;
        let mut written = Ok(());
        pool.visit_blocks(self.kind, &mut |block| {
            let skipped = self.later_form && !block.is_allocated();
            if skipped || !self.pattern.matches(block.header.tag) {
                return true;
            }
            if lines == LINE_LIMIT {
                written = write_limit(out, page_of(block.address));
                return false;
            }
            lines += 1;
            written = self.write_block(out, block);
            written.is_ok()
        })?;
        Ok(written?)
    }

    fn tag_title(&self) -> String {
        let tag = self.pattern.first_four();
        let text = tag.shown();
        match self.later_form {
            false => format!("Tag: {text}"),
            true => format!("tag {:#x} ({text})", tag.0),
        }
    }

    fn write_big(&self, out: &mut dyn Write, big: &BigPage) -> fmt::Result {
        match self.later_form {
            false => write_big_page(out, big),
            true => write_found(out, big.address, big.tag, big.bytes, big.kind),
        }
    }

    fn write_block(&self, out: &mut dyn Write, block: &PoolBlock) -> fmt::Result {
        if !self.later_form {
            return write_block(out, block, Mark::Found);
        }
        let size = block.size() - BLOCK_UNIT;
        write_found(out, block.contents(), block.header.tag, size, self.kind)
    }
}

/// A line of the later form.
fn write_found(out: &mut dyn Write, at: Va, tag: Tag, size: u64, kind: PoolKind) -> fmt::Result {
    // C's `%#x`, in which zero has no prefix.
    let size = if size == 0 {
        "0".to_string()
    } else {
        format!("{size:#x}")
    };
    let (at, tag, kind) = (Plain(at), tag.unprotected().shown(), kind_text(kind));
    writeln!(out, "{at} : tag {tag}, size{size:>10}, {kind}")
}

fn extent(range: &Range<Va>) -> String {
    format!("({} : {})", Plain(range.start), Plain(range.end))
}

fn write_limit(out: &mut dyn Write, at: Va) -> fmt::Result {
    writeln!(out, "\n...terminating - searched pool to {}", Plain(at))
}
