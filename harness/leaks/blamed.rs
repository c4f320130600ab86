//! The blocks of pool that a bug check is about, as the ledger knows them.

use super::path::LiveBlock;
use super::report::named_stack;
use super::tracker::LeakTracker;
use crate::address::Va;
use crate::debugger::CallStack;
use crate::guest::BugCheck;
use crate::tag::Tag;

/// The distance of a block's contents from its header (`_POOL_HEADER`).
const HEADER: u64 = 0x10;

/// What a block has to do with a bug check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlameKind {
    /// It is the one that the parameters name.
    Named,
    /// It lies in front of the one that they name: whoever wrote behind its end has changed that one's
    /// header.
    InFront,
}

/// A block of pool that a bug check is about.
#[derive(Clone, PartialEq, Debug)]
pub struct BlamedBlock {
    /// What it has to do with it.
    pub kind: BlameKind,
    /// Its address.
    pub block: Va,
    /// Its tag, without the protected bit.
    pub tag: Tag,
    /// The bytes asked for, if it is allocated; one that is freed has no size any more.
    pub bytes: Option<u64>,
    /// The number of its allocation among all pool calls.
    pub call: u64,
    /// Who allocated it.
    pub allocated: Option<CallStack>,
    /// If it has been freed: the number of that call, and who did it. It may be the call that the kernel has
    /// stopped in.
    pub freed: Option<(u64, Option<CallStack>)>,
}

/// The contents of the block that a bug check names; and whether its header has been written over, so that the
/// block in front of it may be the one that did that ("Bug Check 0x19: BAD_POOL_HEADER" and "Bug Check 0xC2:
/// BAD_POOL_CALLER" in the debugger's manual). With 0x20 in the first parameter, 0x19 names the block that is
/// freed and the next one, whose header is wrong: the former is in front of that.
fn named(check: &BugCheck) -> Option<(Va, bool)> {
    const BAD_POOL_HEADER: u32 = 0x19;
    const BAD_POOL_CALLER: u32 = 0xc2;
    let behind_header = |at: u64| Va(at).wrapping_add(HEADER);
    match (check.code, check.parameters) {
        (BAD_POOL_HEADER, [3, link, ..]) => Some((Va(link), true)),
        (BAD_POOL_HEADER, [7 | 8, _, _, header]) => Some((behind_header(header), true)),
        (BAD_POOL_HEADER, [0x20, header, ..]) => Some((behind_header(header), false)),
        (BAD_POOL_CALLER, [7 | 9, _, _, block]) => Some((Va(block), false)),
        (BAD_POOL_CALLER, [0xa | 0xd | 0x44 | 0x50, block, ..]) => Some((Va(block), false)),
        _ => None,
    }
}

/// The blocks that a bug check is about, as far as the ledger knows them.
pub(super) fn blamed_blocks(tracker: &LeakTracker, check: &BugCheck) -> Vec<BlamedBlock> {
    let Some((block, has_front)) = named(check) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    found.extend(known(tracker, block, BlameKind::Named));
    if has_front {
        let ledger = tracker.ledger();
        // A block's contents are rounded up to whole units, and the next header follows.
        let ends_there = |live: &LiveBlock| {
            let end = live
                .block
                .0
                .wrapping_add(live.bytes.next_multiple_of(HEADER));
            end.wrapping_add(HEADER) == block.0
        };
        let in_front = ledger.live_blocks().find(ends_there).map(|live| live.block);
        found.extend(in_front.and_then(|at| known(tracker, at, BlameKind::InFront)));
    }
    found
}

/// A block that is allocated, or was freed last.
fn known(tracker: &LeakTracker, block: Va, kind: BlameKind) -> Option<BlamedBlock> {
    let ledger = tracker.ledger();
    let stack = |stack| named_stack(tracker, stack);
    if let Some(live) = ledger.live_blocks().find(|live| live.block == block) {
        let path = ledger.paths().get(live.path)?;
        return Some(BlamedBlock {
            kind,
            block,
            tag: path.tag,
            bytes: Some(live.bytes),
            call: live.sequence,
            allocated: stack(path.stack),
            freed: None,
        });
    }
    let last = ledger.last_free(block)?;
    let path = ledger.paths().get(last.path)?;
    Some(BlamedBlock {
        kind,
        block,
        tag: path.tag,
        bytes: None,
        call: last.allocated,
        allocated: stack(path.stack),
        freed: Some((last.freed, stack(last.stack))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_where_each_bug_check_says() {
        let check = |code, parameters| named(&BugCheck { code, parameters });
        assert_eq!(
            check(0x19, [0x20, 0x1000, 0x1040, 0]),
            Some((Va(0x1010), false))
        );
        assert_eq!(check(0x19, [8, 0, 0, 0x1000]), Some((Va(0x1010), true)));
        assert_eq!(check(0x19, [3, 0x1010, 1, 2]), Some((Va(0x1010), true)));
        assert_eq!(check(0xc2, [0xa, 0x1010, 1, 2]), Some((Va(0x1010), false)));
        assert_eq!(check(0x19, [7, 0, 0, u64::MAX]), Some((Va(0xf), true)));
        assert_eq!(check(0xd1, [7, 0, 0, 0x1010]), None);
    }
}
