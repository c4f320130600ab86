//! Lines of commands from a person or a script, and a transcript of what they do.

use crate::commands::{ExecuteError, Flow};
use crate::debugger::Session;
use crate::debugger::command_line::{LineTooLong, MAX_LINE_LENGTH};
use std::fmt;
use std::io::{self, BufRead, Write};

/// A line of a script that stands for the break-in key.
pub const BREAK_IN_KEY: &str = "<Ctrl+Break>";

/// How the lines come, and how much the guest runs before a script breaks in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsoleOptions {
    /// A person types: the prompt is shown before each line is read. Otherwise the lines are a
    /// script, and each is shown behind the prompt once it is read.
    pub interactive: bool,
    /// The first line that fails is the last.
    pub strict: bool,
    /// The work after which a script's [`BREAK_IN_KEY`] takes effect, in bytes of code retired.
    pub break_in_after: u64,
}

/// Text for an output that is bytes.
struct Text<'a> {
    out: &'a mut dyn Write,
    error: Option<io::Error>,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}

/// Reads lines until there are no more or one of them quits, executes them, and writes a
/// transcript. Gives the count of lines that failed; their errors are in the transcript.
///
/// # Errors
/// The lines cannot be read, one of them is endless, or the transcript cannot be written.
///
/// ```
/// use poolhit::frontends::console::{ConsoleOptions, run};
/// let mut session = poolhit::Session::new(poolhit::Lab::builder().build()?);
/// let options = ConsoleOptions { interactive: false, strict: false, break_in_after: 1000 };
/// let mut out = Vec::new();
/// let failed = run(&mut session, "? 2*8\nq\nk".as_bytes(), &mut out, options)?;
/// assert_eq!(failed, 0);
/// let text = "1: kd> ? 2*8\nEvaluate expression: 16 = 00000000`00000010\n1: kd> q\n";
/// assert_eq!(String::from_utf8(out)?, text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(
    session: &mut Session,
    input: impl BufRead,
    out: &mut dyn Write,
    options: ConsoleOptions,
) -> io::Result<usize> {
    let mut lines = Lines { input, next: None };
    let mut failed = 0;
    loop {
        let prompt = format!("{}: kd> ", session.processor_number());
        if options.interactive {
            write!(out, "{prompt}")?;
            out.flush()?;
        }
        let line = match lines.next()? {
            None => break,
            Some(Ok(line)) => line,
            Some(Err(error)) => {
                failed += 1;
                if !options.interactive {
                    write!(out, "{prompt}")?;
                }
                writeln!(out, "{error}")?;
                continue;
            }
        };
        if line.trim() == BREAK_IN_KEY {
            // The guest is stopped already: the key has taken effect, or has none.
            continue;
        }
        let mut break_in = None;
        if !options.interactive {
            writeln!(out, "{prompt}{line}")?;
            let next = lines.peek()?.map(str::trim);
            break_in = (next == Some(BREAK_IN_KEY)).then_some(options.break_in_after);
        }
        let mut text = Text {
            out: &mut *out,
            error: None,
        };
        let answer = answer(session, &line, prompt.len(), break_in, &mut text);
        if let Some(error) = text.error {
            return Err(error);
        }
        match answer.map_err(io::Error::other)? {
            Some(Flow::Quit) => return Ok(failed),
            Some(_) => {}
            None => failed += 1,
        }
        if options.strict && failed > 0 {
            return Ok(failed);
        }
        out.flush()?;
    }
    if options.interactive {
        writeln!(out)?;
    }
    Ok(failed)
}

/// Executes a line as at a prompt `width` characters wide. The break-in key is pressed after
/// `break_in` bytes of code retired, if at all. A line that fails leaves its error below the
/// prompt, and `None`.
pub(super) fn answer(
    session: &mut Session,
    line: &str,
    width: usize,
    break_in: Option<u64>,
    out: &mut dyn fmt::Write,
) -> Result<Option<Flow>, fmt::Error> {
    if let Some(work) = break_in {
        session.break_in_after(work);
        session.break_in_echo = Some(BREAK_IN_KEY);
    }
    let result = session.execute_to(line, out);
    // The key was for this line, even if nothing ran.
    session.end_run();
    match result {
        // Lines of a script file that failed have left their errors.
        Ok(Flow::Stay) if session.failed_lines() > 0 => Ok(None),
        Ok(flow) => Ok(Some(flow)),
        Err(ExecuteError::Output(error)) => Err(error),
        Err(error) => {
            let text = format!("{}\n", error.below_prompt(width));
            session.write_log(&text);
            out.write_str(&text)?;
            Ok(None)
        }
    }
}

/// The longest line that is skipped; a longer one, such as a device's, may never end.
const ENDLESS: usize = 16 << 20;

/// A line without its end, or that it is too long.
type Line = Result<String, LineTooLong>;

/// The lines of an input, the next one at hand.
struct Lines<R> {
    input: R,
    next: Option<Line>,
}

impl<R: BufRead> Lines<R> {
    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let most = (MAX_LINE_LENGTH + "\r\n".len()) as u64;
        let mut start = io::Read::take(&mut self.input, most);
        if start.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if start.limit() == 0 && !bytes.ends_with(b"\n") {
            let length = bytes.len() + self.skip()?;
            return Ok(Some(Err(LineTooLong { length })));
        }
        let line = String::from_utf8_lossy(&bytes);
        Ok(Some(Ok(line.trim_end_matches(['\r', '\n']).to_string())))
    }

    /// Skips the rest of a line, and gives its length.
    fn skip(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let bytes = self.input.fill_buf()?;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let skipped = end.unwrap_or(bytes.len());
            length += skipped;
            let over = end.is_some() || bytes.is_empty();
            self.input.consume(skipped + usize::from(end.is_some()));
            if over {
                return Ok(length);
            }
            if length > ENDLESS {
                let text = format!("a line of the input is longer than {} MiB", ENDLESS >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        match self.next.take() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    fn peek(&mut self) -> io::Result<Option<&str>> {
        if self.next.is_none() {
            self.next = self.read()?;
        }
        Ok(self.next.as_ref().and_then(|line| line.as_deref().ok()))
    }
}
