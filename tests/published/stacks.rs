//! `k` with its options. The frames' values are read from the published rows, by their places in them.

use poolhit::address::Va;
use poolhit::debugger::{CallSite, CallStack, StackFrame};
use poolhit::registers::Registers;
use poolhit::report::stack::write_stack;
use poolhit::report::stack_columns::{StackColumns, write_columns, write_rows};
use poolhit::stack::frame::FrameTrust;
use poolhit::stack::walk::WalkEnd;
use poolhit::symbols::SourceLine;

fn number(text: &str) -> u64 {
    let digits = text.trim_start_matches("0x").replace('`', "");
    u64::from_str_radix(&digits, 16).unwrap()
}

fn site(child_sp: &str, return_address: &str, text: &str) -> CallSite {
    let (text, source) = match text.split_once(" [") {
        Some((text, source)) => (text, Some(source.strip_suffix(']').unwrap())),
        None => (text, None),
    };
    let source = source.map(|source| {
        let (file, line) = source.rsplit_once(" @ ").unwrap();
        SourceLine {
            file: file.into(),
            line: line.parse().unwrap(),
            column: None,
        }
    });
    let mut site = CallSite {
        child_sp: Va(number(child_sp)),
        return_address: Va(number(return_address)),
        address: Va(0),
        module: None,
        symbol: None,
        offset: 0,
        trust: FrameTrust::UnwindInfo,
        source,
    };
    if text.starts_with("0x") {
        site.address = Va(number(text));
        return site;
    }
    let (name, offset) = text.rsplit_once('+').unwrap_or((text, "0"));
    site.offset = number(offset);
    let (module, symbol) = match name.split_once('!') {
        Some((module, symbol)) => (module, Some(symbol.to_string())),
        None => (name, None),
    };
    site.module = Some(module.into());
    site.symbol = symbol;
    site
}

/// Rows as `kv` shows them: stack pointer, return address, four words, call site.
fn frames(rows: &str) -> Vec<StackFrame> {
    let frame = |row: &str| {
        let mut parts = row.splitn(3, " : ");
        let (places, home) = (parts.next().unwrap(), parts.next().unwrap());
        let (child_sp, return_address) = places.split_once(' ').unwrap();
        let text = parts.next().unwrap();
        let (text, trap_frame) = match text.split_once(" (TrapFrame @ ") {
            Some((text, at)) => (text, Some(Va(number(at.trim_end_matches(')'))))),
            None => (text, None),
        };
        let words: Vec<_> = home.split(' ').map(|word| Some(number(word))).collect();
        StackFrame {
            site: site(child_sp, return_address, text),
            registers: Registers::default(),
            home: words.try_into().unwrap(),
            trap_frame,
        }
    };
    rows.lines().map(frame).collect()
}

fn columns(frames: &[StackFrame], columns: StackColumns) -> String {
    let mut text = String::new();
    write_columns(&mut text, frames, &columns).unwrap();
    text
}

/// The dump of Windows 7 after a driver had left the stack of a system thread in disorder (`kvn` and `kbn` of the
/// same stack, and STACK_TEXT; "man.sys", a collection of dumps' analyses on GitHub).
const KVN: &str = r" # Child-SP          RetAddr           : Args to Child                                                           : Call Site
00 fffff880`07c6a218 fffff800`02bafcc2 : ffffffff`c0000005 fffffa80`040c65c0 00000000`00000065 fffff800`02af97e8 : nt!RtlpBreakWithStatusInstruction
01 fffff880`07c6a220 fffff800`02bb0aae : fffff880`00000003 00000000`00000000 fffff800`02afa040 00000000`0000007e : nt!KiBugCheckDebugBreak+0x12
02 fffff880`07c6a280 fffff800`02abdfc4 : fffff800`02d5cb30 00000000`0000201a 00000000`00002019 fffff800`02cdf138 : nt!KeBugCheck2+0x71e
03 fffff880`07c6a950 fffff800`02e30614 : 00000000`0000007e ffffffff`c0000005 fffffa80`03f9c621 fffff880`07c6b958 : nt!KeBugCheckEx+0x104
04 fffff880`07c6a990 fffff800`02deb231 : 00000000`00000000 00000000`00000000 fffff880`64536553 00000000`000007ff : nt!PspUnhandledExceptionInSystemThread+0x24
05 fffff880`07c6a9d0 fffff800`02ae9c4c : fffff8a0`02e629c0 fffff8a0`02e629e8 fffff8a0`02e62a04 fffff8a0`02e62a20 : nt! ?? ::NNGAKEGL::`string'+0x221d
06 fffff880`07c6aa00 fffff800`02ae96cd : fffff800`02c22854 fffff880`07c6bc00 00000000`00000000 fffff800`02a49000 : nt!_C_specific_handler+0x8c
07 fffff880`07c6aa70 fffff800`02ae84a5 : fffff800`02c22854 fffff880`07c6aae8 fffff880`07c6b958 fffff800`02a49000 : nt!RtlpExecuteHandlerForException+0xd
08 fffff880`07c6aaa0 fffff800`02af9431 : fffff880`07c6b958 fffff880`07c6b1b0 fffff880`00000000 00000000`00000001 : nt!RtlDispatchException+0x415
09 fffff880`07c6b180 fffff800`02abd542 : fffff880`07c6b958 fffffa80`040c65c0 fffff880`07c6ba00 fffffa80`018cc090 : nt!KiDispatchException+0x135
0a fffff880`07c6b820 fffff800`02abbe4a : 00060030`00010002 00000000`00000000 00000000`00000000 00000000`00000000 : nt!KiExceptionDispatch+0xc2
0b fffff880`07c6ba00 fffffa80`03f9c621 : 00000000`0001093a 00000000`00010ba8 ffffffff`ffffffff 00000000`00000080 : nt!KiGeneralProtectionFault+0x10a (TrapFrame @ fffff880`07c6ba00)
0c fffff880`07c6bb98 00000000`0001093a : 00000000`00010ba8 ffffffff`ffffffff 00000000`00000080 fffff880`033bdce7 : 0xfffffa80`03f9c621
0d fffff880`07c6bba0 00000000`00010ba8 : ffffffff`ffffffff 00000000`00000080 fffff880`033bdce7 00000000`00000000 : 0x1093a
0e fffff880`07c6bba8 ffffffff`ffffffff : 00000000`00000080 fffff880`033bdce7 00000000`00000000 00000000`00000000 : 0x10ba8
0f fffff880`07c6bbb0 00000000`00000080 : fffff880`033bdce7 00000000`00000000 00000000`00000000 00000000`00000000 : 0xffffffff`ffffffff
10 fffff880`07c6bbb8 fffff880`033bdce7 : 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000 : 0x80
11 fffff880`07c6bbc0 00000000`00000000 : 00000000`00000000 00000000`00000000 00000000`00000000 fffffa80`03f9c610 : man+0x1ce7
";

#[test]
fn kv_kb_and_stack_text() {
    let rows: Vec<&str> = KVN.lines().skip(1).map(|row| &row[3..]).collect();
    let frames = frames(&rows.join("\n"));
    let numbers = StackColumns {
        numbers: true,
        home: true,
        ..StackColumns::default()
    };
    let kvn = StackColumns {
        trap_frames: true,
        ..numbers
    };
    assert_eq!(columns(&frames, kvn), KVN);
    let kbn = StackColumns {
        without_stack: true,
        ..numbers
    };
    let text = columns(&frames, kbn);
    let lines: Vec<&str> = text.lines().collect();
    // of its 19 lines these, since the others are as much like kvn's
    assert_eq!(
        lines[0],
        " # RetAddr           : Args to Child                                                           : Call Site"
    );
    assert_eq!(
        lines[12],
        "0b fffffa80`03f9c621 : 00000000`0001093a 00000000`00010ba8 ffffffff`ffffffff 00000000`00000080 : nt!KiGeneralProtectionFault+0x10a"
    );
    assert_eq!(
        lines[17],
        "10 fffff880`033bdce7 : 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000 : 0x80"
    );
    // STACK_TEXT of the same dump
    let mut text = String::new();
    let plain = StackColumns {
        home: true,
        ..StackColumns::default()
    };
    write_rows(&mut text, &frames[12..], &plain).unwrap();
    let expected = r"fffff880`07c6bb98 00000000`0001093a : 00000000`00010ba8 ffffffff`ffffffff 00000000`00000080 fffff880`033bdce7 : 0xfffffa80`03f9c621
fffff880`07c6bba0 00000000`00010ba8 : ffffffff`ffffffff 00000000`00000080 fffff880`033bdce7 00000000`00000000 : 0x1093a
fffff880`07c6bba8 ffffffff`ffffffff : 00000000`00000080 fffff880`033bdce7 00000000`00000000 00000000`00000000 : 0x10ba8
fffff880`07c6bbb0 00000000`00000080 : fffff880`033bdce7 00000000`00000000 00000000`00000000 00000000`00000000 : 0xffffffff`ffffffff
fffff880`07c6bbb8 fffff880`033bdce7 : 00000000`00000000 00000000`00000000 00000000`00000000 00000000`00000000 : 0x80
fffff880`07c6bbc0 00000000`00000000 : 00000000`00000000 00000000`00000000 00000000`00000000 fffffa80`03f9c610 : man+0x1ce7
";
    assert_eq!(text, expected);
}

/// "!thread" in the manual (Windows 10): the rows of a stack with a source line. Behind the bracket the page has
/// a space that Windows 7's debuggers do not print; it is left out.
#[test]
fn kv_with_source_lines() {
    let expected = r"Child-SP          RetAddr           : Args to Child                                                           : Call Site
fffff802`59858c68 fffff801`b56d24aa : ffffcb08`8fd68010 00000000`00000000 fffff802`58259600 00000000`00000008 : nt!DbgBreakPointWithStatus [d:\rs2\minkernel\ntos\rtl\amd64\debugstb.asm @ 130]
fffff802`59858c70 ffffcb08`8fd68010 : 00000000`00000000 fffff802`58259600 00000000`00000008 ffffcb08`8f0a4400 : 0xfffff801`b56d24aa
fffff802`59858c78 00000000`00000000 : fffff802`58259600 00000000`00000008 ffffcb08`8f0a4400 00000000`00000019 : 0xffffcb08`8fd68010
";
    let rows: Vec<&str> = expected.lines().skip(1).collect();
    let kv = StackColumns {
        home: true,
        trap_frames: true,
        ..StackColumns::default()
    };
    assert_eq!(columns(&frames(&rows.join("\n")), kv), expected);
}

/// Rows as `kn` and `k` show them.
fn plain_sites(rows: &[&str]) -> Vec<CallSite> {
    let one = |row: &&str| {
        let mut parts = row.splitn(3, ' ');
        let mut next = || parts.next().unwrap();
        let (child_sp, return_address) = (next(), next());
        site(child_sp, return_address, next())
    };
    rows.iter().map(one).collect()
}

fn with_sites(sites: Vec<CallSite>) -> Vec<StackFrame> {
    let frame = |site| StackFrame {
        site,
        registers: Registers::default(),
        home: [None; 4],
        trap_frame: None,
    };
    sites.into_iter().map(frame).collect()
}

/// "Bug Check 0x116: VIDEO_TDR_FAILURE" in the manual: Windows 10, whose debugger numbers the frames of `k`; it is
/// `kn` here. "Getting Started with WinDbg (Kernel-Mode)" for `k`, where the page has put more space between the
/// columns.
#[test]
fn kn_and_k() {
    let kn = r" # Child-SP          RetAddr           Call Site
00 ffffd001`7d53d918 fffff801`61ba2b4c nt!KeBugCheckEx [d:\th\minkernel\ntos\ke\amd64\procstat.asm @ 122]
01 ffffd001`7d53d920 fffff801`61b8da0e dxgkrnl!TdrBugcheckOnTimeout+0xec [d:\th\windows\core\dxkernel\dxgkrnl\core\dxgtdr.cxx @ 2731]
02 ffffd001`7d53d960 fffff801`61b8dd7f dxgkrnl!ADAPTER_RENDER::Reset+0x15e [d:\th\windows\core\dxkernel\dxgkrnl\core\adapter.cxx @ 19443]
03 ffffd001`7d53d990 fffff801`61ba2385 dxgkrnl!DXGADAPTER::Reset+0x177 [d:\th\windows\core\dxkernel\dxgkrnl\core\adapter.cxx @ 19316]
04 ffffd001`7d53d9e0 fffff801`63c5fba7 dxgkrnl!TdrResetFromTimeout+0x15 [d:\th\windows\core\dxkernel\dxgkrnl\core\dxgtdr.cxx @ 2554]
05 ffffd001`7d53da10 fffff801`63c47e5d dxgmms1!VidSchiRecoverFromTDR+0x11b [d:\th\windows\core\dxkernel\dxgkrnl\dxgmms1\vidsch\vidscher.cxx @ 1055]
06 ffffd001`7d53dbc0 fffff801`aa55c698 dxgmms1!VidSchiWorkerThread+0x8d [d:\th\windows\core\dxkernel\dxgkrnl\dxgmms1\vidsch\vidschi.cxx @ 426]
07 ffffd001`7d53dc00 fffff801`aa5c9306 nt!PspSystemThreadStartup+0x58 [d:\th\minkernel\ntos\ps\psexec.c @ 6845]
08 ffffd001`7d53dc60 00000000`00000000 nt!KxStartSystemThread+0x16 [d:\th\minkernel\ntos\ke\amd64\threadbg.asm @ 80]
";
    let rows: Vec<&str> = kn.lines().skip(1).map(|row| &row[3..]).collect();
    let numbers = StackColumns {
        numbers: true,
        ..StackColumns::default()
    };
    assert_eq!(columns(&with_sites(plain_sites(&rows)), numbers), kn);

    let k = r"Child-SP          RetAddr           Call Site
ffffd000`224b4c88 fffff800`02d96834 nt!MmCreateProcessAddressSpace
ffffd000`224b4c90 fffff800`02dfef17 nt!PspAllocateProcess+0x5d4
ffffd000`224b5060 fffff800`02b698b3 nt!NtCreateUserProcess+0x55b
";
    // `kL` in ".dml_flow" of the manual
    let without_lines = r"Child-SP          RetAddr           Call Site
fffff880`0335c688 fffff800`01b41f1c nt!IofCallDriver
fffff880`0335c690 fffff800`01b3b6b4 nt!IoSynchronousPageWrite+0x1cc
fffff880`0335c700 fffff800`01b4195e nt!MiFlushSectionInternal+0x9b8
";
    for expected in [k, without_lines] {
        let rows: Vec<&str> = expected.lines().skip(1).collect();
        let stack = CallStack {
            frames: plain_sites(&rows),
            end: WalkEnd::Limit,
        };
        let mut text = String::new();
        write_stack(&mut text, &stack).unwrap();
        assert_eq!(text, expected);
    }
}

/// "X64 Deep Dive" (codemachine.com): `knf` on Windows 7; a program's, since no kernel's was found. `kc` of "Reverse-
/// engineering tcpip.sys" (doar-e.github.io), whose debugger numbers the frames: it is `kcn` here.
#[test]
fn knf_and_kcn() {
    let knf = r" #   Memory  Child-SP          RetAddr           Call Site
00           00000000`0029bbf8 000007fe`fdd24d76 ntdll!NtCreateFile
01         8 00000000`0029bc00 00000000`77ac2aad KERNELBASE!CreateFileW+0x2cd
02       160 00000000`0029bd60 000007fe`fe5b9ebd kernel32!CreateFileWImplementation+0x7d
03        60 00000000`0029bdc0 000007fe`fe55dc08 usp10!UniStorInit+0xdd
04        a0 00000000`0029be60 000007fe`fe5534af usp10!InitUnistor+0x1d8
";
    let rows: Vec<&str> = knf.lines().skip(1).map(|row| &row[13..]).collect();
    let numbers = StackColumns {
        numbers: true,
        ..StackColumns::default()
    };
    let distances = StackColumns {
        distance: true,
        ..numbers
    };
    assert_eq!(columns(&with_sites(plain_sites(&rows)), distances), knf);

    let kcn = r" # Call Site
00 nt!DbgBreakPointWithStatus
01 nt!KiBugCheckDebugBreak
02 nt!KeBugCheck2
03 nt!KeBugCheckEx
04 nt!KiBugCheckDispatch
05 nt!KiPageFault
06 tcpip!Ipv6pReassembleDatagram
07 tcpip!Ipv6pReceiveFragment
08 tcpip!Ipv6pReceiveFragmentList
09 tcpip!IppReceiveHeaderBatch
0a tcpip!IppFlcReceivePacketsCore
";
    let sites = kcn.lines().skip(1).map(|row| site("0", "0", &row[3..]));
    let clean = StackColumns {
        clean: true,
        ..numbers
    };
    assert_eq!(columns(&with_sites(sites.collect()), clean), kcn);
}
