//! The structures that the pool consists of, in the guest kernel's own PDB. The listings are of
//! Windows 7 x64: `dt nt!_pool_descriptor`, `_pool_header`, `_pool_type`, `_GENERAL_LOOKASIDE_POOL`,
//! `_LIST_ENTRY` and lines of `_KPRCB` stand in notes on "Windows 7 Kernel Pool Internals" (2020, after
//! T. Mandt, 2011), with the members' bits and the padding as older debuggers show them; the trackers'
//! and the lists' layouts in published dumps of that kernel's types; `_UNICODE_STRING` in many.

use super::session;
use poolhit::Session;

#[track_caller]
fn check(session: &mut Session, name: &str, expected: &str) {
    let text = session.execute(&format!("dt nt!{name}")).unwrap();
    assert_eq!(text, expected, "{name}");
}

/// The lines are in the listing, one behind the other.
#[track_caller]
fn check_lines(session: &mut Session, name: &str, lines: &[&str]) {
    let text = session.execute(&format!("dt nt!{name}")).unwrap();
    let mut rest = text.lines();
    for line in lines {
        assert!(
            rest.any(|found| found == *line),
            "{name}: no line {line:?} in its place"
        );
    }
}

#[test]
fn the_pools_own_structures() {
    let mut session = session();
    check(
        &mut session,
        "_POOL_HEADER",
        "   +0x000 PreviousSize     : Pos 0, 8 Bits
   +0x000 PoolIndex        : Pos 8, 8 Bits
   +0x000 BlockSize        : Pos 16, 8 Bits
   +0x000 PoolType         : Pos 24, 8 Bits
   +0x000 Ulong1           : Uint4B
   +0x004 PoolTag          : Uint4B
   +0x008 ProcessBilled    : Ptr64 _EPROCESS
   +0x008 AllocatorBackTraceIndex : Uint2B
   +0x00a PoolTagHash      : Uint2B
",
    );
    check(
        &mut session,
        "_POOL_DESCRIPTOR",
        "   +0x000 PoolType         : _POOL_TYPE
   +0x008 PagedLock        : _KGUARDED_MUTEX
   +0x008 NonPagedLock     : Uint8B
   +0x040 RunningAllocs    : Int4B
   +0x044 RunningDeAllocs  : Int4B
   +0x048 TotalBigPages    : Int4B
   +0x04c ThreadsProcessingDeferrals : Int4B
   +0x050 TotalBytes       : Uint8B
   +0x080 PoolIndex        : Uint4B
   +0x0c0 TotalPages       : Int4B
   +0x100 PendingFrees     : Ptr64 Ptr64 Void
   +0x108 PendingFreeDepth : Int4B
   +0x140 ListHeads        : [256] _LIST_ENTRY
",
    );
    check(
        &mut session,
        "_POOL_TRACKER_TABLE",
        "   +0x000 Key              : Int4B
   +0x004 NonPagedAllocs   : Uint4B
   +0x008 NonPagedFrees    : Uint4B
   +0x010 NonPagedBytes    : Uint8B
   +0x018 PagedAllocs      : Uint4B
   +0x01c PagedFrees       : Uint4B
   +0x020 PagedBytes       : Uint8B
",
    );
    check(
        &mut session,
        "_POOL_TRACKER_BIG_PAGES",
        "   +0x000 Va               : Ptr64 Void
   +0x008 Key              : Uint4B
   +0x00c PoolType         : Uint4B
   +0x010 NumberOfBytes    : Uint8B
",
    );
    check(
        &mut session,
        "_POOL_TYPE",
        "   NonPagedPool = 0n0
   PagedPool = 0n1
   NonPagedPoolMustSucceed = 0n2
   DontUseThisType = 0n3
   NonPagedPoolCacheAligned = 0n4
   PagedPoolCacheAligned = 0n5
   NonPagedPoolCacheAlignedMustS = 0n6
   MaxPoolType = 0n7
   NonPagedPoolSession = 0n32
   PagedPoolSession = 0n33
   NonPagedPoolMustSucceedSession = 0n34
   DontUseThisTypeSession = 0n35
   NonPagedPoolCacheAlignedSession = 0n36
   PagedPoolCacheAlignedSession = 0n37
   NonPagedPoolCacheAlignedMustSSession = 0n38
",
    );
}

#[test]
fn lookaside_lists() {
    let mut session = session();
    for name in ["_GENERAL_LOOKASIDE_POOL", "_GENERAL_LOOKASIDE"] {
        check(
            &mut session,
            name,
            "   +0x000 ListHead         : _SLIST_HEADER
   +0x000 SingleListHead   : _SINGLE_LIST_ENTRY
   +0x010 Depth            : Uint2B
   +0x012 MaximumDepth     : Uint2B
   +0x014 TotalAllocates   : Uint4B
   +0x018 AllocateMisses   : Uint4B
   +0x018 AllocateHits     : Uint4B
   +0x01c TotalFrees       : Uint4B
   +0x020 FreeMisses       : Uint4B
   +0x020 FreeHits         : Uint4B
   +0x024 Type             : _POOL_TYPE
   +0x028 Tag              : Uint4B
   +0x02c Size             : Uint4B
   +0x030 AllocateEx       : Ptr64     void* 
   +0x030 Allocate         : Ptr64     void* 
   +0x038 FreeEx           : Ptr64     void 
   +0x038 Free             : Ptr64     void 
   +0x040 ListEntry        : _LIST_ENTRY
   +0x050 LastTotalAllocates : Uint4B
   +0x054 LastAllocateMisses : Uint4B
   +0x054 LastAllocateHits : Uint4B
   +0x058 Future           : [2] Uint4B
",
        );
    }
    for name in ["_NPAGED_LOOKASIDE_LIST", "_PAGED_LOOKASIDE_LIST"] {
        let list = "   +0x000 L                : _GENERAL_LOOKASIDE\n";
        check(&mut session, name, list);
    }
    check(
        &mut session,
        "_SLIST_HEADER",
        "   +0x000 Alignment        : Uint8B
   +0x008 Region           : Uint8B
   +0x000 Header8          : <unnamed-tag>
   +0x000 Header16         : <unnamed-tag>
   +0x000 HeaderX64        : <unnamed-tag>
",
    );
    let text = session.execute("dt -r nt!_SLIST_HEADER").unwrap();
    let last = "   +0x000 HeaderX64        : <unnamed-tag>
      +0x000 Depth            : Pos 0, 16 Bits
      +0x000 Sequence         : Pos 16, 48 Bits
      +0x008 HeaderType       : Pos 0, 1 Bit
      +0x008 Reserved         : Pos 1, 3 Bits
      +0x008 NextEntry        : Pos 4, 60 Bits
";
    assert!(text.ends_with(last), "{text}");
    for name in ["SLIST_ENTRY", "SINGLE_LIST_ENTRY"] {
        let next = format!("   +0x000 Next             : Ptr64 _{name}\n");
        check(&mut session, &format!("_{name}"), &next);
    }
    check(
        &mut session,
        "_LIST_ENTRY",
        "   +0x000 Flink            : Ptr64 _LIST_ENTRY
   +0x008 Blink            : Ptr64 _LIST_ENTRY
",
    );
}

#[test]
fn what_the_pool_finds_through_the_processor() {
    let mut session = session();
    let prcb = [
        "   +0x000 MxCsr            : Uint4B",
        "   +0x008 CurrentThread    : Ptr64 _KTHREAD",
        "   +0x024 Number           : Uint4B",
        "   +0x028 RspBase          : Uint8B",
        "   +0x5f0 CpuType          : Char",
        "   +0x780 PPLookasideList  : [16] _PP_LOOKASIDE_LIST",
        "   +0x880 PPNPagedLookasideList : [32] _GENERAL_LOOKASIDE_POOL",
        "   +0x1480 PPPagedLookasideList : [32] _GENERAL_LOOKASIDE_POOL",
    ];
    check_lines(&mut session, "_KPRCB", &prcb);
    let pcr = [
        "   +0x000 NtTib            : _NT_TIB",
        "   +0x000 GdtBase          : Ptr64 _KGDTENTRY64",
        "   +0x008 TssBase          : Ptr64 _KTSS64",
        "   +0x018 Self             : Ptr64 _KPCR",
        "   +0x020 CurrentPrcb      : Ptr64 _KPRCB",
        "   +0x038 IdtBase          : Ptr64 _KIDTENTRY64",
        "   +0x050 Irql             : UChar",
        "   +0x108 KdVersionBlock   : Ptr64 Void",
        "   +0x180 Prcb             : _KPRCB",
    ];
    check_lines(&mut session, "_KPCR", &pcr);
    let process = [
        "   +0x180 UniqueProcessId  : Ptr64 Void",
        "   +0x188 ActiveProcessLinks : _LIST_ENTRY",
        "   +0x198 ProcessQuotaUsage : [2] Uint8B",
        "   +0x1a8 ProcessQuotaPeak : [2] Uint8B",
        "   +0x1b8 CommitCharge     : Uint8B",
        "   +0x1c0 QuotaBlock       : Ptr64 _EPROCESS_QUOTA_BLOCK",
        "   +0x200 ObjectTable      : Ptr64 _HANDLE_TABLE",
    ];
    check_lines(&mut session, "_EPROCESS", &process);
}

/// Microsoft's compiler calls `ULONG` and `NTSTATUS` long, `WCHAR` wchar_t.
#[test]
fn basic_types() {
    let mut session = session();
    check(
        &mut session,
        "_UNICODE_STRING",
        "   +0x000 Length           : Uint2B
   +0x002 MaximumLength    : Uint2B
   +0x008 Buffer           : Ptr64 Wchar
",
    );
    check_lines(
        &mut session,
        "_DRIVER_OBJECT",
        &["   +0x058 DriverInit       : Ptr64     long "],
    );
}

#[test]
fn the_hit_tag_has_a_type() {
    let mut session = session();
    check(&mut session, "PoolHitTag", "0xffffff0f\n");
    session.execute("ed nt!PoolHitTag 3261654c").unwrap();
    check(&mut session, "PoolHitTag", "0x3261654c\n");
}
