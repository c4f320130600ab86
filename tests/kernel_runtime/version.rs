//! The version: Microsoft's pages of `RtlGetVersion`, `RtlVerifyVersionInfo`, `VerSetConditionMask`,
//! `RtlIsNtDdiVersionAvailable`, `RtlIsServicePackVersionInstalled`, `IoIsWdmVersionAvailable`,
//! `PsGetVersion` (wdm.h, ntddk.h). This kernel is Windows 7, 6.1.7600, without service packs.

use crate::guest::*;

const EX: usize = 0x11c;
const MINOR: u32 = 1;
const MAJOR: u32 = 2;
const BUILD: u32 = 4;
const PLATFORM: u32 = 8;
const SERVICE_PACK_MINOR: u32 = 0x10;
const SERVICE_PACK_MAJOR: u32 = 0x20;
const SUITE: u32 = 0x40;
const PRODUCT: u32 = 0x80;
const EQUAL: u8 = 1;
const GREATER: u8 = 2;
const GREATER_EQUAL: u8 = 3;
const LESS: u8 = 4;
const LESS_EQUAL: u8 = 5;
const AND: u8 = 6;
const OR: u8 = 7;

#[test]
fn what_the_kernel_says() {
    let mut guest = Guest::new();
    let plain = guest.put(&[&ulongs(&[0x114])[..], &[FILL; 0x110]].concat());
    assert_eq!(guest.ulong("RtlGetVersion", &[plain]), SUCCESS);
    assert_eq!(guest.bytes(plain, 20), ulongs(&[0x114, 6, 1, 7600, 2]));
    assert_eq!(guest.u16(plain + 20), 0);
    let extended = guest.put(&[&ulongs(&[EX as u32])[..], &[FILL; EX - 4]].concat());
    assert_eq!(guest.ulong("RtlGetVersion", &[extended]), SUCCESS);
    assert_eq!(guest.bytes(extended + 4, 16), ulongs(&[6, 1, 7600, 2]));
    // service pack, suites (SINGLEUSERTS), product type (workstation)
    assert_eq!(guest.bytes(extended + 0x114, 8), [0, 0, 0, 0, 0, 1, 1, 0]);
    guest.check();
    let [major, minor, build] = [0; 3].map(|_| guest.room(4));
    let text = guest.unicode(&w("x"), 10);
    assert!(!guest.boolean("PsGetVersion", &[major, minor, build, text]));
    assert_eq!([major, minor, build].map(|at| guest.u32(at)), [6, 1, 7600]);
    assert!(guest.read_unicode(text).text.is_empty());
    guest.call("PsGetVersion", &[0, 0, 0, 0]);
    let number = guest.lab.kernel_symbol("NtBuildNumber").unwrap();
    assert_eq!(guest.u32(number.0), 0xf000_0000 | 7600);
    let suites: Vec<u64> = (0..20)
        .filter(|suite| guest.boolean("ExVerifySuite", &[*suite]))
        .collect();
    assert_eq!(suites, [8]);
}

#[test]
fn condition_masks() {
    let mut guest = Guest::new();
    let mut mask = 0;
    for bit in 0..8u64 {
        let condition = bit % 7 + 1;
        mask = guest.call("VerSetConditionMask", &[mask, 1 << bit, condition]);
        assert_eq!(mask >> (3 * bit), condition);
    }
    assert_eq!(guest.call("VerSetConditionMask", &[5, 0, 3]), 5);
}

/// Each type that is asked for, with its value and how it is compared.
#[track_caller]
fn verify(guest: &mut Guest, conditions: &[(u32, u32, u8)]) -> u32 {
    let mut info = vec![0; EX];
    let (mut types, mut mask) = (0, 0);
    for &(kind, value, condition) in conditions {
        let (at, size) = match kind {
            MAJOR => (4, 4),
            MINOR => (8, 4),
            BUILD => (12, 4),
            PLATFORM => (16, 4),
            SERVICE_PACK_MAJOR => (0x114, 2),
            SERVICE_PACK_MINOR => (0x116, 2),
            SUITE => (0x118, 2),
            _ => (0x11a, 1),
        };
        info[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        types |= u64::from(kind);
        mask = guest.call(
            "VerSetConditionMask",
            &[mask, kind.into(), condition.into()],
        );
    }
    let info = guest.put(&info);
    guest.ulong("RtlVerifyVersionInfo", &[info, types, mask])
}

#[test]
fn versions_verified() {
    let mut guest = Guest::new();
    let holds = |condition: u8, order: std::cmp::Ordering| match condition {
        EQUAL => order.is_eq(),
        GREATER => order.is_gt(),
        GREATER_EQUAL => order.is_ge(),
        LESS => order.is_lt(),
        _ => order.is_le(),
    };
    // "the version is compared as a whole": 6.1, service pack 0.0
    for condition in [EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL] {
        for wanted in [
            (5, 2, 3),
            (6, 0, 2),
            (6, 1, 0),
            (6, 1, 1),
            (6, 2, 0),
            (10, 0, 0),
        ] {
            guest.reset();
            let types = [
                (MAJOR, wanted.0, condition),
                (MINOR, wanted.1, condition),
                (SERVICE_PACK_MAJOR, wanted.2, condition),
            ];
            let expected = holds(condition, (6, 1, 0).cmp(&wanted));
            let status = verify(&mut guest, &types);
            assert_eq!(
                status,
                if expected { SUCCESS } else { 0xc000_0059 },
                "{wanted:?} {condition}"
            );
        }
        for (kind, has) in [
            (BUILD, 7600),
            (PLATFORM, 2),
            (PRODUCT, 1),
            (SERVICE_PACK_MINOR, 0),
        ] {
            for wanted in [has, has + 1, u32::saturating_sub(has, 1)] {
                let expected = holds(condition, has.cmp(&wanted));
                let status = verify(&mut guest, &[(kind, wanted, condition)]);
                assert_eq!(status, if expected { SUCCESS } else { 0xc000_0059 });
            }
        }
    }
    for (condition, suites, expected) in [
        (AND, 0x100, true),
        (AND, 0x110, false),
        (OR, 0x110, true),
        (OR, 0x10, false),
    ] {
        let status = verify(&mut guest, &[(SUITE, suites, condition)]);
        assert_eq!(status == SUCCESS, expected, "{condition} {suites:#x}");
    }
    // nothing to compare, or not how
    let info = guest.put(&[0; EX]);
    for (types, mask) in [(0, 3), (2, 0)] {
        let status = guest.ulong("RtlVerifyVersionInfo", &[info, types, mask]);
        assert_eq!(status, INVALID_PARAMETER);
    }
}

/// NTDDI versions of sdkddkver.h.
#[test]
fn versions_available() {
    let mut guest = Guest::new();
    for (version, available, installed) in [
        (0x0500_0000, true, false), // Windows 2000
        (0x0501_0000, true, false),
        (0x0501_0200, false, false), // with a service pack: not to be asked
        (0x0600_0000, true, false),
        (0x0600_0100, false, false),
        (0x0601_0000, true, true),   // Windows 7
        (0x0601_0100, false, false), // its service pack
        (0x0602_0000, false, false),
        (0x0a00_0000, false, false),
    ] {
        assert_eq!(
            guest.boolean("RtlIsNtDdiVersionAvailable", &[version]),
            available,
            "{version:#x}"
        );
        let got = guest.boolean("RtlIsServicePackVersionInstalled", &[version]);
        assert_eq!(got, installed, "{version:#x}");
    }
    // WDM 1.10 is Windows 2000's, 6.0 that of Vista and later
    for (major, minor, available) in [
        (1, 0, true),
        (1, 0x30, true),
        (6, 0, true),
        (6, 1, false),
        (7, 0, false),
    ] {
        assert_eq!(
            guest.boolean("IoIsWdmVersionAvailable", &[major, minor]),
            available
        );
    }
}
