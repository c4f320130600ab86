//! `!for_each_module COMMANDS`: executes commands once for each module, in the order of the
//! modules' addresses. In the commands `@#ModuleName`, `@#ImageName`, `@#Base`, `@#End`, `@#Size`
//! and `@#ModuleIndex` stand for what is known of the module.
//!
//! `!for_each_module s -a @#Base @#End "Leak"` shows which driver carries a tag.
//!
//! ```text
//! kd> !for_each_module .echo @#ModuleName at @#Base
//! kernel32 at 0x773f0000
//! ntdll at 0x77510000
//! NotMyfault at 0xff220000
//! KERNELBASE at 0x7fefd5f0000
//! nt at 0xfffff80001450000
//! myfault at 0xfffff8800496d000
//! ```

use super::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    if arguments.at_end() {
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let rest = arguments.rest();
    if rest.to_ascii_lowercase().contains("!for_each_module") {
        // one inside the other would multiply with each level
        return Err(arguments.error(CommandErrorKind::Syntax).into());
    }
    let lines: Vec<String> = session
        .modules()
        .iter()
        .enumerate()
        .map(|(index, module)| {
            // the longer of two names with one beginning comes first
            [
                ("@#ModuleIndex", format!("{index:x}")),
                ("@#ModuleName", module.name().to_string()),
                ("@#ImageName", module.image_name().to_string()),
                ("@#Base", format!("{:#x}", module.base().0)),
                ("@#End", format!("{:#x}", module.end().0)),
                ("@#Size", format!("{:#x}", module.size())),
            ]
            .iter()
            .fold(rest.to_string(), |line, (name, value)| {
                line.replace(name, value)
            })
        })
        .collect();
    for line in lines {
        match session.run_block(&line, out)? {
            Flow::Stay => {}
            flow => return Ok(flow),
        }
    }
    Ok(Flow::Stay)
}
