//! `.exr ADDRESS`: an exception record (`EXCEPTION_RECORD` for x64): address, code, flags and parameters.
//! `.exr -1`: that of the exception that has stopped the guest.
//!
//! ".exr (Display Exception Record)" in the debugger's manual has the rules; the lines are those of "Bug
//! Check 0x1AA: EXCEPTION_ON_INVALID_STACK". That there was no exception is said in the project's own
//! words.
//!
//! ```text
//! kd> ed nt!PoolHitTag 3261654c; g
//! Break instruction exception - code 80000003 (first chance)
//! nt! ?? ::FNODOBFM::`string'+0x24a2a:
//! fffff800`014798f6 cc              int     3
//! kd> .exr -1
//! ExceptionAddress: fffff800014798f6 (nt! ?? ::FNODOBFM::`string'+0x0000000000024a2a)
//!    ExceptionCode: 80000003 (Break instruction exception)
//!   ExceptionFlags: 00000000
//! NumberParameters: 1
//!    Parameter[0]: 0000000000000000
//! ```

use super::{ExecuteError, Flow};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandErrorKind, Cursor};
use crate::debugger::exception::ExceptionRecord;
use crate::report::exception::write_record;
use crate::symbols::Location;
use std::fmt::Write;

pub(super) fn run(
    session: &mut Session,
    arguments: &mut Cursor<'_>,
    out: &mut dyn Write,
) -> Result<Flow, ExecuteError> {
    let at = arguments.next_expression(session)?;
    arguments.finish()?;
    let record = match at {
        u64::MAX => session.last_exception(),
        at => {
            let found = ExceptionRecord::read(session.lab().machine(), Va(at));
            let denied = |_| arguments.error(CommandErrorKind::MemoryAccess);
            Some(found.map_err(denied)?)
        }
    };
    let Some(record) = record else {
        return Err(ExecuteError::NoException);
    };
    let near = session.modules().nearest(record.address);
    let near = near.map(|near| {
        let start = Location { offset: 0, ..near };
        (start.to_string(), near.offset.into())
    });
    let near = near.as_ref().map(|(name, distance)| (&**name, *distance));
    write_record(out, &record, near)?;
    Ok(Flow::Stay)
}
