//! The structures that drivers share with the library are in the kernel's PDB. Layouts of wdm.h, ntddk.h and
//! ntifs.h; `dt nt!_SECURITY_DESCRIPTOR` and `dt nt!_RTL_AVL_TABLE` as published for Windows 7 x64.

use poolhit::{Lab, Session};

const LAYOUTS: &[(&str, &[&str])] = &[
    (
        "_STRING",
        &[
            "+0x002 MaximumLength    : Uint2B",
            "+0x008 Buffer           : Ptr64 Char",
        ],
    ),
    (
        "_RTL_BITMAP",
        &[
            "+0x000 SizeOfBitMap     : Uint4B",
            "+0x008 Buffer           : Ptr64 Uint4B",
        ],
    ),
    ("_RTL_BITMAP_RUN", &["+0x004 NumberOfBits     : Uint4B"]),
    (
        "_TIME_FIELDS",
        &[
            "+0x00c Milliseconds     : Int2B",
            "+0x00e Weekday          : Int2B",
        ],
    ),
    (
        "_GUID",
        &[
            "+0x006 Data3            : Uint2B",
            "+0x008 Data4            : [8] UChar",
        ],
    ),
    (
        "_OSVERSIONINFOW",
        &["+0x014 szCSDVersion     : [128] Wchar"],
    ),
    (
        "_OSVERSIONINFOEXW",
        &[
            "+0x114 wServicePackMajor : Uint2B",
            "+0x11a wProductType     : UChar",
        ],
    ),
    (
        "_SID",
        &[
            "+0x002 IdentifierAuthority : _SID_IDENTIFIER_AUTHORITY",
            "+0x008 SubAuthority     : [1] Uint4B",
        ],
    ),
    (
        "_ACL",
        &[
            "+0x002 AclSize          : Uint2B",
            "+0x004 AceCount         : Uint2B",
        ],
    ),
    (
        "_ACCESS_ALLOWED_ACE",
        &[
            "+0x000 Header           : _ACE_HEADER",
            "+0x008 SidStart         : Uint4B",
        ],
    ),
    ("_GENERIC_MAPPING", &["+0x00c GenericAll       : Uint4B"]),
    (
        "_SECURITY_DESCRIPTOR_RELATIVE",
        &[
            "+0x004 Owner            : Uint4B",
            "+0x010 Dacl             : Uint4B",
        ],
    ),
    (
        "_SECURITY_DESCRIPTOR",
        &[
            "+0x000 Revision         : UChar",
            "+0x001 Sbz1             : UChar",
            "+0x002 Control          : Uint2B",
            "+0x008 Owner            : Ptr64 Void",
            "+0x010 Group            : Ptr64 Void",
            "+0x018 Sacl             : Ptr64 _ACL",
            "+0x020 Dacl             : Ptr64 _ACL",
        ],
    ),
    (
        "_RTL_SPLAY_LINKS",
        &["+0x010 RightChild       : Ptr64 _RTL_SPLAY_LINKS"],
    ),
    (
        "_RTL_GENERIC_TABLE",
        &[
            "+0x018 OrderedPointer   : Ptr64 _LIST_ENTRY",
            "+0x040 TableContext     : Ptr64 Void",
        ],
    ),
    (
        "_RTL_BALANCED_LINKS",
        &[
            "+0x018 Balance          : Char",
            "+0x019 Reserved         : [3] UChar",
        ],
    ),
    (
        "_RTL_AVL_TABLE",
        &[
            "+0x000 BalancedRoot     : _RTL_BALANCED_LINKS",
            "+0x020 OrderedPointer   : Ptr64 Void",
            "+0x028 WhichOrderedElement : Uint4B",
            "+0x02c NumberGenericTableElements : Uint4B",
            "+0x030 DepthOfTree      : Uint4B",
            "+0x038 RestartKey       : Ptr64 _RTL_BALANCED_LINKS",
            "+0x040 DeleteCount      : Uint4B",
            "+0x060 TableContext     : Ptr64 Void",
        ],
    ),
    (
        "_TABLE_SEARCH_RESULT",
        &["TableEmptyTree = 0n0", "TableInsertAsRight = 0n3"],
    ),
    (
        "_RTL_GENERIC_COMPARE_RESULTS",
        &["GenericLessThan = 0n0", "GenericEqual = 0n2"],
    ),
];

#[test]
fn in_the_kernels_pdb() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    for (name, lines) in LAYOUTS {
        let text = session.execute(&format!("dt nt!{name}")).unwrap();
        let mut found = text.lines().map(str::trim);
        for line in *lines {
            assert!(
                found.any(|found| found == *line),
                "{name}: no {line:?} in\n{text}"
            );
        }
    }
}
