//! `db`, `dc`, `dd`, `dq`: the elements of published rows give these rows.

use poolhit::address::Va;
use poolhit::report::memory::{Shape, write_row};

/// Reads the elements that a row shows, and writes them.
fn check(shape: Shape, rows: &str) {
    let digits = shape.size as usize * 2;
    for row in rows.lines() {
        let (address, rest) = row.split_once("  ").unwrap();
        let address = u64::from_str_radix(&address.replace('`', ""), 16).unwrap();
        let elements = rest.split("  ").next().unwrap().replace('-', " ");
        let values: Vec<Option<u64>> = elements
            .split_whitespace()
            .map(|element| {
                let element = element.replace('`', "");
                assert_eq!(element.len(), digits);
                u64::from_str_radix(&element, 16).ok()
            })
            .collect();
        let mut text = String::new();
        write_row(&mut text, Va(address), shape, &values).unwrap();
        assert_eq!(text, format!("{row}\n"));
    }
}

/// "Debug Universal Drivers" in the manual, and "Bug Check 0x50: PAGE_FAULT_IN_NONPAGED_AREA" for memory that is not
/// there.
#[test]
fn bytes() {
    check(
        Shape::new(1, true),
        "ffffae01`5ff97664  00 80 bc ff 18 00 00 00-00 00 00 00 08 50 e0 51  .............P.Q
ffffae01`5ff97674  00 c0 ff ff 56 57 da 56-0e f8 ff ff 08 50 e0 51  ....VW.V.....P.Q
ffffae01`5ff97684  00 c0 ff ff 00 00 00 00-0e f8 ff ff 00 00 00 00  ................
ffffae01`5ff97694  00 c0 ff ff aa 80 bc ff-01 ae ff ff 10 77 f9 5f  .............w._
ffffae01`5ff976a4  01 ae ff ff 40 00 00 00-00 e6 ff ff 10 dc 30 55  ....@.........0U
ffffae01`5ff976b4  00 c0 ff ff a0 77 f9 5f-01 ae ff ff f0 76 f9 5f  .....w._.....v._
ffffae01`5ff976c4  01 ae ff ff ca 59 da 56-0e f8 ff ff 00 00 00 00  .....Y.V........
ffffae01`5ff976d4  00 00 00 00 28 00 00 00-00 00 00 00 02 00 00 00  ....(...........
ffffffff`00000090  ?? ?? ?? ?? ?? ?? ?? ??-?? ?? ?? ?? ?? ?? ?? ??  ????????????????",
    );
    // "Using the Kernel Debugger to Find a Kernel-Mode Memory Leak": the row of `db nt!poolhittag L4`, of 32 bits;
    // of the address the upper half is added here, and from the end the page's two spaces are taken
    let mut text = String::new();
    let tag = b"Abc ".map(|byte| Some(u64::from(byte)));
    write_row(&mut text, Va(0x820f2ba4), Shape::new(1, true), &tag).unwrap();
    let of_the_page = "820f2ba4  41 62 63 20           Abc";
    let (address, characters) = of_the_page.split_once("           ").unwrap();
    assert!(
        text.starts_with(&format!("00000000`{address}   ")),
        "{text}"
    );
    assert!(text.ends_with(&format!("  {characters} \n")), "{text}");
}

/// `dd` in "Debug Universal Drivers" of the manual, `dc` of an image's header in an analysis of a driver
/// ("SysmonDrv", InsightEngineering on GitHub), `dq` on Windows 7 in a driver's source about the service tables.
#[test]
fn doublewords_and_quadwords() {
    check(
        Shape::new(4, false),
        "ffffb780`b7eee664  ffa00000 00000018 00000000 c52d7008
ffffb780`b7eee674  ffffc98e e0495756 fffff80e c52d7008
ffffb780`b7eee684  ffffc98e 00000000 fffff80e 00000000
ffffb780`b7eee694  ffffc98e ffa00000 ffffb780 b7eee710",
    );
    check(
        Shape::new(4, true),
        "fffff802`5c000000  00905a4d 00000003 00000004 0000ffff  MZ..............
fffff802`5c000010  000000b8 00000000 00000040 00000000  ........@.......
fffff802`5c000020  00000000 00000000 00000000 00000000  ................
fffff802`5c000030  00000000 00000000 00000000 00000108  ................
fffff802`5c000040  0eba1f0e cd09b400 4c01b821 685421cd  ........!..L.!Th",
    );
    check(
        Shape::new(8, false),
        "fffff800`042cc980  fffff800`04095800 00000000`00000000
fffff800`042cc990  00000000`00000191 fffff800`0409648c
fffff800`042cc9a0  fffff960`000f1f00 00000000`00000000
fffff800`042cc9b0  00000000`0000033b fffff960`000f3c1c",
    );
    // the rows of "s -q fffff803`2d600000 l100000 FFFF818000000000" (a talk's notes on PTE_BASE)
    check(
        Shape::new(8, false),
        "fffff803`2d81c0f8  ffff8180`00000000 4819e0c1`48c08b49
fffff803`2d821290  ffff8180`00000000 0008e1b8`19e6c149
fffff803`2d821ac0  ffff8180`00000000 4d8366ff`fff74fe9",
    );
    // "Address and Address Range Syntax" and "s (Search Memory)" in the manual
    check(
        Shape::new(1, true),
        "00007ffc`0f1d48fa  6e 74 64 6c 6c 5c 6c 64-72 69 6e 69 74 2e 63 00  ntdll\\ldrinit.c.
00007ffc`0f1d49c2  6e 74 64 6c 6c 5c 6c 64-72 6d 61 70 2e 63 00 00  ntdll\\ldrmap.c..
0000003f`ff07ef0a  42 37 ff 7f 00 00 90 38-4e c2 6c 01 00 00 7d 26  B7.....8N.l...}&
0000003f`ff0ff322  42 37 ff 7f 00 00 f8 5d-42 37 ff 7f 00 00 20 41  B7.....]B7.... A",
    );
    check(
        Shape::new(4, true),
        "0000003f`ff07ec00  00000048 00000000 500c0163 00000000  H.......c..P....
0000003f`ff07ec50  00000048 00000000 00000080 00000000  H...............
0000003f`ff07efc0  00000048 00000000 400c0060 00000000  H.......`..@....",
    );
}
