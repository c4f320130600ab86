//! The bounds-checked functions. Microsoft's pages of `strcpy_s`, `strcat_s`, `strncpy_s`, `strncat_s`,
//! `_strset_s`, `memcpy_s`, `memmove_s`, `strtok_s` with their tables of error conditions.

use crate::guest::*;
use proptest::prelude::*;

const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const STRUNCATE: i32 = 80;
const TRUNCATE: u64 = u64::MAX;

fn bytes(text: &[u8], wide: bool) -> Vec<u8> {
    match wide {
        false => text.to_vec(),
        true => text.iter().flat_map(|byte| [*byte, 0]).collect(),
    }
}

/// A destination with text in it, of a size in characters; and what it holds up to the first zero.
fn destination(guest: &mut Guest, text: &[u8], size: usize, wide: bool) -> u64 {
    let mut room = vec![b'.'; size];
    let text = &text[..text.len().min(size)];
    room[..text.len()].copy_from_slice(text);
    if text.len() < size {
        room[text.len()] = 0;
    }
    guest.put(&bytes(&room, wide))
}

fn read(guest: &Guest, at: u64, wide: bool) -> Vec<u8> {
    match wide {
        false => guest.string(at),
        true => guest
            .wide_string(at)
            .iter()
            .map(|unit| *unit as u8)
            .collect(),
    }
}

/// What a copy behind `start` characters gives: the error, and the text.
fn model(start: &[u8], size: usize, source: &[u8], count: u64) -> (i32, Vec<u8>) {
    let source = &source[..source.len().min(count.min(1 << 20) as usize)];
    let all = [start, source].concat();
    if all.len() < size {
        (0, all)
    } else if count == TRUNCATE {
        (STRUNCATE, all[..size - 1].to_vec())
    } else {
        (ERANGE, Vec::new())
    }
}

#[test]
fn copied_and_appended() {
    let text = || proptest::collection::vec(b'a'..b'f', 0..8);
    let count = prop_oneof![3 => 0..10u64, 1 => Just(TRUNCATE)];
    property(
        400,
        (text(), text(), 1..16usize, count, any::<bool>()),
        |guest, (first, second, size, count, wide)| {
            let source = guest.put(&bytes(&[&second[..], &[0]].concat(), wide));
            let name = |narrow, other| if wide { other } else { narrow };
            let all = 1 << 19;
            let cases = [
                (
                    name("strcpy_s", "wcscpy_s"),
                    false,
                    None,
                    model(&[], size, &second, all),
                ),
                (
                    name("strncpy_s", "wcsncpy_s"),
                    false,
                    Some(count),
                    model(&[], size, &second, count),
                ),
                (
                    name("strcat_s", "wcscat_s"),
                    true,
                    None,
                    model(&first, size, &second, all),
                ),
                (
                    name("strncat_s", "wcsncat_s"),
                    true,
                    Some(count),
                    model(&first, size, &second, count),
                ),
            ];
            for (name, appends, count, mut expected) in cases {
                // a destination without an end is wrong to append to
                if appends && first.len() >= size {
                    expected = (EINVAL, Vec::new());
                }
                let at = destination(guest, &first, size, wide);
                let arguments: Vec<u64> =
                    [at, size as u64, source].into_iter().chain(count).collect();
                let error = guest.int(name, &arguments);
                assert_eq!(
                    (error, read(guest, at, wide)),
                    expected,
                    "{name} {size} {count:?}"
                );
            }
        },
    );
}

#[test]
fn missing_arguments() {
    let mut guest = Guest::new();
    for (copy, append, copy_some, append_some) in [
        ("strcpy_s", "strcat_s", "strncpy_s", "strncat_s"),
        ("wcscpy_s", "wcscat_s", "wcsncpy_s", "wcsncat_s"),
    ] {
        let wide = copy.starts_with('w');
        let source = guest.put(&bytes(b"x\0", wide));
        for name in [copy, append] {
            let at = destination(&mut guest, b"ab", 4, wide);
            assert_eq!(guest.int(name, &[0, 4, source]), EINVAL);
            assert_eq!(guest.int(name, &[at, 0, source]), ERANGE);
            assert_eq!(read(&guest, at, wide), b"ab");
            assert_eq!(
                (guest.int(name, &[at, 4, 0]), read(&guest, at, wide)),
                (EINVAL, vec![])
            );
        }
        for name in [copy_some, append_some] {
            let at = destination(&mut guest, b"ab", 4, wide);
            assert_eq!(guest.int(name, &[0, 0, 0, 0]), 0);
            assert_eq!(guest.int(name, &[0, 4, source, 1]), EINVAL);
            assert_eq!(guest.int(name, &[at, 0, source, 1]), EINVAL);
            assert_eq!(
                (guest.int(name, &[at, 4, 0, 1]), read(&guest, at, wide)),
                (EINVAL, vec![])
            );
        }
    }
    guest.check();
}

#[test]
fn changed_in_place() {
    let text = proptest::collection::vec(proptest::sample::select(b"aBcD".to_vec()), 0..8);
    property(
        200,
        (text, 0..12usize, 0..10usize),
        |guest, (text, size, count)| {
            let terminated = text.len() < size;
            let mut filled = text.clone();
            filled[..count.min(text.len())].fill(b'x');
            let (count, x) = (count as u64, u64::from(b'x'));
            let set = vec![b'x'; text.len()];
            let cases = [
                ("_strnset_s", false, vec![x, count], filled.clone()),
                ("_wcsnset_s", true, vec![x, count], filled),
                ("_strset_s", false, vec![x], set.clone()),
                ("_wcsset_s", true, vec![x], set),
                ("_wcslwr_s", true, vec![], text.to_ascii_lowercase()),
            ];
            for (name, wide, more, expected) in cases {
                let at = destination(guest, &text, size, wide);
                let error = guest.int(name, &[vec![at, size as u64], more].concat());
                if terminated {
                    assert_eq!((error, read(guest, at, wide)), (0, expected), "{name}");
                } else {
                    assert_eq!(error, EINVAL, "{name}");
                    assert!(size == 0 || read(guest, at, wide).is_empty());
                }
                assert_eq!(guest.int(name, &[0, 4, 0, 0]), EINVAL);
            }
        },
    );
}

#[test]
fn memory() {
    property(150, (0..20usize, 0..20usize), |guest, (size, count)| {
        let source: Vec<u8> = (1..=20).collect();
        let (from, length) = (guest.put(&source), count as u64);
        for name in ["memcpy_s", "memmove_s"] {
            let to = guest.room(size);
            let error = guest.int(name, &[to, size as u64, from, length]);
            let mut expected = vec![FILL; size];
            if count <= size {
                assert_eq!(error, 0);
                expected[..count].copy_from_slice(&source[..count]);
            } else {
                assert_eq!(error, ERANGE);
                // only the copy leaves zeros
                if name == "memcpy_s" {
                    expected.fill(0);
                }
            }
            assert_eq!(guest.bytes(to, size), expected);
            let expected = if count == 0 { 0 } else { EINVAL };
            assert_eq!(guest.int(name, &[0, size as u64, from, length]), expected);
            assert_eq!(guest.int(name, &[to, size as u64, 0, length]), expected);
        }
    });
    // what is moved may overlap
    let mut guest = Guest::new();
    let at = guest.put(b"abcdef");
    assert_eq!(guest.int("memmove_s", &[at + 1, 5, at, 5]), 0);
    assert_eq!(guest.bytes(at, 6), b"aabcde");
}

#[test]
fn tokens() {
    let text = proptest::collection::vec(proptest::sample::select(b"ab,; ".to_vec()), 0..16);
    property(150, text, |guest, text| {
        let (at, delimiters, context) = (guest.text(&text), guest.text(b",; "), guest.room(8));
        let mut tokens = Vec::new();
        let mut from = at;
        loop {
            let token = guest.call("strtok_s", &[from, delimiters, context]);
            if token == 0 {
                break;
            }
            tokens.push(guest.string(token));
            from = 0;
        }
        let expected = text
            .split(|byte| b",; ".contains(byte))
            .filter(|token| !token.is_empty());
        assert_eq!(tokens, expected.map(<[u8]>::to_vec).collect::<Vec<_>>());
        // and there are no more
        assert_eq!(guest.call("strtok_s", &[0, delimiters, context]), 0);
        assert_eq!(guest.call("strtok_s", &[at, delimiters, 0]), 0);
        assert_eq!(guest.call("strtok_s", &[at, 0, context]), 0);
    });
}
