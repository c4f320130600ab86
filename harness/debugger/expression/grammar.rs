//! Whether a text is an expression, whatever its value will be.

use super::{ExpressionContext, ExpressionErrorKind, SymbolError, evaluate};
use crate::address::{Pa, Va};
use crate::debugger::cursor::ArgumentError;
use crate::memory::{MemoryFault, ReadMemory};

/// A target that has every symbol and pseudo-register, and zeros everywhere.
struct Anything<'a>(&'a dyn ExpressionContext);

impl ReadMemory for Anything<'_> {
    fn read(&self, _address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        buffer.fill(0);
        Ok(())
    }
}

impl ExpressionContext for Anything<'_> {
    fn symbol(&self, _name: &str) -> Result<u64, SymbolError> {
        Ok(1)
    }

    fn source_line(&self, _text: &str) -> Result<u64, SymbolError> {
        Ok(1)
    }

    fn register(&self, name: &str) -> Option<u64> {
        let pseudo = || name.starts_with('$').then_some(1);
        self.0.register(name).or_else(pseudo)
    }

    fn current_address(&self) -> u64 {
        self.0.current_address()
    }

    fn memory(&self) -> &dyn ReadMemory {
        self
    }

    fn sign_extends_constants(&self) -> bool {
        self.0.sign_extends_constants()
    }

    fn radix(&self) -> u32 {
        self.0.radix()
    }

    fn read_physical(&self, _address: Pa, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        buffer.fill(0);
        Ok(())
    }
}

/// Checks that a text is an expression and nothing else, which may have a value later: its symbols may be
/// of modules that are to come, and its memory may be elsewhere.
///
/// # Errors
/// It is none, or names a register that there is not.
///
/// ```
/// use poolhit::{Lab, Session, debugger::expression::check_grammar};
/// let session = Session::new(Lab::builder().build()?);
/// assert!(check_grammar("poi(later!Count) > @rcx", &session).is_ok());
/// assert!(check_grammar("poi(later!Count > 3", &session).is_err());
/// assert!(check_grammar("@rcy == 1", &session).is_err());
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn check_grammar(text: &str, context: &dyn ExpressionContext) -> Result<(), ArgumentError> {
    match evaluate(text, &Anything(context)) {
        // by what the zeros lead to
        Err(ArgumentError::Expression(error))
            if matches!(
                error.kind,
                ExpressionErrorKind::Operand | ExpressionErrorKind::MemoryAccess(_)
            ) =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}
