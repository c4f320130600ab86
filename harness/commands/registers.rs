//! `r[M MASK | X] [REGISTER[:[COUNT]TYPE] [= VALUE], …]`: registers, and the instruction that is next.
//! Without a name those that the mask says (see `rm`); `rM` has a mask of its own, `rX` shows the vector
//! registers.
//!
//! In a context that `.trap`, `.cxr` or `.frame /c` has set, `Last set context:` stands above it, as in
//! analyses by their authors. There no register can be changed: in the project's own words, since none of
//! WinDbg's were found.
//!
//! `r.` shows the registers that the instruction which is next names, in one line; its form is that of a session
//! published with notes on tcpip.sys ("test al,al").
//!
//! With names, each of them; with a value, changes it. A name is a register's, a part's, a flag's or a
//! pseudo-register's: `r eax`, `r zf=1`, `r $t0 = poi(@rsp)`. A type shows the register's elements, the
//! highest first: `ib ub iw uw id ud iq uq` are signed and unsigned integers of 8 to 64 bits, `f` and
//! `d` floating-point numbers. If one of several cannot be read or changed, none is changed.
//!
//! "r (Registers)" in the manual. The rows are those of many published kernel sessions on x64, flags
//! and segments among them; vector registers and types have the form of "Practical Reverse
//! Engineering" (Dang, Gazet, Bachaalany), "Displaying Registers in Bytes/Word/Dword/Qword
//! Formats". For the rows of control, debug and descriptor registers on x64 no published session was
//! found. The registers of x87 and MMX, and what lies above the vector registers' low 128 bits, are
//! not shown, and vector registers cannot be changed.
//!
//! ```text
//! kd> r rax = 5, rax
//! rax=0000000000000005
//! kd> r
//! rax=0000000000000005 rbx=fffff800008004b0 rcx=fffff800008004b0
//! rdx=fffffa800005c040 rsi=fffff800008004b0 rdi=0000000000000000
//! rip=fffff800014d0180 rsp=fffff88004ec1cc8 rbp=0000000000000000
//!  r8=0000000000000000  r9=fffff88004ec1c20 r10=0000000000f2ebac
//! r11=00000000000003ff r12=0000000000000000 r13=0000000000000000
//! r14=0000000000000000 r15=0000000000000000
//! iopl=0         nv up ei ng nz na pe nc
//! cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00000282
//! nt!DbgBreakPoint:
//! fffff800`014d0180 cc              int     3
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::expression::{ExpressionError, ExpressionErrorKind};
use crate::debugger::register_name::Register;
use crate::debugger::registers::RegisterError;
use crate::debugger::state::register_mask;
use crate::disasm::operand_registers;
use crate::report::registers::{ElementType, write_registers};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if super::aliases::run_fixed(session, arguments)? {
        return Ok(Flow::Stay);
    }
    let mut mask = session.state.register_mask;
    let option = arguments.rest().chars().next();
    match option {
        Some('M') => {
            arguments.eat("M");
            mask = next_mask(session, arguments)?;
        }
        Some('X') => {
            arguments.eat("X");
            mask = register_mask::VECTORS;
        }
        Some(option @ ('F' | 'Y')) => {
            arguments.eat(&option.to_string());
            return Err(ExecuteError::UnknownOption {
                command: "r",
                option: option.to_string(),
                known: "M MASK and X",
            });
        }
        Some('.') => {
            arguments.eat(".");
            arguments.finish()?;
            return write_operands(session, out);
        }
        _ => {}
    }
    if arguments.at_end() {
        write_header(session, out)?;
        write_registers(out, session, mask)?;
        return Ok(Flow::Stay);
    }
    let machine = session.lab().machine();
    let vector_control = machine.system_registers().mxcsr;
    let before = (machine.registers(), session.state.user_registers);
    let mut text = String::new();
    let done = items(session, arguments, &mut text);
    if done.is_err() {
        session.state.user_registers = before.1;
        let machine = session.lab_mut().machine_mut();
        let restored = machine
            .set_registers(&before.0)
            .and_then(|()| machine.set_mxcsr(vector_control));
        restored.map_err(RegisterError::from)?;
    }
    done?;
    write_header(session, out)?;
    out.write_str(&text)?;
    Ok(Flow::Stay)
}

/// The registers of the next instruction's operands.
fn write_operands(session: &Session, out: &mut dyn Write) -> Result<Flow, ExecuteError> {
    let instruction = session.instruction(session.registers().rip());
    let named = operand_registers(instruction.bytes()).into_iter();
    let shown: Vec<String> = named
        .filter_map(|name| {
            let value = session.value_of(&name)?;
            // what is sign-extended in expressions is not here
            let unused = 64_u32.checked_sub(Register::named(&name)?.width())?;
            let value = value << unused >> unused;
            Some(format!("{name}={}", Va(value)))
        })
        .collect();
    if !shown.is_empty() {
        writeln!(out, "{}", shown.join("  "))?;
    }
    Ok(Flow::Stay)
}

/// Whose registers they are, if not those of where the guest stands.
fn write_header(session: &Session, out: &mut dyn Write) -> std::fmt::Result {
    match session.control.context_is_set {
        true => writeln!(out, "Last set context:"),
        false => Ok(()),
    }
}

/// Reads a mask.
pub(super) fn next_mask(
    session: &Session,
    arguments: &mut Cursor<'_>,
) -> Result<u32, ExecuteError> {
    let mask = arguments.next_expression(session)?;
    u32::try_from(mask).map_err(|_| arguments.error(CommandErrorKind::Range).into())
}

/// Shows or changes one register after the other.
fn items(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut String,
) -> Result<(), ExecuteError> {
    loop {
        item(session, arguments, out)?;
        if arguments.at_end() {
            return Ok(());
        }
        if !arguments.eat(",") {
            return Ok(arguments.finish()?);
        }
    }
}

fn item(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut String,
) -> Result<(), ExecuteError> {
    arguments.peek();
    let (rest, offset) = (arguments.rest(), arguments.position());
    let bad_register = || {
        ExecuteError::from(ExpressionError {
            kind: ExpressionErrorKind::BadRegister,
            rest: rest.to_string(),
            offset,
        })
    };
    arguments.eat("@");
    let inside = arguments.rest();
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '$')));
    let name = &inside[..end.unwrap_or(inside.len())];
    if name.is_empty() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    arguments.eat(name);
    let register = Register::named(name);
    let value = session.value_of(name).ok_or_else(bad_register)?;
    if let Some(register) = register
        && arguments.eat(":")
    {
        let elements = ElementType::read(arguments)?;
        let value = session.read_register(register);
        let text = elements.text(value, register.width());
        let text = text.ok_or_else(|| arguments.error(CommandErrorKind::Syntax))?;
        writeln!(out, "{name}={text}")?;
    } else if arguments.eat("=") {
        let value = arguments.next_expression(session)?;
        session
            .set_value_of(name, value)
            .map_err(|error| match error {
                RegisterError::NotWritable { .. } => bad_register(),
                RegisterError::TooWide { .. } => arguments.error(CommandErrorKind::Overflow).into(),
                error => error.into(),
            })?;
    } else if let Some(Register::Vector(_)) = register {
        let value = register.map_or(0, |register| session.read_register(register));
        writeln!(out, "{name}={}", ElementType::default_text(value))?;
    } else {
        let digits = register.map_or(16, Register::shown_digits);
        writeln!(out, "{name}={value:0digits$x}")?;
    }
    Ok(())
}
