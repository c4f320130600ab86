//! The requests' form in the program's memory (fixtures/guest/include/requester.h).

use super::super::lab::Lab;
use super::{
    FileHandle, NtStatus, REQUEST_BUFFER, REQUEST_NAME, REQUEST_SLOTS, Request, RequestError,
    Response, Ticket, Win32Error,
};
use crate::address::Va;
use crate::memory::{ReadMemory, WriteMemory};

/// Offsets in `REQUEST_BLOCK`.
mod block {
    pub const SLOT: u64 = 0x4;
    pub const BUSY: u64 = 0x28;
    pub const ERROR: u64 = 0x30;
    pub const STATUS: u64 = 0x34;
    pub const VALUE: u64 = 0x38;
    pub const NAME: u64 = 0x40;
}

/// Offsets in `REQUEST_SLOT`.
mod slot {
    pub const SIZE: u64 = 0x38;
    pub const IN_USE: u64 = 0x28;
    pub const OUTPUT_LENGTH: u64 = 0x2c;
}

const KIND_OPEN: u32 = 1;
const KIND_RESULT: u32 = 7;
const KIND_CANCEL_ONE: u32 = 9;
const OVERLAPPED: u32 = 0x4000_0000;

/// Where the program keeps what, once it is known to be the requester.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub prompt: Va,
    block: Va,
    slots: Va,
    input: Va,
    output: Va,
}

/// A request as it is written down.
#[derive(Default)]
struct Written<'a> {
    kind: u32,
    slot: Option<Ticket>,
    handle: u64,
    code: u32,
    flags: u32,
    offset: u64,
    input: &'a [u8],
    output: &'a [u8],
    output_length: usize,
    name: Option<&'a str>,
}

fn written<'a>(request: &Request<'a>) -> Written<'a> {
    let of = |kind, handle: FileHandle| Written {
        kind,
        handle: handle.0,
        ..Written::default()
    };
    let named = |kind, name| Written {
        kind,
        name: Some(name),
        ..Written::default()
    };
    match *request {
        Request::Open {
            name,
            access,
            overlapped,
        } => Written {
            code: access,
            flags: if overlapped { OVERLAPPED } else { 0 },
            ..named(KIND_OPEN, name)
        },
        Request::Close { handle } => of(2, handle),
        Request::Ioctl {
            handle,
            code,
            input,
            output_length,
            output,
        } => Written {
            code,
            input,
            output,
            output_length,
            ..of(3, handle)
        },
        Request::Read {
            handle,
            offset,
            length,
        } => Written {
            offset,
            output_length: length,
            ..of(4, handle)
        },
        Request::Write {
            handle,
            offset,
            data,
        } => Written {
            offset,
            input: data,
            ..of(5, handle)
        },
        Request::Seek {
            handle,
            distance,
            from,
        } => Written {
            offset: distance as u64,
            code: from as u32,
            ..of(16, handle)
        },
        Request::Size { handle } => of(17, handle),
        Request::SetEnd { handle } => of(18, handle),
        Request::Flush { handle } => of(6, handle),
        Request::Result {
            ticket,
            milliseconds,
        } => Written {
            slot: Some(ticket),
            code: milliseconds,
            kind: KIND_RESULT,
            ..Written::default()
        },
        Request::Cancel { handle } => of(8, handle),
        Request::CancelOne { ticket } => Written {
            slot: Some(ticket),
            kind: KIND_CANCEL_ONE,
            ..Written::default()
        },
        Request::Wait {
            handle,
            milliseconds,
        } => Written {
            code: milliseconds,
            ..of(10, handle)
        },
        Request::Sleep { milliseconds } => Written {
            kind: 11,
            code: milliseconds,
            ..Written::default()
        },
        Request::LoadDriver { service } => named(12, service),
        Request::UnloadDriver { service } => named(13, service),
        Request::Exit { code } => Written {
            kind: 15,
            code,
            ..Written::default()
        },
    }
}

fn check_length(what: &'static str, given: usize) -> Result<(), RequestError> {
    if given <= REQUEST_BUFFER {
        return Ok(());
    }
    Err(RequestError::TooLong {
        what,
        given,
        unit: "bytes",
        limit: REQUEST_BUFFER,
    })
}

impl Program {
    /// Finds it by what the program exports.
    pub fn of(lab: &Lab) -> Option<Program> {
        let symbols = &lab.images().program.symbols;
        let at = |name| Some(lab.bases().program + symbols.by_name(name)?.rva);
        Some(Program {
            prompt: at("RequesterPrompt")?,
            block: at("RequesterBlock")?,
            slots: at("RequesterSlots")?,
            input: at("RequesterInput")?,
            output: at("RequesterOutput")?,
        })
    }

    pub fn is_busy(&self, lab: &Lab) -> Result<bool, RequestError> {
        let busy = self.block.wrapping_add(block::BUSY);
        Ok(lab.machine().read_u32(busy)? != 0)
    }

    fn slot(&self, ticket: Ticket) -> Va {
        self.slots.wrapping_add(u64::from(ticket.0) * slot::SIZE)
    }

    fn is_in_use(&self, lab: &Lab, ticket: Ticket) -> Result<bool, RequestError> {
        let in_use = self.slot(ticket).wrapping_add(slot::IN_USE);
        Ok(lab.machine().read_u32(in_use)? != 0)
    }

    /// The slot that a request names, or a free one.
    fn choose_slot(&self, lab: &Lab, named: Option<Ticket>) -> Result<Ticket, RequestError> {
        if let Some(ticket) = named {
            if ticket.0 >= REQUEST_SLOTS || !self.is_in_use(lab, ticket)? {
                return Err(RequestError::NoTicket(ticket.0));
            }
            return Ok(ticket);
        }
        for ticket in (0..REQUEST_SLOTS).map(Ticket) {
            if !self.is_in_use(lab, ticket)? {
                return Ok(ticket);
            }
        }
        Err(RequestError::TooMany(REQUEST_SLOTS))
    }

    fn buffer(start: Va, ticket: Ticket) -> Va {
        start.wrapping_add(u64::from(ticket.0) * REQUEST_BUFFER as u64)
    }

    /// Writes a request down for the program to find.
    pub fn write(&self, lab: &mut Lab, request: &Request<'_>) -> Result<(), RequestError> {
        let request = written(request);
        check_length("input", request.input.len())?;
        check_length("output", request.output_length)?;
        if request.output.len() > request.output_length {
            return Err(RequestError::OutputTooShort {
                given: request.output.len(),
                length: request.output_length,
            });
        }
        let name: Vec<u16> = request.name.unwrap_or_default().encode_utf16().collect();
        if name.len() > REQUEST_NAME {
            return Err(RequestError::TooLong {
                what: "name",
                given: name.len(),
                unit: "UTF-16 units",
                limit: REQUEST_NAME,
            });
        }
        let ticket = self.choose_slot(lab, request.slot)?;
        let machine = lab.machine_mut();
        // What a request on its way still needs is not touched.
        if request.slot.is_none() {
            machine.write(Program::buffer(self.input, ticket), request.input)?;
            let mut output = request.output.to_vec();
            output.resize(request.output_length, 0);
            machine.write(Program::buffer(self.output, ticket), &output)?;
        }
        let lengths = [request.input.len() as u32, request.output_length as u32];
        let mut bytes = Vec::with_capacity(block::BUSY as usize);
        bytes.extend(request.kind.to_le_bytes());
        bytes.extend(ticket.0.to_le_bytes());
        bytes.extend(request.handle.to_le_bytes());
        bytes.extend(request.code.to_le_bytes());
        bytes.extend(request.flags.to_le_bytes());
        bytes.extend(request.offset.to_le_bytes());
        bytes.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
        machine.write(self.block, &bytes)?;
        let name: Vec<u8> = name
            .iter()
            .chain([&0])
            .flat_map(|unit| unit.to_le_bytes())
            .collect();
        machine.write(self.block.wrapping_add(block::NAME), &name)?;
        Ok(())
    }

    /// Reads what came of the request that was written down last.
    pub fn read(&self, lab: &Lab, kind: AnswerKind) -> Result<Response, RequestError> {
        let machine = lab.machine();
        let field = |offset| machine.read_u32(self.block.wrapping_add(offset));
        let error = Win32Error(field(block::ERROR)?);
        let value = machine.read_u64(self.block.wrapping_add(block::VALUE))?;
        let ticket = Ticket(field(block::SLOT)? % REQUEST_SLOTS);
        let pending = error == Win32Error::IO_PENDING
            || kind == AnswerKind::Result && error == Win32Error::IO_INCOMPLETE;
        let length = match kind {
            AnswerKind::Output(length) => length,
            AnswerKind::Result => {
                let length = self.slot(ticket).wrapping_add(slot::OUTPUT_LENGTH);
                (machine.read_u32(length)? as usize).min(REQUEST_BUFFER)
            }
            AnswerKind::Handle => 0,
        };
        let mut output = vec![0; if pending { 0 } else { length }];
        machine.read(Program::buffer(self.output, ticket), &mut output)?;
        let opened = kind == AnswerKind::Handle && error.0 == 0;
        Ok(Response {
            error,
            status: NtStatus(field(block::STATUS)?),
            information: if opened { 0 } else { value },
            output,
            ticket: pending.then_some(ticket),
            handle: opened.then_some(FileHandle(value)),
        })
    }
}

/// What an answer has besides its error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnswerKind {
    /// An output buffer of this length.
    Output(usize),
    /// The output buffer of the request that the ticket is for.
    Result,
    /// A handle.
    Handle,
}

impl AnswerKind {
    pub fn of(request: &Request<'_>) -> AnswerKind {
        match written(request) {
            Written {
                kind: KIND_OPEN, ..
            } => AnswerKind::Handle,
            Written {
                kind: KIND_RESULT, ..
            } => AnswerKind::Result,
            Written { output_length, .. } => AnswerKind::Output(output_length),
        }
    }

    /// Of the request that the program has taken, which is in its memory only.
    pub fn of_taken(program: &Program, lab: &Lab) -> Result<AnswerKind, RequestError> {
        let machine = lab.machine();
        let kind = machine.read_u32(program.block)?;
        let length = machine.read_u32(program.block.wrapping_add(0x24))?;
        Ok(match kind {
            KIND_OPEN => AnswerKind::Handle,
            KIND_RESULT => AnswerKind::Result,
            _ => AnswerKind::Output((length as usize).min(REQUEST_BUFFER)),
        })
    }
}
