use super::*;
use proptest::prelude::*;

/// Decodes the bytes of an expected line at its address, naming with `symbol` the one address
/// that the line has in parentheses, and compares the whole line.
#[track_caller]
fn check(line: &str, symbol: &str) {
    let address = parse_address(&line[..17]);
    let hex = line[18..].split(' ').next().unwrap();
    let mut code: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    if !line.ends_with("???") {
        // What follows must not matter.
        code.resize(MAX_INSTRUCTION_LENGTH, 0xcc);
    }
    let named = line
        .find(" (")
        .map(|at| parse_address(&line[at + 2..at + 19]));
    let decoded = Disassembler::new().decode(address, &code, &|va| {
        (Some(va) == named).then(|| symbol.to_string())
    });
    assert_eq!(decoded.to_string(), line);
}

fn parse_address(text: &str) -> Va {
    Va(u64::from_str_radix(&text.replace('`', ""), 16).unwrap())
}

/// The pages of Microsoft's "Debugging Tools for Windows" documentation that print these lines.
#[test]
fn prints_what_the_debuggers_documentation_prints() {
    for (line, symbol) in [
        // Bug check 0x50 PAGE_FAULT_IN_NONPAGED_AREA
        (
            "fffff802`40d322f9 488b4810        mov     rcx,qword ptr [rax+10h]",
            "",
        ),
        (
            "fffff802`40d322fd eb07            jmp     nt!RtlSubtreePredecessor+0x16 (fffff802`40d32306)",
            "nt!RtlSubtreePredecessor+0x16",
        ),
        ("fffff802`40d322ff 488bc1          mov     rax,rcx", ""),
        ("fffff802`40d32306 4885c9          test    rcx,rcx", ""),
        (
            "fffff802`40d32309 75f4            jne     nt!RtlSubtreePredecessor+0xf (fffff802`40d322ff)",
            "nt!RtlSubtreePredecessor+0xf",
        ),
        ("fffff802`40d3230b c3              ret", ""),
        // Bug check 0x116 VIDEO_TDR_ERROR
        (
            "fffff801`6470c134 48ff254d2deaff  jmp     qword ptr [nvlddmkm+0x6eee88 (fffff801`645aee88)]",
            "nvlddmkm+0x6eee88",
        ),
        ("fffff801`6470c13b cc              int     3", ""),
        // Bug check 0x1AA EXCEPTION_ON_INVALID_STACK
        (
            "ffffdc0e`9ee66850 1030            adc     byte ptr [rax],dh",
            "",
        ),
        ("ffffdc0e`9ee66852 1c51            sbb     al,51h", ""),
        (
            "ffffdc0e`9ee66854 81cbffffc068    or      ebx,68C0FFFFh",
            "",
        ),
        ("ffffdc0e`9ee6685a e69e            out     9Eh,al", ""),
        ("ffffdc0e`9ee6685c 0e              ???", ""),
        ("ffffdc0e`9ee6685d dcff            fdiv    st(7),st", ""),
        (
            "ffffdc0e`9ee6685f ff00            inc     dword ptr [rax]",
            "",
        ),
        (
            "ffffdc0e`9ee66871 301c51          xor     byte ptr [rcx+rdx*2],bl",
            "",
        ),
        // Bug check 0x1AB UNWIND_ON_INVALID_STACK
        (
            "fffff607`893442c8 d04234          rol     byte ptr [rdx+34h],1",
            "",
        ),
        ("fffff607`893442cd f6ff            idiv    bh", ""),
        ("fffff607`893442d3 9f              lahf", ""),
        ("fffff607`893442d1 17              ???", ""),
        (
            "fffff607`893442e8 7527            jne     fffff607`89344311",
            "",
        ),
        (
            "fffff607`893442ea 6e              outs    dx,byte ptr [rsi]",
            "",
        ),
        // Getting started with WinDbg
        (
            "00007ffd`87f06e69 0f1f8000000000  nop     dword ptr [rax]",
            "",
        ),
        ("00007ffd`87f06e70 0f0d09          prefetchw [rcx]", ""),
        ("00007ffd`87f06e74 4c8bd1          mov     r10,rcx", ""),
        // Time travel debugging, JavaScript debugger scripting
        (
            "00007ff6`3be11064 f77c2428        idiv    eax,dword ptr [rsp+28h]",
            "",
        ),
        (
            "00007ffa`44124b40 48ff15f9db2700  call    qword ptr [dwmcore!_imp__finite (00007ffa`443a2740)]",
            "dwmcore!_imp__finite",
        ),
        (
            "00007ffa`441e16a0 f0450fb102      lock cmpxchg dword ptr [r10],r8d",
            "",
        ),
        (
            "00007ffa`4ac3c080 48b9ffffffffffffff7f mov rcx,7FFFFFFFFFFFFFFFh",
            "",
        ),
        ("00007ffa`4d27f24b 48ffe0          jmp     rax", ""),
        (
            "00007ffc`0f1d48fd 6c              ins     byte ptr [rdi],dx",
            "",
        ),
        (
            "000007f6`8d621088 488d0d21110000  lea     rcx,[MyApp!`string' (000007f6`8d6221b0)]",
            "MyApp!`string'",
        ),
        // The !acxkd extension
        ("fffff800`7ead112a 4883ec38        sub     rsp,38h", ""),
        ("fffff800`7ead112e b808000000      mov     eax,8", ""),
        ("fffff800`7ead1133 486bc046        imul    rax,rax,46h", ""),
        (
            "fffff800`7ead113e 488b0401        mov     rax,qword ptr [rcx+rax]",
            "",
        ),
        // Debugging a driver
        (
            "fffff880`16306649 4c8d0510040000  lea     r8,[MyDriver! ?? ::FNODOBFM::`string' (fffff880`16306a60)]",
            "MyDriver! ?? ::FNODOBFM::`string'",
        ),
    ] {
        check(line, symbol);
    }
}

/// Lines of `u` and `uf` listings of Windows 7 to 10 kernels that people have published with
/// their notes and sources.
#[test]
fn prints_what_published_kernel_listings_print() {
    for (line, symbol) in [
        // Long bytes push the mnemonic on, and its padding shrinks first.
        (
            "fffff803`21d574bd 65488b2c2588010000 mov   rbp,qword ptr gs:[188h]",
            "",
        ),
        (
            "fffff803`21d574da f705a02b270000002100 test dword ptr [nt!PerfGlobalGroupMask+0x4 (fffff803`21fca084)],210000h",
            "nt!PerfGlobalGroupMask+0x4",
        ),
        (
            "fffff800`0430f80d 48c78424b80000009cffffff mov qword ptr [rsp+0B8h],0FFFFFFFFFFFFFF9Ch",
            "",
        ),
        (
            "fffff803`21cf4657 49b80800000080f7ffff mov r8,0FFFFF78000000008h",
            "",
        ),
        (
            "fffff803`d9e0eb7d 41c74490fceefeeefe mov   dword ptr [r8+rdx*4-4],0FEEEFEEEh",
            "",
        ),
        (
            "fffff803`5c143fa7 488d842400010000 lea     rax,[rsp+100h]",
            "",
        ),
        (
            "00007ffc`7a50d118 f604250803fe7f01 test    byte ptr [SharedUserData+0x308 (00000000`7ffe0308)],1",
            "SharedUserData+0x308",
        ),
        (
            "fffff803`21d574e4 0f853ab51100    jne     nt! ?? ::FNODOBFM::`string'+0x4e52e (fffff803`21e72a24)",
            "nt! ?? ::FNODOBFM::`string'+0x4e52e",
        ),
        // Windows 7 x64
        (
            "fffff800`0288dff2 4c8d1547782300  lea     r10,[nt!KeServiceDescriptorTable (fffff800`02ac5840)]",
            "nt!KeServiceDescriptorTable",
        ),
        ("fffff800`02cc3d85 4881ec58010000  sub     rsp,158h", ""),
        (
            "fffff800`02cc3d8c 488dac2480000000 lea     rbp,[rsp+80h]",
            "",
        ),
        ("fffff800`02cc3da9 fb              sti", ""),
        ("fffff800`02cc3db3 0f0d8bd8010000  prefetchw [rbx+1D8h]", ""),
        (
            "fffff800`02cc3dba 0fb6bbf6010000  movzx   edi,byte ptr [rbx+1F6h]",
            "",
        ),
        (
            "fffff800`02cc3dc1 40887da8        mov     byte ptr [rbp-58h],dil",
            "",
        ),
        ("fffff800`02cc3de1 41ffe3          jmp     r11", ""),
        (
            "fffff800`0430f7dc f00fba351b6adcff00 lock btr dword ptr [nt!CallbackUnregisterLock (fffff800`040d6200)],0",
            "nt!CallbackUnregisterLock",
        ),
        (
            "fffff800`0430f827 4183ceff        or      r14d,0FFFFFFFFh",
            "",
        ),
        ("fffff800`01673fbe 6690            xchg    ax,ax", ""),
        ("00000000`774c1578 0f05            syscall", ""),
        (
            "00000000`774c157b 0f1f440000      nop     dword ptr [rax+rax]",
            "",
        ),
        (
            "00000000`77b20455 6666660f1f840000000000 nop word ptr [rax+rax]",
            "",
        ),
        // Windows 8 to 10
        (
            "fffff803`5c143fb4 0f297c2440      movaps  xmmword ptr [rsp+40h],xmm7",
            "",
        ),
        ("fffff805`52c31399 cd29            int     29h", ""),
        (
            "fffff805`52c313d0 836330bf        and     dword ptr [rbx+30h],0FFFFFFBFh",
            "",
        ),
        (
            "fffff805`52af6e3a 4883c8ff        or      rax,0FFFFFFFFFFFFFFFFh",
            "",
        ),
        (
            "fffff805`52c313bd 66ff88e4010000  dec     word ptr [rax+1E4h]",
            "",
        ),
        ("fffff803`21d574cd 440f20c6        mov     rsi,cr8", ""),
        ("fffff803`21d574d6 440f22c0        mov     cr8,rax", ""),
        (
            "fffff803`21d574ea f0480fba2b00    lock bts qword ptr [rbx],0",
            "",
        ),
        (
            "fffff803`21d69bfd f04c213b        lock and qword ptr [rbx],r15",
            "",
        ),
        (
            "fffff803`21cf4652 f0830c2400      lock or dword ptr [rsp],0",
            "",
        ),
        (
            "fffff803`d9931bbc 498710          xchg    rdx,qword ptr [r8]",
            "",
        ),
        (
            "fffff803`21cf464d 4a896c2718      mov     qword ptr [rdi+r12+18h],rbp",
            "",
        ),
        ("fffff803`d9e0eb65 48d1e9          shr     rcx,1", ""),
        (
            "fffff803`d9e0eb75 f348ab          rep stos qword ptr [rdi]",
            "",
        ),
        (
            "00007ff9`99750648 f348a5          rep movs qword ptr [rdi],qword ptr [rsi]",
            "",
        ),
        (
            "00007ffe`eeed19a2 f3a6            repe cmps byte ptr [rsi],byte ptr [rdi]",
            "",
        ),
        (
            "fffff802`0c3fbe95 486313          movsxd  rdx,dword ptr [rbx]",
            "",
        ),
        ("fffff806`3d03a085 48f7e1          mul     rax,rcx", ""),
        ("fffff806`4752179d 48f7f1          div     rax,rcx", ""),
        ("fffff803`d9966fea 48f7e9          imul    rcx", ""),
        (
            "fffff803`334efd18 f0480fc70f      lock cmpxchg16b oword ptr [rdi]",
            "",
        ),
        ("fffff802`753f040f 0f01f8          swapgs", ""),
        ("fffff802`753f0412 48cf            iretq", ""),
        ("00007ffb`cdfed2e5 cd2e            int     2Eh", ""),
    ] {
        check(line, symbol);
    }
}

/// A kernel-debugger session on Windows 7 x64.
#[test]
fn prints_the_golden_sessions_lines() {
    for (line, symbol) in [
        ("fffff800`014798f6 cc              int     3", ""),
        (
            "fffff800`014798f7 e9ee8e0800      jmp     nt!ExpAllocateBigPool+0x13a (fffff800`015027ea)",
            "nt!ExpAllocateBigPool+0x13a",
        ),
        ("fffff800`014798f6 90              nop", ""),
        ("fffff800`0160f5b7 cc              int     3", ""),
    ] {
        check(line, symbol);
    }
}

/// Forms without a printed source: they follow from those above, or from what WinDbg prints for
/// 32-bit code.
#[test]
fn prints_forms_by_analogy() {
    for (line, symbol) in [
        (
            "fffff800`01000000 f2ae            repne scas byte ptr [rdi]",
            "",
        ),
        (
            "fffff800`01000000 67f3a4          rep movs byte ptr [edi],byte ptr [esi]",
            "",
        ),
        (
            "fffff800`01000000 6548ad          lods    qword ptr gs:[rsi]",
            "",
        ),
        ("fffff800`01000000 91              xchg    eax,ecx", ""),
        ("fffff800`01000000 480f07          sysretq", ""),
        (
            "fffff800`01000000 6aff            push    0FFFFFFFFFFFFFFFFh",
            "",
        ),
        ("fffff800`01000000 4881ecd8000000  sub     rsp,0D8h", ""),
        (
            "fffff800`01000000 6589042538220000 mov     dword ptr gs:[2238h],eax",
            "",
        ),
        (
            "fffff800`01000000 488d0510000000  lea     rax,[fffff800`01000017]",
            "",
        ),
        (
            "fffff800`01000000 f604250803fe7f01 test    byte ptr [7FFE0308h],1",
            "",
        ),
        (
            "fffff880`0496e634 3b1dc24a4e00    cmp     ebx,dword ptr [nt!PoolHitTag (fffff880`04e530fc)]",
            "nt!PoolHitTag",
        ),
        ("fffff800`01000000 c20800          ret     8", ""),
        ("fffff800`01000000 f390            pause", ""),
    ] {
        check(line, symbol);
    }
}

#[test]
fn an_instruction_cut_off_is_no_instruction() {
    let mut disassembler = Disassembler::new();
    let code = [0xe9, 0xee, 0x8e];
    let line = disassembler.decode(Va(0xfffff800_014798f7), &code, &|_| None);
    assert_eq!(line.to_string(), "fffff800`014798f7 e9              ???");
    assert_eq!(line.next_address(), Va(0xfffff800_014798f8));
    let nothing = disassembler.decode(Va(0), &[], &|_| None);
    assert_eq!(nothing, Instruction::unreadable(Va(0)));
}

/// An offset from FS or GS is no address, so no symbol can be there.
#[test]
fn names_no_memory_behind_a_segment_base() {
    let code = [0x65, 0x48, 0x8b, 0x04, 0x25, 0x88, 0x01, 0, 0];
    let line = Disassembler::new().decode(Va(0), &code, &|_| Some("m!s".into()));
    assert_eq!(line.operands(), "rax,qword ptr gs:[188h]");
}

proptest! {
    /// Whatever the bytes: the line starts with the address and the bytes it consumed, ends
    /// without space, and decoding just those bytes gives it again.
    #[test]
    fn any_bytes_give_a_line(
        address: u64,
        code in proptest::collection::vec(any::<u8>(), 0..20),
        named: bool,
    ) {
        let symbol = |_| named.then(|| "m!s".to_string());
        let mut disassembler = Disassembler::new();
        let line = disassembler.decode(Va(address), &code, &symbol);
        prop_assert!(line.bytes().len() <= MAX_INSTRUCTION_LENGTH);
        prop_assert!(code.starts_with(line.bytes()));
        prop_assert_eq!(line.bytes().is_empty(), code.is_empty());
        let text = line.to_string();
        prop_assert_eq!(text.trim_end(), text.as_str());
        prop_assert!(!line.mnemonic().is_empty());
        prop_assert_eq!(disassembler.decode(Va(address), line.bytes(), &symbol), line);
    }
}
