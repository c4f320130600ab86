//! What a program of guarded blocks does, by the rules of structured exceptions: first the filters are
//! asked from the inside out, with nothing unwound; then the termination handlers run up to the scope that
//! handles it. The driver interprets the same programs.

use crate::{kind, status_of};

/// What the driver notes.
mod event {
    pub const NOTED: u32 = 200;
    pub const FINALLY: u32 = 201;
    pub const FILTER: u32 = 202;
    pub const HANDLER: u32 = 203;
    pub const LEFT: u32 = 204;
    pub const ESCAPED: u32 = 205;
}

const PROGRAM_STATUS: u64 = 0xe000_0000;

/// An operation of the driver's interpreter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Note(u8),
    Raise(u8),
    Fault(u8),
    Finally(Vec<Op>, Vec<Op>),
    Except(u8, Vec<Op>, Vec<Op>),
    Call(u8, Vec<Op>),
    Return,
}

/// The bytes that the driver reads.
pub fn encode(block: &[Op]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_le_bytes();
    let mut bytes = Vec::new();
    for op in block {
        match op {
            Op::Note(number) => bytes.extend([1, *number]),
            Op::Raise(number) => bytes.extend([2, *number]),
            Op::Fault(kind) => bytes.extend([3, *kind]),
            Op::Finally(body, rest) => {
                let (body, rest) = (encode(body), encode(rest));
                bytes.push(4);
                bytes.extend(length(&body).into_iter().chain(length(&rest)));
                bytes.extend(body.into_iter().chain(rest));
            }
            Op::Except(filter, body, rest) => {
                let (body, rest) = (encode(body), encode(rest));
                bytes.extend([5, *filter]);
                bytes.extend(length(&body).into_iter().chain(length(&rest)));
                bytes.extend(body.into_iter().chain(rest));
            }
            Op::Call(shape, body) => {
                let body = encode(body);
                bytes.extend([6, *shape]);
                bytes.extend(length(&body));
                bytes.extend(body);
            }
            Op::Return => bytes.push(7),
        }
    }
    bytes
}

/// A scope that is open.
enum Scope {
    Finally,
    Except(u8),
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Done,
    Returned,
}

/// An exception on its way to the scope that handles it: the number of that, 0 for who runs the program.
#[derive(Clone, Copy)]
struct Unwinding {
    target: usize,
    code: u64,
}

/// What an exception takes of the stack until it is handled, a frame of [`Op::Call`] with all registers, and
/// any other frame of the interpreter's; in bytes, and rather too much.
const EXCEPTION: usize = 0x1800;
const LARGE_FRAME: usize = 0x980;
const FRAME: usize = 0x100;

/// What a program does.
pub struct Outcome {
    pub notes: Vec<(u32, u64)>,
    /// What it takes of the stack at most, by the model's reckoning.
    pub stack: usize,
}

pub struct Model {
    notes: Vec<(u32, u64)>,
    stack: usize,
    most_stack: usize,
    scopes: Vec<Scope>,
    filter_raises: u64,
}

impl Model {
    /// Runs a program in which filters may raise so many exceptions; gives the notes.
    pub fn run(program: &[Op], filter_raises: u64) -> Outcome {
        let mut model = Model {
            notes: Vec::new(),
            stack: 0,
            most_stack: 0,
            scopes: Vec::new(),
            filter_raises,
        };
        if let Err(unwinding) = model.block(program) {
            assert_eq!(unwinding.target, 0);
            model.note(event::ESCAPED, unwinding.code);
        }
        model.note(9999, 0);
        Outcome {
            notes: model.notes,
            stack: model.most_stack,
        }
    }

    fn push(&mut self, bytes: usize) {
        self.stack += bytes;
        self.most_stack = self.most_stack.max(self.stack);
    }

    /// Runs a block in a frame of its own, which stays where an exception is on its way.
    fn framed(&mut self, bytes: usize, block: &[Op]) -> Result<Flow, Unwinding> {
        let before = self.stack;
        self.push(bytes);
        let flow = self.block(block)?;
        self.stack = before;
        Ok(flow)
    }

    fn note(&mut self, event: u32, value: u64) {
        self.notes.push((event, value));
    }

    fn block(&mut self, block: &[Op]) -> Result<Flow, Unwinding> {
        for op in block {
            match op {
                Op::Note(number) => self.note(event::NOTED, u64::from(*number)),
                Op::Raise(number) => return Err(self.raise(PROGRAM_STATUS | u64::from(*number))),
                Op::Fault(kind) => return Err(self.raise(status_of(u64::from(*kind)))),
                Op::Finally(body, rest) => {
                    if self.finally(body, rest)? == Flow::Returned {
                        return Ok(Flow::Returned);
                    }
                }
                Op::Except(filter, body, rest) => {
                    if self.except(*filter, body, rest)? == Flow::Returned {
                        return Ok(Flow::Returned);
                    }
                }
                Op::Call(shape, body) => {
                    let large = usize::from(*shape == 1) * LARGE_FRAME;
                    let dynamic = usize::from(*shape);
                    let flow = self.framed(3 * FRAME + large + dynamic, body)?;
                    self.note(event::LEFT, u64::from(flow == Flow::Done));
                }
                Op::Return => return Ok(Flow::Returned),
            }
        }
        Ok(Flow::Done)
    }

    fn finally(&mut self, body: &[Op], rest: &[Op]) -> Result<Flow, Unwinding> {
        self.scopes.push(Scope::Finally);
        let ended = self.framed(2 * FRAME, body);
        self.scopes.pop();
        let abnormal = !matches!(ended, Ok(Flow::Done));
        self.note(event::FINALLY, abnormal.into());
        // An exception of its own takes the place of the one that was on its way.
        self.framed(2 * FRAME, rest)?;
        ended
    }

    fn except(&mut self, filter: u8, body: &[Op], rest: &[Op]) -> Result<Flow, Unwinding> {
        self.scopes.push(Scope::Except(filter));
        let own = self.scopes.len();
        let before = self.stack;
        let ended = self.framed(2 * FRAME, body);
        self.scopes.pop();
        match ended {
            Err(unwinding) if unwinding.target == own => {
                self.note(event::HANDLER, unwinding.code);
                self.stack = before;
                self.framed(2 * FRAME, rest)
            }
            ended => ended,
        }
    }

    /// Asks the filters of all open scopes.
    fn raise(&mut self, code: u64) -> Unwinding {
        self.push(EXCEPTION);
        for number in (1..=self.scopes.len()).rev() {
            let Scope::Except(filter) = self.scopes[number - 1] else {
                continue;
            };
            self.note(event::FILTER, u64::from(filter) | code << 8);
            match filter {
                2 if code & 1 == 0 => {}
                1 | 2 => {
                    return Unwinding {
                        target: number,
                        code,
                    };
                }
                3 if self.filter_raises > 0 => {
                    self.filter_raises -= 1;
                    // The search begins anew where the filter is, above all that it was about.
                    return self.raise(PROGRAM_STATUS | 0x100 | code & 0xff);
                }
                4 => {
                    self.push(EXCEPTION);
                    self.stack -= EXCEPTION;
                    self.note(event::HANDLER, status_of(kind::DIVIDE));
                    return Unwinding {
                        target: number,
                        code,
                    };
                }
                _ => {}
            }
        }
        self.note(event::FILTER, 0xff | code << 8);
        Unwinding { target: 0, code }
    }
}
