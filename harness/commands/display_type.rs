//! `dt [OPTIONS] [MODULE!]NAME [FIELD…] [ADDRESS] [-l LINK]`: a type's members with their offsets and types;
//! with an address, or for a variable, their values.
//!
//! NAME is a structure, union, enumeration or `typedef`, or a variable. With `*` or `?` in it, the
//! types that fit are listed by name. Of an array the first element is shown, with `-a` all of them, and
//! `NAME[3]` is one of them. A parameter or local variable of the frame that `.frame` has chosen is
//! shown by its name, and what it points to where it is a pointer in a register. FIELD shows one member only; `Tail.Overlay.` shows the members
//! inside it. Case does not matter.
//!
//! | option | effect |
//! |---|---|
//! | `-r[N]` | members of structures inside, and of those that pointers point to, N levels deep |
//! | `-b` | structures and arrays inside in full, but not what pointers point to |
//! | `-a[N]` | the first N elements of arrays, or all, each on a line |
//! | `-v` | types by their full names, with sizes |
//! | `-y` | the beginning of the next FIELD is enough |
//! | `-n` | what follows is a name, even if it looks like a number |
//! | `-l LINK` | all elements of a list from ADDRESS on, by their member LINK: `-l ActiveProcessLinks.Flink` |
//! | `-o` | without the members' offsets |
//! | `-i` | without indentation |
//! | `-d` | as `-v`; of all types that fit a name with `*` |
//! | `-e`, `-t` | types alone, and no variables; with `-s SIZE` those of a size in bytes |
//!
//! Letters without a number may stand together, as in the manual's `-yoi Uni`. A list ends where it is back at its
//! first element, or at a link that is NULL; its head is shown as an element, too. "dt (Display Type)" in the debugger's
//! manual has the rules; that example and a session of `dt nt!_IRP … -l ThreadListEntry.Flink` have the form of lists.
//!
//! A number follows its option without a space, as the manual has it: `dt -r 3 nt!_KTHREAD` is the
//! thread at address 3, with all that is inside it.
//!
//! ```text
//! kd> dt nt!_LIST_ENTRY nt!PsActiveProcessHead
//!  [ 0xfffffa80`0003c7f8 - 0xfffffa80`0005ba88 ]
//!    +0x000 Flink            : 0xfffffa80`0003c7f8 _LIST_ENTRY [ 0xfffffa80`0005ba88 - 0xfffff800`0166b560 ]
//!    +0x008 Blink            : 0xfffffa80`0005ba88 _LIST_ENTRY [ 0xfffff800`0166b560 - 0xfffffa80`0003c7f8 ]
//! ```

use super::display_type_options::{Request, element, refuse_option};
use super::list::link_at;
use super::{ExecuteError, Flow, display_local};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::objects::{ListEnd, OBJECT_LIMIT};
use crate::report::objects::write_damage;
use crate::report::typed::{LINE_LIMIT, ListingError, write_type};
use crate::symbols::types::{Shape, Type};
use crate::symbols::wildcard::has_wildcard;
use crate::symbols::{Module, Modules};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let session = &*session;
    let mut request = Request::default();
    while request.next_option(session, arguments)? {}
    refuse_option(arguments)?;
    let before = arguments.clone();
    let Some(mut name) = arguments.next_word() else {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    };
    if has_wildcard(name) {
        return list_names(session, name, &request, out);
    }
    if !request.types_only
        && let Some(local) = display_local::find(session, name)
    {
        let Some((ty, at)) = local.listed else {
            arguments.finish()?;
            out.write_str(&local.head)?;
            return Ok(Flow::Stay);
        };
        request.next_rest(session, arguments, ty)?;
        if request.types_only {
            return Err(ExecuteError::NoSuchType(name.to_string()));
        }
        out.write_str(&local.head)?;
        let at = request.address.unwrap_or(at);
        if let Some(path) = &request.link {
            return list_elements(session, ty, path, at, &request, out);
        }
        write_type(out, session, ty, Some(at), &request.options)?;
        return Ok(Flow::Stay);
    }
    let mut target = find(session.modules(), name)?;
    if target.is_none() && !request.is_name && element(name).is_none() {
        // `dt ADDRESS NAME` is as good.
        let mut retry = before;
        if request.next_address(session, &mut retry).is_ok()
            && let Some(second) = retry.next_word()
        {
            name = second;
            target = find(session.modules(), name)?;
            *arguments = retry;
        }
    }
    let Some(target) = target else {
        return Err(ExecuteError::NoSuchType(name.to_string()));
    };
    request.next_rest(session, arguments, target.ty)?;
    let other_size = |size| target.ty.size().ok() != Some(size);
    if request.types_only && target.at.is_some() || request.size.is_some_and(other_size) {
        return Err(ExecuteError::NoSuchType(name.to_string()));
    }
    if !name.contains('!') {
        writeln!(out, "{}!{}", target.module.name(), target.name)?;
    }
    let at = request.address.or(target.at);
    match &request.link {
        Some(_) if at.is_none() => Err(arguments.error(CommandErrorKind::Syntax).into()),
        Some(path) => list_elements(
            session,
            target.ty,
            path,
            at.unwrap_or_default(),
            &request,
            out,
        ),
        None => {
            write_type(out, session, target.ty, at, &request.options)?;
            Ok(Flow::Stay)
        }
    }
}

/// The elements of a list, each below a line that says where it is.
fn list_elements(
    session: &Session,
    ty: Type<'_>,
    path: &str,
    first: Va,
    request: &Request,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let link = link_at(ty, path)?.ok_or_else(|| ExecuteError::NoLink(path.to_string()))?;
    let mut seen = BTreeSet::new();
    let (mut at, mut lines) = (first, 0);
    while seen.len() < OBJECT_LIMIT && seen.insert(at) {
        writeln!(
            out,
            "{path} at 0x{at}\n---------------------------------------------"
        )?;
        let mut counted = Counted { out, lines: 0 };
        write_type(&mut counted, session, ty, Some(at), &request.options)?;
        lines += counted.lines;
        if lines > LINE_LIMIT {
            return Err(ListingError::TooLong.into());
        }
        writeln!(out)?;
        match link.next(session, at) {
            Ok(Some(next)) => at = next,
            Ok(None) => return Ok(Flow::Stay),
            Err(_) => {
                write_damage(out, Some(ListEnd::Unreadable(link.place(at))), "")?;
                return Ok(Flow::Stay);
            }
        }
    }
    let end = match seen.contains(&at) {
        true if at == first => None,
        true => Some(ListEnd::Loop(at)),
        false => Some(ListEnd::Limit),
    };
    write_damage(out, end, "")?;
    Ok(Flow::Stay)
}

/// An output that counts lines.
struct Counted<'w> {
    out: &'w mut dyn Write,
    lines: usize,
}

impl Write for Counted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.lines += text.bytes().filter(|byte| *byte == b'\n').count();
        self.out.write_str(text)
    }
}

/// What is to be listed.
struct Target<'m> {
    module: &'m Module,
    name: String,
    ty: Type<'m>,
    /// Where a variable is.
    at: Option<Va>,
}

impl<'m> Target<'m> {
    /// An element of a variable that is an array; `None` if it has none of that number.
    fn element(self, index: u64) -> Option<Target<'m>> {
        let (element, count) = match self.ty.shape().ok()? {
            Shape::Array { element, count, .. } => (element, count),
            _ => return None,
        };
        let offset = (index < count)
            .then_some(index)?
            .checked_mul(element.size().ok()?)?;
        Some(Target {
            name: format!("{}[{index}]", self.name),
            ty: element,
            at: Some(self.at?.wrapping_add(offset)),
            ..self
        })
    }
}

/// The modules that a name can be in, and its part behind the `!`. Without a module the kernel comes
/// first, then the others by address.
fn candidates<'m, 'n>(modules: &'m Modules, name: &'n str) -> (Vec<&'m Module>, &'n str) {
    match name.split_once('!') {
        Some((module, name)) => (modules.by_name(module).into_iter().collect(), name),
        None => {
            let kernel = modules.by_name("nt").into_iter();
            let others = modules.iter().filter(|module| module.name() != "nt");
            (kernel.chain(others).collect(), name)
        }
    }
}

/// A type of that name, or else a variable whose type is known; or else the type `_NAME`: that is
/// how C's headers for Windows name what `NAME` is a `typedef` of, and compilers leave a `typedef`
/// out of the PDB if only pointers to it are in use.
fn find<'m>(modules: &'m Modules, name: &str) -> Result<Option<Target<'m>>, ExecuteError> {
    let is_explicit = name.contains('!');
    let (modules, name) = candidates(modules, name);
    if let Some((array, index)) = element(name) {
        let found = find_in(&modules, array, is_explicit)?;
        return Ok(found.and_then(|target| target.element(index)));
    }
    let found = find_in(&modules, name, is_explicit)?;
    match found {
        None if !name.starts_with('_') => find_in(&modules, &format!("_{name}"), is_explicit),
        found => Ok(found),
    }
}

fn find_in<'m>(
    modules: &[&'m Module],
    name: &str,
    is_explicit: bool,
) -> Result<Option<Target<'m>>, ExecuteError> {
    for &module in modules {
        let found = match module.types().find(name) {
            // another module's broken types do not matter where only a name is known
            Err(_) if !is_explicit => continue,
            found => found?,
        };
        if let Some(ty) = found {
            // of a `typedef` the name of what it stands for
            return Ok(Some(Target {
                module,
                name: ty.name().trim_end().to_owned(),
                ty,
                at: None,
            }));
        }
        if let Some(variable) = module.types().variable(name) {
            return Ok(Some(Target {
                module,
                name: variable.name.to_owned(),
                ty: variable.ty,
                at: Some(module.base() + variable.rva),
            }));
        }
    }
    Ok(None)
}

fn list_names(
    session: &Session,
    pattern: &str,
    request: &Request,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let (modules, pattern) = candidates(session.modules(), pattern);
    for module in modules {
        for ty in module.types().matching(pattern) {
            if request
                .size
                .is_some_and(|size| ty.size().ok() != Some(size))
            {
                continue;
            }
            writeln!(out, "          {}!{}", program(module), ty.name())?;
            if request.details {
                write_type(out, session, ty, None, &request.options)?;
            }
        }
    }
    Ok(Flow::Stay)
}

/// A module's name in a list of types: the kernel goes by its PDB's, whatever its file is called.
fn program(module: &Module) -> &str {
    let pdb = module.image().and_then(|image| image.pdb_reference());
    let stem = pdb.and_then(|pdb| pdb.base_name().rsplit_once('.').map(|(stem, _)| stem));
    match stem {
        Some(stem) if module.name() == "nt" => stem,
        _ => module.name(),
    }
}
