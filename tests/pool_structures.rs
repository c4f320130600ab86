//! The pool's structures as read from guest memory, against each other: what the guest's allocator
//! keeps in several places has to agree.

use poolhit::Lab;
use poolhit::guest::pool::{BlockState, LIST_HEADS, PoolKind, PoolUse};
use poolhit::tag::Tag;

fn call(lab: &mut Lab, routine: &str, arguments: &[u64]) -> u64 {
    lab.call_kernel(routine, arguments).unwrap().value
}

/// A lab after some two hundred requests of all sizes to both pools.
fn busy_lab(tag: Tag) -> Lab {
    let mut lab = Lab::builder().build().unwrap();
    let mut held = Vec::new();
    for step in 0..200u64 {
        let (kind, bytes) = (step % 2, (step * 97) % 0x1800);
        let arguments = [kind, bytes, tag.into()];
        held.push(call(&mut lab, "ExAllocatePoolWithTag", &arguments));
        if step % 3 == 0 {
            let at = held.swap_remove((step as usize * 7) % held.len());
            call(&mut lab, "ExFreePoolWithTag", &[at, tag.into()]);
        }
    }
    lab
}

/// The kernel as the source of every number: the counters of a tag, its blocks and its large
/// allocations tell the same story.
#[test]
fn trackers_blocks_and_descriptors_agree() {
    let tag = Tag::from_bytes(*b"Sum?");
    let lab = busy_lab(tag);
    let pool = lab.pool().unwrap();
    let trackers = pool.trackers().unwrap();
    let tracker = trackers.iter().find(|one| one.tag == tag).unwrap();
    for kind in PoolKind::ALL {
        let counted = tracker.in_pool(kind);
        let mut seen = PoolUse::default();
        let big = pool.big_pages().unwrap();
        for one in big.iter().filter(|one| one.kind == kind && one.tag == tag) {
            seen.allocs += 1;
            seen.bytes += one.bytes;
        }
        let mut cached = 0;
        pool.visit_blocks(kind, &mut |block| {
            if block.is_allocated() && block.header.tag == tag {
                seen.allocs += 1;
                seen.bytes += block.size();
            }
            cached += u64::from(block.header.pool_type == 4);
            true
        })
        .unwrap();
        assert_eq!(
            (seen.allocs, seen.bytes),
            (counted.outstanding(), counted.bytes),
            "{kind:?}"
        );
        assert!(cached > 0, "the processor's cache holds some of {kind:?}");
        let descriptor = pool.descriptor(kind).unwrap();
        assert_eq!(descriptor.kind, kind);
        let all = trackers.iter().map(|one| one.in_pool(kind).bytes);
        assert_eq!(descriptor.bytes, all.sum::<u64>());
        let big_pages: u64 = big
            .iter()
            .filter(|one| one.kind == kind)
            .map(|one| one.bytes >> 12)
            .sum();
        assert_eq!(u64::from(descriptor.big_pages), big_pages);
        let pages = pool.mapped_pages(kind).filter(|base| {
            big.containing(*base).is_none() && pool.page(*base).unwrap().starts_with_block()
        });
        assert_eq!(u64::from(descriptor.pages), pages.count() as u64);
    }
}

/// Every free block of more than a header is on the list of its size, and nothing else is.
#[test]
fn free_lists_hold_the_free_blocks() {
    let lab = busy_lab(Tag::from_bytes(*b"List"));
    let pool = lab.pool().unwrap();
    for kind in PoolKind::ALL {
        let descriptor = pool.descriptor(kind).unwrap();
        let mut listed = Vec::new();
        for index in 0..LIST_HEADS {
            let list = pool.free_list(&descriptor, index);
            assert_eq!(list.damage, None);
            listed.extend(list.blocks.into_iter().map(|block| (block, index + 1)));
        }
        listed.sort();
        let mut free = Vec::new();
        pool.visit_blocks(kind, &mut |block| {
            if block.header.state() == BlockState::Free && block.header.block_size > 1 {
                free.push((block.address, usize::from(block.header.block_size)));
            }
            true
        })
        .unwrap();
        assert!(!free.is_empty());
        assert_eq!(listed, free);
    }
}
