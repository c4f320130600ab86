//! What a session remembers between commands, and the guest knows nothing of.

use super::scripting::Scripting;
use crate::address::Va;
use crate::guest::SymbolPath;

/// How many user-defined pseudo-registers there are: `$t0` to `$t19`.
pub const USER_REGISTERS: usize = 20;

/// The frames that `k` shows at first without a count (".kframes (Set Stack Length)").
pub const DEFAULT_FRAMES: u64 = 0x100;

/// The bits of the mask that says which registers `r` shows ("rm (Register Mask)").
pub mod register_mask {
    /// Integer registers; the bit of 32-bit targets means the same.
    pub const INTEGER: u32 = 2;
    /// As [`INTEGER`].
    pub const INTEGER_32: u32 = 1;
    /// Segment registers.
    pub const SEGMENTS: u32 = 8;
    /// Debug registers and CR4.
    pub const DEBUG: u32 = 0x20;
    /// Vector registers, as numbers of 32 bits.
    pub const VECTORS: u32 = 0x40;
    /// Control registers.
    pub const CONTROL: u32 = 0x80;
    /// Descriptor and task state registers.
    pub const DESCRIPTORS: u32 = 0x100;
    /// All that this target has.
    pub const ALL: u32 = INTEGER | INTEGER_32 | SEGMENTS | DEBUG | VECTORS | CONTROL | DESCRIPTORS;
    /// What `r` shows if nothing else is said.
    pub const DEFAULT: u32 = INTEGER | SEGMENTS;
}

/// What a session remembers.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// `$t0` to `$t19`.
    pub user_registers: [u64; USER_REGISTERS],
    /// `$exp`: the last expression's value.
    pub last_value: u64,
    /// `$p`: the last value that a display of memory showed.
    pub last_shown: u64,
    /// `$extret`: what an extension's command has to say; the list entry that `!list` is at.
    pub extension_result: u64,
    /// The frames that stacks are shown with without a count.
    pub frames: u64,
    /// The base of numbers without prefix.
    pub radix: u32,
    /// Which registers `r` shows.
    pub register_mask: u32,
    /// Where a display of physical memory without an address goes on.
    pub next_physical: Va,
    /// The last display command's name, which `d` repeats.
    pub display: &'static str,
    /// The last command's name that wrote to memory, which `e` repeats.
    pub enter: &'static str,
    /// The places that a search with the flag `s` has saved.
    pub saved_hits: Vec<Va>,
    /// Where PDBs are looked for.
    pub symbol_path: SymbolPath,
    /// The program of commands.
    pub scripting: Scripting,
}

impl Default for State {
    fn default() -> State {
        State {
            user_registers: [0; USER_REGISTERS],
            last_value: 0,
            last_shown: 0,
            extension_result: 0,
            frames: DEFAULT_FRAMES,
            radix: 16,
            register_mask: register_mask::DEFAULT,
            next_physical: Va(0),
            display: "db",
            enter: "eb",
            saved_hits: Vec::new(),
            symbol_path: SymbolPath::default(),
            scripting: Scripting::default(),
        }
    }
}
