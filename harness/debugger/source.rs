//! Source lines in a session.

use super::session::Session;
use crate::address::CodeAddress;
use crate::symbols::SourceLine;

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

    /// Has `k` show source lines, or not: what `.lines` does. At first it does not, as in KD without
    /// `-lines`. [`Session::stack`] never looks them up:
    /// [`CallStack::with_lines`](super::CallStack::with_lines) does.
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
    }

    /// Whether `k` shows source lines.
    ///
    /// ```
    /// let session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// assert!(!session.shows_source_lines());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn shows_source_lines(&self) -> bool {
        self.source_lines
    }
}
