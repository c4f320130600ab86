//! Images of synthetic functions that call each other.

use crate::shape::{Shape, shapes};
use poolhit::address::{Rva, Va};
use poolhit_fixtures::unwind_builder::{Function, Instruction, UnwindImage, build};
use proptest::prelude::*;

const RSP: u8 = 4;
/// The register that has the address of [`DATA_SIZE`] random bytes in all of the program.
const DATA: u8 = 8;
pub const DATA_SIZE: usize = FUNCTIONS * 256;
const FUNCTIONS: usize = 16;

/// Places outside all functions that tail calls jump to; each has a `ret`. RAX holds the first's
/// address in all of the program.
pub const RETURNS: [u32; 2] = [0x40, 0x9_0000];

/// How a function comes to the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// It calls it.
    Calls,
    /// A part of it that lies elsewhere, with a chained record, does, and jumps back.
    ByPart,
    /// Such a part allocates a frame of its own, does, and never comes back.
    ByPartWithFrame,
}

/// What a program is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Functions, each of which calls the next one; whether a part names its frame register; and
    /// whether the unwind data describes epilogues, too (version 2).
    pub chain: Vec<(Shape, Link, bool, bool)>,
    /// Handlers of interrupts, without and with an error code.
    pub handlers: [Shape; 2],
    /// What handlers call.
    pub called: Shape,
}

pub fn plans() -> impl Strategy<Value = Plan> {
    use Link::{ByPart, ByPartWithFrame, Calls};
    let link = prop::sample::select(vec![Calls, Calls, ByPart, ByPartWithFrame]);
    let chain = (shapes(), link, any::<bool>(), any::<bool>());
    let chain = prop::collection::vec(chain, 1..5);
    (chain, [shapes(), shapes()], shapes()).prop_map(|(chain, handlers, called)| Plan {
        chain,
        handlers,
        called,
    })
}

/// A built program.
#[derive(Clone, Debug)]
pub struct Program {
    pub image: UnwindImage,
    pub functions: Vec<Function>,
    /// The indices of the handlers.
    pub handlers: [usize; 2],
}

impl Program {
    /// The address of an instruction in the image at `base`.
    pub fn place(&self, base: Va, function: usize, index: usize) -> Va {
        base + Rva(self.image.functions[function].places[index])
    }

    /// The operations of the unwind codes of all its functions, as the image has them.
    pub fn unwind_codes(&self) -> Vec<u8> {
        let mut operations = Vec::new();
        for function in &self.image.functions {
            let info = &self.image.bytes[function.unwind_info as usize..];
            let (count, slots) = (usize::from(info[2]), &info[4..]);
            let mut slot = 0;
            while slot < count {
                let code = slots[slot * 2 + 1];
                operations.push(code & 15);
                slot += match (code & 15, code >> 4) {
                    (1, 1) | (5 | 9, _) => 3,
                    (1 | 4 | 8, _) => 2,
                    _ => 1,
                };
            }
        }
        operations
    }
}

/// Builds a program; it starts with the first function.
pub fn program(plan: &Plan) -> Program {
    let mut functions = Vec::new();
    let length = plan.chain.len();
    let handlers = [length, length + 1];
    let mut parts = Vec::new();
    for (number, (shape, link, names_frame, version_2)) in plan.chain.iter().enumerate() {
        let next = (number + 1 < length).then_some(number + 1);
        // What a part pushes is found again only if its function allocates nothing in its body.
        let dynamic = match link {
            Link::ByPartWithFrame => 0,
            _ => shape.dynamic,
        };
        let shape = plain(&Shape {
            machine_frame: None,
            dynamic,
            ..shape.clone()
        });
        let middle = match link {
            Link::Calls => next.map_or(Instruction::Nop, Instruction::CallFunction),
            _ => {
                let part = length + 3 + parts.len();
                parts.push((number, shape.clone(), *link, *names_frame, next));
                Instruction::JumpToPlace(part, 0)
            }
        };
        functions.push(function(&shape, number, middle, *version_2));
    }
    for (number, shape) in plan.handlers.iter().enumerate() {
        let shape = plain(&Shape {
            machine_frame: Some(number == 1),
            ..shape.clone()
        });
        let middle = Instruction::CallFunction(length + 2);
        functions.push(function(&shape, functions.len(), middle, false));
    }
    let called = plain(&Shape {
        machine_frame: None,
        ..plan.called.clone()
    });
    functions.push(function(&called, functions.len(), Instruction::Nop, true));
    for (parent, shape, link, names_frame, next) in parts {
        let number = functions.len();
        functions.push(part(&shape, parent, number, link, names_frame, next));
    }
    Program {
        image: build(&functions),
        functions,
        handlers,
    }
}

/// A shape whose function ends in a way that leads somewhere here.
fn plain(shape: &Shape) -> Shape {
    let ending = match shape.ending {
        Instruction::JumpThroughMemory => Instruction::JumpToRax,
        ending => ending,
    };
    Shape {
        ending,
        ..shape.clone()
    }
}

/// A shape's function, with something to do in its middle; registers get values of its own.
fn function(shape: &Shape, number: usize, middle: Instruction, version_2: bool) -> Function {
    let shaped = shape.function(version_2);
    let mut function = shaped.function;
    function.instructions[shaped.body.end - 1] = middle;
    for instruction in &mut function.instructions[shaped.body] {
        change(instruction, number);
    }
    if shaped.epilogues.is_empty() {
        function.instructions.push(Instruction::Breakpoint);
    }
    function
}

/// Makes what a body puts into registers differ from function to function.
fn change(instruction: &mut Instruction, number: usize) {
    match instruction {
        Instruction::Set { register, value } => {
            *value = 0x0101_0101_0101_0101 * (u64::from(*register) << 4 | number as u64);
        }
        Instruction::ClearXmm(register) => {
            *instruction = Instruction::LoadXmm {
                register: *register,
                base: DATA,
                displacement: (number * 256 + usize::from(*register) * 16) as i32,
            };
        }
        _ => {}
    }
}

/// The part of a function that lies elsewhere.
fn part(
    shape: &Shape,
    parent: usize,
    number: usize,
    link: Link,
    names_frame: bool,
    next: Option<usize>,
) -> Function {
    let shaped = shape.function(false);
    let (mut code, mut restores) = (Vec::new(), Vec::new());
    if link == Link::ByPartWithFrame {
        let pushed = shape.chained_saves.iter();
        code.extend(pushed.map(|register| Instruction::Push(*register)));
        code.push(Instruction::SubRsp(0x48));
    } else {
        for &(register, slot) in &shaped.chained_slots {
            let (base, displacement) = match shape.frame {
                Some((register, offset)) => (register, slot as i32 - offset as i32),
                None => (RSP, slot as i32),
            };
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
    for &register in &shape.chained_saves {
        let mut set = Instruction::Set { register, value: 0 };
        change(&mut set, number);
        code.push(set);
    }
    code.push(next.map_or(Instruction::Nop, Instruction::CallFunction));
    code.extend(restores);
    code.push(match link {
        Link::ByPartWithFrame => Instruction::Breakpoint,
        _ => Instruction::JumpToPlace(parent, shaped.body.end),
    });
    Function {
        instructions: code,
        prologue,
        frame: shaped.function.frame.filter(|_| names_frame),
        parent: Some(parent),
        epilogues: Vec::new(),
    }
}
