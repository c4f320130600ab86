//! The built-in kernel's five places.

use poolhit::address::Va;
use poolhit::guest::GuestImages;
use poolhit::hits::{HitKind, HitSite, Location, hit_sites};
use poolhit::registers::Gpr;

const BASE: Va = Va(0xfffff800_01450000);

fn sites(base: Va) -> Vec<HitSite> {
    let kernel = &GuestImages::built_in().kernel;
    hit_sites(&kernel.image, &kernel.symbols, base)
}

/// What the sources of the guest say (`pool.s`).
fn expected(base: Va) -> Vec<HitSite> {
    let at = |golden: u64| base.wrapping_add(golden - 0xfffff800_01450000);
    let register = |register| Some(Location::Register(register));
    let stack = |offset| Some(Location::Stack(offset));
    let big = HitSite {
        address: at(0xfffff800_014798f6),
        compare: at(0xfffff800_015027de),
        tag: Gpr::Rbx,
        function: at(0xfffff800_015026b0),
        kind: HitKind::Allocate,
        bytes: register(Gpr::Rdi),
        pool_type: register(Gpr::Rsi),
        block: None,
        return_address: stack(0xe8),
    };
    let lists = HitSite {
        address: at(0xfffff800_01479900),
        compare: at(0xfffff800_01610146),
        function: at(0xfffff800_016100e0),
        bytes: stack(0x40),
        ..big
    };
    let cached = HitSite {
        address: at(0xfffff800_01479910),
        compare: at(0xfffff800_01610120),
        ..lists
    };
    let free_big = HitSite {
        address: at(0xfffff800_0160f5b7),
        compare: at(0xfffff800_0160f5af),
        tag: Gpr::Rax,
        function: at(0xfffff800_0160f590),
        kind: HitKind::Free,
        bytes: None,
        pool_type: None,
        block: stack(0x30),
        return_address: stack(0x28),
    };
    let free_small = HitSite {
        address: at(0xfffff800_0160f5dd),
        compare: at(0xfffff800_0160f5d5),
        ..free_big
    };
    vec![big, lists, cached, free_big, free_small]
}

#[test]
fn the_five_places_at_any_base() {
    let kernel = &GuestImages::built_in().kernel;
    let preferred = kernel.image.preferred_base();
    for base in [
        preferred,
        BASE,
        Va(0xfffff87f_12345000),
        Va(0),
        Va(u64::MAX - 0xfff),
    ] {
        assert_eq!(sites(base), expected(base), "at {base}");
    }
}

/// Without the doubleword's name there is nothing to look for.
#[test]
fn there_are_none_without_symbols() {
    let images = GuestImages::built_in();
    let exports = poolhit::symbols::SymbolTable::from_exports(&images.kernel.image);
    assert_eq!(hit_sites(&images.kernel.image, &exports, BASE), []);
    assert_eq!(
        hit_sites(&images.driver.image, &images.driver.symbols, BASE),
        []
    );
}
