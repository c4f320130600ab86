//! `!idt [-a] [VECTOR]`: the interrupt gates of the processor that runs: for each that is present its vector, the address
//! it leads to, the symbol there, and the stack that it goes to if it has one of its own. Those that nobody has
//! asked for, which lead to `nt!KiUnexpectedInterrupt`, are shown with `-a`, or by their vector.
//!
//! "!idt" in the debugger's manual; the form is that of sessions of `!idt` and `!idt 0` in "x64 lab" and others.
//!
//! ```text
//! kd> !idt e
//!
//! Dumping IDT: fffff8000165f150
//!
//! 0e:    fffff800014d0620 nt!KiPageFault
//!
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::report::interrupts::{write_gate, write_gates_title};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let all = arguments.rest().split_whitespace().next() == Some("-a");
    if all {
        arguments.next_word();
    }
    let vector = match arguments.at_end() {
        true => None,
        false => Some(arguments.next_expression(session)?),
    };
    arguments.finish()?;
    if vector.is_some_and(|vector| vector > 0xff) {
        return Err(arguments.error(CommandErrorKind::Range).into());
    }
    let lab = session.lab();
    let table = lab.processor(None)?.tables[2];
    let nobody_s = lab.kernel_symbol("KiUnexpectedInterrupt");
    write_gates_title(out, table)?;
    for gate in lab.interrupt_gates()? {
        let shown = match vector {
            Some(vector) => vector == u64::from(gate.vector),
            None => all || nobody_s != Some(gate.handler),
        };
        if !shown {
            continue;
        }
        let near = session.modules().nearest(gate.handler);
        write_gate(out, &gate, near.map(|near| near.to_string()).as_deref())?;
    }
    writeln!(out)?;
    Ok(Flow::Stay)
}
