//! An instruction with the symbol line above it.

use crate::address::Va;
use crate::debugger::Session;
use std::fmt::{self, Write};

/// Writes the symbol nearest to an address, if its module is known, on a line that ends in a
/// colon: ``nt! ?? ::FNODOBFM::`string'+0x24a2a:``.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::location};
/// let session = Session::new(Lab::builder().build()?);
/// let mut text = String::new();
/// location::write_symbol(&mut text, &session, session.registers().rip())?;
/// assert_eq!(text, "nt!DbgBreakPoint:\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_symbol(out: &mut dyn Write, session: &Session, address: Va) -> fmt::Result {
    match session.modules().nearest(address) {
        Some(near) => writeln!(out, "{near}:"),
        None => Ok(()),
    }
}

/// Writes where the guest is: the symbol line, and the instruction.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::location};
/// let session = Session::new(Lab::builder().build()?);
/// let mut text = String::new();
/// location::write_location(&mut text, &session, session.registers().rip())?;
/// assert!(text.ends_with(" cc              int     3\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_location(out: &mut dyn Write, session: &Session, address: Va) -> fmt::Result {
    write_symbol(out, session, address)?;
    writeln!(out, "{}", session.instruction(address))
}
