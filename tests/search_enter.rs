//! `s`, `!for_each_module` and the `e` commands. Lines of hits are compared with lines that users of
//! WinDbg published; only their addresses are this guest's.

use poolhit::address::Va;
use poolhit::{Lab, Session};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// A page of the guest's that nothing uses while it is stopped, filled with zeros.
fn scratch(session: &mut Session) -> Va {
    let at = session.resolve("nt!PagedPoolDescriptor").unwrap();
    session.write(at, &[0; 0x1000]).unwrap();
    at
}

#[track_caller]
fn check(session: &mut Session, line: &str, expected: &str) {
    let found = session.execute(line);
    assert_eq!(found.unwrap(), expected, "{line}");
}

#[track_caller]
fn check_error(session: &mut Session, line: &str, expected: &str) {
    let error = session.execute(line).unwrap_err().to_string();
    assert!(error.contains(expected), "{line}: {error}");
}

/// The places that a search showed.
fn places(output: &str) -> Vec<Va> {
    let address = |line: &str| {
        let address = line.get(..17)?.replace('`', "");
        u64::from_str_radix(&address, 16).ok().map(Va)
    };
    output.lines().filter_map(address).collect()
}

/// The step of "Troubleshooting Pool Leaks Part 4 - Debugging Multiple Users for a Tag" (Microsoft's
/// NTDebugging blog) that comes before the golden session: which driver carries the tag, and an own
/// tag for one of its places.
#[test]
fn the_driver_that_carries_a_tag_is_found_and_edited() {
    let mut session = session();
    let everywhere = r#"!for_each_module s -a @#Base @#End "Leak""#;
    let found = places(&session.execute(everywhere).unwrap());
    assert!(!found.is_empty());
    for at in &found {
        let module = session.modules().containing(*at).unwrap();
        assert_eq!(module.name(), "myfault");
    }
    let edited = found[0];
    session.execute(&format!("eb {edited}+3 32")).unwrap();
    let shown = session.execute(&format!("dc {edited} l1")).unwrap();
    assert_eq!(
        shown,
        format!("{edited}  3261654c                             Lea2\n")
    );
    let left = places(&session.execute(everywhere).unwrap());
    assert_eq!(left, found[1..]);
    let names = session.execute("!for_each_module ? @#Size; lm").unwrap();
    assert_eq!(
        names.matches("Evaluate expression").count(),
        session.modules().len()
    );
}

#[test]
fn hits_are_shown_as_by_the_display_commands() {
    let mut session = session();
    let at = scratch(&mut session);
    // The article's two places.
    let first = b"Leak;\xc1\x0fB\xc1A\x8dI\xfd\x8b\xd0\xff";
    let second = b"Leak;\xc1\x0fB\xc13\xc9\x8b\xd0\xff\x15\xcc";
    session.write(at.wrapping_add(0x3a), first).unwrap();
    session.write(at.wrapping_add(0x61), second).unwrap();
    let expected = format!(
        "{}  4c 65 61 6b 3b c1 0f 42-c1 41 8d 49 fd 8b d0 ff  Leak;..B.A.I....
{}  4c 65 61 6b 3b c1 0f 42-c1 33 c9 8b d0 ff 15 cc  Leak;..B.3......
",
        at.wrapping_add(0x3a),
        at.wrapping_add(0x61)
    );
    for line in [
        format!("s -a {at} l1000 \"Leak\""),
        format!("s -a {at} l1000 Leak"),
        format!("s -b {at} l1000 4c 65 61 6b"),
        format!("s {at} l1000 'L' 'e' 'a' 'k'"),
        format!("s {at} l1000 \"Le\" 61 'k'"),
        format!("s -a {at} {} \"Leak\"", at.wrapping_add(0xfff)),
    ] {
        check(&mut session, &line, &expected);
    }
    let expected = format!("0x{}\n0x{}\n", at.wrapping_add(0x3a), at.wrapping_add(0x61));
    check(
        &mut session,
        &format!("s -[1]a {at} l1000 \"Leak\""),
        &expected,
    );
    // The manual's page of `s`: `s -d @rsp L1000000 'H'`.
    let at = at.wrapping_add(0x200);
    let words: Vec<u8> = [0x48u32, 0, 0x500c0163, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    session.write(at, &words).unwrap();
    let expected = format!("{at}  00000048 00000000 500c0163 00000000  H.......c..P....\n");
    check(&mut session, &format!("s -d {at} L20 'H'"), &expected);
    // A search for a page table's base in an analysis of Windows 10's kernel.
    let words: Vec<u8> = [0xffff8180_00000000u64, 0x4819e0c1_48c08b49]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    session.write(at, &words).unwrap();
    let expected = format!("{at}  ffff8180`00000000 4819e0c1`48c08b49\n");
    check(
        &mut session,
        &format!("s -q {at} l100 FFFF818000000000"),
        &expected,
    );
    // `s -u 76f63bad l10000 "lichking"` of a list of WinDbg's commands; the place is odd.
    let at = at.wrapping_add(0x101);
    session.execute(&format!("eu {at} \"lichking\"")).unwrap();
    let expected = format!("{at}  006c 0069 0063 0068 006b 0069 006e 0067  l.i.c.h.k.i.n.g.\n");
    check(
        &mut session,
        &format!("s -u {at} l200 \"lichking\""),
        &expected,
    );
    // No published line shows words; this is the same form.
    let expected = format!("{at}  006c 0069 0063 0068 006b 0069 006e 0067  l.i.c.h.k.i.n.g.\n");
    check(&mut session, &format!("s -w {at} l200 6c 'i'"), &expected);
}

/// The manual's page of `s`: `'VUTS'` is `'S' 'T' 'U' 'V'` in memory; lengths are bytes; "QQQ" is
/// found three times in "QQQQQ"; only aligned places and those completely inside are found.
#[test]
fn what_is_a_hit() {
    let mut session = session();
    let at = scratch(&mut session);
    let mut count = |line: String| places(&session.execute(&line).unwrap()).len();
    count(format!("ea {at} \"STUV\""));
    assert_eq!(count(format!("s -d {at} L20 'VUTS'")), 1);
    assert_eq!(count(format!("s -d {at} L3 'VUTS'")), 0);
    count(format!("ea {at}+2 \"STUV\""));
    assert_eq!(count(format!("s -d {at} L20 'VUTS'")), 0);
    assert_eq!(count(format!("s -w {at} L20 'TS' 'VU'")), 1);
    assert_eq!(count(format!("s -d {at}+2 L20 'VUTS'")), 1);
    count(format!("ea {at} \"QQQQQ\""));
    assert_eq!(count(format!("s {at} L20 \"QQQ\"")), 3);
    assert_eq!(count(format!("s {at} L4 \"QQQ\"")), 2);
}

#[test]
fn a_pattern_across_pages_and_gaps_in_memory() {
    let mut session = session();
    let at = session.resolve("myfault").unwrap();
    let border = at.wrapping_add(0xffe);
    session.write(border, b"Xy12").unwrap();
    let line = format!("s -a {at} l2000 \"Xy12\"");
    assert_eq!(places(&session.execute(&line).unwrap()), [border]);
    // All of the kernel's half, nearly nothing of which is mapped.
    let all = session
        .execute("s -a fffff800`00000000 L?800`00000000 \"Xy12\"")
        .unwrap();
    assert!(places(&all).contains(&border), "{all}");
    check(&mut session, "s -a 0 L?1000 \"Xy12\"", "");
}

#[test]
fn searches_that_cannot_be_done() {
    let mut session = session();
    check_error(&mut session, "s -a 0 L10000001 \"x\"", "Range error");
    check_error(&mut session, "s -a 0 L1000 \"x", "Syntax error");
    check_error(&mut session, "s -a 0 L1000", "Syntax error");
    check_error(&mut session, "s 0 L1000", "Syntax error");
    check_error(&mut session, "s -x 0 L1000 1", "Syntax error");
    check_error(&mut session, "s -[w]d 0 L1000 1", "Syntax error");
    check_error(&mut session, "s -a 0", "Numeric expression missing");
    check_error(&mut session, "s 0 L1000 zzz", "Couldn't resolve");
    check_error(&mut session, "!for_each_module", "Syntax error");
    check_error(
        &mut session,
        "!for_each_module !FOR_EACH_MODULE lm",
        "Syntax error",
    );
    check_error(
        &mut session,
        "!no_such_extension",
        "No export no_such_extension found",
    );
    let mut out = String::new();
    let line = "s -b nt L300000 0";
    let error = session.execute_to(line, &mut out).unwrap_err().to_string();
    assert!(
        error.starts_with("the pattern is at more than 65536 places"),
        "{error}"
    );
    assert_eq!(out.lines().count(), 65_536);
}

/// "e, ea, eb, ed, eD, ef, ep, eq, eu, ew, eza, ezu (Enter Values)": what each writes.
#[test]
fn every_size_and_string() {
    let mut session = session();
    let at = scratch(&mut session);
    for (line, expected) in [
        ("eb 1 2 'A' \"bc\" 1ff", &b"\x01\x02Abc\xff"[..]),
        ("eb 'h' 'e' 'l' 'l' 'o'", b"hello"),
        ("ew 1234 12345 'ba'", b"\x34\x12\x45\x23ab"),
        ("ed 3261654c 1`00000002", b"Lea2\x02\0\0\0"),
        ("ed '2aeL'", b"Lea2"),
        ("ed ' cbA'", b"Abc "),
        (
            "eq fffff800`01234567 (-1)",
            b"\x67\x45\x23\x01\0\xf8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        ("ep nt!PsLoadedModuleList", b""),
        ("ea \"Lea2\"", b"Lea2"),
        ("ea \"C:\\new\"", b"C:\\new"),
        ("ea \"caf\u{e9}\"", b"caf\xe9"),
        ("eza \"Lea\"", b"Lea\0"),
        ("eza \"\"", b"\0"),
        ("eu \"Hi\u{20ac}\"", b"H\0i\0\xac\x20"),
        ("ezu \"Hi\"", b"H\0i\0\0\0"),
    ] {
        // what lies behind must stay
        let background = [0xee; 32];
        session.write(at, &background).unwrap();
        let (command, values) = line.split_once(' ').unwrap();
        check(&mut session, &format!("{command} {at} {values}"), "");
        let mut wanted = background;
        let list = session
            .resolve("nt!PsLoadedModuleList")
            .unwrap()
            .0
            .to_le_bytes();
        let expected = if expected.is_empty() {
            &list[..]
        } else {
            expected
        };
        wanted[..expected.len()].copy_from_slice(expected);
        let mut found = [0; 32];
        poolhit::memory::ReadMemory::read(session.lab().machine(), at, &mut found).unwrap();
        assert_eq!(found, wanted, "{line}");
    }
}

/// The tag as the manual sets it, and as it is stored: "ed nt!poolhittag ' cbA'", "db nt!poolhittag
/// L4" shows `41 62 63 20`.
#[test]
fn a_tag_as_a_character_constant() {
    let mut session = session();
    session.execute("ed nt!poolhittag ' cbA'").unwrap();
    let shown = session.execute("db nt!poolhittag L4").unwrap();
    assert!(
        shown.ends_with("  41 62 63 20                                      Abc \n"),
        "{shown}"
    );
    session.execute("ed nt!PoolHitTag '2aeL'").unwrap();
    let stop = session.go().unwrap();
    assert_eq!(stop.reason, poolhit::StopReason::BreakInstruction);
}

#[test]
fn what_cannot_be_entered_changes_nothing() {
    let mut session = session();
    let at = scratch(&mut session);
    for (line, error) in [
        ("eb AT", "Numeric expression missing"),
        ("eb AT 1 2 zz", "Couldn't resolve"),
        ("eb AT 1 \"x", "Syntax error"),
        ("ed AT 1 \"x\"", "Numeric expression missing"),
        ("ed AT 'abcdefghi'", "Overflow error"),
        ("ed AT 'ab", "Syntax error"),
        ("eD AT 1", "Syntax error"),
        ("ea AT", "Syntax error"),
        ("ea AT x", "Syntax error"),
        ("ea AT \"x\" 1", "Extra character error"),
        ("ea AT \"\u{20ac}\"", "Syntax error"),
        ("ezu AT 'x'", "Syntax error"),
        ("eb 10 1", "Memory access error"),
    ] {
        check_error(&mut session, &line.replace("AT", &at.to_string()), error);
        let shown = session.execute(&format!("dq {at} l1")).unwrap();
        assert!(shown.ends_with("  00000000`00000000\n"), "{line}: {shown}");
    }
}
