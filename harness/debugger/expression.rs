//! MASM expressions, the debugger's default language for numbers and addresses.
//!
//! The rules are those of the debugger's manual, "MASM Numbers and Operators":
//!
//! - Numbers are hexadecimal unless a prefix says otherwise: `0x` hexadecimal, `0n` decimal, `0t`
//!   octal, `0y` binary. An `h` may follow a hexadecimal number. Back-ticks may stand between the
//!   digits: ``fffff800`014798f6``.
//! - `'2aeL'` is the number that a C compiler makes of it: the first character is the highest byte,
//!   so that the bytes in memory are `Lea2`. Microsoft's "Using the Kernel Debugger to Find a
//!   Kernel-Mode Memory Leak" enters the tag `Abc ` by `ed nt!poolhittag ' cbA'`, and the manual's
//!   page of `s` says that `'VUTS'` is the byte pattern `'S' 'T' 'U' 'V'`.
//! - A symbol's value is its address. `nt!PoolHitTag` names its module, `!fade` says that it is a
//!   symbol and no number, `@!"..."` quotes a name of any characters ("Symbol Syntax").
//! - `` `leaky!leaky.c:30` `` is the first code of a source line ("Source Line Syntax"), unless `.lines -d`
//!   has turned them off: of that line, or of the next one that has code. The line's number is decimal, or has
//!   `0x` in front; the path may be its end only, in either case. Without a file's name it is the file of the
//!   current instruction, without a line the file's first code. Of several files the first counts.
//! - The name of a local variable that is in memory in the chosen frame is its address, before that of another
//!   symbol. One that is in a register has none, and is not found.
//! - `@rip` is a register. Without the `@` the most common registers are found too, all others
//!   only if the text is neither a number nor a symbol ("Register Syntax"). `.` is the current
//!   address.
//! - Unary operators bind tightest: `+ - ~ not hi low by wo dwo qwo poi`. Then, from tight to
//!   loose and from left to right: `* / mod %`, `+ -`, `<< >> >>>`, `= == != < > <= >=`, `and &`,
//!   `xor ^`, `or |`. There is no `&&` and no `||`.
//! - Arithmetic is unsigned, in 64 bits, and wraps.
//! - `$pby $pwo $pdwo $pqwo $ppoi` read physical memory. `$iment(ADDRESS)` is an image's entry
//!   point, `$vvalid(ADDRESS, LENGTH)` whether memory is there, `$scmp("A", "B")`, `$sicmp` and
//!   `$spat("TEXT", "PATTERN")` compare strings. `$fnsucc` is not there: it needs the type that a
//!   function returns. `@@masm(…)` is what is between its parentheses; there are no C++ expressions.
//!
//! ```
//! use poolhit::address::Va;
//! use poolhit::debugger::cursor::Cursor;
//! use poolhit::debugger::expression::{ExpressionContext, SymbolError, evaluate};
//! use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
//!
//! struct Target;
//! impl ExpressionContext for Target {
//!     fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
//!         let found = name.eq_ignore_ascii_case("nt!PoolHitTag");
//!         if found { Ok(0xfffff800_016530fc) } else { Err(SymbolError::NotFound) }
//!     }
//!     fn register(&self, name: &str) -> Option<u64> {
//!         name.eq_ignore_ascii_case("rip").then_some(0x1000)
//!     }
//!     fn current_address(&self) -> u64 {
//!         0x1000
//!     }
//!     fn memory(&self) -> &dyn ReadMemory {
//!         self
//!     }
//! }
//! impl ReadMemory for Target {
//!     fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
//!         if address != Va(0xfffff800_016530fc) || buffer.len() > 4 {
//!             let reason = FaultReason::NotPresent { level: 1 };
//!             return Err(MemoryFault { address, reason, done: 0 });
//!         }
//!         buffer.copy_from_slice(&[0x0f, 0xff, 0xff, 0xff][..buffer.len()]);
//!         Ok(())
//!     }
//! }
//!
//! assert_eq!(evaluate("0n16 * (2 + 1)", &Target).unwrap(), 0x30);
//! assert_eq!(evaluate("dwo(nt!PoolHitTag) & ff", &Target).unwrap(), 0xf);
//! assert_eq!(evaluate("@rip + 8", &Target).unwrap(), 0x1008);
//! let error = evaluate("1 + foo", &Target).unwrap_err();
//! assert_eq!(error.to_string(), "Couldn't resolve error at 'foo'");
//!
//! // A command's arguments come one by one.
//! let mut cursor = Cursor::new("ed nt!PoolHitTag 3261654c 2*2");
//! assert_eq!(cursor.next_word(), Some("ed"));
//! assert_eq!(cursor.next_expression(&Target).unwrap(), 0xfffff800_016530fc);
//! assert_eq!(cursor.next_expression(&Target).unwrap(), 0x3261654c);
//! assert_eq!(cursor.next_expression(&Target).unwrap(), 4);
//! ```

use super::cursor::{ArgumentError, Cursor};
use crate::address::{Pa, Va};
use crate::memory::{FaultReason, MemoryFault, ReadMemory};
use std::fmt;

mod function;
mod grammar;
mod number;
mod parser;
#[cfg(test)]
pub(in crate::debugger) mod tests;

pub use function::entry_point;
pub use grammar::check_grammar;

/// How deep parentheses and unary operators may nest. The project's own limit: it keeps hostile
/// text from overflowing the host's stack.
pub const MAX_DEPTH: usize = 128;

/// What an expression may ask its target for.
pub trait ExpressionContext {
    /// The address of a symbol, or the base of a module: `nt!PoolHitTag`, `PoolHitTag`, `nt`.
    /// Names are compared without regard to case ("Symbol Syntax and Symbol Matching").
    ///
    /// # Errors
    /// No symbol has the name, or several have.
    fn symbol(&self, name: &str) -> Result<u64, SymbolError>;

    /// The value of a register or pseudo-register, by its name in any case and without its `@`:
    /// `rip`, `EAX`, `$ip`. A 32-bit register is to be sign-extended ("Sign Extension").
    fn register(&self, name: &str) -> Option<u64>;

    /// The address of what stands between back-ticks, a place in a source file: `leaky.c:30`.
    ///
    /// # Errors
    /// There is no such line, or it cannot be told.
    fn source_line(&self, text: &str) -> Result<u64, SymbolError> {
        let _ = text;
        Err(SymbolError::NotFound)
    }

    /// What `.` stands for: the current instruction pointer.
    fn current_address(&self) -> u64;

    /// The memory that `poi` and its kin read, by virtual address.
    fn memory(&self) -> &dyn ReadMemory;

    /// Whether a constant from 80000000 to ffffffff without a back-tick is sign-extended to 64
    /// bits, as the manual says of kernel mode ("Sign Extension").
    fn sign_extends_constants(&self) -> bool {
        true
    }

    /// The base of numbers without prefix: 16, 10 or 8 ("n (Set Number Base)").
    fn radix(&self) -> u32 {
        16
    }

    /// Reads the physical memory that `$pby` and its kin read.
    ///
    /// # Errors
    /// There is none at the address, which the fault has for its virtual one.
    fn read_physical(&self, address: Pa, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        let _ = buffer;
        Err(MemoryFault {
            address: Va(address.0),
            reason: FaultReason::OutsideRam {
                physical: address.0,
            },
            done: 0,
        })
    }
}

/// Why a name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolError {
    /// Nothing has this name.
    NotFound,
    /// Several symbols at different addresses have this name.
    Ambiguous,
}

/// Evaluates a text that is one expression and nothing else.
///
/// # Errors
/// The expression has no value, or text follows it.
///
/// ```
/// # use poolhit::debugger::expression::*;
/// # use poolhit::memory::*;
/// # struct Nothing;
/// # impl ReadMemory for Nothing {
/// #     fn read(&self, address: poolhit::address::Va, _: &mut [u8]) -> Result<(), MemoryFault> {
/// #         Err(MemoryFault { address, reason: FaultReason::NotCanonical, done: 0 })
/// #     }
/// # }
/// # impl ExpressionContext for Nothing {
/// #     fn symbol(&self, _: &str) -> Result<u64, SymbolError> { Err(SymbolError::NotFound) }
/// #     fn register(&self, _: &str) -> Option<u64> { None }
/// #     fn current_address(&self) -> u64 { 0 }
/// #     fn memory(&self) -> &dyn ReadMemory { self }
/// # }
/// # let target = Nothing;
/// assert_eq!(evaluate("10 - 0n10", &target).unwrap(), 6);
/// let error = evaluate("1+1)", &target).unwrap_err();
/// assert_eq!(error.to_string(), "^ Extra character error in '1+1)'");
/// ```
pub fn evaluate(text: &str, context: &dyn ExpressionContext) -> Result<u64, ArgumentError> {
    let mut cursor = Cursor::new(text);
    let value = cursor.next_expression(context)?;
    cursor.finish()?;
    Ok(value)
}

impl Cursor<'_> {
    /// Reads the longest expression that starts here and evaluates it.
    ///
    /// White space does not end an expression if an operator follows it: `1 -1` is 0, as in
    /// WinDbg. Write `1 (-1)` for two.
    ///
    /// # Errors
    /// The expression has no value. How far the cursor went is then not defined.
    ///
    /// ```
    /// # use poolhit::address::Va;
    /// # use poolhit::debugger::cursor::Cursor;
    /// # use poolhit::debugger::expression::*;
    /// # use poolhit::memory::*;
    /// # struct Nothing;
    /// # impl ReadMemory for Nothing {
    /// #     fn read(&self, address: Va, _: &mut [u8]) -> Result<(), MemoryFault> {
    /// #         Err(MemoryFault { address, reason: FaultReason::NotCanonical, done: 0 })
    /// #     }
    /// # }
    /// # impl ExpressionContext for Nothing {
    /// #     fn symbol(&self, _: &str) -> Result<u64, SymbolError> { Err(SymbolError::NotFound) }
    /// #     fn register(&self, _: &str) -> Option<u64> { None }
    /// #     fn current_address(&self) -> u64 { 0 }
    /// #     fn memory(&self) -> &dyn ReadMemory { self }
    /// # }
    /// # let target = Nothing;
    /// let mut cursor = Cursor::new("1000 + 10 l4");
    /// assert_eq!(cursor.next_expression(&target).unwrap(), 0x1010);
    /// assert_eq!(cursor.rest(), " l4");
    /// ```
    pub fn next_expression(
        &mut self,
        context: &dyn ExpressionContext,
    ) -> Result<u64, ExpressionError> {
        parser::Parser::new(self, context).expression()
    }

    /// Reads an expression; at the command's end, it is `default`.
    ///
    /// # Errors
    /// As for [`next_expression`](Cursor::next_expression).
    ///
    /// ```
    /// use poolhit::{Lab, Session, debugger::cursor::Cursor};
    /// let session = Session::new(Lab::builder().build()?);
    /// let mut arguments = Cursor::new("10");
    /// assert_eq!(arguments.next_expression_or(&session, 7)?, 0x10);
    /// assert_eq!(arguments.next_expression_or(&session, 7)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_expression_or(
        &mut self,
        context: &dyn ExpressionContext,
        default: u64,
    ) -> Result<u64, ExpressionError> {
        match self.at_end() {
            true => Ok(default),
            false => self.next_expression(context),
        }
    }
}

/// Why an expression has no value: the message of WinDbg, and in quotes the command's text from
/// the word on that it had read last.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ExpressionError {
    /// What is wrong.
    pub kind: ExpressionErrorKind,
    /// The command's text from the error's place on.
    pub rest: String,
    /// The error's place in the command, in bytes from 0.
    pub offset: usize,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.rest.is_empty() {
            "<EOL>"
        } else {
            &self.rest
        };
        write!(f, "{} '{rest}'", self.kind)
    }
}

/// The message, for whoever unwraps it, and what could not be read.
impl fmt::Debug for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpressionError: {self}")?;
        match self.kind {
            ExpressionErrorKind::MemoryAccess(fault) => write!(f, " ({fault})"),
            _ => Ok(()),
        }
    }
}

/// What is wrong with an expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpressionErrorKind {
    /// Where a number, a symbol, or the like had to be, there is something else.
    NumericExpressionMissing,
    /// A parenthesis or a quote is not closed, or something here has no meaning.
    Syntax,
    /// A word is no number, no symbol and no register.
    Unresolved,
    /// Several symbols have this name.
    AmbiguousSymbol,
    /// There is no register of this name.
    BadRegister,
    /// Memory that `poi` or its kin were to read cannot be read.
    MemoryAccess(MemoryFault),
    /// An operand that its operator cannot take: a division by zero. The manual gives the words
    /// "Operand error"; their form is that of the other messages.
    Operand,
    /// A number of more than 64 bits. The message's words are the project's own.
    Overflow,
    /// Nesting deeper than [`MAX_DEPTH`]. The message's words are the project's own.
    TooDeep,
}

impl fmt::Display for ExpressionErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExpressionErrorKind::NumericExpressionMissing => "Numeric expression missing from",
            ExpressionErrorKind::Syntax => "Syntax error at",
            ExpressionErrorKind::Unresolved => "Couldn't resolve error at",
            ExpressionErrorKind::AmbiguousSymbol => "Ambiguous symbol error at",
            ExpressionErrorKind::BadRegister => "Bad register error at",
            ExpressionErrorKind::MemoryAccess(_) => "Memory access error at",
            ExpressionErrorKind::Operand => "Operand error at",
            ExpressionErrorKind::Overflow => "Overflow error at",
            ExpressionErrorKind::TooDeep => {
                return write!(f, "Nesting deeper than {MAX_DEPTH} levels error at");
            }
        })
    }
}
