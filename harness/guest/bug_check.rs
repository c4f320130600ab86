//! Bug checks: the kernel's own reason for stopping.

use crate::address::Va;
use crate::memory::ReadMemory;
use std::fmt;

/// A stop code with its four parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl BugCheck {
    /// The code and the parameters, without a line's end between or behind them.
    ///
    /// ```
    /// use poolhit::guest::BugCheck;
    /// let check = BugCheck { code: 0x7f, parameters: [8, 0, 0, 0] };
    /// assert_eq!(check.in_one_line(), "bug check 0x0000007f (0x8, 0x0, 0x0, 0x0)");
    /// ```
    pub fn in_one_line(&self) -> String {
        let [one, two, three, four] = self.parameters;
        let code = self.code;
        format!("bug check {code:#010x} ({one:#x}, {two:#x}, {three:#x}, {four:#x})")
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
