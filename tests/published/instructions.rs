//! `u` and `ub`: the bytes of published rows give these rows.

use poolhit::address::Va;
use poolhit::disasm::Disassembler;

/// Each row's bytes, decoded where they were; `symbols` name what the operands point to.
fn check(rows: &str, symbols: &[(u64, &str)]) {
    let names = |at: Va| {
        let found = symbols.iter().find(|(known, _)| *known == at.0);
        found.map(|(_, name)| (*name).to_string())
    };
    for row in rows.lines() {
        let mut words = row.split(' ');
        let address = words.next().unwrap().replace('`', "");
        let address = Va(u64::from_str_radix(&address, 16).unwrap());
        let digits = words.next().unwrap();
        let mut code: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[at * 2..][..2], 16).unwrap())
            .collect();
        let length = code.len();
        // what follows an instruction is none of its business, but for a byte that begins none
        code.extend(row.contains("???").then_some(0xff));
        let line = Disassembler::new().decode(address, &code, &names);
        assert_eq!(line.to_string(), row);
        assert!(length > 0);
    }
}

/// "Bug Check 0x50: PAGE_FAULT_IN_NONPAGED_AREA" and, for data taken for code, "Bug Check 0x1AA:
/// EXCEPTION_ON_INVALID_STACK" in the manual.
#[test]
fn of_the_manual() {
    check(
        "fffff802`40d322f9 488b4810        mov     rcx,qword ptr [rax+10h]
fffff802`40d322fd eb07            jmp     nt!RtlSubtreePredecessor+0x16 (fffff802`40d32306)
fffff802`40d322ff 488bc1          mov     rax,rcx
fffff802`40d32302 488b4910        mov     rcx,qword ptr [rcx+10h]
fffff802`40d32306 4885c9          test    rcx,rcx
fffff802`40d32309 75f4            jne     nt!RtlSubtreePredecessor+0xf (fffff802`40d322ff)
fffff802`40d3230b c3              ret",
        &[
            (0xfffff802_40d32306, "nt!RtlSubtreePredecessor+0x16"),
            (0xfffff802_40d322ff, "nt!RtlSubtreePredecessor+0xf"),
        ],
    );
    check(
        "ffffdc0e`9ee66850 1030            adc     byte ptr [rax],dh
ffffdc0e`9ee66852 1c51            sbb     al,51h
ffffdc0e`9ee66854 81cbffffc068    or      ebx,68C0FFFFh
ffffdc0e`9ee6685a e69e            out     9Eh,al
ffffdc0e`9ee6685c 0e              ???
ffffdc0e`9ee6685d dcff            fdiv    st(7),st
ffffdc0e`9ee6685f ff00            inc     dword ptr [rax]
ffffdc0e`9ee66861 0000            add     byte ptr [rax],al
ffffdc0e`9ee66867 000e            add     byte ptr [rsi],cl
ffffdc0e`9ee6686f 0010            add     byte ptr [rax],dl
ffffdc0e`9ee66871 301c51          xor     byte ptr [rcx+rdx*2],bl",
        &[],
    );
}

/// "Bug Check 0x116: VIDEO_TDR_FAILURE" in the manual: jumps by a table in a module without symbols; Windows 7's
/// `nt!KiSystemServiceRepeat`, in drivers' sources about the service tables; instructions of 11 bytes in a note on
/// Capcom.sys.
#[test]
fn with_operands_that_have_symbols() {
    check(
        "fffff801`6470c134 48ff254d2deaff  jmp     qword ptr [nvlddmkm+0x6eee88 (fffff801`645aee88)]
fffff801`6470c13b cc              int     3
fffff801`6470c13c 48ff252d2eeaff  jmp     qword ptr [nvlddmkm+0x6eef70 (fffff801`645aef70)]",
        &[
            (0xfffff801_645aee88, "nvlddmkm+0x6eee88"),
            (0xfffff801_645aef70, "nvlddmkm+0x6eef70"),
        ],
    );
    check(
        "fffff800`03e9c772 4c8d15c7202300  lea     r10,[nt!KeServiceDescriptorTable (fffff800`040ce840)]
fffff800`03e9c779 4c8d1d00212300  lea     r11,[nt!KeServiceDescriptorTableShadow (fffff800`040ce880)]
fffff800`03e9c780 f7830001000080000000 test dword ptr [rbx+100h],80h
fffff800`0428bf55 e8962fc1ff      call    nt!ObfReferenceObject (fffff800`03e9eef0)",
        &[
            (0xfffff800_040ce840, "nt!KeServiceDescriptorTable"),
            (0xfffff800_040ce880, "nt!KeServiceDescriptorTableShadow"),
            (0xfffff800_03e9eef0, "nt!ObfReferenceObject"),
        ],
    );
    check(
        "fffff805`7f270541 488b442450      mov     rax,qword ptr [rsp+50h]
fffff805`7f27054b 488b05c6fdffff  mov     rax,qword ptr [Capcom+0x318 (fffff805`7f270318)]
fffff805`7f270557 48c744242000000000 mov   qword ptr [rsp+20h],0
fffff805`7f270560 488d0521020000  lea     rax,[Capcom+0x788 (fffff805`7f270788)]
fffff805`7f27056c ffd0            call    rax",
        &[
            (0xfffff805_7f270318, "Capcom+0x318"),
            (0xfffff805_7f270788, "Capcom+0x788"),
        ],
    );
}
