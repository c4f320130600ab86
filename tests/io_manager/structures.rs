//! The I/O manager's structures are in the kernel's PDB: layouts of wdm.h and of `dt` on Windows 7 x64.

use poolhit::{Lab, Session};

const LAYOUTS: &[(&str, &[&str])] = &[
    (
        "_IRP",
        &[
            "+0x008 MdlAddress       : Ptr64 _MDL",
            "+0x041 PendingReturned  : UChar",
            "+0x044 Cancel           : UChar",
            "+0x078 Tail             : <unnamed-tag>",
        ],
    ),
    (
        "_IO_STACK_LOCATION",
        &[
            "+0x003 Control          : UChar",
            "+0x028 DeviceObject     : Ptr64 _DEVICE_OBJECT",
        ],
    ),
    (
        "_DEVICE_OBJECT",
        &[
            "+0x018 AttachedDevice   : Ptr64 _DEVICE_OBJECT",
            "+0x0a0 DeviceQueue      : _KDEVICE_QUEUE",
            "+0x0c8 Dpc              : _KDPC",
            "+0x138 DeviceObjectExtension : Ptr64 _DEVOBJ_EXTENSION",
        ],
    ),
    (
        "_DEVOBJ_EXTENSION",
        &["+0x030 AttachedTo       : Ptr64 _DEVICE_OBJECT"],
    ),
    (
        "_DRIVER_OBJECT",
        &[
            "+0x030 DriverExtension  : Ptr64 _DRIVER_EXTENSION",
            "+0x050 FastIoDispatch   : Ptr64 _FAST_IO_DISPATCH",
            "+0x070 MajorFunction    : [28] Ptr64     long ",
        ],
    ),
    (
        "_DRIVER_EXTENSION",
        &["+0x018 ServiceKeyName   : _UNICODE_STRING"],
    ),
    (
        "_MDL",
        &[
            "+0x00a MdlFlags         : Int2B",
            "+0x018 MappedSystemVa   : Ptr64 Void",
            "+0x02c ByteOffset       : Uint4B",
        ],
    ),
    (
        "_KAPC",
        &[
            "+0x010 ApcListEntry     : _LIST_ENTRY",
            "+0x052 Inserted         : UChar",
        ],
    ),
    (
        "_FILE_OBJECT",
        &[
            "+0x050 Flags            : Uint4B",
            "+0x058 FileName         : _UNICODE_STRING",
        ],
    ),
    (
        "_DEVICE_CAPABILITIES",
        &["+0x010 DeviceState      : [7] _DEVICE_POWER_STATE"],
    ),
];

#[test]
fn the_pdb_has_them() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    for (name, lines) in LAYOUTS {
        let text = session.execute(&format!("dt nt!{name}")).unwrap();
        for line in *lines {
            assert!(
                text.lines().any(|has| has.trim() == line.trim()),
                "{name}: {line}\n{text}"
            );
        }
    }
}
