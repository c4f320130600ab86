//! Numbers, bit fields, characters, enumerations.

use super::*;

/// `_POOL_HEADER` as of Windows 10, with an `_EPROCESS` of its size.
fn pool_header() -> TypeBuilder {
    let mut types = TypeBuilder::new();
    let process = types.counted_structure("_EPROCESS", 0, 0x840, 260);
    let process = types.pointer(process);
    let low = types.bit_field(USHORT, 0, 8);
    let high = types.bit_field(USHORT, 8, 8);
    let members = types
        .field_list()
        .member("PreviousSize", low, 0)
        .member("PoolIndex", high, 0)
        .member("BlockSize", low, 2)
        .member("PoolType", high, 2)
        .member("Ulong1", ULONG, 0)
        .member("PoolTag", ULONG, 4)
        .member("ProcessBilled", process, 8)
        .member("AllocatorBackTraceIndex", USHORT, 8)
        .member("PoolTagHash", USHORT, 10)
        .finish();
    types.counted_structure("_POOL_HEADER", members, 16, 9);
    types
}

/// From a bug check's analysis of a corrupted header (`dt nt!_POOL_HEADER ffffbd06d46e0000`), from
/// an exploit's (`dt nt!_pool_header poi(g_Buffer)+180`) and from notes on memory leaks (`dt -v
/// nt!_POOL_HEADER`, and "Windows Bigpools" for the plain form).
#[test]
fn pool_headers() {
    let mut session = session();
    let table = table(&pool_header());
    check(
        &session,
        &table,
        "_POOL_HEADER",
        None,
        &options(),
        "   +0x000 PreviousSize     : Pos 0, 8 Bits
   +0x000 PoolIndex        : Pos 8, 8 Bits
   +0x002 BlockSize        : Pos 0, 8 Bits
   +0x002 PoolType         : Pos 8, 8 Bits
   +0x000 Ulong1           : Uint4B
   +0x004 PoolTag          : Uint4B
   +0x008 ProcessBilled    : Ptr64 _EPROCESS
   +0x008 AllocatorBackTraceIndex : Uint2B
   +0x00a PoolTagHash      : Uint2B
",
    );
    let verbose = ListingOptions {
        verbose: true,
        ..options()
    };
    check(
        &session,
        &table,
        "_pool_header",
        None,
        &verbose,
        "struct _POOL_HEADER, 9 elements, 0x10 bytes
   +0x000 PreviousSize     : Bitfield Pos 0, 8 Bits
   +0x000 PoolIndex        : Bitfield Pos 8, 8 Bits
   +0x002 BlockSize        : Bitfield Pos 0, 8 Bits
   +0x002 PoolType         : Bitfield Pos 8, 8 Bits
   +0x000 Ulong1           : Uint4B
   +0x004 PoolTag          : Uint4B
   +0x008 ProcessBilled    : Ptr64 to struct _EPROCESS, 260 elements, 0x840 bytes
   +0x008 AllocatorBackTraceIndex : Uint2B
   +0x00a PoolTagHash      : Uint2B
",
    );
    let at = scratch(&mut session);
    session.write(at, &[0x41; 16]).unwrap();
    check(
        &session,
        &table,
        "_POOL_HEADER",
        Some(at),
        &options(),
        "   +0x000 PreviousSize     : 0y01000001 (0x41)
   +0x000 PoolIndex        : 0y01000001 (0x41)
   +0x002 BlockSize        : 0y01000001 (0x41)
   +0x002 PoolType         : 0y01000001 (0x41)
   +0x000 Ulong1           : 0x41414141
   +0x004 PoolTag          : 0x41414141
   +0x008 ProcessBilled    : 0x41414141`41414141 _EPROCESS
   +0x008 AllocatorBackTraceIndex : 0x4141
   +0x00a PoolTagHash      : 0x4141
",
    );
    session
        .write(at, b"\0\0\x19\x03NpAt\0\0\0\0\0\0\0\0")
        .unwrap();
    check(
        &session,
        &table,
        "_POOL_HEADER",
        Some(at),
        &options(),
        "   +0x000 PreviousSize     : 0y00000000 (0)
   +0x000 PoolIndex        : 0y00000000 (0)
   +0x002 BlockSize        : 0y00011001 (0x19)
   +0x002 PoolType         : 0y00000011 (0x3)
   +0x000 Ulong1           : 0x3190000
   +0x004 PoolTag          : 0x7441704e
   +0x008 ProcessBilled    : (null) 
   +0x008 AllocatorBackTraceIndex : 0
   +0x00a PoolTagHash      : 0
",
    );
    // A single field is not filled up: `dt nt!_POOL_HEADER PoolTag (ffff970b5d7e7b20 - 0x60)`,
    // from an introspection engine's source.
    session.write(at, b"\0\0\0\0Dire").unwrap();
    check(
        &session,
        &table,
        "_POOL_HEADER",
        Some(at),
        &fields(&["PoolTag"]),
        "   +0x004 PoolTag : 0x65726944\n",
    );
}

/// Lines of `dt nt!_kprcb fffff800019f9e80` of Windows 7 x64, from the comments of a program that
/// walks the processors' control blocks. `DpcThreadActive` and the state are of one bit and of
/// three; `ExceptionPortState : 0y000` is of a published `_EPROCESS`, and so is the five-bit one.
#[test]
fn numbers_characters_and_arrays() {
    let mut types = TypeBuilder::new();
    let thread = types.structure("_KTHREAD", 0, 0x360);
    let thread = types.pointer(thread);
    let mut array = |element, size| types.array(element, size);
    let padding = array(UCHAR, 3);
    let (affinity, slots) = (array(UINT64, 16), array(SHORT, 4));
    let (pointers, wide) = (array(VOID_POINTER, 24), array(WCHAR, 520));
    let bit = types.bit_field(SHORT, 0, 1);
    let three = types.bit_field(UINT64, 0, 3);
    let five = types.bit_field(UCHAR, 3, 5);
    let quad = types.field_list().member("QuadPart", INT64, 0).finish();
    let large = types.union("_LARGE_INTEGER", quad, 8);
    let members = types
        .field_list()
        .member("MxCsr", ULONG, 0)
        .member("LegacyNumber", UCHAR, 4)
        .member("CurrentThread", thread, 8)
        .member("NextThread", thread, 0x10)
        .member("PrcbPad00", padding, 0x21)
        .member("RspBase", UINT64, 0x28)
        .member("HalReserved", affinity, 0x30)
        .member("CpuType", CHAR, 0x40)
        .member("CpuStepping", UCHAR, 0x41)
        .member("CpuModel", UCHAR, 0x42)
        .member("Unused1", pointers, 0x48)
        .member("MmPageFaultCount", LONG, 0x60)
        .member("PacketBarrier", LONG, 0x64)
        .member("IoReadTransferCount", large, 0x68)
        .member("StartCycles", UINT64, 0x70)
        .member("DpcRequestSlot", slots, 0x78)
        .member("DpcThreadActive", bit, 0x7c)
        .member("ClockPollCycle", UCHAR, 0x7e)
        .member("MinimumDpcRate", ULONG, 0x80)
        .member("DpcStack", VOID_POINTER, 0x88)
        .member("ExceptionPortState", three, 0x90)
        .member("SameThreadTransientFlagsReserved", five, 0x98)
        .member("Reserved", CHAR, 0x99)
        .member("NtSystemRoot", wide, 0x100)
        .member("UserTime", ULONG, 0x1480)
        .finish();
    types.structure("_KPRCB", members, 0x4d00);
    let mut session = session();
    let at = scratch(&mut session);
    let values: [(u64, &[u8]); 16] = [
        (0, &0x1f80u32.to_le_bytes()),
        (8, &0xfffffa80_18df6680u64.to_le_bytes()),
        (0x28, &0xfffff880_0231dc70u64.to_le_bytes()),
        (0x40, &[6, 9, 0x3a]),
        (0x60, &152_708u32.to_le_bytes()),
        (0x68, &0x51033c0u64.to_le_bytes()),
        (0x70, &0x96_d20559b7u64.to_le_bytes()),
        (0x7e, b"S"),
        (0x80, &[3]),
        (0x88, &0xfffff800_01760fb0u64.to_le_bytes()),
        (0x99, b"w"),
        (0x100, b"C\0:\0\\\0W\0i\0n\0"),
        (0x10c, b"d\0o\0w\0s\0\0\0x\0"),
        (0x64, &[0]),
        (0x78, &[0; 4]),
        (0x98, &[7]),
    ];
    for (offset, bytes) in values {
        session.write(at.wrapping_add(offset), bytes).unwrap();
    }
    check(
        &session,
        &table(&types),
        "_KPRCB",
        Some(at),
        &options(),
        "   +0x000 MxCsr            : 0x1f80
   +0x004 LegacyNumber     : 0 ''
   +0x008 CurrentThread    : 0xfffffa80`18df6680 _KTHREAD
   +0x010 NextThread       : (null) 
   +0x021 PrcbPad00        : [3]  \"\"
   +0x028 RspBase          : 0xfffff880`0231dc70
   +0x030 HalReserved      : [2] 0
   +0x040 CpuType          : 6 ''
   +0x041 CpuStepping      : 0x9 ''
   +0x042 CpuModel         : 0x3a ':'
   +0x048 Unused1          : [3] (null) 
   +0x060 MmPageFaultCount : 0n152708
   +0x064 PacketBarrier    : 0n0
   +0x068 IoReadTransferCount : _LARGE_INTEGER 0x51033c0
   +0x070 StartCycles      : 0x00000096`d20559b7
   +0x078 DpcRequestSlot   : [2] 0n0
   +0x07c DpcThreadActive  : 0y0
   +0x07e ClockPollCycle   : 0x53 'S'
   +0x080 MinimumDpcRate   : 3
   +0x088 DpcStack         : 0xfffff800`01760fb0 Void
   +0x090 ExceptionPortState : 0y000
   +0x098 SameThreadTransientFlagsReserved : 0y00000 (0)
   +0x099 Reserved         : 119 'w'
   +0x100 NtSystemRoot     : [260]  \"C:\\Windows\"
   +0x1480 UserTime         : 0
",
    );
}

/// Enumerations: `TypeInfo.PoolType` of published object types (`200 ( NonPagedPoolNx )`), a
/// filter's flags (`0 (No matching name)`), a client's settings (`0xffffffff (No matching name)`),
/// and `dt _POOL_TYPE` of notes on exploiting pools.
#[test]
fn enumerations() {
    let mut types = TypeBuilder::new();
    let names = types
        .field_list()
        .enumerator("NonPagedPool", 0)
        .enumerator("PagedPool", 1)
        .enumerator("NonPagedPoolNx", 512)
        .finish();
    let pool = types.enumeration("_POOL_TYPE", LONG, names);
    let names = types.field_list().enumerator("One", 1).finish();
    let flags = types.enumeration("_FLAGS", ULONG, names);
    let members = types
        .field_list()
        .member("PoolType", pool, 0)
        .member("Flags", flags, 4)
        .member("ssl_type", flags, 8)
        .finish();
    types.structure("_X", members, 12);
    let table = table(&types);
    let mut session = session();
    let at = scratch(&mut session);
    session
        .write(at, b"\0\x02\0\0\0\0\0\0\xff\xff\xff\xff")
        .unwrap();
    check(
        &session,
        &table,
        "_X",
        Some(at),
        &options(),
        "   +0x000 PoolType         : 200 ( NonPagedPoolNx )
   +0x004 Flags            : 0 (No matching name)
   +0x008 ssl_type         : 0xffffffff (No matching name)
",
    );
    check(
        &session,
        &table,
        "_POOL_TYPE",
        None,
        &options(),
        "   NonPagedPool = 0n0\n   PagedPool = 0n1\n   NonPagedPoolNx = 0n512\n",
    );
    check(
        &session,
        &table,
        "_POOL_TYPE",
        Some(at),
        &options(),
        "200 ( NonPagedPoolNx )\n",
    );
}
