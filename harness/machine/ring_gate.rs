//! The way between the rings that the engine does not take by itself.
//!
//! Unicorn executes `sysretq` and `iretq`, but not `syscall`: it only calls a hook. The hook sends
//! the processor through a call gate instead, which raises the privilege level as the real
//! instruction does; a few instructions behind the gate restore what a call gate changes and
//! `syscall` does not, but for SS, which is zero: to load it would make a request longer by a third. The
//! same two pages let the machine enter ring 0 or ring 3 from outside.

use super::exit::Exit;
use super::paging::PAGE_SIZE;
use crate::address::Va;

/// Where the two pages and the gate's descriptor are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingGate {
    /// A page of code that user mode may execute.
    pub user_page: Va,
    /// A page of code for ring 0, with a page of data behind it.
    pub kernel_page: Va,
    /// The selector of the call gate in the GDT; its descriptor takes 16 bytes.
    pub selector: u16,
    /// What DS, ES, FS and GS have from the start on.
    pub data_selectors: [u16; 4],
}

/// Offset in the kernel page of the code behind the gate.
const BEHIND_GATE: usize = 0;
/// Offset of an `iretq`.
const IRET: usize = 0x20;
/// Offset of a `hlt`.
const HALT: usize = 0x30;
/// Offset of the code that loads the data segments. The engine's own way of setting DS and ES leaves their
/// descriptors out, so that the first way into ring 3 makes them zero.
const SEGMENTS: usize = 0x40;
/// Offset of the selectors for it.
const DATA_SELECTORS: usize = 0x60;
/// Offset of the system call entry's address: in the page behind the code, since a write to a page
/// of code costs the engine all its translated code.
const ENTRY: usize = 0x1000;
/// Offset of the frame for the `iretq`.
const FRAME: usize = 0x1040;
/// Offset in the user page of an `int 3`.
const USER_LANDING: usize = 0x20;

/// Puts the distance from behind it, where an instruction ends, to an offset.
fn put_distance(code: &mut Vec<u8>, offset: usize) {
    let next = code.len() + 4;
    code.extend(((offset - next) as u32).to_le_bytes());
}

impl RingGate {
    /// The user page's code: a far call through the gate.
    ///
    /// ```
    /// use poolhit::{address::Va, machine::RingGate};
    /// let gate = RingGate { user_page: Va(0x1000), kernel_page: Va(0x2000), selector: 0x70, data_selectors: [0; 4] };
    /// assert_eq!(gate.user_code()[..2], [0xff, 0x1d]);
    /// ```
    pub fn user_code(&self) -> Vec<u8> {
        // call fword ptr [rip+0], and behind it the pointer: 32 bits of offset (a gate ignores
        // them) and the selector, with the requested privilege level of user mode
        let mut code = vec![0xff, 0x1d, 0, 0, 0, 0, 0, 0, 0, 0];
        code.extend((self.selector | 3).to_le_bytes());
        code.resize(USER_LANDING + 1, 0xcc);
        code
    }

    /// The kernel page's code.
    ///
    /// ```
    /// use poolhit::{address::Va, machine::RingGate};
    /// let gate = RingGate { user_page: Va(0x1000), kernel_page: Va(0x2000), selector: 0x70, data_selectors: [0; 4] };
    /// assert_eq!(gate.kernel_code()[..3], [0x48, 0x8b, 0x64]);
    /// ```
    pub fn kernel_code(&self) -> Vec<u8> {
        let mut code = vec![
            0x48, 0x8b, 0x64, 0x24,
            0x10, // mov rsp, [rsp+10h]: syscall keeps the user's stack
            0xff, 0x25, // jmp qword ptr [rip+…]
        ];
        put_distance(&mut code, ENTRY);
        code.resize(IRET, 0xcc);
        code.extend([0x48, 0xcf]);
        code.resize(HALT, 0xcc);
        code.push(0xf4);
        code.resize(SEGMENTS, 0xcc);
        // mov ds, es, fs and gs, word ptr [rip+…]
        for (number, operand) in [0x1d, 0x05, 0x25, 0x2d].into_iter().enumerate() {
            code.extend([0x8e, operand]);
            put_distance(&mut code, DATA_SELECTORS + 2 * number);
        }
        code.push(0xf4);
        code.resize(DATA_SELECTORS, 0xcc);
        code.extend(self.data_selectors.map(u16::to_le_bytes).concat());
        code
    }

    /// The call gate's descriptor (Intel SDM volume 3, figure 5-8): 64-bit, for ring 3's use.
    ///
    /// ```
    /// use poolhit::{address::Va, machine::RingGate};
    /// let gate = RingGate { user_page: Va(0x1000), kernel_page: Va(0x2000), selector: 0x70, data_selectors: [0; 4] };
    /// assert_eq!(gate.descriptor(0x10), [0x0000_ec00_0010_2000, 0]);
    /// ```
    pub fn descriptor(&self, kernel_code_selector: u16) -> [u64; 2] {
        let target = self.behind_gate().0;
        let low = (target & 0xffff)
            | u64::from(kernel_code_selector) << 16
            | 0xec << 40
            | (target >> 16 & 0xffff) << 48;
        [low, target >> 32]
    }

    /// The page of data behind the kernel page.
    ///
    /// ```
    /// use poolhit::{address::Va, machine::RingGate};
    /// let gate = RingGate { user_page: Va(0x1000), kernel_page: Va(0x2000), selector: 0x70, data_selectors: [0; 4] };
    /// assert_eq!(gate.data_page(), Va(0x3000));
    /// ```
    pub fn data_page(&self) -> Va {
        self.kernel_page.wrapping_add(PAGE_SIZE)
    }

    /// Whether an address is in one of the pages of code.
    pub(super) fn contains(&self, address: Va) -> bool {
        let pages = [self.user_page, self.kernel_page];
        pages.iter().any(|page| address - *page < PAGE_SIZE)
    }

    /// What a fault is at an address, with a `syscall` on its way through the gate. No processor looks at the
    /// task state segment or in the descriptor table for that, so this fault is not the guest's.
    pub(super) fn fault_of_call(&self, exit: Exit, ring: u8, at: Va) -> Exit {
        if ring == 0 && !self.contains(at) {
            return exit;
        }
        Exit::Engine(
            "a system call does not get through: the guest has overwritten its descriptor table, \
             its task state segment or its page tables",
        )
    }

    /// The first instruction behind the gate.
    pub(super) fn behind_gate(&self) -> Va {
        self.kernel_page.wrapping_add(BEHIND_GATE as u64)
    }

    /// The `int 3` that an `iretq` to ring 3 lands on.
    pub(super) fn user_landing(&self) -> Va {
        self.user_page.wrapping_add(USER_LANDING as u64)
    }

    /// The code that loads the data segments, up to a `hlt`.
    pub(super) fn segments(&self) -> Va {
        self.kernel_page.wrapping_add(SEGMENTS as u64)
    }

    /// The `hlt`.
    pub(super) fn halt(&self) -> Va {
        self.kernel_page.wrapping_add(HALT as u64)
    }

    /// The `iretq`.
    pub(super) fn iret(&self) -> Va {
        self.kernel_page.wrapping_add(IRET as u64)
    }

    /// Where the address of the guest's system call entry is kept (the value of LSTAR).
    pub(super) fn entry(&self) -> Va {
        self.kernel_page.wrapping_add(ENTRY as u64)
    }

    /// Room for the five words that the `iretq` pops.
    pub(super) fn frame(&self) -> Va {
        self.kernel_page.wrapping_add(FRAME as u64)
    }
}
