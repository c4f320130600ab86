//! Source lines in a session.

use super::session::Session;
use crate::address::{CodeAddress, Va};
use crate::symbols::{Modules, SourceLine};

impl Session {
    /// The source line that code comes from; for a return address that of the call. `None` where no
    /// loaded module's PDB has one.
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::CodeAddress};
    /// let session = Session::new(Lab::builder().build()?);
    /// let entry = session.resolve("nt!ExAllocatePoolWithQuotaTag").unwrap();
    /// let line = session.source_line(CodeAddress::InstructionPointer(entry)).unwrap();
    /// assert!(line.file.starts_with("/guest/ntoskrnl/"), "{line}");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn source_line(&self, code: CodeAddress) -> Option<SourceLine> {
        self.modules.line_of(code)
    }

    /// Has `k`, `u`, `uf`, `ub`, `bl` and `ln` show source lines, or not: what `.lines` does. At first they do not, as
    /// in KD without `-lines`; expressions take lines from the start on, and no longer once this has said `false`.
    /// [`Session::stack`] never looks them up: [`CallStack::with_lines`](super::CallStack::with_lines) does.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.show_source_lines(true);
    /// assert!(session.execute("k")?.contains(" [/guest/ntoskrnl/"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn show_source_lines(&mut self, shown: bool) {
        self.source_lines = shown;
        self.lines_are_off = !shown;
    }

    /// Whether `k` and the others show source lines.
    ///
    /// ```
    /// let session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// assert!(!session.shows_source_lines());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn shows_source_lines(&self) -> bool {
        self.source_lines
    }

    /// Where the code of a source line starts, in ascending order; `file` is a path or its end, and may have a
    /// module's name and `!` in front. It is that of the next line with code where the line itself has none, and
    /// there are several addresses where the compiler made several pieces of code of one line.
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::CodeAddress};
    /// let session = Session::new(Lab::builder().build()?);
    /// let entry = session.resolve("nt!ExAllocatePoolWithQuotaTag").unwrap();
    /// let line = session.source_line(CodeAddress::InstructionPointer(entry)).unwrap();
    /// let file = format!("nt!{}", line.file);
    /// assert!(session.addresses_of_line(&file, line.line).contains(&entry));
    /// assert!(session.addresses_of_line("later!a.c", 1).is_empty());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn addresses_of_line(&self, file: &str, line: u32) -> Vec<Va> {
        let (module, file) = in_module(file);
        self.modules.addresses_of_line(module, file, Some(line))
    }
}

/// What stands between back-ticks: `[[Module!]Filename][:LineNumber]`, of which the first address counts; without a
/// file's name that of the code at `here` ("Source Line Syntax" in the debugger's manual).
pub(super) fn address_of_source(modules: &Modules, text: &str, here: Va) -> Option<Va> {
    let (module, text) = in_module(text);
    let (file, line) = match text.rsplit_once(':') {
        // `c:\src\file.c` is a file without a line
        Some((file, line)) if !line.contains(['\\', '/']) => (file, Some(number(line)?)),
        _ => (text, None),
    };
    let found = match file {
        "" => {
            let own = modules.containing(here)?.name();
            let file = modules.line_of(CodeAddress::InstructionPointer(here))?.file;
            modules.addresses_of_line(Some(module.unwrap_or(own)), &file, line)
        }
        file => modules.addresses_of_line(module, file, line),
    };
    found.first().copied()
}

/// A file's name, and the module's in front of it.
fn in_module(text: &str) -> (Option<&str>, &str) {
    match text.split_once('!') {
        Some((module, file)) => (Some(module), file),
        None => (None, text),
    }
}

/// A line's number, which is decimal whatever the radix is, or has `0x` in front.
fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}
