//! Exception records, and the one of the last stop.

use super::session::Session;
use super::stop::StopReason;
use crate::address::Va;
use crate::machine::Fault;
use crate::memory::{MemoryFault, ReadMemory};

/// The parameters that a record has room for (`EXCEPTION_MAXIMUM_PARAMETERS`, winnt.h).
pub const EXCEPTION_PARAMETERS: usize = 15;
/// `STATUS_BREAKPOINT`.
pub const STATUS_BREAKPOINT: u32 = 0x8000_0003;
/// `STATUS_ACCESS_VIOLATION`.
const STATUS_ACCESS_VIOLATION: u32 = 0xc000_0005;

/// An exception, as `EXCEPTION_RECORD` tells of it (winnt.h).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExceptionRecord {
    /// `STATUS_*`.
    pub code: u32,
    /// `EXCEPTION_NONCONTINUABLE` and the like.
    pub flags: u32,
    /// Where it has come.
    pub address: Va,
    /// What there is to say of it: of an access violation what was tried, and on which address.
    pub parameters: Vec<u64>,
}

impl ExceptionRecord {
    /// Reads a record; of more parameters than there is room for, the first.
    ///
    /// # Errors
    /// It is not in memory.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, debugger::exception::ExceptionRecord};
    /// let lab = Lab::builder().build()?;
    /// assert!(ExceptionRecord::read(lab.machine(), Va(0)).is_err());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read(memory: &dyn ReadMemory, at: Va) -> Result<ExceptionRecord, MemoryFault> {
        let word = |offset: u64| memory.read_u64(at.wrapping_add(offset));
        let codes = word(0)?;
        let count = (word(0x18)? as u32).min(EXCEPTION_PARAMETERS as u32);
        let parameters: Result<_, _> = (0..u64::from(count)).map(|n| word(0x20 + n * 8)).collect();
        Ok(ExceptionRecord {
            code: codes as u32,
            flags: (codes >> 32) as u32,
            address: Va(word(0x10)?),
            parameters: parameters?,
        })
    }

    /// What Windows makes of a fault of the processor.
    pub(crate) fn of_fault(fault: &Fault, at: Va) -> ExceptionRecord {
        let code = match fault.vector {
            0 => 0xc000_0094,
            1 => 0x8000_0004,
            4 => 0xc000_0095,
            6 => 0xc000_001d,
            16 | 19 => 0xc000_008e,
            17 => 0x8000_0002,
            _ => STATUS_ACCESS_VIOLATION,
        };
        ExceptionRecord {
            code,
            flags: 0,
            address: at,
            // a fault does not tell whether it was a read
            parameters: Vec::new(),
        }
    }
}

impl Session {
    /// The exception that the last stop was: a break instruction's has one parameter, 0. `None` if
    /// it was none.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c; g")?;
    /// let record = session.last_exception().unwrap();
    /// assert_eq!((record.code, record.parameters), (0x80000003, vec![0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_exception(&self) -> Option<ExceptionRecord> {
        let stop = self.last_stop()?;
        match &stop.reason {
            StopReason::BreakInstruction
            | StopReason::Breakpoint { .. }
            | StopReason::BreakIn
            | StopReason::BugCheck(_) => Some(ExceptionRecord {
                code: STATUS_BREAKPOINT,
                flags: 0,
                address: stop.address,
                parameters: vec![0],
            }),
            StopReason::Fault(fault) => Some(ExceptionRecord::of_fault(fault, stop.address)),
            StopReason::Exception { record, .. } => Some(ExceptionRecord::clone(record)),
            _ => None,
        }
    }
}
