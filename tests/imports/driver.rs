//! Drivers made for these tests, instruction by instruction.

use poolhit::guest::ImageFile;
use poolhit::image::PeImage;
use poolhit_fixtures::pe_builder::{CODE, PeBuilder};

/// Where labs load the driver.
pub const BASE: u64 = 0xfffff880_0496d000;
/// Where its code starts in it.
pub const CODE_RVA: u32 = 0x1000;

/// One step of a `DriverEntry`.
#[derive(Clone, Copy)]
pub enum Step {
    /// Sets RCX, RDX, R8, R9 and the stack's slots for the fifth and further arguments.
    Arguments(&'static [u64]),
    /// Calls the import of that number.
    Call(u32),
    /// Reads eight bytes into RAX, that far from what the import is bound to.
    Read(u32, u8),
    /// Writes RAX, that far from what the import is bound to.
    Write(u32, u8),
    /// Goes on for ever.
    Loop,
}

/// Room on the stack for ten arguments, and aligned.
const FRAME: u8 = 0x58;

fn code(steps: &[Step], slots: &[u32]) -> Vec<u8> {
    let mut code = vec![0x48, 0x83, 0xec, FRAME]; // sub rsp,58h
    let start = code.len();
    // The slot of the import, seen from the end of the instruction.
    let displacement = |code: &[u8], import: u32, after: usize| {
        let end = CODE_RVA + (code.len() + 4 + after) as u32;
        slots[import as usize].wrapping_sub(end).to_le_bytes()
    };
    for step in steps {
        match *step {
            Step::Arguments(values) => {
                for (at, value) in values.iter().enumerate() {
                    let opcode: &[u8] = match at {
                        0 => &[0x48, 0xb9],
                        1 => &[0x48, 0xba],
                        2 => &[0x49, 0xb8],
                        3 => &[0x49, 0xb9],
                        _ => &[0x48, 0xb8], // mov rax,…
                    };
                    code.extend(opcode);
                    code.extend(value.to_le_bytes());
                    if at >= 4 {
                        code.extend([0x48, 0x89, 0x44, 0x24, at as u8 * 8]); // mov [rsp+…],rax
                    }
                }
            }
            Step::Call(import) => {
                code.extend([0xff, 0x15]);
                code.extend(displacement(&code, import, 0));
            }
            Step::Read(import, offset) | Step::Write(import, offset) => {
                code.extend([0x48, 0x8b, 0x0d]); // mov rcx,[slot]
                code.extend(displacement(&code, import, 0));
                let opcode = if matches!(step, Step::Read(..)) {
                    0x8b
                } else {
                    0x89
                };
                code.extend([0x48, opcode, 0x41, offset]); // mov rax,[rcx+…] or the other way
            }
            Step::Loop => {
                let back = start as i32 - (code.len() as i32 + 5);
                code.push(0xe9);
                code.extend(back.to_le_bytes());
            }
        }
    }
    code.extend([0x48, 0x83, 0xc4, FRAME, 0xc3]); // add rsp,58h; ret
    code
}

/// A driver whose `DriverEntry` takes these steps and returns what the last one left in RAX.
/// `imports` are the images with their functions, numbered through.
pub fn bytes(imports: &[(&str, &[&str])], steps: &[Step]) -> Vec<u8> {
    let build = |slots: &[u32]| {
        let mut builder = PeBuilder::new(BASE);
        let text = builder.section(".text", CODE, code(steps, slots), 0x1000);
        // sub rsp, 58h, of four bytes
        let unwind = vec![1, 4, 1, 0, 4, (FRAME / 8 - 1) << 4 | 2, 0, 0];
        let xdata = builder.section(".xdata", 0x4000_0040, unwind, 8);
        builder.function(text, text + 0x1000, xdata);
        for (module, functions) in imports {
            builder.import(module, functions.iter().copied());
        }
        builder.entry_point(text).build()
    };
    // The slots' places depend on nothing in the code but its length.
    let count = imports.iter().map(|(_, functions)| functions.len()).sum();
    let first = PeImage::parse("a.sys", build(&vec![0; count])).unwrap();
    let slots: Vec<u32> = first.imports().iter().map(|import| import.slot.0).collect();
    build(&slots)
}

/// The same as a file to load, called `a.sys`.
pub fn driver(imports: &[(&str, &[&str])], steps: &[Step]) -> ImageFile {
    ImageFile::parse("a.sys", bytes(imports, steps), None).unwrap()
}
