//! `!poolused`, `!pool`, `!poolfind` and `!poolval`: transcripts over what the guest's own allocator
//! left in its memory.
//!
//! The forms come from these published sessions:
//! - The debugger's manual, "!poolused" (header, columns, `TOTAL`, the words about a tag that
//!   pooltag.txt does not know), "!pool" (blocks, contents with flag 1), "!poolfind" (both titles).
//! - "Stop 0x19 in a Large Pool Allocation", ntdebugging blog, Windows 7 x64: the line of a large
//!   allocation with `Tag is`.
//! - "Understanding Pool Corruption Part 1", same blog, Windows 7 x64: `(Free)      *Irp`.
//! - *The Art of Memory Forensics*, Windows 7 x64: `!poolfind Proc` with an asterisk at each line,
//!   ` (Protected)`, and the raw byte of a free block's protected tag (`Pro.`).
//! - Write-ups of kernel pool exercises: `(Free )  Io` beside `(Free)       Free`, and
//!   `NpFn Process: 8507a030`.
//! - The DebugPrivilege "InsightEngineering" notes: `!pool` on no pool at all, and `!poolval`.
//!
//! None was found of `!poolused 1` as text, of `!poolval` on a sound page or with a level, or of a
//! single bit found: the columns of the first are PoolMon's, the others are the project's own.

use poolhit::address::Va;
use poolhit::{Lab, Session};

const LEAK: u64 = 0x6b61_654c;
const LEA2: u64 = 0x3261_654c;
const PROTECTED_LEA1: u64 = 0xb161_654c;
const PAGED: u64 = 1;

fn allocate(lab: &mut Lab, routine: &str, arguments: &[u64]) -> u64 {
    lab.call_kernel(routine, arguments).unwrap().value
}

/// A lab in which a page of paged pool holds one block of every state.
fn session() -> Session {
    let mut lab = Lab::builder().build().unwrap();
    let tagged = "ExAllocatePoolWithTag";
    allocate(&mut lab, tagged, &[PAGED, 0x100, LEA2]);
    let cached = allocate(&mut lab, tagged, &[PAGED, 0x40, PROTECTED_LEA1]);
    allocate(&mut lab, tagged, &[PAGED, 0x20, PROTECTED_LEA1]);
    allocate(&mut lab, "ExAllocatePoolWithQuotaTag", &[PAGED, 0x60, LEAK]);
    allocate(&mut lab, tagged, &[PAGED, 0x2000, LEA2]);
    allocate(&mut lab, tagged, &[PAGED, 0x1800, PROTECTED_LEA1]);
    allocate(&mut lab, "ExFreePoolWithTag", &[cached, PROTECTED_LEA1]);
    Session::new(lab)
}

#[track_caller]
fn check(session: &mut Session, command: &str, expected: &str) {
    let text = match session.execute(command) {
        Ok(text) => text,
        Err(error) => error.below_prompt("1: kd> ".len()) + "\n",
    };
    assert_eq!(text, expected, "{command} printed\n{text}");
}

#[test]
fn pool_used_sums_up_tags() {
    let mut session = session();
    check(
        &mut session,
        "!poolused",
        "   Sorting by  Tag

  Pool Used:
            NonPaged            Paged
 Tag    Allocs     Used    Allocs     Used
 Devi        1      448         0        0\tUNKNOWN pooltag 'Devi', please update pooltag.txt
 Driv        1      432         0        0\tUNKNOWN pooltag 'Driv', please update pooltag.txt
 Lea1        0        0         2     8240\tUNKNOWN pooltag 'Lea1', please update pooltag.txt
 Lea2        0        0         2     8464\tUNKNOWN pooltag 'Lea2', please update pooltag.txt
 Leak        0        0         1      112\tUNKNOWN pooltag 'Leak', please update pooltag.txt
 MmLd        2      688         0        0\tUNKNOWN pooltag 'MmLd', please update pooltag.txt
 ObNm        3      224         0        0\tUNKNOWN pooltag 'ObNm', please update pooltag.txt
 Obtb        0        0         4     8448\tUNKNOWN pooltag 'Obtb', please update pooltag.txt
 Proc        2     2592         0        0\tUNKNOWN pooltag 'Proc', please update pooltag.txt
 Symb        1      160         0        0\tUNKNOWN pooltag 'Symb', please update pooltag.txt
 Thre        3     3744         0        0\tUNKNOWN pooltag 'Thre', please update pooltag.txt
 TOTAL          13     8288         9    25264
",
    );
    check(
        &mut session,
        "!poolused 1 Lea?",
        "   Sorting by  Tag

  Pool Used:
            NonPaged                              Paged
 Tag    Allocs    Frees     Diff     Used    Allocs    Frees     Diff     Used
 Lea1        0        0        0        0         3        1        2     8240\tUNKNOWN pooltag 'Lea1', please update pooltag.txt
 Lea2        0        0        0        0         2        0        2     8464\tUNKNOWN pooltag 'Lea2', please update pooltag.txt
 Leak        0        0        0        0         1        0        1      112\tUNKNOWN pooltag 'Leak', please update pooltag.txt
 TOTAL           0        0        0        0         6        1        5    16816
",
    );
    check(
        &mut session,
        "!poolused 4 *2",
        "   Sorting by  Paged Pool Consumed

  Pool Used:
            NonPaged            Paged
 Tag    Allocs     Used    Allocs     Used
 Lea2        0        0         2     8464\tUNKNOWN pooltag 'Lea2', please update pooltag.txt
 TOTAL           0        0         2     8464
",
    );
}

#[test]
fn pool_used_sorts_by_what_is_used() {
    let mut session = session();
    for (command, title, tags) in [
        ("!poolused 2 T*", "NonPaged Pool Consumed", vec!["Thre"]),
        (
            "!POOLUSED 2 ????",
            "NonPaged Pool Consumed",
            vec![
                "Thre", "Proc", "MmLd", "Devi", "Driv", "ObNm", "Symb", "Lea1", "Lea2", "Leak",
                "Obtb",
            ],
        ),
        (
            "!poolused 5 *",
            "Paged Pool Consumed",
            vec![
                "Lea2", "Obtb", "Lea1", "Leak", "Devi", "Driv", "MmLd", "ObNm", "Proc", "Symb",
                "Thre",
            ],
        ),
    ] {
        let text = session.execute(command).unwrap();
        let first = format!("   Sorting by  {title}");
        assert_eq!(text.lines().next(), Some(first.as_str()));
        let found: Vec<_> = text.lines().skip(5).map(|line| &line[1..5]).collect();
        // Tags that are used up in both pools are shown with flag 1 only.
        let found: Vec<_> = found.into_iter().filter(|tag| tags.contains(tag)).collect();
        assert_eq!(found, tags, "{command}\n{text}");
    }
}

#[test]
fn pool_shows_a_page_of_blocks() {
    let mut session = session();
    check(
        &mut session,
        "!pool fffff8a0`00000e80",
        "Pool page fffff8a000000e80 region is Paged pool
 fffff8a000000000 size:   80 previous size:    0  (Allocated)  Obtb
 fffff8a000000080 size:  d00 previous size:   80  (Free)       ....
 fffff8a000000d80 size:   70 previous size:  d00  (Allocated)  Leak Process: fffffa80000345c0
 fffff8a000000df0 size:   30 previous size:   70  (Allocated)  Lea1 (Protected)
 fffff8a000000e20 size:   50 previous size:   30  (Free )  Lea.
*fffff8a000000e70 size:  110 previous size:   50  (Allocated) *Lea2
\t\tOwning component : Unknown (update pooltag.txt)
 fffff8a000000f80 size:   80 previous size:  110  (Allocated)  Obtb
",
    );
    check(
        &mut session,
        "!pool fffff8a0`00000080 2",
        "Pool page fffff8a000000080 region is Paged pool
*fffff8a000000080 size:  d00 previous size:   80  (Free)      *....
\t\tOwning component : Unknown (update pooltag.txt)
",
    );
    session
        .write(Va(0xfffff8a0_00000e00), b"what was written is here")
        .unwrap();
    check(
        &mut session,
        "!pool fffff8a000000df0 80000003",
        "*fffff8a000000df0 size:   30 previous size:   70  (Allocated) *Lea1 (Protected)
 fffff8a000000e00  74616877 73617720 69727720 6e657474
    fffff8a000000e10  20736920 65726568 00000000 00000000

",
    );
    let text = session.execute("!pool fffff8a000000df0 1").unwrap();
    assert_eq!(
        text.lines().count(),
        2 + 7 + 7 * 3,
        "contents of each block\n{text}"
    );
}

#[test]
fn pool_shows_large_allocations_and_what_is_none() {
    let mut session = session();
    check(
        &mut session,
        "!pool fffff8a0`00004fff",
        "Pool page fffff8a000004fff region is Paged pool
*fffff8a000003000 : large page allocation, Tag is Lea2, size is 0x2000 bytes
\t\tOwning component : Unknown (update pooltag.txt)
",
    );
    check(
        &mut session,
        "!pool fffff8a000005000 80000000",
        "*fffff8a000005000 : large page allocation, Tag is Lea1, size is 0x2000 bytes\n",
    );
    check(
        &mut session,
        "!pool fffff8a000807234",
        "Pool page fffff8a000807234 region is Paged pool
fffff8a000807000 is not valid pool. Checking for freed (or corrupt) pool
Address fffff8a000807000 could not be read. It may be a freed, invalid or paged out page
",
    );
    check(
        &mut session,
        "!pool nt!PoolHitTag",
        "Pool page fffff800016530fc region is Unknown
fffff80001653000 is not valid pool. Checking for freed (or corrupt) pool
Address fffff80001653000 holds no pool headers
",
    );
}

#[test]
fn pool_find_finds_blocks_and_large_allocations() {
    let mut session = session();
    check(
        &mut session,
        "!poolfind Lea1 1",
        "
Scanning large pool allocation table for Tag: Lea1 (fffffa800001b000 : fffffa8000033000)

*fffff8a000005000 : large page allocation, Tag is Lea1, size is 0x2000 bytes

Searching Paged pool (fffff8a000000000 : fffff8a010000000) for Tag: Lea1

*fffff8a000000df0 size:   30 previous size:   70  (Allocated) Lea1 (Protected)
*fffff8a000000e20 size:   50 previous size:   30  (Free ) Lea.
",
    );
    check(
        &mut session,
        "!poolfind Proc",
        "
Scanning large pool allocation table for Tag: Proc (fffffa800001b000 : fffffa8000033000)

Searching NonPaged pool (fffffa8000000000 : fffffa8010000000) for Tag: Proc

*fffffa8000033000 size:  510 previous size:    0  (Allocated) Proc
*fffffa8000034580 size:  510 previous size:  430  (Allocated) Proc
",
    );
    check(
        &mut session,
        "!poolfind -paged Lea?",
        "
Scanning large pool allocation table for tag 0x3f61654c (Lea?) (fffffa800001b000 : fffffa8000033000)

fffff8a000003000 : tag Lea2, size    0x2000, Paged pool
fffff8a000005000 : tag Lea1, size    0x2000, Paged pool

Searching paged pool (fffff8a000000000 : fffff8a010000000) for tag 0x3f61654c (Lea?)

fffff8a000000d90 : tag Leak, size      0x60, Paged pool
fffff8a000000e00 : tag Lea1, size      0x20, Paged pool
fffff8a000000e80 : tag Lea2, size     0x100, Paged pool
",
    );
    let by_text = session.execute("!poolfind Lea2 1").unwrap();
    assert_eq!(session.execute("!poolfind 0x3261654c 1").unwrap(), by_text);
    assert_eq!(session.execute("!poolfind \"Lea2\" 1").unwrap(), by_text);
    let none = session.execute("!poolfind Lea2").unwrap();
    assert!(none.ends_with("for Tag: Lea2\n\n"), "{none}");
}

#[test]
fn pool_val_names_the_damage() {
    let mut session = session();
    check(
        &mut session,
        "!poolval fffff8a000000e80 1",
        "Pool page fffff8a000000e80 region is Paged pool

Validating Pool headers for pool page: fffff8a000000000

Pool page [ fffff8a000000000 ] is VALID.

[ fffff8a000000000 ]: size [ 0x8 ] previous size [ 0x0 ]
[ fffff8a000000080 ]: size [ 0xd0 ] previous size [ 0x8 ]
[ fffff8a000000d80 ]: size [ 0x7 ] previous size [ 0xd0 ]
[ fffff8a000000df0 ]: size [ 0x3 ] previous size [ 0x7 ]
[ fffff8a000000e20 ]: size [ 0x5 ] previous size [ 0x3 ]
[ fffff8a000000e70 ]: size [ 0x11 ] previous size [ 0x5 ]
[ fffff8a000000f80 ]: size [ 0x8 ] previous size [ 0x11 ]
",
    );
    // One byte too many behind the block of 0x20 bytes: bits 0 and 2 of the next header.
    session
        .write(Va(0xfffff8a0_00000e20), &[0x3 ^ 0x5])
        .unwrap();
    check(
        &mut session,
        "!poolval fffff8a000000000",
        "Pool page fffff8a000000000 region is Paged pool

Validating Pool headers for pool page: fffff8a000000000

Pool page [ fffff8a000000000 ] is INVALID.

Analyzing linked list...
[ fffff8a000000e20 ]: invalid previous size [ 0x6 ] should be [ 0x3 ]


Scanning for single bit errors...

None found
",
    );
    // One bit.
    session
        .write(Va(0xfffff8a0_00000e20), &[0x3 ^ 0x40])
        .unwrap();
    let text = session.execute("!poolval fffff8a000000000").unwrap();
    let end = "Scanning for single bit errors...\n\n[ fffff8a000000e20 ]: bit 6 of the header\n";
    assert!(text.ends_with(end), "{text}");
    // A whole header: the blocks behind it are found again.
    session.write(Va(0xfffff8a0_00000e20), &[0x41; 16]).unwrap();
    let text = session.execute("!poolval fffff8a000000000").unwrap();
    let line = "[ fffff8a000000e20 ]: invalid size [ 0x41 ] should be [ 0x1 ] to [ 0x1e ]; \
                blocks go on at [ fffff8a000000e70 ]\n";
    assert!(text.contains(line), "{text}");
    check(
        &mut session,
        "!pool fffff8a000000e80",
        "Pool page fffff8a000000e80 region is Paged pool
 fffff8a000000000 size:   80 previous size:    0  (Allocated)  Obtb
 fffff8a000000080 size:  d00 previous size:   80  (Free)       ....
 fffff8a000000d80 size:   70 previous size:  d00  (Allocated)  Leak Process: fffffa80000345c0
 fffff8a000000df0 size:   30 previous size:   70  (Allocated)  Lea1 (Protected)
fffff8a000000e20 doesn't look like a valid small pool allocation, checking to see
if the entire page is actually part of a large page allocation...
[ fffff8a000000e20 ]: invalid previous size [ 0x41 ] should be [ 0x3 ]
[ fffff8a000000e20 ]: invalid size [ 0x41 ] should be [ 0x1 ] to [ 0x1e ]; blocks go on at [ fffff8a000000e70 ]
*fffff8a000000e70 size:  110 previous size:   50  (Allocated) *Lea2
\t\tOwning component : Unknown (update pooltag.txt)
 fffff8a000000f80 size:   80 previous size:  110  (Allocated)  Obtb
The page is corrupt: !poolval fffff8a000000000 says more
",
    );
    check(
        &mut session,
        "!pool fffff8a000000e80 80000002",
        "*fffff8a000000e70 size:  110 previous size:   50  (Allocated) *Lea2
The page is corrupt: !poolval fffff8a000000000 says more
",
    );
    let found = session.execute("!poolfind Lea2 1").unwrap();
    assert!(found.contains("\n*fffff8a000000e70 size:  110"), "{found}");
}

#[test]
fn pool_val_checks_free_links_and_pages_that_are_none() {
    let mut session = session();
    // A use after free: the free block's forward link is overwritten.
    session
        .write(
            Va(0xfffff8a0_00000090),
            &0xfffff8a0_00000ea0_u64.to_le_bytes(),
        )
        .unwrap();
    let text = session.execute("!poolval fffff8a000000000").unwrap();
    let line = "[ fffff8a000000080 ]: free list links [ fffff8a000000ea0 ] [ ";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("is INVALID."), "{text}");
    check(
        &mut session,
        "!poolval fffff8a000004000",
        "Pool page fffff8a000004000 region is Paged pool
*fffff8a000003000 : large page allocation, Tag is Lea2, size is 0x2000 bytes
",
    );
    check(
        &mut session,
        "!poolval 1234",
        "Pool page 0000000000001234 region is Unknown

Validating Pool headers for pool page: 0000000000001000

Pool page [ 0000000000001000 ] is INVALID.

Address 0000000000001000 could not be read. It may be a freed, invalid or paged out page
",
    );
}

#[test]
fn arguments_that_are_none_are_refused() {
    let mut session = session();
    for (command, expected) in [
        (
            "!poolused 6",
            "                 ^ Range error in '!poolused 6'\n",
        ),
        (
            "!poolused 8",
            "                 ^ Range error in '!poolused 8'\n",
        ),
        (
            "!poolused 0 Lea",
            "                     ^ Syntax error in '!poolused 0 Lea'\n",
        ),
        (
            "!poolused 0 Lea2 x",
            "                        ^ Extra character error in '!poolused 0 Lea2 x'\n",
        ),
        ("!poolused foo", "Couldn't resolve error at 'foo'\n"),
        ("!pool", "Numeric expression missing from '<EOL>'\n"),
        (
            "!pool 1000 4",
            "                  ^ Range error in '!pool 1000 4'\n",
        ),
        (
            "!poolval 1000 4",
            "                     ^ Range error in '!poolval 1000 4'\n",
        ),
        (
            "!poolfind",
            "               ^ Syntax error in '!poolfind'\n",
        ),
        (
            "!poolfind Leak2",
            "                     ^ Syntax error in '!poolfind Leak2'\n",
        ),
        (
            "!poolfind Lea2 2",
            "                      ^ Range error in '!poolfind Lea2 2'\n",
        ),
        (
            "!poolfind Lea2 1 1",
            "                        ^ Extra character error in '!poolfind Lea2 1 1'\n",
        ),
        (
            "!poolfind -session Lea2",
            "                        ^ Syntax error in '!poolfind -session Lea2'\n",
        ),
        (
            "!poolfind -tag",
            "                    ^ Syntax error in '!poolfind -tag'\n",
        ),
        ("!pooltag Lea2", "No export pooltag found\n"),
        ("!", "       ^ Syntax error in '!'\n"),
    ] {
        check(&mut session, command, expected);
    }
}

/// At `DISPATCH_LEVEL` paged pool is gone, and the commands say so.
#[test]
fn paged_pool_is_gone_at_raised_irql() {
    let mut lab = Lab::builder().build().unwrap();
    allocate(&mut lab, "KfRaiseIrql", &[2]);
    let mut session = Session::new(lab);
    let text = session.execute("!pool fffff8a000000000").unwrap();
    assert!(
        text.contains("It may be a freed, invalid or paged out page"),
        "{text}"
    );
    let text = session.execute("!poolfind * 1").unwrap();
    assert!(text.ends_with("for Tag: *   \n\n"), "{text}");
}
