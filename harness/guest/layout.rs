//! Where things lie in the guest's address space, and how big they are.

use super::address_plan::{AddressPlan, PlanError};
use super::images::GuestImages;
use crate::address::Va;
use crate::image::imports::IMPORT_LIMIT;
use crate::machine::RingGate;
use crate::machine::paging::PAGE_SIZE;
use std::collections::BTreeMap;

/// The number of processors laid out.
pub(super) const PROCESSORS: usize = 2;
/// The processor that runs; the other has its structures, and is idle.
pub(super) const BOOT_PROCESSOR: usize = 1;

pub(super) const PCR: [Va; PROCESSORS] = [Va(0xfffff880_009e4000), Va(0xfffff880_009e9000)];
/// `sizeof(nt!_KPCR)` of Windows 7 x64 in whole pages.
pub(super) const PCR_SIZE: u64 = 0x5000;
/// Each processor's descriptor table, and its task state segment at [`TASK_OFFSET`].
pub(super) const DESCRIPTORS: [Va; PROCESSORS] = [Va(0xfffff880_009f0000), Va(0xfffff880_009f1000)];
pub(super) const TASK_OFFSET: u64 = 0x100;
/// Tops of the idle threads' stacks.
pub(super) const IDLE_STACK: [Va; PROCESSORS] = [Va(0xfffff880_02f66000), Va(0xfffff880_02f6e000)];
/// The top of the program's thread's kernel stack, as in the golden session.
pub(super) const THREAD_STACK: Va = Va(0xfffff880_04ec2000);
/// Every kernel stack's size (Windows 7 x64: six pages).
pub(super) const KERNEL_STACK_SIZE: u64 = 0x6000;
/// The loader's structures.
pub(super) const LOADER_DATA: Va = Va(0xfffff800_00800000);

pub(super) const GATE: RingGate = RingGate {
    user_page: Va(0xfffff7ff_fff00000),
    kernel_page: Va(0xfffff7ff_fff01000),
    selector: 0x70,
    data_selectors: super::processor::DATA_SELECTORS,
};

/// `_KUSER_SHARED_DATA` in the kernel's half and in user mode's (Windows 7 x64, ntddk.h).
pub(super) const SHARED_USER_DATA: Va = Va(0xfffff780_00000000);
pub(super) const USER_SHARED_USER_DATA: Va = Va(0x7ffe0000);
pub(super) const SHARED_USER_DATA_SIZE: u64 = PAGE_SIZE;

/// Where imports that nobody provides are bound to: nothing is ever mapped here, and each has a page.
pub(super) const UNPROVIDED: Va = Va(0xfffff7fe_00000000);
/// Room for all that two images may import.
pub(super) const UNPROVIDED_SIZE: u64 = 2 * IMPORT_LIMIT as u64 * PAGE_SIZE;

/// The user stack: reserved from here to [`USER_STACK_BASE`].
pub(super) const USER_STACK_LIMIT: Va = Va(0xd0000);
pub(super) const USER_STACK_BASE: Va = Va(0xe0000);
/// Where the program starts on it, as in the golden session: at its return address, which is 0.
pub(super) const USER_STACK_POINTER: Va = Va(0xdf5e8);
pub(super) const TEB: Va = Va(0x7ff_fffdd000);
pub(super) const TEB_SIZE: u64 = 0x2000;
pub(super) const PEB: Va = Va(0x7ff_fffdf000);
/// The user-mode loader's data, which is in the process heap in Windows.
pub(super) const USER_DATA: Va = Va(0x250000);

/// Where the guest's kernel maps memory that a driver maps for the program.
const USER_MAPPINGS: Va = Va(0x10_0000);

/// Ranges that the guest's kernel hands out itself.
const GUEST_RANGES: [(&str, u64, u64); 5] = [
    ("the page tables", 0xfffff680_00000000, 0x80_00000000),
    ("paged pool", 0xfffff8a0_00000000, 0x1000_0000),
    ("nonpaged pool", 0xfffffa80_00000000, 0x1000_0000),
    ("system page table entries", 0xfffff880_03000000, 0x190_0000),
    (
        "physical memory that drivers map",
        0xfffff880_80000000,
        0x1000_0000,
    ),
];

/// The default base of the driver: the golden session's. Other images prefer their own.
const DRIVER_BASE: Va = Va(0xfffff880_0496d000);

/// Where each image is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bases {
    /// The kernel's base.
    pub kernel: Va,
    /// The driver's base.
    pub driver: Va,
    /// The program's base.
    pub program: Va,
    /// The libraries' bases, in the order of [`GuestImages::libraries`].
    pub libraries: Vec<Va>,
}

impl Bases {
    /// The images' own bases, but for those that `wanted` names (without case).
    pub(super) fn choose(images: &GuestImages, wanted: &BTreeMap<String, Va>) -> Bases {
        let base = |name: &str, default: Va| {
            wanted
                .iter()
                .find(|(wanted, _)| wanted.eq_ignore_ascii_case(name))
                .map_or(default, |(_, base)| *base)
        };
        let preferred = |file: &super::ImageFile| base(file.name(), file.image.preferred_base());
        Bases {
            kernel: preferred(&images.kernel),
            driver: base(images.driver.name(), DRIVER_BASE),
            program: preferred(&images.program),
            libraries: images.libraries.iter().map(preferred).collect(),
        }
    }

    /// Each image with its base, the kernel first.
    pub(super) fn place<'a>(&self, images: &'a GuestImages) -> Vec<(&'a super::ImageFile, Va)> {
        let first = [self.kernel, self.driver, self.program];
        images
            .all()
            .zip(first.into_iter().chain(self.libraries.iter().copied()))
            .collect()
    }

    /// Checks that everything fits side by side.
    pub(super) fn check(&self, images: &GuestImages) -> Result<(), PlanError> {
        let mut plan = AddressPlan::default();
        for (name, start, length) in GUEST_RANGES {
            plan.reserve(name, Va(start), length, true)?;
        }
        plan.reserve("the loader's data", LOADER_DATA, 0x20_0000, true)?;
        plan.reserve("the machine's gate", GATE.user_page, 0x3000, true)?;
        for (start, kernel) in [(SHARED_USER_DATA, true), (USER_SHARED_USER_DATA, false)] {
            plan.reserve("the shared user data", start, SHARED_USER_DATA_SIZE, kernel)?;
        }
        let unprovided = "the addresses of imports that nobody provides";
        plan.reserve(unprovided, UNPROVIDED, UNPROVIDED_SIZE, true)?;
        for processor in 0..PROCESSORS {
            plan.reserve(
                "a processor's control region",
                PCR[processor],
                PCR_SIZE,
                true,
            )?;
            plan.reserve("a descriptor table", DESCRIPTORS[processor], 0x1000, true)?;
        }
        for top in IDLE_STACK.into_iter().chain([THREAD_STACK]) {
            let start = top.wrapping_sub(KERNEL_STACK_SIZE);
            plan.reserve("a kernel stack", start, KERNEL_STACK_SIZE, true)?;
        }
        plan.reserve(
            "the user stack",
            USER_STACK_LIMIT,
            USER_STACK_BASE - USER_STACK_LIMIT,
            false,
        )?;
        plan.reserve(
            "memory that drivers map for the program",
            USER_MAPPINGS,
            0x14_0000,
            false,
        )?;
        plan.reserve("the user-mode loader's data", USER_DATA, 0x10_0000, false)?;
        plan.reserve("the environment blocks", TEB, TEB_SIZE + 0x1000, false)?;
        let kernel = [(&images.kernel, self.kernel), (&images.driver, self.driver)];
        for (file, base) in kernel {
            plan.reserve(file.name(), base, file.image.size_of_image().into(), true)?;
        }
        let user = images.libraries.iter().zip(self.libraries.iter().copied());
        for (file, base) in user.chain([(&images.program, self.program)]) {
            plan.reserve(file.name(), base, file.image.size_of_image().into(), false)?;
        }
        Ok(())
    }
}
