//! The listing of `k`.

use crate::debugger::CallStack;
use std::fmt::{self, Write};

/// Writes a stack as WinDbg's `k` does: stack pointer, return address, call site.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stack::write_stack};
/// let session = Session::new(Lab::builder().build()?);
/// let mut text = String::new();
/// write_stack(&mut text, &session.stack(1))?;
/// assert!(text.starts_with("Child-SP          RetAddr           Call Site\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_stack(out: &mut dyn Write, stack: &CallStack) -> fmt::Result {
    writeln!(out, "Child-SP          RetAddr           Call Site")?;
    for frame in &stack.frames {
        writeln!(out, "{} {} {frame}", frame.child_sp, frame.return_address)?;
    }
    Ok(())
}
