//! Random sequences of requests against a model of what the driver does, and nothing left in the end.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{FileHandle, Request, SavedLab, Ticket, Win32Error};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const FILE_SIZE: usize = 0x1000;
const DEVICES: [&str; 4] = ["IoTest", "IoTestDirect", "IoTestNeither", "IoTestStack"];
const OPERATION_ABORTED: u32 = 995;

#[derive(Clone, Debug)]
enum Step {
    Open {
        device: usize,
        overlapped: bool,
    },
    Close(usize),
    Echo {
        file: usize,
        method: u32,
        input: Vec<u8>,
        output: usize,
    },
    Write {
        file: usize,
        offset: u64,
        data: Vec<u8>,
    },
    Read {
        file: usize,
        offset: u64,
        length: usize,
    },
    Keep(usize),
    Later {
        file: usize,
        way: u32,
        microseconds: u32,
        value: u32,
    },
    Release,
    Cancel(usize),
    CancelOne(usize),
    Result(usize),
    Sub(u32),
    Sleep(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0..4_usize;
    let bytes = prop::collection::vec(any::<u8>(), 0..6000);
    prop_oneof![
        3 => (0..4_usize, any::<bool>()).prop_map(|(device, overlapped)| Step::Open { device, overlapped }),
        1 => file.clone().prop_map(Step::Close),
        4 => (file.clone(), prop::sample::select(vec![BUFFERED, OUT_DIRECT, NEITHER]), bytes.clone(), 0..6000_usize)
            .prop_map(|(file, method, input, output)| Step::Echo { file, method, input, output }),
        3 => (file.clone(), 0..5000_u64, bytes.clone()).prop_map(|(file, offset, data)| Step::Write { file, offset, data }),
        3 => (file.clone(), 0..5000_u64, 0..6000_usize).prop_map(|(file, offset, length)| Step::Read { file, offset, length }),
        3 => file.clone().prop_map(Step::Keep),
        3 => (file.clone(), 0..3_u32, 0..20_000_u32, any::<u32>())
            .prop_map(|(file, way, microseconds, value)| Step::Later { file, way, microseconds, value }),
        2 => Just(Step::Release),
        2 => file.clone().prop_map(Step::Cancel),
        2 => (0..8_usize).prop_map(Step::CancelOne),
        3 => (0..8_usize).prop_map(Step::Result),
        1 => (0..4_u32).prop_map(Step::Sub),
        1 => (0..30_u32).prop_map(Step::Sleep),
    ]
}

#[derive(Clone, Debug)]
struct File {
    handle: FileHandle,
    device: usize,
    overlapped: bool,
    position: usize,
}

/// How a request on its way is going to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// In the driver's queue, and how old.
    Kept,
    Done(u32),
    Canceled,
}

struct Model {
    lab: Lab,
    files: Vec<File>,
    contents: Vec<u8>,
    end: usize,
    /// By ticket: the file's number in the order of opening, and the fate.
    pending: BTreeMap<Ticket, (FileHandle, Fate)>,
    /// The tickets in the driver's queue, the oldest first.
    queue: Vec<Ticket>,
}

static BOOTED: LazyLock<(SavedLab, BTreeMap<poolhit::tag::Tag, u64>)> = LazyLock::new(|| {
    let mut lab = lab_with(STACK, 0);
    // What is made at first use is no leak: as many worker threads as a queue has, and a thread that has
    // ended.
    let handle = open_overlapped(&mut lab, "IoTest");
    let tickets: Vec<Ticket> = [BY_WORK_ITEM; 8]
        .into_iter()
        .chain([BY_THREAD])
        .map(|way| {
            let wanted = Pend {
                way,
                microseconds: 1000,
                status: 0,
                value: 0,
            };
            let response = control(&mut lab, handle, code(PEND, BUFFERED), &wanted.bytes(), 4);
            response.ticket.unwrap()
        })
        .collect();
    for ticket in tickets {
        result(&mut lab, ticket);
    }
    close(&mut lab, handle);
    // And the thread that deletes a file whose last request is completed at DISPATCH_LEVEL.
    let handle = open_overlapped(&mut lab, "IoTest");
    let wanted = Pend {
        way: BY_TIMER,
        microseconds: 1000,
        status: 0,
        value: 0,
    };
    control(&mut lab, handle, code(PEND, BUFFERED), &wanted.bytes(), 4);
    close(&mut lab, handle);
    ask(&mut lab, &Request::Sleep { milliseconds: 20 });
    let saved = lab.save().unwrap();
    let left = outstanding(&lab);
    (saved, left)
});

impl Model {
    fn new() -> Model {
        Model {
            lab: BOOTED.0.lab().unwrap(),
            files: Vec::new(),
            contents: vec![0; FILE_SIZE],
            end: 0,
            pending: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    fn file(&self, number: usize) -> Option<File> {
        self.files.get(number % self.files.len().max(1)).cloned()
    }

    fn has_room(&self) -> bool {
        self.pending.len() < 12
    }

    fn take(&mut self, ticket: Ticket) -> Result<(), TestCaseError> {
        let (_, fate) = self.pending.remove(&ticket).unwrap();
        let response = result(&mut self.lab, ticket);
        match fate {
            Fate::Done(value) => {
                prop_assert_eq!((response.error.0, response.information), (0, 4));
                prop_assert_eq!(word(&response, 0), value);
            }
            Fate::Canceled => prop_assert_eq!(response.error.0, OPERATION_ABORTED),
            Fate::Kept => unreachable!(),
        }
        Ok(())
    }

    fn cancel_kept(&mut self, which: impl Fn(Ticket, FileHandle) -> bool) {
        for (ticket, (handle, fate)) in &mut self.pending {
            if *fate == Fate::Kept && which(*ticket, *handle) {
                *fate = Fate::Canceled;
                self.queue.retain(|kept| kept != ticket);
            }
        }
    }

    fn pend(&mut self, file: &File, wanted: Pend, fate: Fate) -> Result<(), TestCaseError> {
        let response = control(
            &mut self.lab,
            file.handle,
            code(PEND, BUFFERED),
            &wanted.bytes(),
            4,
        );
        if !file.overlapped {
            prop_assert_eq!((response.error.0, word(&response, 0)), (0, wanted.value));
            return Ok(());
        }
        prop_assert_eq!(response.error, Win32Error::IO_PENDING);
        let ticket = response.ticket.unwrap();
        prop_assert!(self.pending.insert(ticket, (file.handle, fate)).is_none());
        if fate == Fate::Kept {
            self.queue.push(ticket);
        }
        Ok(())
    }

    fn transfer(
        &mut self,
        file: usize,
        offset: u64,
        length: usize,
        data: Option<&[u8]>,
    ) -> Result<(), TestCaseError> {
        let Some(one) = self.file(file) else {
            return Ok(());
        };
        let at = if one.overlapped {
            offset as usize
        } else {
            one.position
        };
        let limit = if data.is_some() { FILE_SIZE } else { self.end };
        let done = if at >= limit {
            None
        } else {
            Some(length.min(limit - at))
        };
        let request = match data {
            Some(data) => Request::Write {
                handle: one.handle,
                offset,
                data,
            },
            None => Request::Read {
                handle: one.handle,
                offset,
                length,
            },
        };
        let response = ask(&mut self.lab, &request);
        let Some(done) = done else {
            // ReadFile gives nothing at the end of a synchronous file.
            let error = match (data.is_some(), one.overlapped) {
                (true, _) => 112,
                (false, true) => 38,
                (false, false) => 0,
            };
            prop_assert_eq!((response.error.0, response.information), (error, 0));
            return Ok(());
        };
        prop_assert_eq!((response.error.0, response.information), (0, done as u64));
        if let Some(data) = data {
            self.contents[at..at + done].copy_from_slice(&data[..done]);
            if done > 0 || at < FILE_SIZE {
                self.end = self.end.max(at + done);
            }
        } else {
            prop_assert_eq!(response.data(), &self.contents[at..at + done]);
        }
        if !one.overlapped {
            let number = file % self.files.len();
            self.files[number].position = at + done;
        }
        Ok(())
    }

    fn make(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Open { device, overlapped } => {
                if self.files.len() < 4 {
                    let name = DEVICES[*device];
                    let handle = match overlapped {
                        true => open_overlapped(&mut self.lab, name),
                        false => open(&mut self.lab, name),
                    };
                    self.files.push(File {
                        handle,
                        device: *device,
                        overlapped: *overlapped,
                        position: 0,
                    });
                }
            }
            Step::Close(file) => {
                if let Some(one) = self.file(*file) {
                    close(&mut self.lab, one.handle);
                    // The driver ends what it keeps for the file.
                    self.cancel_kept(|_, handle| handle == one.handle);
                    // A handle's number may be given out again.
                    let done: Vec<Ticket> = self
                        .pending
                        .iter()
                        .filter(|(_, (handle, _))| *handle == one.handle)
                        .map(|(ticket, _)| *ticket)
                        .collect();
                    self.files.retain(|other| other.handle != one.handle);
                    for ticket in done {
                        self.take(ticket)?;
                    }
                }
            }
            Step::Echo {
                file,
                method,
                input,
                output,
            } => {
                let Some(one) = self.file(*file) else {
                    return Ok(());
                };
                let response = control(
                    &mut self.lab,
                    one.handle,
                    code(ECHO, *method),
                    input,
                    *output,
                );
                let taken = one.device == 3 && *output == 0;
                let length = input.len().min(*output);
                let information = length as u64 + u64::from(taken);
                prop_assert_eq!((response.error.0, response.information), (0, information));
                prop_assert_eq!(&response.output[..length], &input[..length]);
                prop_assert!(
                    response.output[length..].iter().all(|byte| *byte == 0) || *method == BUFFERED
                );
            }
            Step::Write { file, offset, data } => {
                self.transfer(*file, *offset, data.len(), Some(data))?
            }
            Step::Read {
                file,
                offset,
                length,
            } => self.transfer(*file, *offset, *length, None)?,
            Step::Keep(file) => {
                if let Some(one) = self
                    .file(*file)
                    .filter(|one| one.overlapped && self.has_room())
                {
                    let wanted = Pend {
                        way: BY_QUEUE,
                        microseconds: 0,
                        status: 0,
                        value: 0,
                    };
                    self.pend(&one, wanted, Fate::Kept)?;
                }
            }
            Step::Later {
                file,
                way,
                microseconds,
                value,
            } => {
                if let Some(one) = self.file(*file).filter(|_| self.has_room()) {
                    let wanted = Pend {
                        way: *way,
                        microseconds: *microseconds,
                        status: 0,
                        value: *value,
                    };
                    self.pend(&one, wanted, Fate::Done(*value))?;
                }
            }
            Step::Release => {
                let Some(one) = self.file(0) else {
                    return Ok(());
                };
                // The stack's upper filter adds one to the answers of requests without output.
                let response = control(&mut self.lab, one.handle, code(RELEASE, BUFFERED), &[], 0);
                let released = self.queue.len() as u64 + u64::from(one.device == 3);
                prop_assert_eq!(response.information, released);
                for (number, ticket) in std::mem::take(&mut self.queue).into_iter().enumerate() {
                    self.pending.get_mut(&ticket).unwrap().1 = Fate::Done(number as u32);
                }
            }
            Step::Cancel(file) => {
                if let Some(one) = self.file(*file) {
                    let request = Request::Cancel { handle: one.handle };
                    let response = ask(&mut self.lab, &request);
                    prop_assert!(response.is_success());
                    self.cancel_kept(|_, handle| handle == one.handle);
                }
            }
            Step::CancelOne(number) => {
                let Some(ticket) = self.pending.keys().nth(*number).copied() else {
                    return Ok(());
                };
                let (_, fate) = self.pending[&ticket];
                let response = ask(&mut self.lab, &Request::CancelOne { ticket });
                if fate == Fate::Kept {
                    prop_assert!(response.is_success());
                    self.cancel_kept(|kept, _| kept == ticket);
                }
            }
            Step::Result(number) => {
                let Some(ticket) = self.pending.keys().nth(*number).copied() else {
                    return Ok(());
                };
                if self.pending[&ticket].1 == Fate::Kept {
                    let response = ask(
                        &mut self.lab,
                        &Request::Result {
                            ticket,
                            milliseconds: 1,
                        },
                    );
                    prop_assert_eq!(response.error, Win32Error::IO_INCOMPLETE);
                } else {
                    self.take(ticket)?;
                }
            }
            Step::Sub(way) => {
                let Some(one) = self
                    .file(0)
                    .filter(|one| one.device == 0 && !one.overlapped)
                else {
                    return Ok(());
                };
                let input = [&way.to_le_bytes()[..], &[9]].concat();
                let output = usize::from(*way < 2);
                let response = control(
                    &mut self.lab,
                    one.handle,
                    code(SUB_REQUEST, BUFFERED),
                    &input,
                    output,
                );
                prop_assert_eq!(response.error.0, 0);
                match way {
                    2 => self.put(100, &0xc0de_u32.to_le_bytes()),
                    3 => self.put(200, &0xface_u32.to_le_bytes()),
                    _ => prop_assert_eq!(response.data(), &[9]),
                }
                // The file's position is where those have left it.
                let position = match way {
                    2 => Some(104),
                    3 => Some(204),
                    _ => None,
                };
                if let Some(position) = position {
                    self.files[0].position = position;
                }
            }
            Step::Sleep(milliseconds) => {
                ask(
                    &mut self.lab,
                    &Request::Sleep {
                        milliseconds: *milliseconds,
                    },
                );
            }
        }
        Ok(())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.contents[at..at + bytes.len()].copy_from_slice(bytes);
        self.end = self.end.max(at + bytes.len());
    }

    fn finish(mut self) -> Result<(), TestCaseError> {
        while let Some(file) = self.files.first().cloned() {
            self.make(&Step::Close(0))?;
            prop_assert!(self.files.iter().all(|other| other.handle != file.handle));
        }
        prop_assert!(self.pending.is_empty());
        // The program keeps its events for later.
        let mut left = outstanding(&self.lab);
        left.retain(|pool_tag, _| pool_tag.to_bytes() != *b"Even");
        let mut before = BOOTED.1.clone();
        before.retain(|pool_tag, _| pool_tag.to_bytes() != *b"Even");
        prop_assert_eq!(left, before);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.make(step)?;
        }
        model.finish()?;
    }
}
