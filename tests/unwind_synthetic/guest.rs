//! The smallest guest that runs a synthetic program in either ring.

use crate::oracle::shadow::Ways;
use crate::oracle::watch::{Oracle, Watch};
use crate::program::{DATA_SIZE, Program, RETURNS};
use poolhit::address::{Rva, Va};
use poolhit::image::function_table::ImageBytes;
use poolhit::machine::paging::{Access, AddressSpaceBuilder};
use poolhit::machine::{Exit, GuestRam, Machine, RingGate, Start};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::{Gpr, Registers};
use poolhit::stack::modules::UnwindModules;

/// The vector of an interrupt that pushes no error code, and one of an exception that does.
pub const VECTORS: [u8; 2] = [0x40, 14];

/// Where the program is in either ring: ring 0 executes ring 3's pages here.
pub const IMAGE: Va = Va(0x7ff6_12340000);
const DATA: Va = Va(0x7ff6_00000000);
const STACK: Va = Va(0x7ff0_00000000);
/// Room for a dozen functions of the largest frames.
const STACK_SIZE: u64 = 40 << 20;
const KERNEL_STACK: Va = Va(0xfffff880_04000000);
const BOOT: Va = Va(0xfffff800_00000000);
const TABLES: Va = Va(0xfffff800_00002000);
const TASK: Va = Va(0xfffff800_00002100);
const IDT_POINTER: Va = Va(0xfffff800_00002200);
const IDT: Va = Va(0xfffff800_00003000);
const RAM: u64 = 100 << 20;
const GATE: RingGate = RingGate {
    user_page: Va(0xfffff800_00400000),
    kernel_page: Va(0xfffff800_00401000),
    selector: 0x70,
    data_selectors: [0; 4],
};

/// The program's image, as the unwinder sees it.
struct Image(Program);

impl ImageBytes for Image {
    fn bytes_at(&self, rva: Rva, length: usize) -> Option<&[u8]> {
        let start = rva.0 as usize;
        self.0.image.bytes.get(start..start.checked_add(length)?)
    }

    fn exception_directory(&self) -> Option<(Rva, u32)> {
        let (rva, size) = self.0.image.exception_directory;
        Some((Rva(rva), size))
    }
}

impl UnwindModules for Image {
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)> {
        (address - IMAGE < self.0.image.bytes.len() as u64).then_some((IMAGE, self))
    }
}

/// A machine in front of the program's first instruction, and who watches it.
pub struct Guest {
    pub machine: Machine,
    pub watch: Watch,
}

impl Guest {
    /// Starts a program in a ring, with registers and data made of `seed`.
    pub fn start(program: &Program, ring: u8, seed: u64) -> Guest {
        let mut machine = machine(program, ring, seed);
        let handlers = program.handlers.map(|index| program.place(IMAGE, index, 0));
        let ways = Ways {
            handlers: handlers.to_vec(),
            abandoning: Vec::new(),
            ..Ways::default()
        };
        let watch = Watch::new(Oracle::new(ways, Box::new(Image(program.clone()))));
        machine.set_tracer(Some(Box::new(watch.clone()))).unwrap();
        Guest { machine, watch }
    }
}

/// Numbers that differ from each other.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |at: u64| {
        (seed ^ at)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    })
}

fn access(user: bool, write: bool, execute: bool) -> Access {
    Access {
        user,
        write,
        execute,
    }
}

fn machine(program: &Program, ring: u8, seed: u64) -> Machine {
    let ram = GuestRam::new(RAM).unwrap();
    let mut space = AddressSpaceBuilder::new(&ram).unwrap();
    let mut image = program.image.bytes.clone();
    image[RETURNS[0] as usize] = 0xc3;
    for (at, size, access) in [
        (IMAGE, image.len() as u64, access(true, false, true)),
        (IMAGE + Rva(RETURNS[1]), 1, access(true, false, true)),
        (DATA, DATA_SIZE as u64, Access::USER_DATA),
        (
            STACK.wrapping_sub(STACK_SIZE),
            STACK_SIZE,
            Access::USER_DATA,
        ),
        (
            KERNEL_STACK.wrapping_sub(STACK_SIZE),
            STACK_SIZE,
            Access::KERNEL_DATA,
        ),
        (BOOT, 1, access(false, false, true)),
        (TABLES, 0x2000, Access::KERNEL_DATA),
        (GATE.user_page, 1, access(true, false, true)),
        (GATE.kernel_page, 1, access(false, false, true)),
        (GATE.data_page(), 1, Access::KERNEL_DATA),
    ] {
        space.map(at, size, access).unwrap();
    }
    let put = |at: Va, bytes: &[u8]| space.write(at, bytes).unwrap();
    put(IMAGE, &image);
    put(IMAGE + Rva(RETURNS[1]), &[0xc3]);
    let data: Vec<u8> = numbers(seed)
        .flat_map(u64::to_le_bytes)
        .take(DATA_SIZE)
        .collect();
    put(DATA, &data);
    put(GATE.user_page, &GATE.user_code());
    put(GATE.kernel_page, &GATE.kernel_code());
    put_tables(program, &put);
    let mut boot = vec![0x48, 0xb8]; // mov rax, …; lidt [rax]; int 3; iretq
    boot.extend(IDT_POINTER.0.to_le_bytes());
    boot.extend([0x0f, 0x01, 0x18, 0xcc, 0x48, 0xcf]);
    put(BOOT, &boot);
    let start = Start {
        root: space.root(),
        gdt: TABLES,
        gdt_length: 0x80,
        task_selector: 0x40,
        task: TASK,
        gate: GATE,
        gs_base: TABLES,
        entry: BOOT,
        stack: KERNEL_STACK.wrapping_sub(40),
        argument: 0,
    };
    enter(Machine::new(ram, &start).unwrap(), program, ring, seed)
}

/// Brings the machine to the program's first instruction.
fn enter(mut machine: Machine, program: &Program, ring: u8, seed: u64) -> Machine {
    let entry = program.place(IMAGE, 0, 0);
    // Below the return address, which is zero, and is room for what a callee may store.
    let stack = match ring {
        0 => KERNEL_STACK.wrapping_sub(0x38),
        _ => STACK.wrapping_sub(0x38),
    };
    let booted = machine.run(0x100).unwrap();
    assert!(
        matches!(booted, Exit::HardcodedBreakpoint { .. }),
        "{booted:?}"
    );
    let [cs, ss] = if ring == 0 {
        [0x10, 0x18]
    } else {
        [0x33, 0x2b]
    };
    let frame = [entry.0, cs, 0x202, stack.0, ss];
    let bytes: Vec<u8> = frame.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut registers = machine.registers();
    machine.write(registers.rsp(), &bytes).unwrap();
    registers.rip += 1;
    machine.set_registers(&registers).unwrap();
    machine.set_breakpoint(entry).unwrap();
    let entered = machine.run(machine.work() + 0x100).unwrap();
    assert_eq!(entered, Exit::Breakpoint { address: entry });
    machine.clear_breakpoint(entry).unwrap();
    assert_eq!(machine.privilege_level(), ring);
    machine.write(stack, &[0; 8]).unwrap();
    assert_eq!(machine.read_u64(stack), Ok(0));

    let mut numbers = numbers(!seed);
    let mut number = || numbers.next().unwrap_or_default();
    let mut registers = Registers {
        rip: entry.0,
        rflags: 0x202,
        gpr: std::array::from_fn(|_| number()),
        xmm: std::array::from_fn(|_| u128::from(number()) << 64 | u128::from(number())),
    };
    registers.set(Gpr::Rsp, stack.0);
    registers.set(Gpr::Rax, (IMAGE + Rva(RETURNS[0])).0);
    registers.set(Gpr::R8, DATA.0);
    machine.set_registers(&registers).unwrap();
    machine
}

/// The descriptor tables and the task state segment (Intel SDM volume 3, 3.4.5, 6.11, 8.7).
fn put_tables(program: &Program, put: &impl Fn(Va, &[u8])) {
    let slot = |table: Va, offset: u64, words: [u64; 2]| {
        put(table.wrapping_add(offset), &words[0].to_le_bytes());
        put(table.wrapping_add(offset + 8), &words[1].to_le_bytes());
    };
    let task = TASK.0;
    let task = [
        0x67 | (task & 0xff_ffff) << 16 | 0x8b << 40 | (task >> 24 & 0xff) << 56,
        task >> 32,
    ];
    for (selector, words) in [
        (0x10, [0x0020_9b00_0000_0000, 0x00cf_9300_0000_ffff]), // ring 0: code, data
        (0x20, [0x00cf_fb00_0000_ffff, 0x00cf_f300_0000_ffff]), // ring 3: 32-bit code, data
        (0x30, [0x0020_fb00_0000_0000, 0]),                     // ring 3: code
        (0x40, task),
        (GATE.selector.into(), GATE.descriptor(0x10)),
    ] {
        slot(TABLES, selector, words);
    }
    put(TASK.wrapping_add(4), &KERNEL_STACK.0.to_le_bytes());
    put(TASK.wrapping_add(0x66), &[0x68, 0]);
    for (vector, index) in VECTORS.into_iter().zip(program.handlers) {
        let handler = program.place(IMAGE, index, 0).0;
        let low = handler & 0xffff
            | 0x10 << 16
            | 0x8e << 40 // present, an interrupt gate
            | (handler >> 16 & 0xffff) << 48;
        slot(IDT, u64::from(vector) * 16, [low, handler >> 32]);
    }
    put(IDT_POINTER, &0xfffu16.to_le_bytes());
    put(IDT_POINTER.wrapping_add(2), &IDT.0.to_le_bytes());
}
