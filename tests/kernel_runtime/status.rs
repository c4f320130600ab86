//! `RtlNtStatusToDosError`: pairs of Microsoft's article "Mapping NT Status Error Codes to Win32 Error
//! Codes"; "returns ERROR_MR_MID_NOT_FOUND when the specified NTSTATUS code does not have a corresponding
//! system error code" (ntifs.h).

use crate::guest::*;

/// Status, and the error's number in winerror.h.
const PAIRS: &[(u32, u32)] = &[
    (0, 0),
    (0x103, 997),        // PENDING: IO_PENDING
    (0x8000_0005, 234),  // BUFFER_OVERFLOW: MORE_DATA
    (0x8000_0006, 18),   // NO_MORE_FILES
    (0x8000_001a, 259),  // NO_MORE_ENTRIES: NO_MORE_ITEMS
    (0xc000_0001, 31),   // UNSUCCESSFUL: GEN_FAILURE
    (0xc000_0002, 1),    // NOT_IMPLEMENTED: INVALID_FUNCTION
    (0xc000_0004, 24),   // INFO_LENGTH_MISMATCH: BAD_LENGTH
    (0xc000_0005, 998),  // ACCESS_VIOLATION: NOACCESS
    (0xc000_0008, 6),    // INVALID_HANDLE
    (0xc000_000d, 87),   // INVALID_PARAMETER
    (0xc000_000f, 2),    // NO_SUCH_FILE: FILE_NOT_FOUND
    (0xc000_0010, 1),    // INVALID_DEVICE_REQUEST: INVALID_FUNCTION
    (0xc000_0011, 38),   // END_OF_FILE: HANDLE_EOF
    (0xc000_0017, 8),    // NO_MEMORY: NOT_ENOUGH_MEMORY
    (0xc000_0022, 5),    // ACCESS_DENIED
    (0xc000_0023, 122),  // BUFFER_TOO_SMALL: INSUFFICIENT_BUFFER
    (0xc000_0033, 123),  // OBJECT_NAME_INVALID: INVALID_NAME
    (0xc000_0034, 2),    // OBJECT_NAME_NOT_FOUND: FILE_NOT_FOUND
    (0xc000_0035, 183),  // OBJECT_NAME_COLLISION: ALREADY_EXISTS
    (0xc000_003a, 3),    // OBJECT_PATH_NOT_FOUND: PATH_NOT_FOUND
    (0xc000_0043, 32),   // SHARING_VIOLATION
    (0xc000_0056, 5),    // DELETE_PENDING: ACCESS_DENIED
    (0xc000_0061, 1314), // PRIVILEGE_NOT_HELD
    (0xc000_0078, 1337), // INVALID_SID
    (0xc000_007b, 193),  // INVALID_IMAGE_FORMAT: BAD_EXE_FORMAT
    (0xc000_007f, 112),  // DISK_FULL
    (0xc000_009a, 1450), // INSUFFICIENT_RESOURCES: NO_SYSTEM_RESOURCES
    (0xc000_00a3, 21),   // DEVICE_NOT_READY: NOT_READY
    (0xc000_00b5, 121),  // IO_TIMEOUT: SEM_TIMEOUT
    (0xc000_00bb, 50),   // NOT_SUPPORTED
    (0xc000_00ef, 87),   // INVALID_PARAMETER_1
    (0xc000_0106, 206),  // NAME_TOO_LONG: FILENAME_EXCED_RANGE
    (0xc000_0120, 995),  // CANCELLED: OPERATION_ABORTED
    (0xc000_0135, 126),  // DLL_NOT_FOUND: MOD_NOT_FOUND
    (0xc000_014b, 109),  // PIPE_BROKEN: BROKEN_PIPE
    (0xc000_0184, 22),   // INVALID_DEVICE_STATE: BAD_COMMAND
    (0xc000_0185, 1117), // IO_DEVICE_ERROR: IO_DEVICE
    (0xc000_0225, 1168), // NOT_FOUND
    (0xc000_0428, 577),  // INVALID_IMAGE_HASH
];

#[test]
fn errors_of_status_values() {
    let mut guest = Guest::new();
    for name in ["RtlNtStatusToDosError", "RtlNtStatusToDosErrorNoTeb"] {
        for (status, error) in PAIRS {
            assert_eq!(
                guest.ulong(name, &[u64::from(*status)]),
                *error,
                "{status:#x}"
            );
        }
        for without in [
            0x4000_1234u64,
            0x8000_4321,
            0xc000_9999,
            0xc100_0000,
            0xc000_0427,
        ] {
            assert_eq!(guest.ulong(name, &[without]), 317);
        }
        // an error as a status (NTSTATUS_FROM_WIN32), and a customer's own value
        assert_eq!(guest.ulong(name, &[0xc007_0490]), 1168);
        assert_eq!(guest.ulong(name, &[0xe000_1234]), 0xe000_1234);
    }
}
