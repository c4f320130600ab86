//! Structures inside others, pointers, strings, lists.

use super::*;

/// From a bug check's analysis: `dt nt!_LIST_ENTRY ffffc48068d7d000`, of memory that is gone.
#[test]
fn unreadable_memory() {
    let mut types = TypeBuilder::new();
    let list = types.forward_structure("_LIST_ENTRY");
    let link = types.pointer(list);
    let members = types
        .field_list()
        .member("Flink", link, 0)
        .member("Blink", link, 8)
        .finish();
    types.structure("_LIST_ENTRY", members, 16);
    check(
        &session(),
        &table(&types),
        "_LIST_ENTRY",
        Some(Va(0xffffc48068d7d000)),
        &options(),
        "   +0x000 Flink            : ???? 
   +0x008 Blink            : ???? 
Memory read error ffffc48068d7d008
",
    );
}

/// `dt nt!_PEB CriticalSectionTimeout. 7ffdf000` of the debugger's manual ("dt (Display Type)"),
/// with the numbers in the form that later debuggers give them in published listings of `dt -r`.
#[test]
fn members_of_a_member() {
    let mut types = TypeBuilder::new();
    let inner = types
        .field_list()
        .member("LowPart", ULONG, 0)
        .member("HighPart", LONG, 4)
        .finish();
    let inner = types.structure("_LARGE_INTEGER::<unnamed-tag>", inner, 8);
    let members = types
        .field_list()
        .member("LowPart", ULONG, 0)
        .member("HighPart", LONG, 4)
        .member("u", inner, 0)
        .member("QuadPart", INT64, 0)
        .finish();
    let large = types.union("_LARGE_INTEGER", members, 8);
    let members = types
        .field_list()
        .member("CriticalSectionTimeout", large, 0x70)
        .finish();
    types.structure("_PEB", members, 0x200);
    let table = table(&types);
    let mut session = session();
    let at = scratch(&mut session);
    let value = 0xffffe86d_079b8000u64.to_le_bytes();
    session.write(at.wrapping_add(0x70), &value).unwrap();
    check(
        &session,
        &table,
        "_PEB",
        Some(at),
        &fields(&["CriticalSectionTimeout."]),
        "   +0x070 CriticalSectionTimeout  :  0xffffe86d`079b8000
      +0x000 LowPart                 : 0x79b8000
      +0x004 HighPart                : 0n-6035
      +0x000 u                       : <unnamed-tag>
      +0x000 QuadPart                : 0n-25920000000000
",
    );
    check(
        &session,
        &table,
        "_PEB",
        Some(at),
        &ListingOptions {
            depth: 2,
            ..options()
        },
        "   +0x070 CriticalSectionTimeout : _LARGE_INTEGER 0xffffe86d`079b8000
      +0x000 LowPart          : 0x79b8000
      +0x004 HighPart         : 0n-6035
      +0x000 u                : <unnamed-tag>
         +0x000 LowPart          : 0x79b8000
         +0x004 HighPart         : 0n-6035
      +0x000 QuadPart         : 0n-25920000000000
",
    );
    check(
        &session,
        &table,
        "_PEB",
        Some(at),
        &fields(&["criticalsectiontimeout"]),
        "   +0x070 CriticalSectionTimeout : _LARGE_INTEGER 0xffffe86d`079b8000\n",
    );
    check(
        &session,
        &table,
        "_PEB",
        Some(at),
        &fields(&["Ldr"]),
        "Cannot find specified field members.\n",
    );
}

/// `dt nt!_DRIVER_OBJECT` of Windows x64, published many times; its value for a driver without
/// symbols (`long  +0`) is of a write-up of a driver on Windows 7, the one with a symbol of a bug
/// check's analysis. `-a28 MajorFunction` is of notes on a filter driver.
#[test]
fn driver_objects() {
    let mut types = TypeBuilder::new();
    let device = types.forward_structure("_DEVICE_OBJECT");
    let device = types.pointer(device);
    let (long, void) = (types.function(LONG), types.function(3));
    let (long, void) = (types.pointer(long), types.pointer(void));
    let wide = types.pointer(WCHAR);
    let members = types
        .field_list()
        .member("Length", USHORT, 0)
        .member("MaximumLength", USHORT, 2)
        .member("Buffer", wide, 8)
        .finish();
    let string = types.structure("_UNICODE_STRING", members, 16);
    let string_pointer = types.pointer(string);
    let functions = types.array(long, 28 * 8);
    let members = types
        .field_list()
        .member("Type", SHORT, 0)
        .member("Size", SHORT, 2)
        .member("DeviceObject", device, 8)
        .member("Flags", ULONG, 0x10)
        .member("DriverStart", VOID_POINTER, 0x18)
        .member("DriverSize", ULONG, 0x20)
        .member("DriverName", string, 0x38)
        .member("HardwareDatabase", string_pointer, 0x48)
        .member("DriverInit", long, 0x58)
        .member("DriverStartIo", void, 0x60)
        .member("DriverUnload", void, 0x68)
        .member("MajorFunction", functions, 0x70)
        .finish();
    types.structure("_DRIVER_OBJECT", members, 0x150);
    let table = table(&types);
    let mut session = session();
    check(
        &session,
        &table,
        "_DRIVER_OBJECT",
        None,
        &options(),
        "   +0x000 Type             : Int2B
   +0x002 Size             : Int2B
   +0x008 DeviceObject     : Ptr64 _DEVICE_OBJECT
   +0x010 Flags            : Uint4B
   +0x018 DriverStart      : Ptr64 Void
   +0x020 DriverSize       : Uint4B
   +0x038 DriverName       : _UNICODE_STRING
   +0x048 HardwareDatabase : Ptr64 _UNICODE_STRING
   +0x058 DriverInit       : Ptr64     long 
   +0x060 DriverStartIo    : Ptr64     void 
   +0x068 DriverUnload     : Ptr64     void 
   +0x070 MajorFunction    : [28] Ptr64     long 
",
    );
    let at = scratch(&mut session);
    let bug_check = session.resolve("nt!KeBugCheckEx").unwrap();
    let driver = session.resolve("myfault").unwrap();
    let text = at.wrapping_add(0x200);
    let name: Vec<u8> = r"\Driver\cfs"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    session.write(text, &name).unwrap();
    let mut put = |offset: u64, value: u64| {
        let at = at.wrapping_add(offset);
        session.write(at, &value.to_le_bytes()).unwrap();
    };
    put(0, 0x0150_0004);
    put(0x10, 0x12);
    put(0x18, driver.0);
    put(0x20, 0xc00);
    put(0x38, 0x18_0016);
    put(0x40, text.0);
    put(0x48, at.0 + 0x38);
    put(0x58, driver.0 + 0x163c);
    put(0x70, bug_check.0);
    put(0x78, bug_check.0 + 4);
    let expected = format!(
        "   +0x000 Type             : 0n4
   +0x002 Size             : 0n336
   +0x008 DeviceObject     : (null) 
   +0x010 Flags            : 0x12
   +0x018 DriverStart      : 0x{driver} Void
   +0x020 DriverSize       : 0xc00
   +0x038 DriverName       : _UNICODE_STRING \"\\Driver\\cfs\"
   +0x048 HardwareDatabase : 0x{} _UNICODE_STRING \"\\Driver\\cfs\"
   +0x058 DriverInit       : 0x{}     long  +0
   +0x060 DriverStartIo    : (null) 
   +0x068 DriverUnload     : (null) 
   +0x070 MajorFunction    : [28] 0x{bug_check}     long  nt!KeBugCheckEx+0
",
        at.wrapping_add(0x38),
        driver.wrapping_add(0x163c),
    );
    check(
        &session,
        &table,
        "_DRIVER_OBJECT",
        Some(at),
        &options(),
        &expected,
    );
    let elements = ListingOptions {
        elements: Some(3),
        ..fields(&["MajorFunction"])
    };
    let expected = format!(
        "   +0x070 MajorFunction : 
    [00] 0x{bug_check}     long  nt!KeBugCheckEx+0
    [01] 0x{}     long  nt!KeBugCheckEx+4
    [02] (null) 
",
        bug_check.wrapping_add(4)
    );
    check(
        &session,
        &table,
        "_DRIVER_OBJECT",
        Some(at),
        &elements,
        &expected,
    );
    // "dt nt!_UNICODE_STRING" of kernel debugging notes: the text first, then beside the buffer.
    let expected = format!(
        " \"\\Driver\\cfs\"
   +0x000 Length           : 0x16
   +0x002 MaximumLength    : 0x18
   +0x008 Buffer           : 0x{text}  \"\\Driver\\cfs\"
"
    );
    let string = at.wrapping_add(0x38);
    check(
        &session,
        &table,
        "_UNICODE_STRING",
        Some(string),
        &options(),
        &expected,
    );
    // A user-mode session with a wild pointer: "--- memory read error at address … ---".
    session
        .write(at.wrapping_add(0x40), &0x220_a56956e0u64.to_le_bytes())
        .unwrap();
    check(
        &session,
        &table,
        "_DRIVER_OBJECT",
        Some(at),
        &fields(&["DriverName"]),
        "   +0x038 DriverName : _UNICODE_STRING \"--- memory read error at address \
         0x00000220`a56956e0 ---\"\n",
    );
}

/// Pointers to pointers: `PendingFrees : 0x882f3008  -> 0x8812d840 Void` of a published
/// `_POOL_DESCRIPTOR`, and `ReadOnlyStaticServerData : …  -> (null) ` of a `_PEB`. Lists: the
/// second link in its short form is of debuggers of Windows 7's time (`SessionProcessLinks`).
#[test]
fn pointers_and_lists() {
    let mut types = TypeBuilder::new();
    let pointer = types.pointer(VOID_POINTER);
    let list = types.forward_structure("_LIST_ENTRY");
    let link = types.pointer(list);
    let members = types
        .field_list()
        .member("Flink", link, 0)
        .member("Blink", link, 8)
        .finish();
    let list = types.structure("_LIST_ENTRY", members, 16);
    let lists = types.array(list, 256 * 16);
    let members = types
        .field_list()
        .member("PendingFrees", pointer, 0)
        .member("Nothing", pointer, 8)
        .member("SessionProcessLinks", list, 16)
        .member("ListHeads", lists, 32)
        .finish();
    types.structure("_X", members, 32 + 256 * 16);
    let table = table(&types);
    let mut session = session();
    let at = scratch(&mut session);
    let mut put = |offset: u64, value: u64| {
        let at = at.wrapping_add(offset);
        session.write(at, &value.to_le_bytes()).unwrap();
    };
    put(0, at.0 + 0x800);
    put(8, at.0 + 0x808);
    put(0x800, 0xfffffa80_12345678);
    put(32, at.0 + 32);
    put(40, at.0 + 32);
    let (first, second, head) = (
        at.wrapping_add(0x800),
        at.wrapping_add(0x808),
        at.wrapping_add(32),
    );
    let expected = format!(
        "   +0x000 PendingFrees     : 0x{first}  -> 0xfffffa80`12345678 Void
   +0x008 Nothing          : 0x{second}  -> (null) 
   +0x010 SessionProcessLinks : _LIST_ENTRY [ 0x00000000`00000000 - 0x0 ]
   +0x020 ListHeads        : [256] _LIST_ENTRY [ 0x{head} - 0x{head} ]
"
    );
    check(&session, &table, "_X", Some(at), &options(), &expected);
    // `dt nt!_LIST_ENTRY 0xfffffa80`1a332b98` of notes on "Practical Reverse Engineering"
    let expected = format!(
        " [ 0x{head} - 0x{head} ]
   +0x000 Flink            : 0x{head} _LIST_ENTRY [ 0x{head} - 0x{head} ]
   +0x008 Blink            : 0x{head} _LIST_ENTRY [ 0x{head} - 0x{head} ]
"
    );
    check(
        &session,
        &table,
        "_LIST_ENTRY",
        Some(head),
        &options(),
        &expected,
    );
    // `dt -b`: pointers by themselves, as in a published `dt -b nt!_IRP`.
    let blocks = ListingOptions {
        blocks: true,
        depth: 8,
        ..fields(&["SessionProcessLinks"])
    };
    check(
        &session,
        &table,
        "_X",
        Some(at),
        &blocks,
        "   +0x010 SessionProcessLinks : _LIST_ENTRY [ 0x00000000`00000000 - 0x0 ]
      +0x000 Flink               : (null) 
      +0x008 Blink               : (null) 
",
    );
}

/// `dt nt!_PEB_LDR_DATA` on Windows 7 SP1 (`TcpKali.exe`, notes on shellcode), at an address where there is none: its
/// words are those that `dps` shows there.
#[test]
fn loader_data_of_windows_7() {
    let mut types = TypeBuilder::new();
    let forward = types.forward_structure("_LIST_ENTRY");
    let link = types.pointer(forward);
    let members = types
        .field_list()
        .member("Flink", link, 0)
        .member("Blink", link, 8)
        .finish();
    let list = types.structure("_LIST_ENTRY", members, 16);
    let members = types
        .field_list()
        .member("Length", ULONG, 0)
        .member("Initialized", UCHAR, 4)
        .member("SsHandle", VOID_POINTER, 8)
        .member("InLoadOrderModuleList", list, 0x10)
        .member("InMemoryOrderModuleList", list, 0x20)
        .member("InInitializationOrderModuleList", list, 0x30)
        .member("EntryInProgress", VOID_POINTER, 0x40)
        .member("ShutdownInProgress", UCHAR, 0x48)
        .member("ShutdownThreadId", VOID_POINTER, 0x50)
        .finish();
    types.structure("_PEB_LDR_DATA", members, 0x58);
    let table = table(&types);
    let mut session = session();
    let at = scratch(&mut session);
    for (offset, value) in [
        (0, 0x7731d640_u64),
        (8, 0x4822e0),
        (0x18, 0x480000),
        (0x20, 0x77327ae0),
        (0x50, 0x7fe_ff510000),
    ] {
        let at = at.wrapping_add(offset);
        session.write(at, &value.to_le_bytes()).unwrap();
    }
    check(
        &session,
        &table,
        "_PEB_LDR_DATA",
        Some(at),
        &options(),
        "   +0x000 Length           : 0x7731d640
   +0x004 Initialized      : 0 ''
   +0x008 SsHandle         : 0x00000000`004822e0 Void
   +0x010 InLoadOrderModuleList : _LIST_ENTRY [ 0x00000000`00000000 - 0x480000 ]
   +0x020 InMemoryOrderModuleList : _LIST_ENTRY [ 0x00000000`77327ae0 - 0x0 ]
   +0x030 InInitializationOrderModuleList : _LIST_ENTRY [ 0x00000000`00000000 - 0x0 ]
   +0x040 EntryInProgress  : (null) 
   +0x048 ShutdownInProgress : 0 ''
   +0x050 ShutdownThreadId : 0x000007fe`ff510000 Void
",
    );
}
