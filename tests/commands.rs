//! Commands that cannot be executed: each is one error, and changes nothing. What is printed for
//! lines that do not parse is in `tests/transcripts`.

use poolhit::address::Va;
use poolhit::commands::ExecuteError;
use poolhit::debugger::cursor::ArgumentError;
use poolhit::memory::ReadMemory;
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;

/// A session with less memory than usual, since its state is hashed often.
fn session() -> Session {
    let mut session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
    session.set_budget(20_000);
    session
}

/// The error of a line, as a console shows it below the prompt `1: kd> `.
#[track_caller]
fn error(session: &mut Session, line: &str) -> String {
    let before = session.lab().machine().state_hash();
    let error = match session.execute(line) {
        Ok(text) => panic!("{line} gives {text:?}"),
        Err(error) => error.below_prompt(7),
    };
    assert_eq!(session.lab().machine().state_hash(), before, "{line}");
    error
}

#[test]
fn addresses_that_are_not_mapped() {
    let mut session = session();
    for address in [
        "10",
        "7fffffff000",
        "8000000000000000",
        "fffff80000000000",
        "fffffffffffffffc",
    ] {
        let at = Va(u64::from_str_radix(address, 16).unwrap());
        let row = format!("{at}  ????????                             ????\n");
        assert_eq!(session.execute(&format!("dc {address} l1")).unwrap(), row);
        for command in ["eb", "ed"] {
            let text = error(&mut session, &format!("{command} {address} 0"));
            assert!(text.contains("^ Memory access error in '"), "{text}");
        }
        let mut text = String::new();
        let line = format!("u {address}");
        assert!(session.execute_to(&line, &mut text).is_err());
        assert_eq!(
            text.trim_end(),
            format!("{at} ??              ???"),
            "{line}"
        );
        // A breakpoint there is never reached.
        session.execute(&format!("bp {address}")).unwrap();
    }
    assert_eq!(session.execute("bl").unwrap().lines().count(), 5);
    let error = session.execute("g").unwrap_err();
    assert!(
        matches!(error, ExecuteError::Budget { work: 20_000, .. }),
        "{error}"
    );
}

/// The last bytes of what is mapped and the first of what is not: none is written.
#[test]
fn a_write_that_reaches_out_of_memory_changes_nothing() {
    let mut session = session();
    let nt = session.modules().by_name("nt").unwrap().clone();
    let machine = session.lab().machine();
    let end = Va(nt.end().0.next_multiple_of(0x1000));
    assert!(machine.read_u8(end).is_err());
    let before = end.wrapping_sub(2);
    assert!(machine.read_u8(before).is_ok());
    let text = error(&mut session, &format!("eb {before} 1 2 3"));
    assert!(text.contains("Memory access error"), "{text}");
    session.execute(&format!("eb {before} 1 2")).unwrap();
    assert_eq!(session.lab().machine().read_u16(before), Ok(0x201));
}

#[test]
fn displays_are_bounded() {
    let mut session = session();
    assert_eq!(
        session.execute("db nt l100000").unwrap().lines().count(),
        0x10000
    );
    error(&mut session, "db nt l100001");
    error(&mut session, "dd nt l40001");
    error(&mut session, "u nt l10001");
    // the end of the address space is no end of the world
    assert_eq!(
        session
            .execute("db ffffffffffffffff")
            .unwrap()
            .lines()
            .count(),
        1
    );
    assert_eq!(
        session
            .execute("dq fffffffffffffff8 l1")
            .unwrap()
            .lines()
            .count(),
        1
    );
    assert!(session.execute("dq ffffffffffffffff").is_ok());
    assert!(session.execute("db").is_ok());
}

#[test]
fn breakpoints_are_bounded() {
    let mut session = session();
    let line = |first: u32| {
        let one = |number| format!("bp {:x};", 0x10_0000 + first + number);
        (0..512).map(one).collect::<String>()
    };
    session.execute(&line(0)).unwrap();
    session.execute(&line(512)).unwrap();
    let text = error(&mut session, "bp 5000");
    assert!(
        text.starts_with("there are 1024 breakpoints already"),
        "{text}"
    );
    // one that is there can still be changed, and all can be named again and again
    assert_eq!(
        session.execute("bp 100000 \"k\"").unwrap(),
        "breakpoint 0 redefined\n"
    );
    let all = format!("bc {}", "0-1023,".repeat(9000));
    assert_eq!(session.execute(&all).unwrap(), "");
    // Nothing is said of those that a range has, and that do not exist.
    assert_eq!(session.execute(&all).unwrap(), "");
    let text = session.execute("bc 7 0-1023").unwrap();
    assert_eq!(text, "breakpoint 7 does not exist\n");
}

/// The error comes with where the guest is, and leaves it there.
#[test]
fn a_breakpoints_command_fails() {
    let mut session = session();
    session.set_budget(1 << 31);
    let free = session.resolve("nt!ExFreePoolWithTag").unwrap();
    session
        .execute("bp nt!ExFreePoolWithTag \"? 7; zz; g\"")
        .unwrap();
    let mut text = String::new();
    let error = session.execute_to("g; ? 8", &mut text).unwrap_err();
    assert_eq!(text, "Evaluate expression: 7 = 00000000`00000007\n");
    let shown = error.below_prompt(7);
    assert_eq!(
        shown.split_once(" ss:").unwrap().0,
        "       ^ Syntax error in 'zz'
nt!ExFreePoolWithTag:
fffff800`0160f590 89542410        mov     dword ptr [rsp+10h],edx"
    );
    let ExecuteError::AtBreakpoint {
        number: 0, error, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(error.to_string(), "^ Syntax error in 'zz'");
    assert_eq!(session.registers().rip(), free);
    let stop = session.last_stop().unwrap();
    assert_eq!(
        (stop.address, &stop.reason),
        (free, &StopReason::Breakpoint { number: 0 })
    );
    // inside a breakpoint's commands `g` is not reached, but here it is
    session.execute("bc *").unwrap();
    let text = session.execute("g").unwrap();
    assert!(
        text.starts_with("The guest is idle: the program has ended"),
        "{text}"
    );
}

/// What a test shows that unwraps an error.
#[test]
fn errors_are_readable_when_unwrapped() {
    let mut session = session();
    session.set_budget(1 << 31);
    session.execute("bp nt!ExFreePoolWithTag \"k )\"").unwrap();
    for line in [
        "zz",
        "k 1 2",
        "? poi(0)",
        "ed nt!PoolHitTag 'Leak2'",
        "!no_such_extension",
        "!poolused 6",
        "!poolfind Irp",
        "dt nt!NO_SUCH_TYPE",
        "dt nt!_LIST_ENTRY 10",
        "db nt l?ffffffff",
        "g",
    ] {
        let error = session.execute(line).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains(&error.to_string()), "{text}");
        if let ExecuteError::Argument(argument) = error {
            let text = format!("{argument:?}");
            assert!(text.contains(&argument.to_string()), "{text}");
            match argument {
                ArgumentError::Command(it) => assert!(format!("{it:?}").contains(&it.to_string())),
                ArgumentError::Expression(it) => {
                    assert!(format!("{it:?}").contains(&it.to_string()));
                }
                ArgumentError::Tag(_) => {}
            }
        }
    }
}

#[test]
fn a_line_has_a_limit() {
    let mut session = session();
    let line = "k;".repeat(40_000);
    let text = error(&mut session, &line);
    assert_eq!(
        text,
        "Command line of 80000 bytes is too long: the limit is 65536"
    );
    assert!(error(&mut session, &format!("? {}", "(".repeat(60_000))).len() < 200_000);
    assert!(error(&mut session, &format!("? {}", "-".repeat(60_000))).len() < 200_000);
}

/// Words that lines are made of.
const WORDS: [&str; 124] = [
    "k",
    "g",
    "u",
    "r",
    "lm",
    "bl",
    "bc",
    "bp",
    "eb",
    "ed",
    "db",
    "dc",
    "dd",
    "dq",
    "?",
    "q",
    "zz",
    ".",
    "*",
    "$$",
    ";",
    ";",
    "\"",
    "\\\"",
    "\"k;g\"",
    "\"r\"",
    "\"bc *;g\"",
    "l",
    "l?",
    "l-",
    "L4",
    "l10",
    "lffff",
    "nt",
    "nt!PoolHitTag",
    "myfault",
    "myfault+1634",
    "nt!NtDeviceIoControlFile",
    "nt!DbgBreakPoint",
    "@rip",
    "@rsp",
    "rax",
    "@$retreg",
    "t",
    "p",
    "pa",
    "tc",
    "tct",
    "tb",
    "gu",
    "gc",
    "ba",
    "ba r4",
    "bu",
    "bm",
    "bd",
    "be",
    "br",
    "kb",
    "kvn",
    "kf",
    "kd",
    ".frame",
    ".frame /c",
    ".trap",
    ".cxr",
    ".exr",
    "!analyze -v",
    "!analyze -show",
    "!list -t nt!_LIST_ENTRY.Flink -m 2",
    "!dc",
    "!du",
    "!eb",
    ".kframes",
    ".thread",
    ".lastevent",
    ".bugcheck",
    "/1",
    "/p",
    "/c",
    "=",
    "*",
    "nt!NtClose",
    "myfault!*",
    "poi(@rsp)",
    "poi",
    "(",
    ")",
    "+",
    "-",
    "1",
    "10",
    "ff",
    "0",
    "fffff800`014798f6",
    "ffffffffffffffff",
    "0n99",
    "0y1",
    "3261654c",
    ",",
    "!",
    "sx",
    "sxe",
    "sxd",
    "sxi -c",
    "sxn",
    "sxr",
    "av",
    "bpe",
    "ld:my*",
    "!process",
    "!process 0",
    "!thread",
    "!handle",
    "!object",
    "!object \\Driver",
    "!drvobj myfault",
    "!devobj",
    "!devstack",
    "!irp",
    "!irql",
    "!pcr",
    "!prcb",
    "@$thread",
];

fn line() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..8);
    let noise = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => words.prop_map(|words| words.join(" ")),
        1 => prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..6)
            .prop_map(|words| words.concat()),
        1 => noise.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        1 => ".{0,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is typed, the session answers; and a lone command that fails has changed nothing,
    /// unless it let the guest go on.
    #[test]
    fn any_lines_are_answered(lines in prop::collection::vec(line(), 1..12)) {
        let mut session = session();
        let mut known = None;
        for line in lines {
            let alone = !line.contains(';');
            let before = match known {
                Some(hash) if alone => Some(hash),
                _ if alone => Some(session.lab().machine().state_hash()),
                _ => None,
            };
            known = match session.execute(&line) {
                Err(ExecuteError::Budget { .. } | ExecuteError::AtBreakpoint { .. }) | Ok(_) => None,
                Err(error) => {
                    prop_assert!(!error.below_prompt(7).is_empty());
                    if before.is_some() {
                        prop_assert_eq!(session.lab().machine().state_hash(), before.unwrap(), "{}", line);
                    }
                    before
                }
            };
        }
    }
}

#[test]
fn a_count_of_instructions_may_start_with_a_letter() {
    let mut session = session();
    for (count, lines) in [("la", 10), ("l a", 10), ("L0a", 10), ("l2", 2)] {
        let text = session.execute(&format!("u nt!NtDeviceIoControlFile {count}"));
        // and the symbol's line
        assert_eq!(text.unwrap().lines().count(), lines + 1, "{count}");
    }
}

/// The kernel is `nt` to debuggers, whatever its file is called.
#[test]
fn a_kernel_of_any_name_is_nt() {
    use poolhit::guest::ImageFile;
    use poolhit_fixtures::prebuilt::{KERNEL, KERNEL_PDB};
    let kernel = ImageFile::parse("mykernel.exe", KERNEL.bytes, Some(KERNEL_PDB.bytes)).unwrap();
    let session = Session::new(Lab::builder().kernel(kernel).build().unwrap());
    let tag = session.resolve("nt!PoolHitTag");
    assert_eq!(tag, Some(Va(0xfffff800_016530fc)));
}
