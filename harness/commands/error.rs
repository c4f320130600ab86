//! Why a command could not be executed, in the debugger's words where it has some.

use super::search::HIT_LIMIT;
use crate::address::{Pa, Va};
use crate::debugger::alias::AliasError;
use crate::debugger::command_line::LineTooLong;
use crate::debugger::cursor::{ArgumentError, CommandError, CommandErrorKind, Cursor};
use crate::debugger::event_filter::NUMBERED_FILTERS;
use crate::debugger::expression::ExpressionError;
use crate::debugger::registers::RegisterError;
use crate::debugger::scripting::MAX_BLOCK_DEPTH;
use crate::debugger::search::SearchError;
use crate::debugger::target_text::printable;
use crate::debugger::{STOP_WORK, Session, SessionError};
use crate::guest::HeaderError;
use crate::guest::objects::ObjectError;
use crate::guest::pool::PoolError;
use crate::image::types::TypeError;
use crate::machine::system_registers::WriteMsrError;
use crate::report::location::write_location;
use crate::report::printf::FormatError;
use crate::report::typed::ListingError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A command could not be executed, or not to its end.
#[derive(thiserror::Error)]
pub enum ExecuteError {
    /// Its arguments are wrong.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The session could not do it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The guest's pool cannot be looked at.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// There is no extension command of this name.
    #[error("No export {0} found")]
    NoExtension(String),
    /// This target cannot have the command: [`absent_command`](super::absent_command) says so.
    #[error("{0}")]
    Absent(&'static str),
    /// The line is too long.
    #[error(transparent)]
    TooLong(#[from] LineTooLong),
    /// The guest ran on and on.
    #[error(
        "the guest has run {work} bytes of code without a stop, the budget of one run (a stop \
         that a breakpoint's commands go on from counts as {STOP_WORK}); it is at {at}, perhaps \
         in an endless loop; give it a larger budget to go on"
    )]
    Budget {
        /// The budget in bytes of code retired.
        work: u64,
        /// Where the guest is, as a symbol.
        at: String,
    },
    /// A search cannot be done, or not to its end.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A pattern is found at too many places.
    #[error(
        "the pattern is at more than {limit} places, of which the first are shown; go on at {at}",
        limit = HIT_LIMIT
    )]
    TooManyHits {
        /// The first place that is not shown.
        at: Va,
    },
    /// There is no code where a function was to be disassembled.
    #[error("No code found, aborting")]
    NoCode,
    /// A type has no members of these names.
    #[error("Cannot find specified field members.")]
    NoSuchField,
    /// No module has a type or variable of this name.
    #[error("Symbol {0} not found.")]
    NoSuchType(String),
    /// An element of an array was asked for as if it were a member.
    #[error(
        "'{field}' is no member: the elements of an array are shown by -a, as in \
         dt -a{count} TYPE {array} ADDRESS for the first {count}"
    )]
    ArrayElement {
        /// The member as it was typed.
        field: String,
        /// The array's name.
        array: String,
        /// How many elements to show so that the one wanted is among them.
        count: u64,
    },
    /// A command has no such option.
    #[error("{command} has no option '{option}'; it has {known}")]
    UnknownOption {
        /// The command.
        command: &'static str,
        /// What was typed.
        option: String,
        /// The options there are.
        known: &'static str,
    },
    /// A command has no such flags, or not together.
    #[error("{command} takes no flags '{flags}'; {known}")]
    UnknownFlags {
        /// The command.
        command: &'static str,
        /// What was typed.
        flags: String,
        /// The flags there are.
        known: &'static str,
    },
    /// No values are there that could be written.
    #[error("values are needed behind the address: they are not asked for one by one here")]
    ValuesNeeded,
    /// What was typed is wrong, and `help` says what would be right.
    #[error("{error}\n{help}")]
    Explained {
        /// The error, with the place where reading stopped.
        error: CommandError,
        /// What there is to say about it, in the project's own words.
        help: Box<ExecuteError>,
    },
    /// A register cannot be changed.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The processor has no such model-specific register.
    #[error("no such msr")]
    NoSuchMsr,
    /// A model-specific register cannot be written.
    #[error(transparent)]
    WriteMsr(#[from] WriteMsrError),
    /// A breakpoint's commands could not be executed. The guest stays where it is.
    #[error("{error}\n{location}")]
    AtBreakpoint {
        /// The breakpoint's number.
        number: usize,
        /// Why they could not.
        error: Box<ExecuteError>,
        /// Where the guest is: the symbol's line, and the instruction.
        location: String,
    },
    /// A PDB's types are broken.
    #[error(transparent)]
    Types(#[from] TypeError),
    /// A type cannot be listed, or not to the listing's end.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The function that the guest is in has no caller.
    #[error("the current function returns to nobody: it is where a thread or the idle loop begins")]
    NoCaller,
    /// Commands in loops have taken too much of the budget.
    #[error(
        "the commands have taken the budget of {work} bytes of code, as which commands in blocks count, \
         too; perhaps they are in an endless loop; give it a larger budget to go on"
    )]
    Endless {
        /// The budget in bytes of code retired.
        work: u64,
    },
    /// Someone has broken in: the commands that were to come are not executed.
    #[error("Interrupted: the commands that were to come are not executed")]
    Interrupted,
    /// Blocks, scripts or breakpoints' commands are too deep in one another.
    #[error("commands are more than {MAX_BLOCK_DEPTH} blocks deep in one another")]
    TooDeep,
    /// An alias cannot be set or replaced.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// There is no such alias.
    #[error("No alias named '{0}'")]
    NoSuchAlias(String),
    /// Commands print too much for what is to be done with it.
    #[error("the commands print more than {limit} bytes")]
    CapturedTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// There is no physical memory at an address. The words are WinDbg's.
    #[error("Physical memory read at {:x} failed", .0.0)]
    NoPhysicalMemory(Pa),
    /// There is no physical memory that could be written at an address. The words are the reading commands'.
    #[error("Physical memory write at {:x} failed", .0.0)]
    NoPhysicalWrite(Pa),
    /// A type has no such member, or it is none that a list's links can be in.
    #[error("Cannot find the field '{0}' of a list's links")]
    NoLink(String),
    /// Files may not be used in this session.
    #[error("commands may not use files in this session")]
    FilesRefused,
    /// There is no such script file. The words are WinDbg's.
    #[error(
        "Command file execution failed, Win32 error 0n2\n    \"The system cannot find the file specified.\""
    )]
    NoScript,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The arguments of `.printf` do not fit its text.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No command has a page of this name.
    #[error("No help found for '{0}'")]
    NoPage(String),
    /// This target's processor has one mode.
    #[error("there is no machine type '{0}' here: the target is x64 (amd64)")]
    NoSuchMachine(String),
    /// What was asked for is no object of that kind, or the guest's kernel cannot be looked at.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// There are no image headers.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// The guest has not been stopped by an exception.
    #[error("the last stop was no exception")]
    NoException,
    /// There are as many filters as there can be.
    #[error("there are filters for {NUMBERED_FILTERS} exceptions already; sxr removes them")]
    TooManyFilters,
    /// The output is gone.
    #[error("the output cannot be written to")]
    Output(#[from] fmt::Error),
}

/// The message, for whoever unwraps it.
///
/// ```
/// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
/// let error = session.execute("k 1 2").unwrap_err();
/// assert_eq!(format!("{error:?}"), "ExecuteError: ^ Extra character error in 'k 1 2'");
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
impl fmt::Debug for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecuteError: {self}")
    }
}

impl From<CommandError> for ExecuteError {
    fn from(error: CommandError) -> ExecuteError {
        ExecuteError::Argument(error.into())
    }
}

impl From<ExpressionError> for ExecuteError {
    fn from(error: ExpressionError) -> ExecuteError {
        ExecuteError::Argument(error.into())
    }
}

impl ExecuteError {
    /// The error as WinDbg shows it below a prompt `width` characters wide: a caret, if there is
    /// one, points at the place where reading stopped.
    ///
    /// ```
    /// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
    /// let error = session.execute("k 1 2").unwrap_err();
    /// assert_eq!(error.below_prompt(7), "           ^ Extra character error in 'k 1 2'");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn below_prompt(&self, width: usize) -> String {
        let text = match self {
            ExecuteError::Argument(ArgumentError::Command(error)) => error.with_prompt(width),
            ExecuteError::Explained { error, help } => {
                format!("{}\n{help}", error.with_prompt(width))
            }
            ExecuteError::AtBreakpoint {
                error, location, ..
            } => format!("{}\n{location}", error.below_prompt(width)),
            other => other.to_string(),
        };
        printable(&text).into_owned()
    }

    /// The error of a command that has been read so far: where the words are the project's own, WinDbg's line
    /// with the caret comes first.
    pub(super) fn explained(self, read: &Cursor<'_>) -> ExecuteError {
        match self {
            ExecuteError::UnknownOption { .. }
            | ExecuteError::UnknownFlags { .. }
            | ExecuteError::ArrayElement { .. }
            | ExecuteError::NoSuchMachine(_)
            | ExecuteError::ValuesNeeded
            | ExecuteError::Format(
                FormatError::NoArgument(_) | FormatError::Unknown(_) | FormatError::TooWide(_),
            )
            | ExecuteError::Argument(ArgumentError::Tag(_)) => ExecuteError::Explained {
                error: read.error(CommandErrorKind::Syntax),
                help: Box::new(self),
            },
            other => other,
        }
    }

    /// Whether `.catch` keeps the error from ending the program of commands. What ends loops is none of
    /// those.
    pub(super) fn is_caught(&self) -> bool {
        match self {
            ExecuteError::Output(_)
            | ExecuteError::Endless { .. }
            | ExecuteError::Interrupted
            | ExecuteError::Budget { .. } => false,
            ExecuteError::AtBreakpoint { error, .. } => error.is_caught(),
            _ => true,
        }
    }

    /// The error as one of a breakpoint's commands. An output that is gone stays what it is.
    pub(super) fn at_breakpoint(self, number: usize, session: &Session, at: Va) -> ExecuteError {
        if matches!(self, ExecuteError::Output(_)) {
            return self;
        }
        let mut location = String::new();
        // Writing to a String cannot fail.
        let _ = write_location(&mut location, session, at);
        ExecuteError::AtBreakpoint {
            number,
            error: Box::new(self),
            location: location.trim_end().to_string(),
        }
    }
}
