//! The golden session: finding out who leaks with `nt!PoolHitTag`, from the prompt to the stacks.

/// Its commands, one a line, as `poolhit debug` reads them from a script.
pub const SCRIPT: &str = include_str!("golden.kd");

/// The work after which its break-in key takes effect: enough for a few stacks.
pub const BREAK_IN_AFTER: u64 = 60_000;
