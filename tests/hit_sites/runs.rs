//! Random functions run in the guest: wherever one comes to an `int 3`, each argument is where the
//! analysis has said, and so is the return address.

use crate::code::{Assembled, Op, assemble, function};
use poolhit::Lab;
use poolhit::address::{Rva, Va};
use poolhit::hits::{ArgumentFlow, Location, Width};
use poolhit::image::function_table::MappedImage;
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::{Gpr, Registers};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use std::cell::{Cell, RefCell};

/// Bytes of the stack, half of them above a function's entry, and of the memory for all that
/// registers point to: both from nonpaged pool.
const STACK: u64 = 0x2000;
const SCRATCH: u64 = 0x1000 * Gpr::ALL.len() as u64 + 0x1000;
/// In the padding in front of the kernel's code.
const CODE: u64 = 0x5000;
/// The function that is called, from a function's start on.
const CALLEE: i32 = -0x100;
/// More work than a function of 40 instructions takes without a loop.
const WORK: u64 = 4000;

/// What a call may do to its caller: the volatile registers, the home space, all below it, and
/// whatever an argument points to (addresses have bit 63 here).
fn callee() -> Vec<u8> {
    let mut code = Vec::new();
    // mov r10, 0badh; mov r11, r10; mov rax, r10
    code.extend([
        0x49, 0xc7, 0xc2, 0xad, 0x0b, 0, 0, 0x4d, 0x89, 0xd3, 0x4c, 0x89, 0xd0,
    ]);
    for offset in [8, 0x10, 0x18, 0x20, -8, -0x10, -0x18, -0x20_i8] {
        // mov [rsp+offset], r10
        code.extend([0x4c, 0x89, 0x54, 0x24, offset as u8]);
    }
    for (rex, number) in [(0x48, 1), (0x48, 2), (0x49, 0), (0x49, 1_u8)] {
        // bt register, 63; jnc over the store; mov [register], r10; mov register, r10
        code.extend([rex, 0x0f, 0xba, 0xe0 | number, 63, 0x73, 3]);
        code.extend([0x4c | (rex & 1), 0x89, 0x10 | number]);
        code.extend([0x4c | (rex & 1), 0x89, 0xd0 | number]);
    }
    code.push(0xc3);
    assert!(code.len() <= CALLEE.unsigned_abs() as usize);
    code
}

struct Guest {
    lab: Lab,
    before: Registers,
    /// The stack pointer at a function's entry.
    stack: Va,
    /// The memory that registers point to.
    scratch: Va,
    /// Runs that came to an `int 3`, and arguments found there.
    stops: Cell<usize>,
    found: Cell<usize>,
}

impl Guest {
    fn new() -> Guest {
        let mut lab = Lab::builder().memory(8 << 20).build().unwrap();
        let [stack, scratch] = [STACK, SCRATCH].map(|size| {
            let block = lab.call_kernel("ExAllocatePoolWithTag", &[0, size, 0x7473_6554]);
            Va(block.unwrap().value)
        });
        let kernel = lab.bases().kernel;
        let before = lab.machine().registers();
        let at = kernel.wrapping_add(CODE).wrapping_add(CALLEE as u64);
        lab.machine_mut().write(at, &callee()).unwrap();
        Guest {
            lab,
            before,
            stack: stack.wrapping_add(STACK / 2),
            scratch,
            stops: Cell::default(),
            found: Cell::default(),
        }
    }

    fn at(&self, offset: u64) -> Va {
        self.lab.bases().kernel.wrapping_add(offset)
    }

    /// Runs the code with each register pointing to memory of its own.
    fn run(&mut self, code: &Assembled) -> (Registers, Exit) {
        let (start, stack, scratch) = (self.at(CODE), self.stack, self.scratch);
        let mut registers = self.before.clone();
        for register in Gpr::ALL {
            registers.set(register, scratch.0 + 0x1000 * register as u64);
        }
        registers.set(Gpr::Rsp, stack.0);
        registers.rip = start.0;
        let entry = registers.clone();
        let landing = self.lab.machine().return_landing();
        let machine = self.lab.machine_mut();
        machine.write(start, &code.bytes).unwrap();
        // What a run before has left there could be an address on the stack, which this one's code
        // has not taken.
        machine.write(scratch, &[0; SCRATCH as usize]).unwrap();
        machine
            .write(stack.wrapping_sub(0x400), &[0x5a; 0x800])
            .unwrap();
        machine.write(stack, &landing.0.to_le_bytes()).unwrap();
        machine.set_registers(&registers).unwrap();
        let limit = machine.work() + WORK;
        let exit = machine.run(limit).unwrap();
        (entry, exit)
    }

    fn check(&mut self, ops: &[Op]) -> TestCaseResult {
        let code = assemble(ops, CALLEE);
        let (entry, exit) = self.run(&code);
        let Exit::HardcodedBreakpoint { address } = exit else {
            // It has gone through a pointer that is none, or round and round.
            return Ok(());
        };
        let Some(place) = address.rva_from(self.at(CODE)) else {
            return Ok(());
        };
        prop_assert!(code.breaks.contains(&place.0));
        self.stops.set(self.stops.get() + 1);
        let image = MappedImage {
            bytes: &code.bytes,
            exception_directory: None,
        };
        let places: Vec<Rva> = code.breaks.iter().copied().map(Rva).collect();
        let flow = ArgumentFlow::follow(&image, Rva(0), &places, &mut 100_000);
        let registers = self.lab.machine().registers();
        for (number, register) in (1..).zip([Gpr::Rcx, Gpr::Rdx, Gpr::R8, Gpr::R9]) {
            for (width, mask) in [(Width::Doubleword, 0xffff_ffff), (Width::Quadword, !0)] {
                let Some(location) = flow.argument(place, number, width) else {
                    continue;
                };
                self.found.set(self.found.get() + 1);
                let value = location.read(&registers, self.lab.machine()).unwrap();
                let expected = entry.get(register);
                prop_assert_eq!(value & mask, expected & mask, "{} at {}", number, location);
            }
        }
        if let Some(Location::Stack(offset)) = flow.return_address(place) {
            let at = registers.rsp().wrapping_add(i64::from(offset) as u64);
            prop_assert_eq!(at, entry.rsp());
        }
        Ok(())
    }
}

#[test]
fn arguments_are_where_they_are_said_to_be() {
    let guest = RefCell::new(Guest::new());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let end = runner.run(&function(), |ops| guest.borrow_mut().check(&ops));
    end.unwrap_or_else(|error| panic!("{error}"));
    let guest = guest.borrow();
    // Else this shows nothing.
    let (stops, found) = (guest.stops.get(), guest.found.get());
    println!("{stops} stops, {found} found");
    assert!(stops > 2000 && found > 2000, "{stops} stops, {found} found");
}

/// The callee does what it is there for.
#[test]
fn calls_write_to_all_they_may() {
    let mut guest = Guest::new();
    let code = assemble(&[Op::Address(Gpr::R9, 0x50), Op::Call], CALLEE);
    let (entry, exit) = guest.run(&code);
    let place = u64::from(*code.breaks.last().unwrap());
    let address = guest.at(CODE).wrapping_add(place);
    assert_eq!(exit, Exit::HardcodedBreakpoint { address });
    let registers = guest.lab.machine().registers();
    let read = |at: Va| guest.lab.machine().read_u64(at).unwrap();
    for register in [
        Gpr::Rax,
        Gpr::Rcx,
        Gpr::Rdx,
        Gpr::R8,
        Gpr::R9,
        Gpr::R10,
        Gpr::R11,
    ] {
        assert_eq!(registers.get(register), 0xbad, "{register:?}");
    }
    for offset in [0, 8, 0x10, 0x18, 0x50] {
        assert_eq!(read(entry.rsp().wrapping_add(offset)), 0xbad, "{offset:#x}");
    }
    for register in [Gpr::Rcx, Gpr::Rdx, Gpr::R8] {
        assert_eq!(read(Va(entry.get(register))), 0xbad, "{register:?}");
    }
}
