//! A lab with the driver that raises exceptions, what it is asked for, and its notes.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{BugCheck, GuestImages, ImageFile, LabBuilder, LabError};
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit_fixtures::prebuilt;

/// The two words in front of the request.
const MARK: [u8; 8] = 0xa1b2_c3d5_e4d5_c6b8_u64.to_le_bytes();
/// More than any scenario takes, in bytes of code.
pub const ENOUGH: u64 = 64 << 20;

/// Where the driver does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    DriverEntry = 1,
    Dispatch,
    Thread,
    Dpc,
    WorkItem,
    DispatchLevel,
}

/// What it does: a scenario's number, and arguments.
#[derive(Clone, Debug)]
pub struct Request {
    pub scenario: u32,
    pub place: Place,
    pub arguments: [u64; 2],
    pub program: Vec<u8>,
}

impl Request {
    pub fn new(scenario: u32, place: Place, argument: u64) -> Request {
        Request {
            scenario,
            place,
            arguments: [argument, 0],
            program: Vec::new(),
        }
    }

    /// What is behind the mark.
    pub fn bytes(&self) -> Vec<u8> {
        let words = [self.scenario, self.place as u32];
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        let arguments = self.arguments.iter().flat_map(|word| word.to_le_bytes());
        assert!(self.program.len() <= 0x400);
        let program = self.program.iter().copied();
        words.chain(arguments).chain(program).collect()
    }
}

/// What the driver notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    pub event: u32,
    pub irql: u32,
    pub value: u64,
}

/// A lab whose driver's file asks for something already.
pub fn builder(request: &Request) -> LabBuilder {
    let mut bytes = prebuilt::SEH.bytes.to_vec();
    let marks: Vec<usize> = (0..bytes.len() - 8)
        .filter(|&at| bytes[at..at + 8] == MARK)
        .collect();
    let [mark] = marks[..] else {
        panic!("the driver has {} marks", marks.len());
    };
    let request = request.bytes();
    bytes[mark + 8..mark + 8 + request.len()].copy_from_slice(&request);
    let driver = ImageFile::parse("seh.sys", bytes, None).unwrap();
    let images = GuestImages {
        driver,
        ..GuestImages::built_in().clone()
    };
    Lab::builder().images(images).memory(16 << 20)
}

/// The address of something that the driver exports.
pub fn exported(lab: &Lab, name: &str) -> Va {
    let driver = &lab.images().driver.symbols;
    lab.bases().driver + driver.by_name(name).unwrap().rva
}

/// A lab at its first prompt, whose driver is going to do that.
pub fn lab(request: &Request) -> Lab {
    let mut lab = builder(request).build().unwrap();
    pass_break_instruction(&mut lab);
    lab
}

/// The same, made of one that has booted.
pub fn ask(lab: &mut Lab, request: &Request) {
    let at = exported(lab, "SehRequest").wrapping_add(8);
    lab.machine_mut().write(at, &request.bytes()).unwrap();
}

pub fn pass_break_instruction(lab: &mut Lab) {
    let mut registers = lab.machine().registers();
    registers.rip += 1;
    lab.machine_mut().set_registers(&registers).unwrap();
}

pub fn notes(lab: &Lab) -> Vec<Note> {
    let machine = lab.machine();
    let count = machine.read_u32(exported(lab, "SehNoteCount")).unwrap();
    let first = exported(lab, "SehNotes");
    (0..u64::from(count))
        .map(|number| {
            let note = first.wrapping_add(number * 16);
            Note {
                event: machine.read_u32(note).unwrap(),
                irql: machine.read_u32(note.wrapping_add(4)).unwrap(),
                value: machine.read_u64(note.wrapping_add(8)).unwrap(),
            }
        })
        .collect()
}

/// Runs until the driver has noted the scenario's end, or the guest stops; the rest of the program's
/// requests take long.
pub fn run_to_end(lab: &mut Lab) -> Option<Exit> {
    const SLICE: u64 = 1 << 16;
    for _ in 0..64 {
        let exit = lab.run(lab.machine().work() + SLICE).unwrap();
        if exit != Exit::Limit {
            return Some(exit);
        }
        if notes(lab).last().map(|note| note.event) == Some(9999) {
            return None;
        }
    }
    Some(Exit::Limit)
}

/// Runs a scenario that the guest comes through.
#[track_caller]
pub fn run(request: &Request) -> Vec<Note> {
    let mut lab = lab(request);
    let exit = lab.run(ENOUGH).unwrap();
    let notes = notes(&lab);
    assert_eq!(exit, Exit::Halt, "{:?} {notes:x?}", lab.bug_check());
    assert_eq!(lab.program_exit_status(), Some(0));
    assert_eq!(notes.last().map(|note| note.event), Some(9999));
    assert!(notes.iter().all(|note| note.event != 50), "{notes:x?}");
    notes
}

/// Runs a scenario to its bug check.
#[track_caller]
pub fn crash(request: &Request) -> (BugCheck, Lab) {
    if request.place == Place::DriverEntry {
        let error = builder(request).build().unwrap_err();
        let LabError::Boot {
            bug_check: Some(check),
            ..
        } = error
        else {
            panic!("{error}");
        };
        return (*check, Lab::builder().build().unwrap());
    }
    let mut lab = lab(request);
    let exit = lab.run(ENOUGH).unwrap();
    let notes = notes(&lab);
    let Some(check) = lab.bug_check() else {
        panic!("{exit:?}, {notes:x?}");
    };
    assert!(matches!(exit, Exit::HardcodedBreakpoint { .. }), "{exit:?}");
    (check, lab)
}

/// The symbol or image that an address is in, and the distance.
pub fn name_of(lab: &Lab, address: u64) -> String {
    let modules = lab.modules();
    let name = modules.nearest(Va(address)).map(|place| place.to_string());
    name.unwrap_or_default()
}

/// Events and values.
pub fn pairs(notes: &[Note]) -> Vec<(u32, u64)> {
    notes.iter().map(|note| (note.event, note.value)).collect()
}
