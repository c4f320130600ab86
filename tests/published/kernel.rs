//! `!idt`, `!running`, `!error`, `.formats`, `sx`, `.time`, `kL`.
//!
//! No published output was found for: `.lastevent` in a kernel (the manual's example is a program's), `rX` and `rF` on x64
//! (the manual has `rF` of 32 bits), `x /v` of data and of public symbols on x64, `dv /t` and `kp` with parameters on x64
//! kernels (`kp` there shows no private symbols' ones; those of 32 bits are the tests' of local variables), `!poolfind`
//! of an x64 kernel in its older form (the manual's is of 32 bits), `!vtop` of an entry that is neither present nor
//! zero, `!running` on Windows 7.

use poolhit::address::Va;
use poolhit::guest::objects::InterruptGate;
use poolhit::report::interrupts::{write_gate, write_gates_title};
use poolhit::report::running::{RunningProcessor, write_processors_title, write_running};
use poolhit::report::target::write_uptime;
use poolhit::{Lab, Session};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// `!idt` in "x64 lab" (Windows 10).
#[test]
fn interrupt_gates() {
    let expected = "
Dumping IDT: fffff80187a75000

00:\tfffff80183a01d00 nt!KiDivideErrorFault
01:\tfffff80183a02040 nt!KiDebugTrapOrFault\tStack = 0xFFFFF80187AB3000
02:\tfffff80183a02540 nt!KiNmiInterrupt\tStack = 0xFFFFF80187AA5000
03:\tfffff80183a02a00 nt!KiBreakpointTrap
04:\tfffff80183a02d40 nt!KiOverflowTrap
05:\tfffff80183a03080 nt!KiBoundFault
06:\tfffff80183a035c0 nt!KiInvalidOpcodeFault
07:\tfffff80183a03ac0 nt!KiNpxNotAvailableFault
08:\tfffff80183a03dc0 nt!KiDoubleFaultAbort\tStack = 0xFFFFF80187A9E000
09:\tfffff80183a040c0 nt!KiNpxSegmentOverrunAbort
0a:\tfffff80183a043c0 nt!KiInvalidTssFault
0b:\tfffff80183a046c0 nt!KiSegmentNotPresentFault
0c:\tfffff80183a04a80 nt!KiStackFault
0d:\tfffff80183a04dc0 nt!KiGeneralProtectionFault
0e:\tfffff80183a05100 nt!KiPageFault
10:\tfffff80183a05740 nt!KiFloatingErrorFault
11:\tfffff80183a05b00 nt!KiAlignmentFault
12:\tfffff80183a05e40 nt!KiMcheckAbort\tStack = 0xFFFFF80187AAC000
";
    let mut text = String::new();
    write_gates_title(&mut text, Va(0xfffff801_87a75000)).unwrap();
    for row in expected.lines().filter(|line| line.contains('\t')) {
        let mut parts = row.split('\t');
        let vector = number(parts.next().unwrap().trim_end_matches(':')) as u8;
        let (handler, symbol) = parts.next().unwrap().split_once(' ').unwrap();
        let stack = parts
            .next()
            .map(|part| Va(number(part.split(' ').nth(2).unwrap())));
        let gate = InterruptGate {
            vector,
            handler: Va(number(handler)),
            stack,
        };
        write_gate(&mut text, &gate, Some(symbol)).unwrap();
    }
    assert_eq!(text, expected);
}

/// A sample of `!running -ti` on Windows 10 in the tests of a program that reads it: the title, and the rows of two
/// processors, without the stacks.
#[test]
fn running() {
    let expected = "
System Processors:  (000000000000000f)
  Idle Processors:  (0000000000000008)

       Prcbs             Current         (pri) Next            (pri) Idle
  0    fffff80526ad6180  ffffda0273eea040 ( 8) ffffda02746490c0 (14) fffff80599bd15c0  ................

  1    ffffaa80efed1180  ffffda02717a4080 ( 0) ffffda0274f6b080 ( 8) ffffda02717a4080  ................

";
    let mut text = String::new();
    write_processors_title(&mut text, 0xf, 8).unwrap();
    for row in [
        RunningProcessor {
            number: 0,
            control_block: Va(0xfffff805_26ad6180),
            current: Some((Va(0xffffda02_73eea040), 8)),
            next: Some((Va(0xffffda02_746490c0), 14)),
            idle_thread: Va(0xfffff805_99bd15c0),
        },
        RunningProcessor {
            number: 1,
            control_block: Va(0xffffaa80_efed1180),
            current: Some((Va(0xffffda02_717a4080), 0)),
            next: Some((Va(0xffffda02_74f6b080), 8)),
            idle_thread: Va(0xffffda02_717a4080),
        },
    ] {
        write_running(&mut text, &row).unwrap();
    }
    assert_eq!(text, expected);
}

/// "Bug Check 0x3B" and "!error" in the manual, an analysis of a driver, and notes on a program that does not start. Behind the dash they have the
/// message's text, which is Windows'; here it is the code's name, on purpose. The manual's example of a status with the
/// flag has no number in parentheses, those of all other sessions have.
#[test]
fn error_codes() {
    let mut session = session();
    for (line, expected) in [
        (
            "!error 00000000c0000005",
            "Error code: (NTSTATUS) 0xc0000005 (3221225477) - ",
        ),
        (
            "!error 0C000009Ah",
            "Error code: (NTSTATUS) 0xc000009a (3221225626) - ",
        ),
        (
            "!error c0000142",
            "Error code: (NTSTATUS) 0xc0000142 (3221225794) - ",
        ),
        ("!error 2", "Error code: (Win32) 0x2 (2) - "),
        (
            "!error 2 1",
            "Error code: (NTSTATUS) 0x2 (2) - STATUS_WAIT_2\n",
        ),
    ] {
        let text = session.execute(line).unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
}

/// A cheat sheet's `.formats a9c` and notes on handles, `.formats 0x00fffff8`, both eight hours ahead of UTC, which are put
/// back; an address in "x64 lab", whose page has lost a character.
#[test]
fn formats() {
    let mut session = session();
    for (line, expected) in [
        (
            ".formats a9c",
            "Evaluate expression:
  Hex:     00000000`00000a9c
  Decimal: 2716
  Octal:   0000000000000000005234
  Binary:  00000000 00000000 00000000 00000000 00000000 00000000 00001010 10011100
  Chars:   ........
  Time:    Thu Jan  1 00:45:16 1970
  Float:   low 3.80593e-042 high 0
  Double:  1.34188e-320
",
        ),
        (
            ".formats 0x00fffff8",
            "Evaluate expression:
  Hex:     00000000`00fffff8
  Decimal: 16777208
  Octal:   0000000000000077777770
  Binary:  00000000 00000000 00000000 00000000 00000000 11111111 11111111 11111000
  Chars:   ........
  Time:    Tue Jul 14 04:20:08 1970
  Float:   low 2.35099e-038 high 0
  Double:  8.28904e-317
",
        ),
    ] {
        assert_eq!(session.execute(line).unwrap(), expected);
    }
    let text = session.execute(".formats fffff803`33a77fb0").unwrap();
    for row in [
        "  Decimal: -8782341505104",
        "  Octal:   1777777600146351677660",
        "  Binary:  11111111 11111111 11111000 00000011 00110011 10100111 01111111 10110000",
        "  Time:    ***** Invalid FILETIME",
        "  Float:   low 7.79977e-008 high -1.#QNAN",
    ] {
        assert!(text.lines().any(|line| line == row), "{text}");
    }
}

/// `sx` of programs in two texts on the debugger's events: the filters that this session has are shown in the same rows and
/// in the same order. A kernel's has none of the events of programs, and `ld` had been changed there.
#[test]
fn event_filters() {
    let text = session().execute("sx").unwrap();
    let mut rest = text.as_str();
    for row in [
        "  ud - Unload module - ignore",
        "  av - Access violation - break - not handled",
        "asrt - Assertion failure - break - not handled",
        " bpe - Break instruction exception - break",
        "bpec - Break instruction exception continue - handled",
        "  eh - C++ EH exception - second-chance break - not handled",
        " cce - Control-Break exception - break",
        "  cc - Control-Break exception continue - handled",
    ] {
        let row = format!("{row}\n");
        let at = rest.find(&row);
        rest = &rest[at.unwrap_or_else(|| panic!("{row}{text}"))..];
    }
}

/// ".time" in the manual, and a program's `vertarget`: the line of the kernel's clock.
#[test]
fn uptime() {
    for (milliseconds, expected) in [
        (
            ((4 * 24 + 4) * 60 + 53) * 60_000 + 56_461,
            "System Uptime: 4 days 4:53:56.461\n",
        ),
        (
            (5 * 60 + 28) * 60_000 + 6_213,
            "System Uptime: 0 days 5:28:06.213\n",
        ),
    ] {
        let mut text = String::new();
        write_uptime(&mut text, milliseconds).unwrap();
        assert_eq!(text, expected);
    }
}
