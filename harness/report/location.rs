//! An instruction with the symbol line above it.

use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::operand::OperandValue;
use crate::disasm::Segment;
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

/// Where the operand of the instruction that is next begins, in columns.
const OPERAND_COLUMN: usize = 60;

/// Writes an instruction. Behind the one that is next stands what it uses in memory: segment, address and value.
///
/// The forms are those of published sessions of x64 kernels: ``mov qword ptr [rsp+8],rcx
/// ss:0018:fffffa60`005f1a70=000000000000007f`` at `nt!KeBugCheckEx`, ``movups xmm0,xmmword ptr [rax]
/// ds:002b:ffffe50f`41720050=ffffffffffff00010000023e424d53fc`` in a listing of `srv2!Srv2DecompressData`,
/// ``ds:fffff880`209b5d50=????????????????`` in trap frames, where the selector is 0, and
/// ``{nt!KiInitialProcess (fffff801`b7030b40)}`` for a pointer to a symbol. Bytes of GS stand in memory's order
/// there: ``gs:002b:00000000`00000188=6000cf1a80faffff``. That the text begins in this column at least is by
/// sessions of x86; where it is longer, one space divides them.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::location};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("eb nt!NtClose 48 89 4c 24 08; g nt!NtClose")?;
/// let mut text = String::new();
/// location::write_instruction(&mut text, &session, session.registers().rip())?;
/// assert!(text.contains(" mov     qword ptr [rsp+8],rcx ss:"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_instruction(out: &mut dyn Write, session: &Session, address: Va) -> fmt::Result {
    let line = session.instruction(address).to_string();
    let value = match address == session.registers().rip() {
        true => session.operand_value(),
        false => None,
    };
    let Some(value) = value else {
        return writeln!(out, "{line}");
    };
    let width = OPERAND_COLUMN - 1;
    writeln!(out, "{line:width$} {}", operand_text(session, &value))
}

fn operand_text(session: &Session, value: &OperandValue) -> String {
    let operand = &value.operand;
    let mut text = format!("{:?}:", operand.segment).to_lowercase();
    if value.selector != 0 {
        text.push_str(&format!("{:04x}:", value.selector));
    }
    text.push_str(&format!("{}=", operand.offset));
    let Some(bytes) = &value.bytes else {
        return text + &"??".repeat(operand.size);
    };
    let pointer = <[u8; 8]>::try_from(bytes.as_slice()).map(|bytes| Va(u64::from_le_bytes(bytes)));
    let near = pointer.ok().and_then(|at| session.modules().nearest(at));
    if let Some(near) = near.filter(|near| near.offset == 0 && near.symbol.is_some())
        && let Ok(pointer) = pointer
    {
        return format!("{text}{{{near} ({pointer})}}");
    }
    let in_order = operand.segment == Segment::Gs;
    for place in 0..bytes.len() {
        let place = if in_order {
            place
        } else {
            bytes.len() - 1 - place
        };
        text.push_str(&format!("{:02x}", bytes[place]));
    }
    text
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
    write_instruction(out, session, address)
}
