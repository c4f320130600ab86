//! Memory that is not the pool's, and that the kernel counts by tags as if it were: what is contiguous.

use crate::guest::Lab;
use crate::hits::{HitKind, HitSite, Location};
use crate::registers::Gpr;

/// The first instructions of the functions with which the kernel counts it, where the arguments are as they
/// were passed: `ExInsertPoolTag(Tag, Va, NumberOfBytes, PoolType)`, which returns the address, and
/// `ExRemovePoolTag(Tag, Va, NumberOfBytes)`.
pub(super) fn counted_sites(lab: &Lab) -> Vec<HitSite> {
    let functions = [
        ("ExInsertPoolTag", HitKind::Allocate),
        ("ExRemovePoolTag", HitKind::Free),
    ];
    let known = functions.into_iter().filter_map(|(name, kind)| {
        let entry = lab.kernel_symbol(name)?;
        let is_free = kind == HitKind::Free;
        let register = |register, wanted: bool| wanted.then_some(Location::Register(register));
        Some(HitSite {
            address: entry,
            compare: entry,
            tag: Gpr::Rcx,
            function: entry,
            kind,
            bytes: register(Gpr::R8, !is_free),
            pool_type: register(Gpr::R9, !is_free),
            block: register(Gpr::Rdx, is_free),
            return_address: Some(Location::Stack(0)),
        })
    });
    known.collect()
}
