//! Interrupt gates, as `!idt` shows them.
//!
//! The form is that of published sessions of `!idt` on x64.

use crate::address::Va;
use crate::guest::objects::InterruptGate;
use std::fmt::{self, Write};

/// Writes what stands above the gates: where their table is.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// poolhit::report::interrupts::write_gates_title(&mut text, poolhit::address::Va(0xfffff801_87a75000))?;
/// assert_eq!(text, "\nDumping IDT: fffff80187a75000\n\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_gates_title(out: &mut dyn Write, table: Va) -> fmt::Result {
    writeln!(out, "\nDumping IDT: {:016x}\n", table.0)
}

/// Writes a gate: its vector, where it leads to, the symbol there, and the stack that it goes to.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{address::Va, guest::objects::InterruptGate, report::interrupts::write_gate};
/// let mut text = String::new();
/// let gate = InterruptGate { vector: 0xe, handler: Va(0xfffff800_014d0620), stack: None };
/// write_gate(&mut text, &gate, Some("nt!KiPageFault"))?;
/// assert_eq!(text, "0e:\tfffff800014d0620 nt!KiPageFault\n");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_gate(out: &mut dyn Write, gate: &InterruptGate, symbol: Option<&str>) -> fmt::Result {
    write!(out, "{:02x}:\t{:016x}", gate.vector, gate.handler.0)?;
    if let Some(symbol) = symbol {
        write!(out, " {symbol}")?;
    }
    match gate.stack {
        Some(stack) => writeln!(out, "\tStack = 0x{:016X}", stack.0),
        None => writeln!(out),
    }
}
