//! `!list -t [MODULE!]TYPE.FIELD [-x "COMMANDS"] [-a "ARGUMENTS"] [-e] [-m MAX] ADDRESS`: executes commands once
//! for each element of a linked list. FIELD has the link, and may be several, as in `_EPROCESS.ActiveProcessLinks.Flink`;
//! ADDRESS is where the first structure starts.
//!
//! `@$extret` in the commands is the element's address; without it the address stands behind them, or behind
//! `-a`'s text. Without `-x` it is `dp`. `-e` shows each command first, `-m` ends it after MAX elements. All of it
//! may be in one pair of double quotes, with `\"` for those inside. An element is where its structure starts,
//! wherever in it the link is.
//!
//! "!list" in the debugger's manual has the rules. The list ends at a link that is null or leads back to its first
//! element. It has ended before if a link cannot be read, which is said. A list that comes back to a later
//! element would go on for ever: it ends with the budget, or by Ctrl+C.
//!
//! ```text
//! kd> !list -t nt!_EPROCESS.ActiveProcessLinks.Flink -m 1 -x "da @$extret+2e0" poi(nt!PsInitialSystemProcess)
//! fffffa80`0003c950  "System"
//!
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::memory::{MemoryFault, ReadMemory};
use crate::symbols::types::{Shape, Type};
use std::fmt::Write;

/// Where elements have their link.
#[derive(Clone, Copy, Default)]
pub(super) struct Link {
    /// The link's place in a structure.
    offset: u64,
    /// The place in the next structure that it leads to.
    leads_to: u64,
}

impl Link {
    /// The element behind the one at an address; none behind the last, whose link is NULL.
    pub(super) fn next(self, session: &Session, at: Va) -> Result<Option<Va>, MemoryFault> {
        let next = session
            .lab()
            .machine()
            .read_va(at.wrapping_add(self.offset))?;
        Ok((next.0 != 0).then(|| next.wrapping_sub(self.leads_to)))
    }

    /// Where the link lies of the element at an address.
    pub(super) fn place(self, at: Va) -> Va {
        at.wrapping_add(self.offset)
    }
}

/// What `!list` is asked for.
#[derive(Default)]
struct Request {
    link: Link,
    commands: Option<String>,
    arguments: String,
    echoes: bool,
    limit: u64,
}

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if let Some(inside) = arguments.next_quoted()? {
        arguments.finish()?;
        return run_inside(session, &mut Cursor::new(&inside), out);
    }
    run_inside(session, arguments, out)
}

fn run_inside(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let request = read(session, arguments)?;
    let first = Va(arguments.next_expression(session)?);
    arguments.finish()?;
    let before = session.state.extension_result;
    let flow = walk(session, &request, first, out);
    session.state.extension_result = before;
    flow
}

fn read(session: &Session, arguments: &mut Cursor<'_>) -> Result<Request, ExecuteError> {
    let mut request = Request {
        limit: u64::MAX,
        ..Request::default()
    };
    let mut has_link = false;
    while arguments.peek() == Some('-') {
        match arguments.next_word().unwrap_or_default() {
            "-t" => {
                let word = arguments.next_word().unwrap_or_default();
                request.link = link(session, word)?;
                has_link = true;
            }
            "-x" => request.commands = Some(text(arguments)?),
            "-a" => request.arguments = text(arguments)?,
            "-e" => request.echoes = true,
            "-m" => {
                let word = arguments.next_word().unwrap_or_default();
                request.limit = Cursor::new(word).next_expression(session)?;
            }
            _ => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        }
    }
    match has_link {
        true => Ok(request),
        false => Err(arguments.error(CommandErrorKind::Syntax).into()),
    }
}

/// The text in the double quotes that come next.
fn text(arguments: &mut Cursor<'_>) -> Result<String, ExecuteError> {
    let text = arguments.next_quoted()?;
    text.ok_or_else(|| arguments.error(CommandErrorKind::Syntax).into())
}

/// A type's link, by `MODULE!TYPE.FIELD.FIELD`.
fn link(session: &Session, word: &str) -> Result<Link, ExecuteError> {
    let (name, path) = word.split_once('.').unwrap_or((word, ""));
    let (module, name) = match name.split_once('!') {
        Some((module, name)) => (Some(module), name),
        None => (None, name),
    };
    let modules = session.modules();
    let kernel = modules.by_name("nt").into_iter();
    let others = modules.iter().filter(|one| one.name() != "nt");
    let wanted = kernel
        .chain(others)
        .filter(|one| module.is_none_or(|name| one.name().eq_ignore_ascii_case(name)));
    let mut found = None;
    for module in wanted {
        // Another module's broken types do not matter.
        if let Ok(Some(ty)) = module.types().find(name) {
            found = Some(ty);
            break;
        }
    }
    let ty = found.ok_or_else(|| ExecuteError::NoSuchType(word.to_string()))?;
    link_at(ty, path)?.ok_or_else(|| ExecuteError::NoLink(word.to_string()))
}

/// Where a type's link is, by the path to it. What it leads to is the structure itself if it is a pointer to one,
/// and otherwise the member of the next structure that the link is in.
pub(super) fn link_at(top: Type<'_>, path: &str) -> Result<Option<Link>, ExecuteError> {
    let (mut ty, mut parent, mut offset) = (top, 0_u64, 0_u64);
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let Shape::Structure(structure) = ty.shape()? else {
            return Ok(None);
        };
        let mut fields = structure.fields()?.into_iter();
        let Some(field) = fields.find(|field| field.name().eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        (parent, offset) = (offset, offset.wrapping_add(field.offset));
        ty = field.ty;
    }
    let leads_to = match ty.shape()? {
        Shape::Structure(_) => offset,
        Shape::Pointer { target, .. } if target.name() == top.name() => 0,
        _ => parent,
    };
    Ok(Some(Link { offset, leads_to }))
}

fn walk(
    session: &mut Session,
    request: &Request,
    first: Va,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let commands = request.commands.as_deref().unwrap_or("dp");
    let names_element = commands.to_ascii_lowercase().contains("$extret");
    let mut at = first;
    let mut shown = 0;
    while at.0 != 0 && shown < request.limit {
        session.charge_turn()?;
        session.state.extension_result = at.0;
        let command = match (names_element, request.arguments.as_str()) {
            (true, "") => commands.to_string(),
            (true, arguments) => format!("{commands} {arguments}"),
            (false, "") => format!("{commands} {:#x}", at.0),
            (false, arguments) => format!("{commands} {:#x} {arguments}", at.0),
        };
        if request.echoes {
            writeln!(out, "{command}")?;
        }
        let flow = session.run_block(&command, out)?;
        // "Each time Commands is executed …": one that lets the guest go on, or leaves, is the last.
        if flow != Flow::Stay {
            return Ok(flow);
        }
        shown += 1;
        match request.link.next(session, at) {
            Ok(None) => break,
            Ok(Some(next)) => at = next,
            Err(fault) => {
                let link = request.link.place(at);
                writeln!(out, "Cannot read the link at {link}: {fault}")?;
                break;
            }
        }
        if at == first {
            break;
        }
        writeln!(out)?;
    }
    Ok(Flow::Stay)
}
