//! Bug checks: the kernel's own reason for stopping.

use crate::address::Va;
use crate::memory::ReadMemory;
use std::fmt;

/// A stop code with its four parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BugCheck {
    /// The stop code.
    pub code: u32,
    /// Its parameters; what they mean depends on the code.
    pub parameters: [u64; 4],
}

impl BugCheck {
    /// Reads `nt!KiBugCheckData`, five pointer-sized words, at `data`; `None` if none is raised.
    ///
    /// ```
    /// use poolhit::{Lab, guest::BugCheck};
    /// let lab = Lab::builder().build()?;
    /// let data = lab.kernel_symbol("KiBugCheckData").unwrap();
    /// assert_eq!(BugCheck::read(lab.machine(), data), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read(memory: &dyn ReadMemory, data: Va) -> Option<BugCheck> {
        let word = |index: u64| memory.read_u64(data.wrapping_add(index * 8)).ok();
        let code = word(0)? as u32;
        (code != 0).then_some(())?;
        Some(BugCheck {
            code,
            parameters: [word(1)?, word(2)?, word(3)?, word(4)?],
        })
    }
}

/// The codes that the built-in kernel stops with, and those of drivers' and the pool's own errors,
/// with their names in Microsoft's "Bug Check Code Reference"; by ascending code.
const NAMES: [(u32, &str); 49] = [
    (0x01, "APC_INDEX_MISMATCH"),
    (0x05, "INVALID_PROCESS_ATTACH_ATTEMPT"),
    (0x06, "INVALID_PROCESS_DETACH_ATTEMPT"),
    (0x09, "IRQL_NOT_GREATER_OR_EQUAL"),
    (0x0a, "IRQL_NOT_LESS_OR_EQUAL"),
    (0x0c, "MAXIMUM_WAIT_OBJECTS_EXCEEDED"),
    (0x0f, "SPIN_LOCK_ALREADY_OWNED"),
    (0x10, "SPIN_LOCK_NOT_OWNED"),
    (0x18, "REFERENCE_BY_POINTER"),
    (0x19, "BAD_POOL_HEADER"),
    (0x1e, "KMODE_EXCEPTION_NOT_HANDLED"),
    (0x20, "KERNEL_APC_PENDING_DURING_EXIT"),
    (0x32, "PHASE1_INITIALIZATION_FAILED"),
    (0x35, "NO_MORE_IRP_STACK_LOCATIONS"),
    (0x3b, "SYSTEM_SERVICE_EXCEPTION"),
    (0x3f, "NO_MORE_SYSTEM_PTES"),
    (0x40, "TARGET_MDL_TOO_SMALL"),
    (0x41, "MUST_SUCCEED_POOL_EMPTY"),
    (0x44, "MULTIPLE_IRP_COMPLETE_REQUESTS"),
    (0x48, "CANCEL_STATE_IN_COMPLETED_IRP"),
    (0x4a, "IRQL_GT_ZERO_AT_SYSTEM_SERVICE"),
    (0x4e, "PFN_LIST_CORRUPT"),
    (0x50, "PAGE_FAULT_IN_NONPAGED_AREA"),
    (0x5e, "OBJECT_INITIALIZATION_FAILED"),
    (0x67, "CONFIG_INITIALIZATION_FAILED"),
    (0x6b, "PROCESS1_INITIALIZATION_FAILED"),
    (0x76, "PROCESS_HAS_LOCKED_PAGES"),
    (0x7d, "INSTALL_MORE_MEMORY"),
    (0x7e, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"),
    (0x7f, "UNEXPECTED_KERNEL_MODE_TRAP"),
    (0x93, "INVALID_KERNEL_HANDLE"),
    (0x96, "INVALID_WORK_QUEUE_ITEM"),
    (0xb8, "ATTEMPTED_SWITCH_FROM_DPC"),
    (0xbe, "ATTEMPTED_WRITE_TO_READONLY_MEMORY"),
    (0xc1, "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION"),
    (0xc2, "BAD_POOL_CALLER"),
    (0xc4, "DRIVER_VERIFIER_DETECTED_VIOLATION"),
    (0xc5, "DRIVER_CORRUPTED_EXPOOL"),
    (0xc7, "TIMER_OR_DPC_INVALID"),
    (0xcb, "DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS"),
    (
        0xce,
        "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS",
    ),
    (0xd0, "DRIVER_CORRUPTED_MMPOOL"),
    (0xd1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL"),
    (0xd5, "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL"),
    (0xda, "SYSTEM_PTE_MISUSE"),
    (0xe1, "WORKER_THREAD_RETURNED_AT_BAD_IRQL"),
    (0xe2, "MANUALLY_INITIATED_CRASH"),
    (0xe3, "RESOURCE_NOT_OWNED"),
    (0xfc, "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY"),
];

impl BugCheck {
    /// The code's name in Microsoft's "Bug Check Code Reference", if it is one that this guest's
    /// kernel, the pool or a driver is likely to stop with.
    ///
    /// ```
    /// use poolhit::guest::BugCheck;
    /// let check = BugCheck { code: 0x19, parameters: [0x20, 0, 0, 0] };
    /// assert_eq!(check.name(), Some("BAD_POOL_HEADER"));
    /// assert_eq!(BugCheck { code: 0xdead, ..check }.name(), None);
    /// ```
    pub fn name(&self) -> Option<&'static str> {
        let found = NAMES.binary_search_by_key(&self.code, |(code, _)| *code);
        found.ok().map(|at| NAMES[at].1)
    }

    /// The code, its name if it is known, and the parameters, without a line's end between or
    /// behind them.
    ///
    /// ```
    /// use poolhit::guest::BugCheck;
    /// let check = BugCheck { code: 0x7f, parameters: [8, 0, 0, 0] };
    /// assert_eq!(
    ///     check.in_one_line(),
    ///     "bug check 0x0000007f UNEXPECTED_KERNEL_MODE_TRAP (0x8, 0x0, 0x0, 0x0)"
    /// );
    /// ```
    pub fn in_one_line(&self) -> String {
        let [one, two, three, four] = self.parameters;
        let code = self.code;
        let name = self.name().map(|name| format!(" {name}"));
        let name = name.unwrap_or_default();
        format!("bug check {code:#010x}{name} ({one:#x}, {two:#x}, {three:#x}, {four:#x})")
    }
}

/// In hexadecimal: a code and addresses.
///
/// ```
/// use poolhit::guest::BugCheck;
/// let check = BugCheck { code: 0x19, parameters: [0x20, 0xfffffa80_000341d0, 0, 0] };
/// assert_eq!(
///     format!("{check:?}"),
///     "BugCheck { code: 0x19, parameters: [0x20, 0xfffffa80000341d0, 0x0, 0x0] }"
/// );
/// ```
impl fmt::Debug for BugCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BugCheck")
            .field("code", &Hexadecimal(self.code.into()))
            .field("parameters", &self.parameters.map(Hexadecimal))
            .finish()
    }
}

/// A number that `Debug` shows in hexadecimal.
pub(super) struct Hexadecimal(pub u64);

impl fmt::Debug for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// As the kernel debugger prints it: `0x000000c2 (0x0000000000000007,0x…,0x…,0x…)`.
impl fmt::Display for BugCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two, three, four] = self.parameters;
        write!(
            f,
            "0x{:08x}\n                       (0x{one:016X},0x{two:016X},0x{three:016X},0x{four:016X})\n",
            self.code
        )
    }
}
