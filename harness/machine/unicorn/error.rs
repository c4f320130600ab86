//! The engine's refusals.

use unicorn_engine::uc_error;

/// The engine refused something it is documented to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the processor emulator refused to {doing}: {reason}")]
pub struct EngineError {
    /// What was asked of it.
    pub doing: &'static str,
    /// Its own words.
    pub reason: &'static str,
}

/// Turns the engine's error codes into errors that say what was asked.
pub trait Refusal<T> {
    fn refused(self, doing: &'static str) -> Result<T, EngineError>;
}

impl<T> Refusal<T> for Result<T, uc_error> {
    fn refused(self, doing: &'static str) -> Result<T, EngineError> {
        self.map_err(|error| EngineError {
            doing,
            reason: reason(error),
        })
    }
}

/// The engine's error code in words.
pub fn reason(error: uc_error) -> &'static str {
    match error {
        uc_error::NOMEM => "out of memory",
        uc_error::READ_UNMAPPED | uc_error::WRITE_UNMAPPED | uc_error::FETCH_UNMAPPED => {
            "the page tables lead behind the end of physical memory"
        }
        uc_error::INSN_INVALID => "an instruction it does not know",
        uc_error::EXCEPTION => "an exception nobody handles",
        uc_error::RESOURCE => "too many nested runs",
        uc_error::ARG => "an argument it does not accept",
        uc_error::VERSION | uc_error::ARCH | uc_error::MODE => "it was built without x86",
        _ => "an error of its own",
    }
}
