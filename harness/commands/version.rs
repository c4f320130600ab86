//! `vertarget`: what the guest's kernel says of its version, where it is, and for how long it has run.
//! `version`: the same, and the debugger's own version.
//!
//! "vertarget (Show Target Computer Version)"; the lines are those of "0: kd> vertarget" in published
//! sessions on Windows 7, without what this kernel does not say: its service pack and laboratory, the machine's
//! name, and the time of day. The time that the system is up is the guest's.
//!
//! ```text
//! kd> vertarget
//! Windows 7 Kernel Version 7600 MP (2 procs) Free x64
//! Kernel base = 0xfffff800`01450000 PsLoadedModuleList = 0xfffff800`0165d788
//! System Uptime: 0 days 0:00:00.001
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::Cursor;
use crate::memory::ReadMemory;
use crate::report::target::{self, Target};
use std::fmt::{self, Write};

pub(super) fn run<const DEBUGGER: bool>(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    arguments.finish()?;
    write_target(out, session)?;
    if DEBUGGER {
        writeln!(out)?;
        writeln!(out, "poolhit Version {}", env!("CARGO_PKG_VERSION"))?;
    }
    Ok(Flow::Stay)
}

fn write_target(out: &mut dyn Write, session: &Session) -> fmt::Result {
    let lab = session.lab();
    let word = |name| {
        let at = lab.kernel_symbol(name)?;
        lab.machine().read_u32(at).ok()
    };
    let list = lab.kernel_symbol("PsLoadedModuleList");
    let target = Target {
        build: word("NtBuildNumber").unwrap_or(0),
        processors: word("KeNumberProcessors").map_or(1, |count| count & 0xff),
        kernel: list.map(|list| (lab.bases().kernel, list)),
    };
    target::write_target(out, &target)?;
    write_uptime(out, session)
}

/// Writes for how long the guest has run, by its own clock.
pub(super) fn write_uptime(out: &mut dyn Write, session: &Session) -> fmt::Result {
    target::write_uptime(out, session.lab().machine().time() / 1_000_000)
}
