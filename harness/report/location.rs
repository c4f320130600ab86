//! An instruction with the symbol line above it.

use crate::address::{CodeAddress, Va};
use crate::debugger::Session;
use crate::debugger::operand::OperandValue;
use crate::disasm::Segment;
use crate::symbols::SourceLine;
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

/// Writes the symbol nearest to an address as [`write_symbol`] does; with source lines on also its line:
/// `leaky!Parse [/guest/leaky/leaky.c @ 38]:`. Published listings of `u` and `uf` have it so. At a stop WinDbg
/// does not show it.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::location};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.show_source_lines(true);
/// let mut text = String::new();
/// location::write_head(&mut text, &session, session.resolve("nt!ExFreePool").unwrap())?;
/// assert!(text.starts_with("nt!ExFreePool [/guest/ntoskrnl/"), "{text}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_head(out: &mut dyn Write, session: &Session, address: Va) -> fmt::Result {
    let Some(near) = session.modules().nearest(address) else {
        return Ok(());
    };
    match shown_line(session, address) {
        Some(line) => writeln!(out, "{near} [{line}]:"),
        None => writeln!(out, "{near}:"),
    }
}

/// The source line of an instruction, if source lines are on and it has one.
pub(crate) fn shown_line(session: &Session, address: Va) -> Option<SourceLine> {
    let line = || session.source_line(CodeAddress::InstructionPointer(address));
    session.shows_source_lines().then(line).flatten()
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
    let value = match address == session.registers().rip() {
        true => session.operand_value(),
        false => None,
    };
    let instruction = session.instruction(address);
    let Some(value) = value else {
        return writeln!(out, "{instruction}");
    };
    let pointed = value.pointer().and_then(|at| session.modules().nearest(at));
    let symbol = pointed.filter(|near| near.offset == 0 && near.symbol.is_some());
    let symbol = symbol.map(|near| near.to_string());
    let text = operand_text(&value, symbol.as_deref());
    let width = OPERAND_COLUMN - 1;
    writeln!(out, "{:width$} {text}", instruction.to_string())
}

/// What an instruction uses in memory, as it stands behind the instruction; `symbol` is what the pointer there
/// leads to.
///
/// ```
/// use poolhit::{address::Va, report::location::operand_text};
/// use poolhit::debugger::operand::OperandValue;
/// use poolhit::disasm::{MemoryOperand, Segment};
/// let operand = MemoryOperand { segment: Segment::Ds, offset: Va(0x1000), size: 2 };
/// let value = OperandValue { operand, selector: 0x2b, bytes: Some(vec![0x34, 0x12]) };
/// assert_eq!(operand_text(&value, None), "ds:002b:00000000`00001000=1234");
/// ```
pub fn operand_text(value: &OperandValue, symbol: Option<&str>) -> String {
    let operand = &value.operand;
    let mut text = format!("{:?}:", operand.segment).to_lowercase();
    if value.selector != 0 {
        text.push_str(&format!("{:04x}:", value.selector));
    }
    text.push_str(&format!("{}=", operand.offset));
    let Some(bytes) = &value.bytes else {
        return text + &"??".repeat(operand.size);
    };
    if let (Some(symbol), Some(pointer)) = (symbol, value.pointer()) {
        return format!("{text}{{{symbol} ({pointer})}}");
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
