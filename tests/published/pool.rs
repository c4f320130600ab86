//! `!pool`, `!poolused`.

use poolhit::address::Va;
use poolhit::guest::pool::{PoolBlock, PoolHeader, PoolTracker, PoolUse};
use poolhit::report::pool::{Mark, write_block, write_region};
use poolhit::report::pool_used::{SortBy, write_pool_used};
use poolhit::tag::Tag;

/// Blocks of paged pool (an analysis of a heap overflow, "poolqudong.sys"; and one of nfssvr.sys): of Windows 10,
/// which keeps no sizes of previous blocks. There `*` marks the block that was asked for.
#[test]
fn blocks() {
    let block = |address, size: u64, pool_type, tag| PoolBlock {
        address: Va(address),
        header: PoolHeader {
            previous_size: 0,
            pool_index: 0,
            block_size: (size / 16) as u8,
            pool_type,
            tag: Tag::from_bytes(tag),
            process_billed: Va(0),
        },
    };
    for (block, mark, expected) in [
        (
            block(0xffffad09_df3f88b0, 0x190, 3, *b"NpAt"),
            Mark::Other,
            " ffffad09df3f88b0 size:  190 previous size:    0  (Allocated)  NpAt\n",
        ),
        (
            block(0xffffad09_df3f8a40, 0x190, 3, *b"VULN"),
            Mark::Asked,
            "*ffffad09df3f8a40 size:  190 previous size:    0  (Allocated) *VULN\n",
        ),
        (
            block(0xffffde87_fe461080, 0x30, 0, *b"Ntf0"),
            Mark::Other,
            " ffffde87fe461080 size:   30 previous size:    0  (Free)       Ntf0\n",
        ),
    ] {
        let mut text = String::new();
        write_block(&mut text, &block, mark).unwrap();
        assert_eq!(text, expected);
    }
    // "!pool fffffa80`0d168b60 2" on Windows 7 (notes on FltSendMessage)
    let mut text = String::new();
    write_region(&mut text, Va(0xfffffa80_0d168b60)).unwrap();
    assert_eq!(text, "Pool page fffffa800d168b60 region is Nonpaged pool\n");
    let thread = PoolBlock {
        address: Va(0xfffffa80_0d168b00),
        header: PoolHeader::parse(b"\x28\x00\x50\x02Thr\xe5\0\0\0\0\0\0\0\0"),
    };
    text.clear();
    write_block(&mut text, &thread, Mark::Asked).unwrap();
    assert_eq!(
        text,
        "*fffffa800d168b00 size:  500 previous size:  280  (Allocated) *Thre (Protected)\n"
    );
}

fn tracker(tag: &[u8; 4], nonpaged: (u32, u64), paged: (u32, u64)) -> PoolTracker {
    let counted = |(allocs, bytes)| PoolUse {
        allocs,
        frees: 0,
        bytes,
    };
    PoolTracker {
        tag: Tag::from_bytes(*tag),
        nonpaged: counted(nonpaged),
        paged: counted(paged),
    }
}

/// "!poolused" in the manual, where the tab in front of the tags' meanings is lost; and "Using the Kernel Debugger to
/// Find a Kernel-Mode Memory Leak", whose rows have lost their first space and have one at the end. What tags mean is
/// not known here: of the second page's rows none has it.
#[test]
fn use_by_tags() {
    let mut text = String::new();
    let trackers = vec![
        tracker(b"1394", (1, 520), (0, 0)),
        tracker(b"1MEM", (1, 3368), (0, 0)),
        tracker(b"2MEM", (1, 3944), (0, 0)),
        tracker(b"3MEM", (3, 248), (0, 0)),
        tracker(b"AGP ", (1, 344), (2, 384)),
    ];
    write_pool_used(&mut text, trackers, SortBy::Tag, false).unwrap();
    let expected = "   Sorting by  Tag

  Pool Used:
            NonPaged            Paged
 Tag    Allocs     Used    Allocs     Used
 1394        1      520         0        0UNKNOWN pooltag '1394', please update pooltag.txt
 1MEM        1     3368         0        0UNKNOWN pooltag '1MEM', please update pooltag.txt
 2MEM        1     3944         0        0UNKNOWN pooltag '2MEM', please update pooltag.txt
 3MEM        3      248         0        0UNKNOWN pooltag '3MEM', please update pooltag.txt
 AGP         1      344         2      384UNKNOWN pooltag 'AGP ', please update pooltag.txt
";
    let printed = text.replace('\t', "");
    assert!(printed.starts_with(expected), "{text}");

    text.clear();
    let trackers = vec![
        tracker(b"Gla5", (1, 128), (2222, 924352)),
        tracker(b"Tron", (0, 0), (552, 7863232)),
        tracker(b"Abc ", (0, 0), (36405, 33930272)),
        tracker(b"Ggb ", (0, 0), (22, 828384)),
        tracker(b"IoN7", (0, 0), (10939, 998432)),
    ];
    write_pool_used(&mut text, trackers, SortBy::Paged, false).unwrap();
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(row, _)| &row[1..])
        .collect();
    let expected = [
        "Abc         0        0     36405 33930272",
        "Tron        0        0       552  7863232",
        "IoN7        0        0     10939   998432",
        "Gla5        1      128      2222   924352",
        "Ggb         0        0        22   828384",
    ];
    assert_eq!(rows, expected);
}
