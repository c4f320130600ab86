//! Instructions that are next, with what they use in memory.

use poolhit::address::Va;
use poolhit::debugger::operand::OperandValue;
use poolhit::disasm::{Disassembler, MAX_INSTRUCTION_LENGTH, Segment, memory_operand};
use poolhit::registers::{Gpr, Registers};
use poolhit::report::location::operand_text;

/// The instruction that is next, with what it uses in memory: `nt!KeBugCheckEx` on Windows Vista (a translation of
/// "x64 Deep Dive"), `nt!NtReadFile`, `Ntfs!LfsReadRestartArea` and `nt!ExpLookupHandleTableEntry` on Windows 10,
/// `srv2!Srv2DecompressData`, `MSKSSRV!FSStreamReg::PublishRx`, `nt!NtQueryInformationToken` on Windows 7, and a
/// trap frame of Windows 7 (an analysis on w7forums.com).
#[test]
fn operands() {
    let (ss, ds, gs) = (0x18, 0x2b, 0x2b);
    for (at, code, register, selector, bytes, expected) in [
        (
            0xfffff800_01ab7350,
            &[0x48, 0x89, 0x4c, 0x24, 8][..],
            (Gpr::Rsp, 0xfffffa60_005f1a68),
            ss,
            Some(&[0x7f, 0, 0, 0, 0, 0, 0, 0][..]),
            "fffff800`01ab7350 48894c2408      mov     qword ptr [rsp+8],rcx ss:0018:fffffa60`005f1a70=000000000000007f",
        ),
        (
            0xfffff802_4d8d5ac0,
            &[0x4c, 0x89, 0x4c, 0x24, 0x20],
            (Gpr::Rsp, 0xffffa90e_18162bc8),
            ss,
            Some(&[8, 0, 0, 0, 0, 0, 0, 0]),
            "fffff802`4d8d5ac0 4c894c2420      mov     qword ptr [rsp+20h],r9 ss:0018:ffffa90e`18162be8=0000000000000008",
        ),
        (
            0xfffff801_78ad8580,
            &[0x8b, 1],
            (Gpr::Rcx, 0xffffdf0f_97f5c740),
            ds,
            Some(&[0, 0x20, 0, 0]),
            "fffff801`78ad8580 8b01            mov     eax,dword ptr [rcx] ds:002b:ffffdf0f`97f5c740=00002000",
        ),
        (
            0xfffff805_5c5e4576,
            &[0x43, 0x0f, 0xb7, 0x44, 0x27, 0x14],
            (Gpr::R12, 0xffff8081_46470050),
            ds,
            Some(&[0, 0]),
            "fffff805`5c5e4576 430fb7442714    movzx   eax,word ptr [r15+r12+14h] ds:002b:ffff8081`46470064=0000",
        ),
        (
            0xfffff800_46387e94,
            &[0x0f, 0x10, 0],
            (Gpr::Rax, 0xffffe50f_41720050),
            ds,
            Some(&[
                0xfc, 0x53, 0x4d, 0x42, 0x3e, 2, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ]),
            "fffff800`46387e94 0f1000          movups  xmm0,xmmword ptr [rax] ds:002b:ffffe50f`41720050=ffffffffffff00010000023e424d53fc",
        ),
        (
            0xfffff80f_fac9c9f7,
            &[0x4d, 0x39, 0x36],
            (Gpr::R14, 0xffffbf8b_77207108),
            ds,
            None,
            "fffff80f`fac9c9f7 4d3936          cmp     qword ptr [r14],r14 ds:002b:ffffbf8b`77207108=????????????????",
        ),
        (
            0xfffff806_33e1432e,
            &[0x88, 6],
            (Gpr::Rsi, 0xfffffe83_6850f190),
            ds,
            Some(&[0]),
            "fffff806`33e1432e 8806            mov     byte ptr [rsi],al ds:002b:fffffe83`6850f190=00",
        ),
        (
            0xfffff800_02d4f5f8,
            &[0x65, 0x48, 0x8b, 4, 0x25, 0x88, 1, 0, 0],
            (Gpr::Rax, 0),
            gs,
            Some(&[0x60, 0, 0xcf, 0x1a, 0x80, 0xfa, 0xff, 0xff]),
            "fffff800`02d4f5f8 65488b042588010000 mov   rax,qword ptr gs:[188h] gs:002b:00000000`00000188=6000cf1a80faffff",
        ),
        (
            0xfffff800_02ed7402,
            &[0x48, 0x89, 0x48, 8],
            (Gpr::Rax, 0xfffff880_209b5d48),
            0,
            None,
            "fffff800`02ed7402 48894808        mov     qword ptr [rax+8],rcx ds:fffff880`209b5d50=????????????????",
        ),
    ] {
        let mut registers = Registers::default();
        registers.set(register.0, register.1);
        let operand = memory_operand(Va(at), code, &registers).unwrap();
        assert!(code.len() <= MAX_INSTRUCTION_LENGTH);
        let line = Disassembler::new()
            .decode(Va(at), code, &|_| None)
            .to_string();
        let value = OperandValue {
            operand,
            selector,
            bytes: bytes.map(<[u8]>::to_vec),
        };
        assert_eq!(
            format!("{line:59} {}", operand_text(&value, None)),
            expected
        );
    }
    // mov rcx,qword ptr [nt!PsIdleProcess (…)] on Windows 10 ("Phase 0 of the kernel's start", translated)
    let code = [0x48, 0x8b, 0x0d, 0xbb, 0x85, 0xbc, 0xff];
    let registers = Registers::default();
    let operand = memory_operand(Va(0xfffff801_b744eb66), &code, &registers).unwrap();
    assert_eq!(
        (operand.segment, operand.offset),
        (Segment::Ds, Va(0xfffff801_b7017128))
    );
    let value = OperandValue {
        operand,
        selector: ds,
        bytes: Some(0xfffff801_b7030b40_u64.to_le_bytes().to_vec()),
    };
    assert_eq!(
        operand_text(&value, Some("nt!KiInitialProcess")),
        "ds:002b:fffff801`b7017128={nt!KiInitialProcess (fffff801`b7030b40)}"
    );
}
