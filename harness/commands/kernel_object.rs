//! `!object ADDRESS [FLAGS]`, `!object PATH`: an object of the kernel's, by its address or its path.
//!
//! | bit | shows |
//! |---|---|
//! | 1 | counts and name |
//! | 8 | with 1, what is in a directory, and where a symbolic link leads |
//!
//! Without flags they are 9. "!object" in the debugger's manual has the rules and the form. Optional headers
//! (10), whole paths (20), `-p` and the search by type (`!object 0 NAME`) are not there.
//!
//! ```text
//! kd> !object \Device
//! Object: fffff8a000000a50  Type: (fffffa800003bf30) Directory
//!     ObjectHeader: fffff8a000000a20 (new version)
//!     HandleCount: 0  PointerCount: 4
//!     Directory Object: fffff8a000000060  Name: Device
//!
//!     Hash Address          Type          Name
//!     ---- -------          ----          ----
//!      14  fffffa800005be30 Device        Myfault
//!      27  fffff8a000001400 Section       PhysicalMemory
//! ```

use super::processes::next_value;
use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::guest::objects::ObjectError;
use crate::report::objects::{write_damage, write_object};
use std::fmt::Write;

const NAMES: u64 = 1;
const CONTENTS: u64 = 8;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let lab = session.lab();
    let at = match arguments.peek() {
        Some('\\') => {
            let path = arguments.next_word().unwrap_or_default();
            match path {
                "\\" => lab.root_directory()?,
                path => lab.find_object(path)?,
            }
        }
        None => return Err(arguments.error(CommandErrorKind::Syntax).into()),
        _ => Va(next_value(session, arguments)?.unwrap_or_default()),
    };
    let flags = next_value(session, arguments)?.unwrap_or(NAMES | CONTENTS);
    arguments.finish()?;
    if flags & !(NAMES | CONTENTS) != 0 {
        return Err(ExecuteError::UnknownFlags {
            command: "!object",
            flags: format!("{flags:x}"),
            known: "they are 1 (counts and name) and 8 (what is in it)",
        });
    }
    let header = lab.object_header(at)?;
    write_object(out, &header, flags & NAMES != 0, "    ")?;
    if flags != NAMES | CONTENTS {
        return Ok(Flow::Stay);
    }
    if let Some(target) = lab.link_target(at) {
        writeln!(out, "    Target String is '{target}'")?;
    }
    if header.type_name == "Directory" {
        writeln!(out, "\n    Hash Address          Type          Name")?;
        writeln!(out, "    ---- -------          ----          ----")?;
        let mut last = None;
        let directory = lab.object_directory(at);
        for entry in directory.entries {
            match last == Some(entry.bucket) {
                true => write!(out, "         ")?,
                false => write!(out, "     {:02}  ", entry.bucket)?,
            }
            last = Some(entry.bucket);
            let (object, kind) = (entry.object.0, entry.type_name);
            writeln!(out, "{object:016x} {kind:<13} {}", entry.name)?;
        }
        for (bucket, object) in directory.unknown {
            let error = ObjectError::NotObject(object);
            writeln!(out, "     {bucket:02}  {error}")?;
        }
        for (bucket, end) in directory.damage {
            write_damage(out, Some(end), &format!("     {bucket:02}  "))?;
        }
    }
    Ok(Flow::Stay)
}
