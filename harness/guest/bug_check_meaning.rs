//! What bug checks mean, and their parameters: what the pages of Microsoft's "Bug Check Code Reference" say,
//! in short. Where the kernel here gives a parameter that the reference calls reserved, or leaves one out,
//! nothing is said of it.

use super::bug_check::BugCheck;

/// A bug check's meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BugCheckMeaning {
    /// What has happened, in one or two lines.
    pub text: &'static str,
    /// What the parameters are; empty for those that say nothing.
    pub parameters: [&'static str; 4],
}

const fn meaning(text: &'static str, parameters: [&'static str; 4]) -> BugCheckMeaning {
    BugCheckMeaning { text, parameters }
}

const READ_WRITE: &str = "value 0 = read operation, 1 = write operation";
const STATUS: &str = "NT status code of the failure";

impl BugCheck {
    /// What it means, if it is one of those that this guest's kernel makes.
    ///
    /// ```
    /// use poolhit::guest::BugCheck;
    /// let check = BugCheck { code: 0xc2, parameters: [7, 0, 0, 0] };
    /// let meaning = check.meaning().unwrap();
    /// assert_eq!(meaning.text, "The current thread is making a bad pool request.");
    /// assert!(meaning.parameters[0].contains("already freed"));
    /// assert_eq!(BugCheck { code: 0xdead, ..check }.meaning(), None);
    /// ```
    pub fn meaning(&self) -> Option<BugCheckMeaning> {
        let first = self.parameters[0];
        Some(match self.code {
            0x05 => meaning(
                "A thread is to be attached to a process in a situation where that is not allowed.",
                [
                    "process, or the one that the thread is attached to",
                    "process that the thread is attached to now",
                    "APC state index of the thread",
                    "nonzero if a DPC runs on this processor",
                ],
            ),
            0x06 => meaning(
                "A thread is to be detached from a process that it is not attached to.",
                [""; 4],
            ),
            0x09 => meaning("The IRQL was expected to be higher than it is.", [""; 4]),
            0x0a | 0xd1 => meaning(
                "An attempt was made to access a pageable or invalid address at an IRQL\n\
                 that is too high. This is usually caused by drivers using improper addresses.",
                [
                    "memory referenced",
                    "IRQL",
                    READ_WRITE,
                    "address which referenced memory",
                ],
            ),
            0x0c => meaning("A thread waits for more objects than it may.", [""; 4]),
            0x0f => meaning(
                "A spin lock is to be acquired that its owner has already.",
                ["address of the spin lock", "", "", ""],
            ),
            0x10 => meaning(
                "A spin lock is to be released that nobody owns.",
                ["address of the spin lock", "", "", ""],
            ),
            0x18 => meaning(
                "An object's reference count is not what the object's state says.",
                [
                    "object type",
                    "object whose reference count is being lowered",
                    "",
                    "",
                ],
            ),
            0x19 => bad_pool_header(first),
            0x1e => meaning(
                "A kernel-mode program has raised an exception which nothing handled.",
                [
                    "exception code that was not handled",
                    "address where the exception occurred",
                    "parameter 0 of the exception",
                    "parameter 1 of the exception",
                ],
            ),
            0x20 => meaning(
                "A thread exits with an asynchronous procedure call pending, or inside a\n\
                 critical region that it has not left.",
                [
                    "address of the APC, if one is pending",
                    "APC disable count of the thread",
                    "IRQL",
                    "",
                ],
            ),
            0x32 => meaning(
                "The kernel could not be initialized to its end.",
                [STATUS, "", "", ""],
            ),
            0x35 => meaning(
                "A driver calls a lower one with a packet that has no stack location left for it.",
                ["address of the IRP", "", "", ""],
            ),
            0x3b => meaning(
                "An exception happened while a system service routine was executing.",
                [
                    "exception code that caused the bug check",
                    "address of the instruction which caused the bug check",
                    "address of the context record for the exception",
                    "",
                ],
            ),
            0x3f => meaning(
                "No system page table entries are left for a mapping of this size.",
                [
                    "type of page table entries: 0 for system expansion",
                    "size of the request",
                    "",
                    "",
                ],
            ),
            0x40 => meaning(
                "A driver builds a partial MDL that is too small for the range it is to describe.",
                ["address of the target MDL", "", "", ""],
            ),
            0x41 => meaning(
                "An allocation that must succeed did not.",
                ["size of the request", "", "", ""],
            ),
            0x44 => meaning(
                "A driver has completed an I/O request packet that is completed already.\n\
                 Two drivers may believe that they own the packet, or one completes it twice.",
                ["address of the IRP", "", "", ""],
            ),
            0x48 => meaning(
                "An I/O request packet is completed whose cancel routine is still set.",
                [
                    "address of the IRP",
                    "cancel routine set by the driver",
                    "",
                    "",
                ],
            ),
            0x4a => meaning(
                "A thread is returning to user mode from a system call with its IRQL still\n\
                 above PASSIVE_LEVEL.",
                [
                    "address of the system call's routine",
                    "current IRQL",
                    "",
                    "",
                ],
            ),
            0x4e => meaning(
                "The list of page frame numbers is corrupt. A driver may have unlocked a page\n\
                 twice.",
                [
                    "type of violation: 7 = a driver has unlocked a page more often than it locked it",
                    "page frame number",
                    "",
                    "",
                ],
            ),
            0x50 => meaning(
                "Invalid system memory was referenced. No exception handler can protect from\n\
                 this: the address is bad, or what it points to has been freed.",
                [
                    "memory referenced",
                    READ_WRITE,
                    "address of the instruction which referenced the bad memory",
                    "",
                ],
            ),
            0x5e => meaning("The object manager could not be initialized.", [""; 4]),
            0x67 => meaning("The registry could not be initialized.", ["", "", "", ""]),
            0x6b => meaning(
                "The first process could not be started.",
                [STATUS, "", "", ""],
            ),
            0x76 => locked_pages(first),
            0x7d => meaning("There is not enough memory to start.", [""; 4]),
            0x7e => meaning(
                "A system thread has raised an exception which nothing handled.",
                [
                    "exception code that was not handled",
                    "address where the exception occurred",
                    "address of the exception record",
                    "address of the context record",
                ],
            ),
            0x7f => unexpected_trap(first),
            0x93 => meaning(
                "A kernel handle is closed that is invalid or protected.",
                [
                    "handle that was to be closed",
                    "0 = the handle is protected, 1 = it is invalid",
                    "",
                    "",
                ],
            ),
            0x96 => meaning(
                "A work item is queued that is queued already, or is none.",
                ["", "", "", ""],
            ),
            0xb8 => meaning(
                "A DPC routine waits, or does something else that only threads may.",
                ["original thread", "new thread", "stack address", ""],
            ),
            0xbe => meaning(
                "An attempt was made to write to read-only memory.",
                [
                    "virtual address of the attempted write",
                    "contents of its page table entry",
                    "",
                    "",
                ],
            ),
            0xc2 => bad_pool_caller(first),
            0xc7 => meaning(
                "A timer or DPC is where none may be, or has not left the state that it found.",
                ["type of violation", "", "", ""],
            ),
            0xda => meaning(
                "System page table entries are misused.",
                ["type of violation", "", "", ""],
            ),
            0xe1 => meaning(
                "A worker routine has returned at another IRQL than it was called at.",
                [
                    "address of the worker routine",
                    "IRQL it returned at",
                    "work item parameter",
                    "work item address",
                ],
            ),
            0xe2 => meaning("The crash was asked for.", [""; 4]),
            0xe3 => meaning(
                "A thread releases a resource that it does not own.",
                [
                    "address of the resource",
                    "address of the thread",
                    "address of the owner table, if there is one",
                    "",
                ],
            ),
            0xfc => meaning(
                "An attempt was made to execute memory that may not be executed.",
                [
                    "virtual address that was to be executed",
                    "contents of its page table entry",
                    "",
                    "",
                ],
            ),
            _ => return None,
        })
    }
}

fn bad_pool_header(kind: u64) -> BugCheckMeaning {
    let parameters = match kind {
        3 => [
            "the free list of the pool is corrupt",
            "pool entry being checked",
            "read back flink of the free list",
            "read back blink of the free list",
        ],
        7 => [
            "the size in a pool header is corrupt",
            "",
            "",
            "bad pool entry",
        ],
        8 => [
            "the size in a pool header is zero",
            "",
            "",
            "bad pool entry",
        ],
        0x20 => [
            "the size in a pool header is corrupt",
            "pool entry that should have been found",
            "next pool entry",
            "",
        ],
        _ => ["type of violation", "", "", ""],
    };
    meaning(
        "A pool header is corrupt. The caller may be the one that did it, or the owner of\n\
         the block before.",
        parameters,
    )
}

fn bad_pool_caller(kind: u64) -> BugCheckMeaning {
    let parameters = match kind {
        7 => [
            "attempt to free pool which was already freed",
            "",
            "pool header contents",
            "address of the block of pool being freed",
        ],
        8 => [
            "attempt to allocate pool at an invalid IRQL",
            "current IRQL",
            "pool type",
            "size of the allocation in bytes",
        ],
        9 => [
            "attempt to free pool at an invalid IRQL",
            "current IRQL",
            "pool type",
            "address of pool",
        ],
        0xa => [
            "attempt to free pool with a tag other than it was allocated with",
            "address of pool",
            "allocator's tag",
            "tag being used in the attempted free",
        ],
        0xd => [
            "attempt to release quota on a corrupted pool allocation",
            "address of pool",
            "pool allocation's tag",
            "bad quota process pointer",
        ],
        0x40 => [
            "attempt to free kernel pool at a user-mode address",
            "starting address",
            "start of system address space",
            "",
        ],
        0x42 => [
            "attempt to free a virtual address that was never in any pool",
            "address being freed",
            "",
            "",
        ],
        0x44 => [
            "attempt to free a nonpaged pool address that is not allocated",
            "starting address",
            "",
            "",
        ],
        0x46 => [
            "attempt to free an invalid pool address",
            "starting address",
            "",
            "",
        ],
        0x50 => [
            "attempt to free a paged pool address that is not allocated",
            "starting address",
            "start offset from the beginning of paged pool, in pages",
            "size of paged pool in bytes",
        ],
        0x9a => [
            "allocation request marked MUST_SUCCEED, which is no longer supported",
            "pool type",
            "number of bytes",
            "pool tag",
        ],
        0x9b => [
            "attempt to allocate pool with a tag of zero",
            "pool type",
            "number of bytes",
            "caller's address",
        ],
        0x9c => [
            "attempt to allocate pool with a tag of \"BIG\"",
            "pool type",
            "number of bytes",
            "caller's address",
        ],
        _ => ["type of violation", "", "", ""],
    };
    meaning(
        "The current thread is making a bad pool request.",
        parameters,
    )
}

fn locked_pages(kind: u64) -> BugCheckMeaning {
    let parameters = match kind {
        0 => [
            "locked memory pages in a process being terminated",
            "process address",
            "number of locked pages",
            "",
        ],
        _ => [
            "attempt to unlock pages that are not locked",
            "MDL specified by the driver",
            "number of locked pages in the process",
            "",
        ],
    };
    meaning(
        "A driver has left memory of a process locked, or unlocks what is not locked.",
        parameters,
    )
}

fn unexpected_trap(number: u64) -> BugCheckMeaning {
    let first = match number {
        0 => "EXCEPTION_DIVIDED_BY_ZERO",
        4 => "EXCEPTION_OVERFLOW",
        6 => "EXCEPTION_INVALID_OPCODE",
        8 => "EXCEPTION_DOUBLE_FAULT",
        _ => "trap number",
    };
    meaning(
        "A trap occurred in kernel mode that the kernel may not have or catch, such as a\n\
         double fault: the stack may have come to its end.",
        [first, "", "", ""],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first arguments of `KeBugCheckEx` in the guest's sources, and the codes that its callers pass.
    const RAISED: [u32; 40] = [
        0x05, 0x06, 0x09, 0x0a, 0x0c, 0x0f, 0x10, 0x18, 0x19, 0x1e, 0x20, 0x32, 0x35, 0x3b, 0x3f,
        0x40, 0x41, 0x44, 0x48, 0x4a, 0x4e, 0x50, 0x5e, 0x67, 0x6b, 0x76, 0x7d, 0x7e, 0x7f, 0x93,
        0x96, 0xb8, 0xbe, 0xc2, 0xc7, 0xd1, 0xda, 0xe1, 0xe3, 0xfc,
    ];

    #[test]
    fn what_the_kernel_stops_with_has_a_name_and_a_meaning() {
        for code in RAISED {
            let check = BugCheck {
                code,
                parameters: [0; 4],
            };
            assert!(check.name().is_some(), "{code:x}");
            let meaning = check.meaning().unwrap();
            assert!(meaning.text.ends_with('.'), "{code:x}");
        }
    }
}
