//! Which part of the address space belongs to whom.

use crate::address::Va;

/// Two parts of the address space that must not meet do, or one is not where it may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two ranges overlap.
    #[error("{name} at {start} overlaps {other} at {other_start}; give it another base")]
    Overlap {
        /// What was to be placed.
        name: String,
        /// Where.
        start: Va,
        /// What is there already.
        other: String,
        /// Where that starts.
        other_start: Va,
    },
    /// A base is not a multiple of the page size.
    #[error("{name} cannot be at {start}: a base is a multiple of 1000 (hexadecimal)")]
    Unaligned {
        /// What was to be placed.
        name: String,
        /// Where.
        start: Va,
    },
    /// A range is in the wrong half of the address space, or in none.
    #[error("{name} cannot be at {start}: it belongs between {lowest} and {highest}")]
    WrongHalf {
        /// What was to be placed.
        name: String,
        /// Where.
        start: Va,
        /// The lowest address it could have.
        lowest: Va,
        /// The highest.
        highest: Va,
    },
}

/// The kernel's half, without the part that no canonical address reaches.
const KERNEL_HALF: (u64, u64) = (0xffff_8000_0000_0000, 0xffff_ffff_ffff_f000);
/// User mode's half, without the first and the last 64 KB, which Windows keeps free.
const USER_HALF: (u64, u64) = (0x1_0000, 0x7ff_fffe_f000);

/// The ranges given out so far.
#[derive(Clone, Debug, Default)]
pub struct AddressPlan {
    ranges: Vec<(String, u64, u64)>,
}

impl AddressPlan {
    /// Reserves `length` bytes for `name` in the kernel's half (`kernel`) or in user mode's.
    ///
    /// # Errors
    /// The range is misplaced or overlaps one reserved before.
    ///
    /// ```
    /// use poolhit::{address::Va, guest::AddressPlan};
    /// let mut plan = AddressPlan::default();
    /// plan.reserve("a.dll", Va(0x10000), 0x2000, false)?;
    /// let error = plan.reserve("b.dll", Va(0x11000), 0x1000, false).unwrap_err();
    /// assert!(error.to_string().contains("overlaps a.dll"));
    /// # Ok::<(), poolhit::guest::PlanError>(())
    /// ```
    pub fn reserve(
        &mut self,
        name: &str,
        start: Va,
        length: u64,
        kernel: bool,
    ) -> Result<(), PlanError> {
        let name = name.to_string();
        if start.0 & 0xfff != 0 {
            return Err(PlanError::Unaligned { name, start });
        }
        let (lowest, highest) = if kernel { KERNEL_HALF } else { USER_HALF };
        let last = length.max(1) - 1;
        if start.0 < lowest || start.0 > highest || last > highest - start.0 {
            let highest = Va(highest.saturating_sub(last) & !0xfff);
            return Err(PlanError::WrongHalf {
                name,
                start,
                lowest: Va(lowest),
                highest,
            });
        }
        let last = start.0 + last;
        let taken = self
            .ranges
            .iter()
            .find(|(_, from, to)| *from <= last && start.0 <= *to);
        if let Some((other, from, _)) = taken {
            return Err(PlanError::Overlap {
                name,
                start,
                other: other.clone(),
                other_start: Va(*from),
            });
        }
        self.ranges.push((name, start.0, last));
        Ok(())
    }
}
