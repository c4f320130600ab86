//! Which source lines a report names.

use super::report::PathReport;
use crate::address::Va;
use crate::debugger::CallStack;
use crate::symbols::{Modules, SourceLine};

/// Looks up the lines of a stack's drivers: whose leaks a report is about. The kernel's own sources, and
/// those of the libraries above it, are not at hand for people who read it.
pub(super) fn find_driver_lines(stack: &mut CallStack, modules: &Modules, kernel: Va) {
    stack.find_lines(modules, |frame| {
        let module = modules.containing(frame.address);
        frame.address.is_kernel() && module.is_some_and(|module| module.base() != kernel)
    });
}

impl PathReport {
    /// The source line of a driver that made the call: of the innermost frame that has one. `None` if
    /// no PDB of the drivers has lines, or the stack is not kept.
    ///
    /// ```
    /// use poolhit::{Lab, guest::ImageFile, scenario::Scenario};
    /// use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
    /// let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, Some(LEAKY_PDB.bytes))?;
    /// let mut lab = Lab::builder().driver(driver).requester().track_leaks().build()?;
    /// let scenario = Scenario {
    ///     device: Some(r"\\.\Leaky".into()),
    ///     steps: vec!["0x222044:ad0b0000".parse()?], // a bad value, of which a copy is forgotten
    ///     ..Scenario::default()
    /// };
    /// scenario.run(&mut lab, |_| ())?;
    /// let report = lab.leaks()?;
    /// let line = report.leaks().next().unwrap().source().unwrap();
    /// assert!(line.file.ends_with("leaky.c"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn source(&self) -> Option<&SourceLine> {
        let mut frames = self.stack.iter().flat_map(|stack| &stack.frames);
        // Which drivers there are is not known of all stacks; only theirs have lines.
        frames.find_map(|frame| frame.source.as_ref())
    }
}
