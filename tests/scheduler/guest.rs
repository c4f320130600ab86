//! A lab with the driver that does what a test asks for, and its notes.

use poolhit::Lab;
use poolhit::guest::{GuestImages, ImageFile};
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;
use poolhit_fixtures::prebuilt;

/// The two words in front of the scenario's number.
const MARK: [u8; 8] = 0xa1b2_c3d4_e4d5_c6b7_u64.to_le_bytes();
/// More than any scenario takes, in bytes of code.
pub const ENOUGH: u64 = 400 << 20;

/// What the driver notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    pub event: u32,
    pub irql: u32,
    pub value: i64,
    /// In units of 100 ns.
    pub time: u64,
}

/// A lab at its first prompt, whose driver is going to do that.
pub fn lab(scenario: u32, seed: u32) -> Lab {
    let mut bytes = prebuilt::SCHEDULER.bytes.to_vec();
    let mark: Vec<usize> = (0..bytes.len() - 16)
        .filter(|&at| bytes[at..at + 4] == MARK[..4] && bytes[at + 4..at + 8] == MARK[4..])
        .collect();
    let [mark] = mark[..] else {
        panic!("the driver has {} marks", mark.len());
    };
    bytes[mark + 8..mark + 12].copy_from_slice(&scenario.to_le_bytes());
    bytes[mark + 12..mark + 16].copy_from_slice(&seed.to_le_bytes());
    let driver = ImageFile::parse("scheduler.sys", bytes, None).unwrap();
    let images = GuestImages {
        driver,
        ..GuestImages::built_in().clone()
    };
    let builder = Lab::builder().images(images).memory(16 << 20);
    let mut lab = builder.build().unwrap();
    pass_break_instruction(&mut lab);
    lab
}

pub fn pass_break_instruction(lab: &mut Lab) {
    let mut registers = lab.machine().registers();
    registers.rip += 1;
    lab.machine_mut().set_registers(&registers).unwrap();
}

pub fn notes(lab: &Lab) -> Vec<Note> {
    let driver = &lab.images().driver.symbols;
    let at = |name| lab.bases().driver + driver.by_name(name).unwrap().rva;
    let machine = lab.machine();
    let count = machine.read_u32(at("SchedulerNoteCount")).unwrap();
    let first = at("SchedulerNotes");
    (0..u64::from(count))
        .map(|number| {
            let note = first.wrapping_add(number * 24);
            Note {
                event: machine.read_u32(note).unwrap(),
                irql: machine.read_u32(note.wrapping_add(4)).unwrap(),
                value: machine.read_u64(note.wrapping_add(8)).unwrap() as i64,
                time: machine.read_u64(note.wrapping_add(16)).unwrap(),
            }
        })
        .collect()
}

/// Runs a scenario until the guest goes idle for good.
pub fn run(scenario: u32) -> Vec<Note> {
    let mut lab = lab(scenario, 0);
    let exit = lab.run(ENOUGH).unwrap();
    let notes = notes(&lab);
    assert_eq!(exit, Exit::Halt, "{:?} {notes:?}", lab.bug_check());
    notes
}

/// Events and values.
pub fn pairs(notes: &[Note]) -> Vec<(u32, i64)> {
    notes.iter().map(|note| (note.event, note.value)).collect()
}

/// The note of an event that there is one of.
#[track_caller]
pub fn of(notes: &[Note], event: u32) -> Note {
    let all: Vec<&Note> = notes.iter().filter(|note| note.event == event).collect();
    let [note] = all[..] else {
        panic!("{} notes of {event}: {notes:?}", all.len());
    };
    *note
}
