//! Functions whose record is chained to another's: cold blocks and delayed saves.

use super::shape::{Shape, shapes};
use super::single::check_caller;
use super::world::{World, caller, enter, execute, image, preserved};
use crate::address::{CodeAddress, Rva};
use crate::image::function_table::{ImageBytes, MappedImage};
use crate::stack::records::Function as Records;
use crate::stack::unwinder::UnwindError;
use poolhit_fixtures::unwind_builder::{Function, Instruction, UnwindImage};
use proptest::prelude::*;

/// What a chained part does, and how it ends.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Saves registers in its parent's allocation, restores them, and jumps back.
    JumpsBack,
    /// The same, with an epilogue of its own.
    Returns,
    /// Pushes and allocates, saves in its own allocation, and never returns.
    Allocates,
}

fn check_part(shape: &Shape, part: Part, names_frame: bool) {
    let shaped = shape.function(false);
    let own_frame = shaped.function.frame.filter(|_| names_frame);
    let base_of = |slot: u32| match shape.frame {
        Some((register, offset)) => (register, slot as i32 - offset as i32),
        None => (4, slot as i32),
    };
    let mut code = Vec::new();
    let mut restores = Vec::new();
    if let Part::Allocates = part {
        code.extend(
            shape
                .chained_saves
                .iter()
                .map(|register| Instruction::Push(*register)),
        );
        code.push(Instruction::SubRsp(0x48));
    } else {
        for (register, slot) in &shaped.chained_slots {
            let (register, slot, (base, displacement)) = (*register, *slot, base_of(*slot));
            code.push(Instruction::Store {
                register,
                base,
                displacement,
                slot,
            });
            restores.push(Instruction::Load {
                register,
                base,
                displacement,
            });
        }
    }
    let prologue = code.len();
    let saved = shape.chained_saves.iter();
    code.extend(saved.map(|register| Instruction::Set {
        register: *register,
        value: 0xbad,
    }));
    code.push(Instruction::Breakpoint);
    code.extend(restores);
    let mut release = code.len();
    match part {
        Part::JumpsBack => {
            code.push(Instruction::JumpToPlace(0, shaped.body.start));
            release += 1;
        }
        Part::Returns => {
            let Some((epilogue, _)) = shaped.epilogues.first() else {
                return;
            };
            release += shape.saves.len() + shape.xmm_saves.len();
            code.extend_from_slice(&shaped.function.instructions[epilogue.clone()]);
        }
        Part::Allocates => code.push(Instruction::Nop),
    }
    let parent = Some(0);
    let chained = Function {
        instructions: code,
        prologue,
        frame: own_frame,
        parent,
        epilogues: Vec::new(),
    };

    let functions = [shaped.function, chained];
    let (base, image) = image(&functions);
    let mut world = World::new([(base, &image)]);
    let mut registers = enter(&functions[0], &mut world.words);
    let is_trap = shape.machine_frame.is_some();
    for instruction in &functions[0].instructions[usize::from(is_trap)..shaped.body.end] {
        execute(instruction, &mut registers, &mut world.words);
    }
    for (index, instruction) in functions[1].instructions.iter().enumerate() {
        let rip = base + Rva(image.functions[1].places[index]);
        check_caller(
            &world,
            &registers,
            rip,
            index > 0 && index <= release,
            is_trap,
        );
        execute(instruction, &mut registers, &mut world.words);
    }
}

proptest! {
    #[test]
    fn a_part_that_jumps_back(shape in shapes(), names_frame: bool) {
        check_part(&shape, Part::JumpsBack, names_frame);
    }

    #[test]
    fn a_part_with_its_own_epilogue(shape in shapes(), names_frame: bool) {
        check_part(&shape, Part::Returns, names_frame);
    }

    #[test]
    fn a_part_that_allocates(shape in shapes(), names_frame: bool) {
        // With a frame register and room allocated by the body, the part's own pushes could not be
        // found again: nothing says how far below the frame they are.
        check_part(&Shape { dynamic: 0, ..shape }, Part::Allocates, names_frame);
    }
}

/// A parent and a chain of `length` parts, of which the last is entered.
fn chain(length: usize) -> (Vec<Function>, usize) {
    let instructions = vec![Instruction::SubRsp(0x28), Instruction::Nop];
    let mut functions = vec![Function {
        instructions,
        prologue: 1,
        ..Function::default()
    }];
    for parent in 0..length {
        let instructions = vec![Instruction::Nop];
        let parent = Some(parent);
        functions.push(Function {
            instructions,
            parent,
            ..Function::default()
        });
    }
    (functions, length)
}

fn unwind_in_chain(
    image: &UnwindImage,
    functions: &[Function],
    last: usize,
) -> Result<(), UnwindError> {
    let (base, _) = super::world::image(&[]);
    let mut world = World::new([(base, image)]);
    let mut registers = enter(&functions[0], &mut world.words);
    execute(&Instruction::SubRsp(0x28), &mut registers, &mut world.words);
    let rip = base + Rva(image.functions[last].places[0]);
    let unwound = world.unwind(&registers, CodeAddress::InstructionPointer(rip))?;
    assert_eq!(preserved(&unwound.registers), preserved(&caller()));
    Ok(())
}

#[test]
fn thirty_two_steps_are_followed_and_no_more() {
    for (length, is_good) in [(1, true), (32, true), (33, false)] {
        let (functions, last) = chain(length);
        let (_, image) = image(&functions);
        let result = unwind_in_chain(&image, &functions, last);
        assert_eq!(result.is_ok(), is_good, "{length}: {result:?}");
    }
}

#[test]
fn a_cycle_ends() {
    let (functions, last) = chain(2);
    let (_, mut image) = image(&functions);
    // The first part's parent is itself from now on: the last field of its record.
    let own = image.functions[1].unwind_info;
    image.bytes[own as usize + 12..][..4].copy_from_slice(&own.to_le_bytes());
    let error = unwind_in_chain(&image, &functions, last).unwrap_err();
    assert!(
        error.to_string().ends_with("is chained more than 32 times"),
        "{error}"
    );
}

#[test]
fn an_indirect_record_stands_for_another() {
    let (functions, _) = chain(1);
    let (_, mut image) = image(&functions);
    let (table, _) = image.exception_directory;
    // The second function's record points to the first's.
    let field = table as usize + 12 + 8;
    image.bytes[field..][..4].copy_from_slice(&(table | 1).to_le_bytes());
    unwind_in_chain(&image, &functions, 1).unwrap();
    // One that points to itself ends.
    image.bytes[field..][..4].copy_from_slice(&((table + 12) | 1).to_le_bytes());
    let error = unwind_in_chain(&image, &functions, 1).unwrap_err();
    assert!(
        error.to_string().ends_with("is chained more than 32 times"),
        "{error}"
    );
}

#[test]
fn the_primary_record_is_the_last() {
    let (functions, _) = chain(3);
    let (_, image) = image(&functions);
    let (rva, size) = image.exception_directory;
    let mapped = MappedImage {
        bytes: &image.bytes,
        exception_directory: Some((Rva(rva), size)),
    };
    let part = Records::at(
        &mapped as &dyn ImageBytes,
        Rva(image.functions[3].places[0]),
    )
    .unwrap();
    let primary = part.primary().unwrap();
    assert_eq!(primary.function.begin, Rva(image.functions[0].places[0]));
    assert_eq!(part.records().count(), 4);
}
