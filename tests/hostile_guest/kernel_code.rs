//! Drivers and kernels that break the machine they run on.

use crate::support::*;
use poolhit::address::Va;
use poolhit::guest::{BugCheck, LabError};
use poolhit::{Lab, Session};

const GDT: u64 = 0xfffff880_009f1000;
const KPCR: u64 = 0xfffff880_009e9000;
const GATE: u64 = 0xfffff7ff_fff01000;
const TOP_PAGE_TABLE: u64 = 0xfffff6fb_7dbed000;

/// The boot ends with an error that says what happened, and where.
#[track_caller]
fn refuses(code: &[u8], what: &str, offset: u64) {
    let error = boot_error(code);
    let error = error.lines().next().unwrap();
    let at = Va(DRIVER_CODE + offset);
    let expected = format!(
        "the guest did not boot: {what} at {at} (hostile+{:#x})",
        0x1000 + offset
    );
    assert_eq!(error, expected);
}

/// The boot ends with the bug check.
#[track_caller]
fn bug_checks(code: &[u8], expected: BugCheck) {
    assert_eq!(boot_bug_check(code), expected, "{}", expected.in_one_line());
}

/// Boots a driver that the kernel gives up about, and says why.
#[track_caller]
fn boot_bug_check(code: &[u8]) -> BugCheck {
    let error = Lab::builder().driver(driver(code)).build().unwrap_err();
    let text = error.to_string();
    match error {
        LabError::Boot {
            what,
            place,
            bug_check: Some(check),
            ..
        } => {
            assert_eq!(what, "a breakpoint instruction");
            assert_eq!(place, "nt!RtlpBreakWithStatusInstruction");
            let first = text.lines().next().unwrap();
            assert!(
                first.ends_with(&format!(": {}", check.in_one_line())),
                "{text}"
            );
            assert!(
                text.lines().count() > 1 && text.lines().count() < 40,
                "{text}"
            );
            *check
        }
        _ => panic!("no bug check but {text}"),
    }
}

/// While a thread runs the clock ticks, and the tick ends the instruction.
#[test]
fn a_driver_that_halts_goes_on_with_the_next_tick() {
    // hlt; xor eax, eax; ret
    let driver = driver(&[0xf4, 0x31, 0xc0, 0xc3]);
    let lab = Lab::builder().driver(driver).build().unwrap();
    assert!(lab.modules().by_name("hostile").is_some());
}

#[test]
fn a_driver_that_faults_does_not_boot() {
    refuses(&[0xfa, 0xf4], "it went idle", 2);
    refuses(&[0xcc], "a breakpoint instruction", 0);
    fresh_lab_works();
}

/// Exceptions that nobody handles, in the thread that loads drivers.
#[test]
fn a_driver_that_raises_an_exception_is_a_bug_check() {
    let frame = [
        0x6a, 0x50, 0x6a, 0x50, 0x6a, 0x50, 0x6a, 0x50, 0x6a, 0x50, 0x48, 0xcf,
    ];
    let cases: [(&[u8], u64, u64); 3] = [
        (&[0x0f, 0x0b], 0, 0xffff_ffff_c000_001d), // ud2: STATUS_ILLEGAL_INSTRUCTION
        (&[0x31, 0xc9, 0xf7, 0xf1], 2, 0xffff_ffff_c000_0094), // STATUS_INTEGER_DIVIDE_BY_ZERO
        (&frame, 10, ACCESS_VIOLATION),            // iretq: general protection
    ];
    for (code, offset, status) in cases {
        let check = boot_bug_check(code);
        let thread = Inside::SystemThread;
        assert_exception(check, thread, status, DRIVER_CODE + offset, [0; 2]);
    }
    fresh_lab_works();
}

/// What the kernel has a gate for it makes a bug check of.
#[test]
fn a_driver_that_faults_is_a_bug_check() {
    // UNEXPECTED_KERNEL_MODE_TRAP; all vectors share one handler, which does not know them apart
    let unexpected = BugCheck {
        code: 0x7f,
        parameters: [0; 4],
    };
    bug_checks(&[0xcd, 0x80], unexpected);
    // without memory: in the program's half, and in the kernel's
    for address in [0x1234_5678, 0xfffffa80_0eee0000] {
        for (bytes, access) in [([0x8b, 0x00], Access::Read), ([0x89, 0x00], Access::Write)] {
            let code = Code::default().set(RAX, address).raw(&bytes).0;
            let check = boot_bug_check(&code);
            let thread = Inside::SystemThread;
            assert_page_fault(check, thread, address, access, DRIVER_CODE + 10);
        }
    }
    fresh_lab_works();
}

/// At a raised level no page may be missing, and the code of the bug check says whose fault it is.
#[test]
fn a_driver_that_faults_at_a_raised_level_is_a_bug_check() {
    for (level, address) in [(2, 0x1234_5678), (15, 0xfffffa80_0eee_0000)] {
        for (bytes, access) in [([0x8b, 0x00], Access::Read), ([0x89, 0x00], Access::Write)] {
            // mov byte ptr gs:[50h], level: _KPCR.Irql
            let code = Code::default()
                .raw(&[0x65, 0xc6, 0x04, 0x25, 0x50, 0, 0, 0, level])
                .set(RAX, address)
                .raw(&bytes);
            let expected = |code, instruction| BugCheck {
                code,
                parameters: [address, level.into(), access as u64, instruction],
            };
            // DRIVER_IRQL_NOT_LESS_OR_EQUAL
            bug_checks(&code.0, expected(0xd1, DRIVER_CODE + 19));
            // IRQL_NOT_LESS_OR_EQUAL
            let (mut session, at) = with_system_call(&code.0);
            assert_eq!(bug_check(&mut session), expected(0xa, at.0 + 19));
        }
    }
}

#[test]
fn a_driver_that_jumps_away_does_not_boot() {
    let jump = |target| Code::default().set(RAX, target).raw(&[0xff, 0xe0]).0;
    for target in [0, 0xfffffa80_0eee0000] {
        let check = boot_bug_check(&jump(target));
        assert_page_fault(check, Inside::SystemThread, target, Access::Execute, target);
    }
    // the program's stack, the kernel's data, paged pool: ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, with
    // the contents of the page table entry
    const PRESENT_NO_EXECUTE: u64 = 1 << 63 | 1;
    for target in [0xd_f000, 0xfffff800_01653000, 0xfffff8a0_00000000] {
        let check = boot_bug_check(&jump(target));
        assert_eq!((check.code, check.parameters[0]), (0xfc, target));
        let protection = check.parameters[1] & PRESENT_NO_EXECUTE;
        assert_eq!(protection, PRESENT_NO_EXECUTE);
    }
    // the program's own code may run in ring 0, but finds no user mode around it
    let program = Lab::builder().build().unwrap().bases().program.0;
    let error = boot_error(
        &Code::default()
            .set(RAX, program + 0x2300)
            .raw(&[0xff, 0xe0])
            .0,
    );
    assert!(error.contains("the guest did not boot: "), "{error}");
}

#[test]
fn a_driver_that_loses_its_page_tables_does_not_boot() {
    for root in [
        0,
        0x1000,
        0x3ff_f000,
        0x400_0000,
        0x7fff_f000,
        0xf_ffff_ffff_f000,
    ] {
        let code = Code::default()
            .set(RAX, root)
            .raw(&[0x0f, 0x22, 0xd8, 0x0f, 0x0b])
            .0;
        let error = boot_error(&code);
        let known = [
            "page fault",
            "page tables lead behind",
            "bug check 0x0000007e",
        ];
        assert!(
            known.iter().any(|what| error.contains(what)),
            "{root:x}: {error}"
        );
    }
    for byte in [0x00, 0xff, 0x67] {
        let flush = [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8];
        let code = Code::default()
            .fill(TOP_PAGE_TABLE, 0x1000, byte)
            .raw(&flush);
        let error = boot_error(&code.succeed());
        assert!(error.contains("the guest did not boot: "), "{error}");
    }
    fresh_lab_works();
}

#[test]
fn the_system_starts_without_a_driver_that_fails() {
    // mov eax, STATUS_UNSUCCESSFUL; ret
    let builder = Lab::builder().driver(driver(&[0xb8, 1, 0, 0, 0xc0, 0xc3]));
    let error = builder.clone().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "hostile.sys is not loaded: its DriverEntry, or the kernel in front of it, said 0xc0000001 STATUS_UNSUCCESSFUL"
    );
    // The program finds no device.
    let booted = builder.boot().unwrap();
    assert_eq!(booted.stopped, None);
    assert!(booted.lab.modules().by_name("hostile").is_none());
    let mut session = Session::new(booted.lab);
    let stop = session.go().unwrap();
    assert!(
        matches!(stop.reason, poolhit::StopReason::Idle { exit_status: Some(code) } if code != 0),
        "{stop:?}"
    );
}

/// What a driver can do to the machine and get away with, until something needs what it broke.
fn sabotage() -> Vec<(&'static str, Vec<u8>)> {
    let table = |opcode: u8, limit: u64, base: u64| {
        // push base; push limit << 48; lgdt or lidt [rsp+6]; add rsp, 10h
        Code::default()
            .set(RAX, base)
            .raw(&[0x50])
            .set(RAX, limit << 48)
            .raw(&[0x50, 0x0f, 0x01, opcode, 0x24, 0x06, 0x48, 0x83, 0xc4, 0x10])
            .succeed()
    };
    let msr = |number, value| Code::default().write_msr(number, value).succeed();
    let fill = |at, length, byte| Code::default().fill(at, length, byte).succeed();
    vec![
        ("lgdt, nothing", table(0x54, 0, 0)),
        (
            "lgdt, not canonical",
            table(0x54, 0xffff, 0x1234_0000_0000_0000),
        ),
        ("lidt, nothing", table(0x5c, 0, 0)),
        ("lidt, code", table(0x5c, 0xffff, DRIVER_CODE)),
        ("unknown MSR", msr(0xdead_beef, u64::MAX)),
        ("STAR", msr(0xc000_0081, u64::MAX)),
        ("LSTAR, nowhere", msr(0xc000_0082, 0)),
        (
            "LSTAR, not canonical",
            msr(0xc000_0082, 0x1234_0000_0000_0000),
        ),
        ("FMASK", msr(0xc000_0084, u64::MAX)),
        ("EFER", msr(0xc000_0080, 0)),
        ("GS base", msr(0xc000_0101, 0x10)),
        ("kernel GS base", msr(0xc000_0102, u64::MAX)),
        ("GDT of ones", fill(GDT, 0x80, 0xff)),
        ("GDT of zeros", fill(GDT, 0x80, 0)),
        ("TSS of ones", fill(GDT + 0x100, 0x68, 0xff)),
        ("KPCR of zeros", fill(KPCR, 0x5000, 0)),
        ("KPCR of ones", fill(KPCR, 0x5000, 0xff)),
        ("gate of int 3", fill(GATE, 0x1000, 0xcc)),
        ("gate of zeros", fill(GATE, 0x1000, 0)),
        (
            "gate that loops",
            Code::default()
                .set(RAX, 0xfeeb_feeb_feeb_feeb)
                .set(RDI, GATE)
                .set(RCX, 0x200)
                .raw(&[0xf3, 0x48, 0xab])
                .succeed(),
        ),
        (
            "CR4 without OSFXSR",
            Code::default()
                .set(RAX, 0xa0)
                .raw(&[0x0f, 0x22, 0xe0])
                .succeed(),
        ),
        (
            "CR0 with EM and TS",
            Code::default()
                .set(RAX, 0x8001_000d)
                .raw(&[0x0f, 0x22, 0xc0])
                .succeed(),
        ),
        (
            "DR7",
            Code::default()
                .set(RAX, KPCR)
                .raw(&[0x0f, 0x23, 0xc0])
                .set(RAX, 0xf_0403)
                .raw(&[0x0f, 0x23, 0xf8])
                .succeed(),
        ),
        (
            "flags",
            vec![0x68, 0xd7, 0x7f, 0x25, 0, 0x9d, 0x31, 0xc0, 0xc3],
        ),
        ("interrupts off", vec![0xfa, 0x31, 0xc0, 0xc3]),
    ]
}

#[test]
fn sabotage_ends_in_a_typed_stop() {
    for (name, code) in sabotage() {
        let mut session = match Lab::builder().driver(driver(&code)).build() {
            Ok(lab) => Session::new(lab),
            Err(error) => {
                assert!(
                    error.to_string().starts_with("the guest did not boot: "),
                    "{name}: {error}"
                );
                continue;
            }
        };
        session.set_budget(BUDGET);
        for _ in 0..4 {
            // An error of the engine's is the answer where no way leads on.
            if let Err(error) = session.go() {
                let text = error.to_string();
                assert!(
                    text.starts_with("the processor emulator refused to "),
                    "{name}: {text}"
                );
            }
            look(&mut session);
            session.break_in_after(100);
        }
    }
    fresh_lab_works();
}

/// What breaks for good fails again the same way: nothing of the program runs in the wrong ring.
#[test]
fn a_way_between_the_rings_that_is_gone_stays_gone() {
    let mut session = with_program(&[0x0f, 0x0b]);
    assert_eq!(fault(&mut session), (6, None));
    session.write(Va(GATE), &[0xcc; 0x30]).unwrap();
    for _ in 0..3 {
        let error = session.go().unwrap_err().to_string();
        assert!(error.contains("change the privilege level"), "{error}");
        assert_eq!(session.registers().rip, PROGRAM_CODE);
        look(&mut session);
    }
}

/// Modules are listed up to the damage.
#[test]
fn a_broken_module_list_ends_there() {
    let lab = Lab::builder().build().unwrap();
    let list = lab.kernel_symbol("PsLoadedModuleList").unwrap();
    let first = poolhit::memory::ReadMemory::read_va(lab.machine(), list).unwrap();
    for (name, at, value) in [
        ("no list", list, 0),
        ("not canonical", list, 0x1234_0000_0000_0000),
        ("a circle", first, first.0),
        ("a hole", first, 0x1000),
        ("all of memory", first.wrapping_add(0x40), u64::MAX),
        ("a long name", first.wrapping_add(0x58), 0xffff),
        ("no base", first.wrapping_add(0x30), u64::MAX - 0x10),
    ] {
        let mut session = Session::new(Lab::builder().build().unwrap());
        session.set_budget(BUDGET);
        session.write(at, &value.to_le_bytes()).unwrap();
        go(&mut session);
        let text = session.execute("lm").unwrap();
        // The built-in guest has six modules.
        assert!(text.lines().count() <= 7, "{name}: {text}");
        assert!(
            session
                .modules()
                .iter()
                .all(|module| module.name().len() <= 260),
            "{name}"
        );
        look(&mut session);
    }
}

#[test]
fn a_smashed_kernel_stack_is_walked_to_an_end() {
    for byte in [0x00, 0x01, 0x41, 0xf8, 0xff] {
        // from the stack pointer to the stack's top, then return
        let code = Code::default()
            .fill(0xfffff880_04ec1b00, 0x500, byte)
            .raw(&[0xc3]);
        let (mut session, _) = with_system_call(&code.0);
        // Where it returns to: an address of the program's half or the kernel's, or neither.
        let target = u64::from_ne_bytes([byte; 8]);
        let check = bug_check(&mut session);
        if target >> 47 == 0 || target >> 47 == 0x1_ffff {
            assert_page_fault(check, Inside::Nowhere, target, Access::Execute, target);
        } else {
            let information = [0, u64::MAX];
            assert_exception(
                check,
                Inside::Nowhere,
                ACCESS_VIOLATION,
                target,
                information,
            );
        }
        let text = session.execute("k").unwrap();
        assert!(
            text.starts_with("Child-SP          RetAddr           Call Site\n"),
            "{text}"
        );
        look(&mut session);
    }
    fresh_lab_works();
}
