//! `?`, `bl`, `lm`, `vertarget`, and what is said when the machine stops.

use poolhit::address::Va;
use poolhit::guest::BugCheck;
use poolhit::report::modules::{HEADER, write_row};
use poolhit::report::stop::write_stop;
use poolhit::report::target::{Target, write_target, write_uptime};
use poolhit::{Lab, Session, Stop, StopReason};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// Addresses of variables in "Debug Universal Drivers" of the manual.
#[test]
fn expressions() {
    let mut session = session();
    for (expression, expected) in [
        (
            "? ffffd001`c8acd348",
            "Evaluate expression: -52768896396472 = ffffd001`c8acd348\n",
        ),
        (
            "? 0xffffb780b7eee664",
            "Evaluate expression: -79711507126684 = ffffb780`b7eee664\n",
        ),
    ] {
        assert_eq!(session.execute(expression).unwrap(), expected);
    }
}

/// "Debug Universal Drivers" and, on Windows 7 or soon after, "Getting Started with WinDbg (Kernel-Mode)", in the
/// manual. The pages have lost the row's first space, and have a symbol at its end that is none of this guest's.
#[test]
fn lists_of_breakpoints() {
    for (number, address, expected) in [
        (
            1,
            "fffff801`14b5f000",
            "1 e fffff801`14b5f000     0001 (0001) tabletaudiosample!AddDevice",
        ),
        (
            0,
            "fffff800`02e03904",
            "0 e fffff800`02e03904     0001 (0001) nt!MmCreateProcessAddressSpace",
        ),
    ] {
        let mut session = session();
        session.execute(&format!("bp{number} {address}")).unwrap();
        let row = session.execute("bl").unwrap();
        let symbol = expected.rfind(' ').unwrap() + 1;
        assert_eq!(row, format!(" {}\n", &expected[..symbol]));
    }
}

/// "Reverse-engineering tcpip.sys: mechanics of a packet of the death" (doar-e.github.io): Windows 10; the second half
/// is the same in a dump of Windows 7 ("man.sys"). A line about the connection above, and the symbol and instruction
/// below, are left out.
#[test]
fn bug_check() {
    let stop = Stop {
        reason: StopReason::BugCheck(BugCheck {
            code: 0xd1,
            parameters: [0, 2, 1, 0xfffff805_4a5cdebb],
        }),
        address: Va(0xfffff805_473c46a0),
        work: 0,
        printed: String::new(),
    };
    let expected = "
*** Fatal System Error: 0x000000d1
                       (0x0000000000000000,0x0000000000000002,0x0000000000000001,0xFFFFF8054A5CDEBB)

Break instruction exception - code 80000003 (first chance)

A fatal system error has occurred.
Debugger entered on first try; Bugcheck callbacks have not been invoked.

A fatal system error has occurred.

";
    let mut text = String::new();
    write_stop(&mut text, &session(), &stop).unwrap();
    assert!(text.starts_with(expected), "{text}");
    let rest = &text[expected.len()..];
    assert!(rest.starts_with("fffff805`473c46a0 ??"), "{rest}");
}

/// "Debug Universal Drivers" in the manual, without the symbol and the instruction below.
#[test]
fn breakpoint_hit() {
    let stop = Stop {
        reason: StopReason::Breakpoint { number: 1 },
        address: Va(0xfffff801_14baf000),
        work: 0,
        printed: String::new(),
    };
    let mut text = String::new();
    write_stop(&mut text, &session(), &stop).unwrap();
    assert!(
        text.starts_with("Breakpoint 1 hit\nfffff801`14baf000 "),
        "{text}"
    );
}

/// Windows 7, with one processor ("EternalBlue", a lab's notes) and two (a minifilter's source), without the service
/// pack and the lines `Built by`, `Machine Name` and `Debug session time`.
#[test]
fn targets() {
    for (processors, base, list, uptime, expected) in [
        (
            1,
            0xfffff800_02e1f000,
            0xfffff800_03064e90,
            483_468,
            "Windows 7 Kernel Version 7601 MP (1 procs) Free x64
Kernel base = 0xfffff800`02e1f000 PsLoadedModuleList = 0xfffff800`03064e90
System Uptime: 0 days 0:08:03.468
",
        ),
        (
            2,
            0xfffff800_0185f000,
            0xfffff800_01aa26d0,
            248_664,
            "Windows 7 Kernel Version 7601 MP (2 procs) Free x64
Kernel base = 0xfffff800`0185f000 PsLoadedModuleList = 0xfffff800`01aa26d0
System Uptime: 0 days 0:04:08.664
",
        ),
    ] {
        let target = Target {
            build: 0xf000_1db1,
            processors,
            kernel: Some((Va(base), Va(list))),
        };
        let mut text = String::new();
        write_target(&mut text, &target).unwrap();
        write_uptime(&mut text, uptime).unwrap();
        assert_eq!(text, expected);
    }
}

/// `lm` in the dump of Windows 7 with "man.sys": modules without symbols loaded, and the kernel, whose PDB is named
/// with its path there.
#[test]
fn modules() {
    let expected = r"start             end                 module name
fffff800`00bac000 fffff800`00bd6000   kdcom      (deferred)             
fffff800`02a00000 fffff800`02a49000   hal        (deferred)             
fffff800`02a49000 fffff800`03030000   nt         (pdb symbols)          D:\Windows Kits\10\Debuggers\x64\sym\ntkrnlmp.pdb\2E37F962D699492CAAF3F9F4E9770B1D2\ntkrnlmp.pdb
fffff880`00ca2000 fffff880`00cf1000   mcupdate_GenuineIntel   (deferred)             
";
    let pdb = r"D:\Windows Kits\10\Debuggers\x64\sym\ntkrnlmp.pdb\2E37F962D699492CAAF3F9F4E9770B1D2\ntkrnlmp.pdb";
    let mut text = HEADER.to_string();
    for (start, end, name, source, file) in [
        (
            0xfffff800_00bac000,
            0xfffff800_00bd6000,
            "kdcom",
            "deferred",
            "",
        ),
        (
            0xfffff800_02a00000,
            0xfffff800_02a49000,
            "hal",
            "deferred",
            "",
        ),
        (
            0xfffff800_02a49000,
            0xfffff800_03030000,
            "nt",
            "pdb symbols",
            pdb,
        ),
        (
            0xfffff880_00ca2000,
            0xfffff880_00cf1000,
            "mcupdate_GenuineIntel",
            "deferred",
            "",
        ),
    ] {
        write_row(&mut text, [Va(start), Va(end)], name, source, file).unwrap();
    }
    assert_eq!(text, expected);
}
