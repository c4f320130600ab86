//! What a session remembers of the program of commands that it executes.

use super::alias::Aliases;
use super::log::Log;
use super::session::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a command in a block, or in a loop, takes of the budget, on top of the code that it lets the guest
/// run: in bytes of code retired. So loops have an end, too.
pub const COMMAND_WORK: u64 = 1 << 11;
/// What a byte that is printed takes of it.
pub const PRINTED_WORK: u64 = 16;
/// How deep blocks, script files and breakpoints' commands may be in one another. The project's own limit.
pub const MAX_BLOCK_DEPTH: usize = 64;

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Scripting {
    /// The aliases.
    pub aliases: Aliases,
    /// The log file.
    pub log: Log,
    /// How many blocks the command is in, the line that was typed among them.
    pub depth: usize,
    /// How many of them were entered before the breakpoint's commands that are executed.
    pub base: usize,
    /// The loops around the command.
    pub loops: usize,
    /// The `.catch` around it.
    pub catches: usize,
    /// A breakpoint's commands are executed: what lets the guest go on ends them.
    pub at_breakpoint: bool,
    /// What the line has taken of the budget so far.
    pub spent: u64,
    /// What it has printed so far, in bytes.
    pub printed: Arc<AtomicU64>,
    /// The lines of script files, of the line that was typed, that could not be executed.
    pub failed_lines: u64,
    /// Whether commands may read and write files.
    pub files: bool,
}

impl Default for Scripting {
    fn default() -> Scripting {
        Scripting {
            aliases: Aliases::default(),
            log: Log::default(),
            depth: 0,
            base: 0,
            loops: 0,
            catches: 0,
            at_breakpoint: false,
            spent: 0,
            printed: Arc::default(),
            failed_lines: 0,
            files: true,
        }
    }
}

impl Scripting {
    /// A new line is executed.
    pub fn start_line(&mut self) {
        (self.depth, self.base, self.loops, self.catches) = (0, 0, 0, 0);
        (self.spent, self.failed_lines, self.at_breakpoint) = (0, 0, false);
        self.printed.store(0, Ordering::Relaxed);
    }

    /// Whether the command is in a block.
    pub fn is_nested(&self) -> bool {
        self.depth > self.base + 1
    }

    /// What the line has taken of the budget so far, what it has printed among it.
    pub fn work(&self) -> u64 {
        let printed = self.printed.load(Ordering::Relaxed);
        self.spent
            .saturating_add(printed.saturating_mul(PRINTED_WORK))
    }
}

impl Session {
    /// The session's aliases.
    ///
    /// ```
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// session.execute("as Tag nt!PoolHitTag")?;
    /// assert_eq!(session.aliases().iter().next(), Some(("Tag", "nt!PoolHitTag")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aliases(&self) -> &Aliases {
        &self.state.scripting.aliases
    }

    /// The same, to change them.
    ///
    /// ```
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// session.aliases_mut().set("Two", "1+1")?;
    /// assert!(session.execute("? Two")?.starts_with("Evaluate expression: 2 "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aliases_mut(&mut self) -> &mut Aliases {
        &mut self.state.scripting.aliases
    }

    /// How many lines of script files, of the line executed last, could not be executed.
    pub(crate) fn failed_lines(&self) -> u64 {
        self.state.scripting.failed_lines
    }

    /// Writes to the log file, if one is open.
    pub(crate) fn write_log(&self, text: &str) {
        self.state.scripting.log.write(text);
    }

    /// Whether commands may read and write files of the host (`$<`, `.logopen`, `.foreach /f` and the
    /// like) and its environment; at first they may. Refuse it where commands come from somebody that is
    /// not trusted.
    ///
    /// ```
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// session.allow_files(false);
    /// assert!(session.execute("$$<script.txt").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_files(&mut self, allowed: bool) {
        self.state.scripting.files = allowed;
    }
}
