//! `r`, `.cxr`, `.trap` and `.exr`.

use poolhit::address::Va;
use poolhit::debugger::exception::ExceptionRecord;
use poolhit::registers::{Gpr, Registers};
use poolhit::report::exception::write_record;
use poolhit::report::registers::{write_integers, write_segments};

/// In the order of the published rows, with the instruction's address in the third.
fn registers(values: [u64; 17], rflags: u64) -> Registers {
    use Gpr::{R8, R9, R10, R11, R12, R13, R14, R15, Rax, Rbp, Rbx, Rcx, Rdi, Rdx, Rsi, Rsp};
    let order = [
        Rax, Rbx, Rcx, Rdx, Rsi, Rdi, Rsp, Rbp, R8, R9, R10, R11, R12, R13, R14, R15,
    ];
    let mut registers = Registers {
        rip: values[6],
        rflags,
        ..Registers::default()
    };
    let values = values[..6].iter().chain(&values[7..]);
    for (register, value) in order.into_iter().zip(values) {
        registers.set(register, *value);
    }
    registers
}

fn text(registers: &Registers, selectors: Option<[u16; 6]>) -> String {
    let mut text = String::new();
    write_integers(&mut text, registers).unwrap();
    if let Some(selectors) = selectors {
        write_segments(&mut text, selectors, registers.rflags).unwrap();
    }
    text
}

/// `r` in "Debug Universal Drivers - Step by Step Lab (Echo Kernel-Mode)" of the manual; `.cxr` in the dump of
/// Windows 7 with "man.sys" (a collection of dumps' analyses on GitHub); `.trap` in "Bug Check 0x1AA:
/// EXCEPTION_ON_INVALID_STACK", which shows no selectors. The lines of the instruction are left out: the tests of
/// operands have such. The parity in the rows is as these sessions on x64 show it: `pe` where 4 is not in efl.
#[test]
fn rows_of_registers() {
    let echo = registers(
        [
            0xc301,
            0xffffe001_73eed880,
            1,
            0x000000d8_00000000,
            0xffffe001_73eed8e0,
            0xffffe001_73eed8f0,
            0xfffff803_bb757020,
            0xffffd001_f01f8988,
            0xffffe001_73f0b620,
            0x3e,
            0xffffe001_67a4a000,
            0x1e,
            0xffffd001_f01f88f8,
            0,
            0xffffd001_f01efdc0,
            1,
            0,
        ],
        0x202,
    );
    let selectors = [0x10, 0x18, 0x2b, 0x2b, 0x53, 0x2b];
    assert_eq!(
        text(&echo, Some(selectors)),
        "rax=000000000000c301 rbx=ffffe00173eed880 rcx=0000000000000001
rdx=000000d800000000 rsi=ffffe00173eed8e0 rdi=ffffe00173eed8f0
rip=fffff803bb757020 rsp=ffffd001f01f8988 rbp=ffffe00173f0b620
 r8=000000000000003e  r9=ffffe00167a4a000 r10=000000000000001e
r11=ffffd001f01f88f8 r12=0000000000000000 r13=ffffd001f01efdc0
r14=0000000000000001 r15=0000000000000000
iopl=0         nv up ei pl nz na pe nc
cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00000202
"
    );
    let man = registers(
        [
            0xfffffa80_03f9c610,
            0xfffffa80_040c65c0,
            0xfffffa80_036ab5c0,
            0xfffff880_033c8138,
            0xfffffa80_018cc090,
            1,
            0xfffffa80_03f9c621,
            0xfffff880_07c6bb98,
            0x07c6bbb0,
            0xfffff800_02c3f400,
            0,
            0,
            0xfffff800_02c3ae80,
            0xfffffa80_036ab5c0,
            0xfffff880_033bdcc0,
            0,
            0xfffff800_00b94080,
        ],
        0x10286,
    );
    assert_eq!(
        text(&man, Some(selectors)),
        "rax=fffffa8003f9c610 rbx=fffffa80040c65c0 rcx=fffffa80036ab5c0
rdx=fffff880033c8138 rsi=fffffa80018cc090 rdi=0000000000000001
rip=fffffa8003f9c621 rsp=fffff88007c6bb98 rbp=0000000007c6bbb0
 r8=fffff80002c3f400  r9=0000000000000000 r10=0000000000000000
r11=fffff80002c3ae80 r12=fffffa80036ab5c0 r13=fffff880033bdcc0
r14=0000000000000000 r15=fffff80000b94080
iopl=0         nv up ei ng nz na po nc
cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00010286
"
    );
    let invalid_stack = registers(
        [
            0x003f8b81_3f20b6e0,
            0,
            0xee7defdd_9c530000,
            0xffffcb81_660ea078,
            0,
            0,
            0xfffff800_2b7f8933,
            0xffffdc0e_9ee66810,
            0xffffcb81_511c3010,
            1,
            0x4014,
            0xffffdc0e_9ee66910,
            0,
            0,
            0,
            0,
            0,
        ],
        0x50246,
    );
    assert_eq!(
        text(&invalid_stack, None),
        "rax=003f8b813f20b6e0 rbx=0000000000000000 rcx=ee7defdd9c530000
rdx=ffffcb81660ea078 rsi=0000000000000000 rdi=0000000000000000
rip=fffff8002b7f8933 rsp=ffffdc0e9ee66810 rbp=ffffcb81511c3010
 r8=0000000000000001  r9=0000000000004014 r10=ffffdc0e9ee66910
r11=0000000000000000 r12=0000000000000000 r13=0000000000000000
r14=0000000000000000 r15=0000000000000000
iopl=0         nv up ei pl zr na po nc
"
    );
}

/// Windows 7, each of the analysis of a dump: "nm3!NetmonOidRequestComplete", "nvlddmkm" (GTA5.exe), "man.sys"; and
/// "Bug Check 0x1AA: EXCEPTION_ON_INVALID_STACK" in the manual.
#[test]
fn exception_records() {
    for (address, near, expected) in [
        (
            0xfffff880_034422bf,
            Some(("nm3!NetmonOidRequestComplete", 0x53)),
            "ExceptionAddress: fffff880034422bf (nm3!NetmonOidRequestComplete+0x0000000000000053)",
        ),
        (
            0xfffff880_078f344d,
            Some(("nvlddmkm", 0x41544d)),
            "ExceptionAddress: fffff880078f344d (nvlddmkm+0x000000000041544d)",
        ),
        (
            0xfffffa80_03f9c621,
            None,
            "ExceptionAddress: fffffa8003f9c621",
        ),
        (
            0xfffff800_2b7f8933,
            Some(("dxgmms2!RemoveHeadList", 0xd)),
            "ExceptionAddress: fffff8002b7f8933 (dxgmms2!RemoveHeadList+0x000000000000000d)",
        ),
    ] {
        let record = ExceptionRecord {
            code: 0xc0000005,
            flags: 0,
            address: Va(address),
            parameters: vec![0, u64::MAX],
        };
        let mut text = String::new();
        write_record(&mut text, &record, near).unwrap();
        let expected = format!(
            "{expected}
   ExceptionCode: c0000005 (Access violation)
  ExceptionFlags: 00000000
NumberParameters: 2
   Parameter[0]: 0000000000000000
   Parameter[1]: ffffffffffffffff
Attempt to read from address ffffffffffffffff
"
        );
        assert_eq!(text, expected);
    }
}
