//! What a request asks for: major and minor function codes (wdm.h).

/// The I/O manager's major functions, by number (wdm.h).
pub const MAJOR_FUNCTIONS: [&str; 28] = [
    "IRP_MJ_CREATE",
    "IRP_MJ_CREATE_NAMED_PIPE",
    "IRP_MJ_CLOSE",
    "IRP_MJ_READ",
    "IRP_MJ_WRITE",
    "IRP_MJ_QUERY_INFORMATION",
    "IRP_MJ_SET_INFORMATION",
    "IRP_MJ_QUERY_EA",
    "IRP_MJ_SET_EA",
    "IRP_MJ_FLUSH_BUFFERS",
    "IRP_MJ_QUERY_VOLUME_INFORMATION",
    "IRP_MJ_SET_VOLUME_INFORMATION",
    "IRP_MJ_DIRECTORY_CONTROL",
    "IRP_MJ_FILE_SYSTEM_CONTROL",
    "IRP_MJ_DEVICE_CONTROL",
    "IRP_MJ_INTERNAL_DEVICE_CONTROL",
    "IRP_MJ_SHUTDOWN",
    "IRP_MJ_LOCK_CONTROL",
    "IRP_MJ_CLEANUP",
    "IRP_MJ_CREATE_MAILSLOT",
    "IRP_MJ_QUERY_SECURITY",
    "IRP_MJ_SET_SECURITY",
    "IRP_MJ_POWER",
    "IRP_MJ_SYSTEM_CONTROL",
    "IRP_MJ_DEVICE_CHANGE",
    "IRP_MJ_QUERY_QUOTA",
    "IRP_MJ_SET_QUOTA",
    "IRP_MJ_PNP",
];
/// The minor functions of `IRP_MJ_PNP` and `IRP_MJ_POWER`; empty where a number means nothing.
const PNP: [&str; 25] = [
    "IRP_MN_START_DEVICE",
    "IRP_MN_QUERY_REMOVE_DEVICE",
    "IRP_MN_REMOVE_DEVICE",
    "IRP_MN_CANCEL_REMOVE_DEVICE",
    "IRP_MN_STOP_DEVICE",
    "IRP_MN_QUERY_STOP_DEVICE",
    "IRP_MN_CANCEL_STOP_DEVICE",
    "IRP_MN_QUERY_DEVICE_RELATIONS",
    "IRP_MN_QUERY_INTERFACE",
    "IRP_MN_QUERY_CAPABILITIES",
    "IRP_MN_QUERY_RESOURCES",
    "IRP_MN_QUERY_RESOURCE_REQUIREMENTS",
    "IRP_MN_QUERY_DEVICE_TEXT",
    "IRP_MN_FILTER_RESOURCE_REQUIREMENTS",
    "",
    "IRP_MN_READ_CONFIG",
    "IRP_MN_WRITE_CONFIG",
    "IRP_MN_EJECT",
    "IRP_MN_SET_LOCK",
    "IRP_MN_QUERY_ID",
    "IRP_MN_QUERY_PNP_DEVICE_STATE",
    "IRP_MN_QUERY_BUS_INFORMATION",
    "IRP_MN_DEVICE_USAGE_NOTIFICATION",
    "IRP_MN_SURPRISE_REMOVAL",
    "IRP_MN_QUERY_LEGACY_BUS_INFORMATION",
];
const POWER: [&str; 4] = [
    "IRP_MN_WAIT_WAKE",
    "IRP_MN_POWER_SEQUENCE",
    "IRP_MN_SET_POWER",
    "IRP_MN_QUERY_POWER",
];
/// `IRP_MJ_POWER`, `IRP_MJ_PNP`.
const MAJOR_POWER: u8 = 0x16;
const MAJOR_PNP: u8 = 0x1b;

/// A major function's name; `None` for a number that is none.
///
/// ```
/// use poolhit::guest::objects::major_function_name;
/// assert_eq!(major_function_name(3), Some("IRP_MJ_READ"));
/// assert_eq!(major_function_name(0x1c), None);
/// ```
pub fn major_function_name(major: u8) -> Option<&'static str> {
    MAJOR_FUNCTIONS.get(usize::from(major)).copied()
}

/// The name of a minor function of a major one's; `None` for a number that is none, and for major
/// functions other than those of Plug and Play and of power.
///
/// ```
/// use poolhit::guest::objects::minor_function_name;
/// assert_eq!(minor_function_name(0x1b, 2), Some("IRP_MN_REMOVE_DEVICE"));
/// assert_eq!(minor_function_name(3, 0), None);
/// ```
pub fn minor_function_name(major: u8, minor: u8) -> Option<&'static str> {
    let names: &[&str] = match major {
        MAJOR_POWER => &POWER,
        MAJOR_PNP => &PNP,
        _ => &[],
    };
    let name = names.get(usize::from(minor)).copied();
    name.filter(|name| !name.is_empty())
}
