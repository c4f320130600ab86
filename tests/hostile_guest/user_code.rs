//! Programs that do what only a kernel may.

use crate::support::*;
use poolhit::address::Va;
use poolhit::memory::ReadMemory;

/// Instructions that user mode must not execute.
const PRIVILEGED: [(&str, &[u8]); 22] = [
    ("hlt", &[0xf4]),
    ("cli", &[0xfa]),
    ("sti", &[0xfb]),
    ("in al, dx", &[0xec]),
    ("in eax, 70h", &[0xe5, 0x70]),
    ("out dx, al", &[0xee]),
    ("rdmsr", &[0x0f, 0x32]),
    ("wrmsr", &[0x0f, 0x30]),
    ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
    ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
    ("mov cr0, rax", &[0x0f, 0x22, 0xc0]),
    ("mov cr8, rax", &[0x44, 0x0f, 0x22, 0xc0]),
    ("mov dr7, rax", &[0x0f, 0x23, 0xf8]),
    ("lgdt", &[0x0f, 0x01, 0x14, 0x24]),
    ("lidt", &[0x0f, 0x01, 0x1c, 0x24]),
    ("ltr", &[0x0f, 0x00, 0xd8]),
    ("clts", &[0x0f, 0x06]),
    ("invlpg", &[0x0f, 0x01, 0x38]),
    ("wbinvd", &[0x0f, 0x09]),
    ("swapgs", &[0x0f, 0x01, 0xf8]),
    ("sysretq", &[0x48, 0x0f, 0x07]),
    ("mov ss, 0", &[0x31, 0xc0, 0x8e, 0xd0]),
];

#[test]
fn privileged_instructions_fault() {
    for (name, code) in PRIVILEGED {
        let mut session = with_program(code);
        // the control region, as long as the kernel runs
        let kernels = session.lab().machine().gs_base();
        for _ in 0..2 {
            assert_eq!(fault(&mut session), (13, None), "{name}");
            assert_eq!(session.lab().machine().privilege_level(), 3, "{name}");
        }
        // the instruction is named, and has not been executed
        let here = session.registers().rip;
        assert!(
            (PROGRAM_CODE..PROGRAM_CODE + 3).contains(&here),
            "{name} at {here:x}"
        );
        assert_eq!(session.lab().machine().kernel_gs_base(), kernels, "{name}");
        look(&mut session);
    }
    fresh_lab_works();
}

/// Nothing of the instruction is to be seen in the registers, repeated or not.
#[test]
fn port_instructions_leave_the_registers() {
    for code in [
        &[0xec][..],
        &[0xed],
        &[0x6c],
        &[0x6e],
        &[0xf3, 0x6c],
        &[0xf3, 0x6f],
    ] {
        let values = [
            (RAX, 0x77),
            (RDX, 0x3f8),
            (RSI, 0xd_f000),
            (RDI, 0xd_f100),
            (RCX, 9),
        ];
        let start = values
            .iter()
            .fold(Code::default(), |code, (r, value)| code.set(*r, *value));
        let mut session = with_program(&start.raw(code).raw(&[0xff, 0xc0, 0xeb, 0xfe]).0);
        for _ in 0..2 {
            assert_eq!(fault(&mut session), (13, None), "{code:x?}");
            let registers = session.registers();
            assert_eq!(registers.rip, PROGRAM_CODE + 50, "{code:x?}");
            for (register, value) in values {
                assert_eq!(registers.gpr[usize::from(register)], value, "{code:x?}");
            }
        }
    }
}

/// A frame for `iretq` that asks for ring 0.
#[test]
fn a_program_cannot_return_into_the_kernel() {
    for selector in [0x10, 0, 0x40, 0x70, 0xfff8] {
        let frame = Code::default()
            .raw(&[0x6a, 0x18, 0x54, 0x9c]) // push 18h; push rsp; pushfq
            .set(RAX, selector)
            .raw(&[0x50])
            .set(RAX, PROGRAM_CODE)
            .raw(&[0x50, 0x48, 0xcf]);
        let mut session = with_program(&frame.0);
        let (vector, _) = fault(&mut session);
        assert!([10, 11, 12, 13].contains(&vector), "{selector:x}: {vector}");
        assert_eq!(session.lab().machine().privilege_level(), 3);
    }
}

/// Only a `syscall` goes through the machine's gate: a far call of the program's own ends there, and
/// never gets to the kernel.
#[test]
fn the_gate_is_not_for_the_program() {
    let mut session = with_program(&[0xff, 0x1d, 0, 0, 0, 0, 0, 0, 0, 0, 0x73, 0]);
    session.execute("bp nt!KiSystemCall64").unwrap();
    for _ in 0..2 {
        assert_eq!(fault(&mut session), (13, None));
    }
}

/// The pages of the gate are the kernel's, or read-only.
#[test]
fn a_program_cannot_write_the_gate() {
    for page in [0xfffff7ff_fff00000, 0xfffff7ff_fff01000] {
        let code = Code::default().set(RAX, page).raw(&[0xc6, 0x00, 0xcc]).0;
        let mut session = with_program(&code);
        let before = session.lab().machine().read_u64(Va(page)).unwrap();
        assert_eq!(fault(&mut session), (14, Some(Va(page))));
        assert_eq!(session.lab().machine().read_u64(Va(page)), Ok(before));
    }
}

#[test]
fn a_stack_of_nonsense_is_walked_to_an_end() {
    // fill what is above the stack pointer with pieces of addresses, then fault
    for byte in [0x00, 0x01, 0x40, 0xf8, 0xff] {
        let code = Code::default()
            .fill(0xd_f000, 0x1000, byte)
            .raw(&[0x0f, 0x0b]);
        let mut session = with_program(&code.0);
        assert_eq!(fault(&mut session), (6, None));
        let text = session.execute("k").unwrap();
        assert!(text.contains(" hostile+0x10"), "{text}");
        look(&mut session);
    }
}

/// Without a stack there is the frame of the registers themselves.
#[test]
fn a_stack_that_is_not_there_has_one_frame() {
    for stack in [0, 0x1000, 0x1234_5678_9abc_def0, u64::MAX - 3] {
        let mut session = with_program(&Code::default().set(RSP, stack).raw(&[0x0f, 0x0b]).0);
        assert_eq!(fault(&mut session), (6, None));
        let text = session.execute("k").unwrap();
        let row = format!("{} 00000000`00000000 hostile+0x100a", Va(stack));
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), [row]);
    }
}
