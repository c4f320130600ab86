//! What is known about arguments in small functions.

use super::{ArgumentFlow, Location, Width};
use crate::address::{Rva, Va};
use crate::disasm::Disassembler;
use crate::image::function_table::MappedImage;
use crate::registers::Gpr;
use poolhit_fixtures::unwind_builder::{Function, Instruction, UnwindImage, build};
use proptest::prelude::*;
use std::fmt::Write;

/// Each row: what it shows; a function without unwind data, an instruction a line, up to the
/// `int 3` that is asked about; where the arguments are there (`d` for the low 32 bits only).
const LISTINGS: &str = include_str!("listings.txt");

/// Where the four arguments and the return address are.
fn describe(flow: &ArgumentFlow, place: Rva) -> String {
    let mut text = String::new();
    for number in 1..=4 {
        let whole = flow.argument(place, number, Width::Quadword);
        let half = flow.argument(place, number, Width::Doubleword);
        let _ = match (whole, half) {
            (Some(at), _) => write!(text, "{number}={at} "),
            (_, Some(at)) => write!(text, "{number}d={at} "),
            _ => Ok(()),
        };
    }
    if let Some(at) = flow.return_address(place) {
        let _ = write!(text, "ret={at}");
    }
    text.trim_end().to_owned()
}

/// The bytes of a listing, which must be what its text says.
fn assemble(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        let at = bytes.len();
        let hex = line
            .split_whitespace()
            .nth(1)
            .expect("address, bytes, text");
        let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
        bytes.extend(digits.map(|digits| u8::from_str_radix(digits, 16).expect("two digits")));
        let decoded = Disassembler::new().decode(Va(at as u64), &bytes[at..], &|_| None);
        let text = decoded.to_string();
        // Functions are shorter than 256 bytes: two digits are enough for their addresses.
        assert_eq!(&text[15..], line.trim());
    }
    bytes
}

#[test]
fn listings() {
    let mut rows = 0;
    for row in LISTINGS.split("\n\n") {
        let lines: Vec<&str> = row.lines().collect();
        let [what, code @ .., expected] = &lines[..] else {
            panic!("no row: {row}");
        };
        let bytes = assemble(code);
        let place = Rva(bytes.len() as u32 - 1);
        let image = MappedImage {
            bytes: &bytes,
            exception_directory: None,
        };
        let flow = ArgumentFlow::follow(&image, Rva(0), &[place], &mut 1000);
        let found = describe(&flow, place);
        let expected = expected.strip_prefix("=> ").expect("what is known");
        assert_eq!(found, expected.trim_matches('-'), "{what}");
        rows += 1;
    }
    assert_eq!(rows, LISTINGS.matches("=>").count());
}

fn mapped(image: &UnwindImage) -> MappedImage<'_> {
    let (rva, size) = image.exception_directory;
    MappedImage {
        bytes: &image.bytes,
        exception_directory: Some((Rva(rva), size)),
    }
}

const RCX: u8 = 1;
const RBX: u8 = 3;
const RBP: u8 = 5;
const RSI: u8 = 6;

/// `mov [rsp+displacement], register`.
fn store(register: u8, displacement: i32) -> Instruction {
    Instruction::Store {
        register,
        base: 4,
        displacement,
        slot: 0,
    }
}

/// A function with a cold part elsewhere, and one between them.
fn split(parent: Option<usize>) -> UnwindImage {
    let main = Function {
        instructions: vec![
            Instruction::Push(RBX),
            Instruction::SubRsp(0x30),
            store(RCX, 0x40),
            Instruction::JumpToPlace(2, 0),
            Instruction::AddRsp(0x30),
            Instruction::Pop(RBX),
            Instruction::Return,
        ],
        prologue: 2,
        ..Function::default()
    };
    let other = Function {
        instructions: vec![Instruction::SubRsp(0x28), Instruction::JumpToPlace(0, 0)],
        prologue: 1,
        ..Function::default()
    };
    let cold = Function {
        instructions: vec![
            Instruction::Push(RSI),
            Instruction::Breakpoint,
            Instruction::Pop(RSI),
            Instruction::JumpToPlace(0, 4),
        ],
        prologue: 1,
        parent,
        ..Function::default()
    };
    build(&[main, other, cold])
}

#[test]
fn chained_parts_are_the_functions() {
    let image = split(Some(0));
    let [entry, place] = [(0, 0), (2, 1)].map(|(f, i)| Rva(image.functions[f].places[i]));
    let flow = ArgumentFlow::follow(&mapped(&image), entry, &[place], &mut 100);
    assert_eq!(
        describe(&flow, place),
        "1=rcx 2=rdx 3=r8 4=r9 ret=poi(rsp+40)"
    );
    assert_eq!(super::entry_of(&mapped(&image), place), Some(entry));
}

#[test]
fn others_are_not() {
    for parent in [None, Some(1)] {
        let image = split(parent);
        let [entry, place] = [(0, 0), (2, 1)].map(|(f, i)| Rva(image.functions[f].places[i]));
        let flow = ArgumentFlow::follow(&mapped(&image), entry, &[place], &mut 100);
        // By its own unwind data: one push, and what its parent allocates.
        let own = if parent.is_some() { "30" } else { "8" };
        assert_eq!(describe(&flow, place), format!("ret=poi(rsp+{own})"));
        let other = parent.map_or(place.0 - 1, |_| image.functions[1].places[0]);
        assert_eq!(super::entry_of(&mapped(&image), place), Some(Rva(other)));
    }
}

/// With a frame register unwind data alone does not tell where RSP is.
#[test]
fn frame_registers_leave_the_return_address_to_the_code() {
    let function = |extra: Instruction| Function {
        instructions: vec![
            Instruction::Push(RBP),
            Instruction::SubRsp(0x20),
            Instruction::SetFrame {
                register: RBP,
                offset: 0x10,
            },
            extra,
            Instruction::Breakpoint,
            Instruction::LeaRsp {
                base: RBP,
                displacement: 0x10,
            },
            Instruction::Pop(RBP),
            Instruction::Return,
        ],
        prologue: 3,
        frame: Some((RBP, 0x10)),
        ..Function::default()
    };
    let lost = Instruction::Load {
        register: 4,
        base: RBX,
        displacement: 0,
    };
    for (extra, expected) in [
        (
            Instruction::SubRsp(0x50),
            "1=rcx 2=rdx 3=r8 4=r9 ret=poi(rsp+78)",
        ),
        (lost, "1=rcx 2=rdx 3=r8 4=r9"),
    ] {
        let image = build(&[function(extra)]);
        let [entry, place] = [0, 4].map(|index| Rva(image.functions[0].places[index]));
        let flow = ArgumentFlow::follow(&mapped(&image), entry, &[place], &mut 100);
        assert_eq!(describe(&flow, place), expected);
    }
}

/// What an exception handler jumps to is not followed, so nothing is known behind it.
#[test]
fn functions_with_a_handler_are_not_followed() {
    let mut image = split(Some(0));
    let [entry, place] = [(0, 0), (2, 1)].map(|(f, i)| Rva(image.functions[f].places[i]));
    let info = image.functions[0].unwind_info as usize;
    image.bytes[info] |= 1 << 3;
    let flow = ArgumentFlow::follow(&mapped(&image), entry, &[place], &mut 100);
    assert_eq!(describe(&flow, place), "ret=poi(rsp+40)");
}

#[test]
fn steps_are_counted_and_end_it() {
    let image = MappedImage {
        bytes: &[0x90, 0x90, 0x90, 0xcc, 0xc3],
        exception_directory: None,
    };
    // Each of the five instructions is read once and followed once.
    for given in 0..20 {
        let mut steps = given;
        let flow = ArgumentFlow::follow(&image, Rva(0), &[Rva(3)], &mut steps);
        let known = flow.argument(Rva(3), 1, Width::Quadword);
        assert_eq!(known.is_some(), given >= 10, "{given} steps");
        assert_eq!(steps, given.saturating_sub(10));
    }
}

#[test]
fn numbers_of_arguments_that_are_none() {
    let image = MappedImage {
        bytes: &[0xcc],
        exception_directory: None,
    };
    let flow = ArgumentFlow::follow(&image, Rva(0), &[Rva(0)], &mut 100);
    for number in [0, 5, 256, 257, usize::MAX] {
        assert_eq!(flow.argument(Rva(0), number, Width::Doubleword), None);
    }
    let register = Location::Register(Gpr::R9);
    assert_eq!(flow.argument(Rva(0), 4, Width::Quadword), Some(register));
}

/// Code that jumps back and forth a lot.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let jump = (0x70_u8..0x80, any::<u8>()).prop_map(|(jump, by)| vec![jump, by]);
    let on_stack = prop::sample::select(vec![
        vec![0x48, 0x89, 0x4c, 0x24], // mov [rsp+_], rcx
        vec![0x48, 0x8b, 0x54, 0x24], // mov rdx, [rsp+_]
        vec![0x48, 0x8d, 0x44, 0x24], // lea rax, [rsp+_]
        vec![0x48, 0x83, 0xec],       // sub rsp, _
        vec![0x48, 0x83, 0xc4],       // add rsp, _
    ]);
    let on_stack = (on_stack, any::<u8>()).prop_map(|(mut bytes, by)| {
        bytes.push(by);
        bytes
    });
    let whole = prop::collection::vec(any::<u8>(), 1..4);
    let push = (0x50_u8..0x60).prop_map(|push| vec![push]);
    let parts = prop_oneof![jump, on_stack, whole, push];
    prop::collection::vec(parts, 0..200).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_code_ends_within_its_steps(
        code in code(),
        entry in 0_u32..300,
        places in prop::collection::vec(0_u32..700, 0..8),
        limit in prop_oneof![0_usize..100, Just(20_000_usize)],
    ) {
        let image = MappedImage { bytes: &code, exception_directory: None };
        let places: Vec<Rva> = places.into_iter().map(Rva).collect();
        let mut steps = limit;
        let flow = ArgumentFlow::follow(&image, Rva(entry), &places, &mut steps);
        prop_assert!(steps <= limit);
        for place in places {
            describe(&flow, place);
        }
    }

    /// Unwind data that anybody may have written.
    #[test]
    fn any_image_ends_within_its_steps(
        bytes in prop::collection::vec(prop_oneof![0_u8..64, any::<u8>()], 0..600),
        rva in 0_u32..600, size: u8, entry in 0_u32..600, place in 0_u32..600,
    ) {
        let image = MappedImage { bytes: &bytes, exception_directory: Some((Rva(rva), size.into())) };
        let mut steps = 20_000;
        let flow = ArgumentFlow::follow(&image, Rva(entry), &[Rva(place)], &mut steps);
        describe(&flow, Rva(place));
        super::entry_of(&image, Rva(place));
    }
}
