//! `!pte` and `!vtop`: the entries that published sessions show give their text.

use poolhit::address::{Pa, Va};
use poolhit::machine::PageTableEntry;
use poolhit::report::page_table::{write_entries, write_walk};

fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

fn entry(level: u8, physical: u64, value: u64) -> PageTableEntry {
    PageTableEntry {
        level,
        physical: Pa(physical),
        value,
    }
}

/// The words behind `before` in a line of four columns.
fn columns(line: &str, before: &str) -> Vec<u64> {
    let parts = line.split(before).skip(1);
    parts.map(|part| number(&part[..16])).collect()
}

/// The entries are those of the third line; `levels` says how many of them there are.
fn check(levels: u8, expected: &str) {
    let lines: Vec<&str> = expected.lines().collect();
    let address = Va(number(lines[0].trim_start().strip_prefix("VA ").unwrap()));
    let places = columns(lines[1], " at ").into_iter().map(Va);
    let places: Vec<Va> = places.collect();
    let values = columns(lines[2], "contains ");
    let entries = (0..levels).zip(values);
    let entries: Vec<_> = entries
        .map(|(number, value)| entry(4 - number, 0, value))
        .collect();
    let mut text = String::new();
    write_entries(&mut text, address, places.try_into().unwrap(), &entries).unwrap();
    assert_eq!(text, expected);
}

/// A README on the low stub (`PagingDbgExt`), and "x64 lab" with the page of a descriptor table: of Windows 10 or later,
/// whose tables lie elsewhere; the tests beside the command have the addresses of Windows 7.
#[test]
fn entries_of_pages() {
    check(
        4,
        "                                           VA fffff7f00000c000
PXE at FFFFBA5D2E974F78    PPE at FFFFBA5D2E9EFE00    PDE at FFFFBA5D3DFC0000    PTE at FFFFBA7BF8000060
contains 0000000002182063  contains 8000000002185063  contains 8000000002186063  contains 8000000000013963
pfn 2182      ---DA--KWEV  pfn 2185      ---DA--KW-V  pfn 2186      ---DA--KW-V  pfn 13        -G-DA--KW-V
",
    );
    check(
        4,
        "                                           VA fffff80333a77fb0
PXE at FFFF81C0E0703F80    PPE at FFFF81C0E07F0060    PDE at FFFF81C0FE00CCE8    PTE at FFFF81FC0199D3B8
contains 0000000004909063  contains 000000000490A063  contains 0000000004B24063  contains 8900000006877963
pfn 4909      ---DA--KWEV  pfn 490a      ---DA--KWEV  pfn 4b24      ---DA--KWEV  pfn 6877      -G-DA--KW-V
",
    );
}

/// `!pte nt!HalDispatchTable` on Windows 7, with spaces at its end, and a page of Windows 10, which has lost some of
/// them.
#[test]
fn large_pages() {
    check(
        3,
        "                                           VA fffff80002810cb0
PXE at FFFFF6FB7DBEDF80    PPE at FFFFF6FB7DBF0000    PDE at FFFFF6FB7E0000A0    PTE at FFFFF6FC00014080
contains 0000000000199063  contains 0000000000198063  contains 00000000028009E3  contains 0000000000000000
pfn 199       ---DA--KWEV  pfn 198       ---DA--KWEV  pfn 2800      -GLDA--KWEV  LARGE PAGE pfn 2810        
",
    );
    check(
        3,
        "                                           VA fffff803791153a0
PXE at FFFF80C060301F80    PPE at FFFF80C0603F0068    PDE at FFFF80C07E00DE40    PTE at FFFF80FC01BC88A8
contains 0000000000B09063  contains 0000000000B0A063  contains 000000013A0009E3  contains 0000000000000000
pfn b09       ---DA--KWEV  pfn b0a       ---DA--KWEV  pfn 13a000    -GLDA--KWEV  LARGE PAGE pfn 13a115      
",
    );
}

/// `!pte 0` on Windows 7.
#[test]
fn entries_that_lead_nowhere() {
    check(
        2,
        "                                           VA 0000000000000000
PXE at FFFFF6FB7DBED000    PPE at FFFFF6FB7DA00000    PDE at FFFFF6FB40000000    PTE at FFFFF68000000000
contains 8A00000002987867  contains 0000000000000000
pfn 2987      ---DA--UW-V  contains 0000000000000000
not valid
",
    );
}

/// `!vtop` where each level has an entry, where the third is a large page, and where one is zero: a README on the low
/// stub, two cheat sheets, notes on KVAS on Windows 10, and a text on `notepad.exe` and `explorer.exe`.
#[test]
fn walks() {
    for expected in [
        "Amd64VtoP: Virt fffff7f00000c000, pagedir 00000000001ae000
Amd64VtoP: PML4E 00000000001aef78
Amd64VtoP: PDPE 0000000002182e00
Amd64VtoP: PDE 0000000002185000
Amd64VtoP: PTE 0000000002186060
Amd64VtoP: Mapped phys 0000000000013000
Virtual address fffff7f00000c000 translates to physical address 13000.
",
        "Amd64VtoP: Virt 000000013fb7ff98, pagedir 0000000130fd1000
Amd64VtoP: PML4E 0000000130fd1000
Amd64VtoP: PDPE 0000000126616020
Amd64VtoP: PDE 0000000124a17fe8
Amd64VtoP: PTE 0000000124818bf8
Amd64VtoP: Mapped phys 00000000bdfbaf98
Virtual address 13fb7ff98 translates to physical address bdfbaf98.
",
        "Amd64VtoP: Virt ffffbf0152163280, pagedir 000000011e9c8000
Amd64VtoP: PML4E 000000011e9c8bf0
Amd64VtoP: PDPE 0000000005334028
Amd64VtoP: PDE 0000000005337480
Amd64VtoP: Large page mapped phys 000000011b963280
Virtual address ffffbf0152163280 translates to physical address 11b963280.
",
        "Amd64VtoP: Virt 00000000fffff805, pagedir 00000000001ad000
Amd64VtoP: PML4E 00000000001ad000
Amd64VtoP: PDPE 0000000100ee1018
Amd64VtoP: zero PDPE
Virtual address fffff805 translation fails, error 0xD0000147.
",
        "Amd64VtoP: Virt 000000d2af11a000, pagedir 000000012f3d4000
Amd64VtoP: PML4E 000000012f3d4008
Amd64VtoP: zero PML4E
Virtual address d2af11a000 translation fails, error 0xD0000147.
",
    ] {
        let first = expected.lines().next().unwrap();
        let (address, directory) = (number(&first[16..32]), number(&first[42..]));
        let steps: Vec<u64> = expected.lines().skip(1).filter_map(step).collect();
        let page = expected
            .lines()
            .find_map(|line| line.split("apped phys ").nth(1));
        let large = expected.contains("Large page");
        let last = match page {
            // present, and the page's number, without the bytes inside it
            Some(page) => number(page) & !0xfff | if large { 0x81 } else { 1 },
            None => 0,
        };
        let entries = (0..4).zip(&steps).map(|(level, at)| {
            let is_last = level + 1 == steps.len();
            entry(4 - level as u8, *at, if is_last { last } else { 1 })
        });
        let entries: Vec<_> = entries.collect();
        let mut text = String::new();
        write_walk(&mut text, Va(address), Pa(directory), &entries).unwrap();
        assert_eq!(text, expected);
    }
}

/// Where an entry is, of a line that says so.
fn step(line: &str) -> Option<u64> {
    let (name, at) = line.strip_prefix("Amd64VtoP: ")?.split_once(' ')?;
    ["PML4E", "PDPE", "PDE", "PTE"]
        .contains(&name)
        .then(|| number(at))
}
