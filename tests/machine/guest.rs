//! The smallest guest that has both rings: descriptor tables, stacks, a few pages of code and data
//! for each, and code that sets the processor up.

use crate::code::Code;
use poolhit::address::{Pa, Va};
use poolhit::machine::paging::{Access, AddressSpaceBuilder};
use poolhit::machine::{Exit, GuestRam, Machine, RingGate, Start};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::{Gpr, Registers};

/// Code of ring 0: four pages, which may also be written.
pub const KERNEL: Va = Va(0xfffff800_00100000);
/// Where `syscall` goes, in the kernel's second page.
pub const SYSTEM_CALL: Va = Va(0xfffff800_00101000);
/// Where handlers of interrupts are, in its third.
pub const HANDLER: Va = Va(0xfffff800_00102000);
/// Data of ring 0: four pages.
pub const KERNEL_DATA: Va = Va(0xfffff800_00200000);
/// One page of ring 0 that may not be written.
pub const KERNEL_READ_ONLY: Va = Va(0xfffff800_00210000);
/// The top of ring 0's stack of two pages.
pub const KERNEL_STACK: Va = Va(0xfffff800_00302000);
/// The top of the stack that the processor switches to when it comes from ring 3.
pub const INTERRUPT_STACK: Va = Va(0xfffff800_00312000);
/// Code of ring 3: four pages, which may also be written.
pub const USER: Va = Va(0x400000);
/// Data of ring 3: four pages.
pub const USER_DATA: Va = Va(0x500000);
/// One page of ring 3 that may not be written.
pub const USER_READ_ONLY: Va = Va(0x510000);
/// The top of ring 3's stack of two pages.
pub const USER_STACK: Va = Va(0x602000);
/// A page whose entry leads behind the end of physical memory.
pub const BEYOND_MEMORY: Va = Va(0x700000);
/// The base of GS in each ring.
pub const KERNEL_GS: Va = Va(0xfffff800_00203000);
pub const USER_GS: Va = Va(0x503000);

pub const GATE: RingGate = RingGate {
    user_page: Va(0xfffff800_00400000),
    kernel_page: Va(0xfffff800_00401000),
    selector: 0x70,
    data_selectors: [0; 4],
};

const BOOT: Va = Va(0xfffff800_00000000);
const TABLES: Va = Va(0xfffff800_00002000);
const TASK: Va = Va(0xfffff800_00002100);
/// Where the task state segment has the stack of ring 0.
pub const TASK_STACK: Va = Va(TASK.0 + 4);
pub const IDT: Va = Va(0xfffff800_00003000);
const IDT_POINTER: Va = Va(0xfffff800_00002200);
const RAM: u64 = 1 << 20;

/// Interrupts on, and the bit that is always 1.
pub const INTERRUPTS_ON: u64 = 0x202;

/// What runs in the guest.
#[derive(Clone, Debug)]
pub struct Guest {
    code: Vec<Code>,
    gates: Vec<(u8, Va)>,
    flags: u64,
    flag_mask: u64,
    time_stamp_aux: u64,
    pages: Vec<Va>,
    entries: Vec<(Va, u32, u64)>,
}

/// What the tables above need that the machine's public constants do not have.
const CODE_OF_RING_3: Access = access(true, true, true);
const CODE_OF_RING_0: Access = access(false, true, true);

const fn access(user: bool, write: bool, execute: bool) -> Access {
    Access {
        user,
        write,
        execute,
    }
}

impl Guest {
    pub fn new() -> Guest {
        Guest {
            code: Vec::new(),
            gates: Vec::new(),
            flags: INTERRUPTS_ON,
            flag_mask: 0x4700, // NT, IF, DF and TF, as Windows has it
            time_stamp_aux: 0,
            pages: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub fn code(mut self, code: &Code) -> Guest {
        self.code.push(code.clone());
        self
    }

    /// An interrupt gate.
    pub fn gate(mut self, vector: u8, handler: Va) -> Guest {
        self.gates.push((vector, handler));
        self
    }

    /// RFLAGS at the start; interrupts are on otherwise.
    pub fn flags(mut self, flags: u64) -> Guest {
        self.flags = flags;
        self
    }

    /// What `syscall` clears in RFLAGS.
    pub fn flag_mask(mut self, mask: u64) -> Guest {
        self.flag_mask = mask;
        self
    }

    /// The value of `IA32_TSC_AUX`.
    pub fn time_stamp_aux(mut self, value: u64) -> Guest {
        self.time_stamp_aux = value;
        self
    }

    /// One more page, of data for both rings.
    pub fn page(mut self, at: Va) -> Guest {
        self.pages.push(at);
        self
    }

    /// Inverts these bits of the page table entry for an address at a level, 1 to 4.
    pub fn flip_entry(mut self, at: Va, level: u32, bits: u64) -> Guest {
        self.entries.push((at, level, bits));
        self
    }

    /// The machine at [`KERNEL`] in ring 0.
    pub fn in_ring_0(self) -> Machine {
        self.machine(0)
    }

    /// The machine at [`USER`] in ring 3.
    pub fn in_ring_3(self) -> Machine {
        self.machine(3)
    }

    fn machine(self, ring: u8) -> Machine {
        let (start, [code, stack], gs) = match ring {
            0 => (KERNEL, [0x10, 0x18], KERNEL_GS),
            _ => (USER, [0x33, 0x2b], USER_GS),
        };
        let stack_top = if ring == 0 { KERNEL_STACK } else { USER_STACK };
        let ram = GuestRam::new(RAM).unwrap();
        let mut space = AddressSpaceBuilder::new(&ram).unwrap();
        let (data, user_data) = (Access::KERNEL_DATA, Access::USER_DATA);
        for (at, pages, access) in [
            (BOOT, 1, CODE_OF_RING_0),
            (TABLES, 2, data),
            (KERNEL, 4, CODE_OF_RING_0),
            (KERNEL_DATA, 4, data),
            (KERNEL_READ_ONLY, 1, access(false, false, false)),
            (KERNEL_STACK.wrapping_sub(0x2000), 2, data),
            (INTERRUPT_STACK.wrapping_sub(0x2000), 2, data),
            (USER, 4, CODE_OF_RING_3),
            (USER_DATA, 4, user_data),
            (USER_READ_ONLY, 1, access(true, false, false)),
            (USER_STACK.wrapping_sub(0x2000), 2, user_data),
            (BEYOND_MEMORY, 1, user_data),
            (GATE.user_page, 1, access(true, false, true)),
            (GATE.kernel_page, 1, CODE_OF_RING_0),
            (GATE.data_page(), 1, data),
        ] {
            space.map(at, pages * 0x1000, access).unwrap();
        }
        for &page in &self.pages {
            space.map(page, 1, user_data).unwrap();
        }
        let root = space.root();
        let put = |at: Va, bytes: &[u8]| space.write(at, bytes).unwrap();
        put(GATE.user_page, &GATE.user_code());
        put(GATE.kernel_page, &GATE.kernel_code());
        self.put_tables(&put);
        put(BOOT, self.boot_code().bytes());
        for piece in &self.code {
            put(piece.start(), piece.bytes());
        }
        for &(at, level, bits) in &self.entries {
            let entry = page_table_entry(&ram, root, at, level);
            let value = ram.read_u64(entry).unwrap() ^ bits;
            assert!(ram.write(entry, &value.to_le_bytes()));
        }
        let entry = page_table_entry(&ram, root, BEYOND_MEMORY, 1);
        assert!(ram.write(entry, &(RAM << 4 | 7).to_le_bytes()));

        let mut machine = Machine::new(
            ram,
            &Start {
                root,
                gdt: TABLES,
                gdt_length: 0x80,
                task_selector: 0x40,
                task: TASK,
                gate: GATE,
                gs_base: KERNEL_GS,
                entry: BOOT,
                stack: KERNEL_STACK,
                argument: 0,
            },
        )
        .unwrap();
        let booted = machine.run(0x1000).unwrap();
        assert!(
            matches!(booted, Exit::HardcodedBreakpoint { .. }),
            "{booted:?}"
        );
        // The last part of the way is data, so that one boot code does for both rings.
        let frame = [start.0, code, self.flags, stack_top.0, stack];
        let bytes: Vec<u8> = frame.iter().flat_map(|word| word.to_le_bytes()).collect();
        machine
            .write(KERNEL_STACK.wrapping_sub(5 * 8), &bytes)
            .unwrap();
        pass(&mut machine);
        if ring == 0 {
            // There is nothing to swap.
            pass_bytes(&mut machine, 3);
        }
        machine.set_breakpoint(start).unwrap();
        let started = machine.run(machine.work() + 0x100).unwrap();
        assert_eq!(started, Exit::Breakpoint { address: start });
        machine.clear_breakpoint(start).unwrap();
        assert_eq!((machine.privilege_level(), machine.gs_base()), (ring, gs));
        machine
            .set_registers(&Registers {
                rip: start.0,
                rflags: self.flags,
                gpr: std::array::from_fn(|number| if number == 4 { stack_top.0 } else { 0 }),
                ..Registers::default()
            })
            .unwrap();
        machine
    }

    /// The descriptor tables and the task state segment (Intel SDM volume 3, 3.4.5, 6.11, 8.7).
    fn put_tables(&self, put: &impl Fn(Va, &[u8])) {
        let slot = |table: Va, offset: u64, words: [u64; 2]| {
            put(table.wrapping_add(offset), &words[0].to_le_bytes());
            put(table.wrapping_add(offset + 8), &words[1].to_le_bytes());
        };
        let [gate_low, gate_high] = GATE.descriptor(0x10);
        for (selector, words) in [
            (0x10, [0x0020_9b00_0000_0000, 0x00cf_9300_0000_ffff]), // ring 0: code, data
            (0x20, [0x00cf_fb00_0000_ffff, 0x00cf_f300_0000_ffff]), // ring 3: 32-bit code, data
            (0x30, [0x0020_fb00_0000_0000, 0]),                     // ring 3: code
            (0x40, system_descriptor(TASK)),
            (GATE.selector.into(), [gate_low, gate_high]),
        ] {
            slot(TABLES, selector, words);
        }
        put(TASK_STACK, &INTERRUPT_STACK.0.to_le_bytes());
        put(TASK.wrapping_add(0x66), &[0x68, 0]);
        for &(vector, handler) in &self.gates {
            let low = handler.0 & 0xffff
                | 0x10 << 16
                | 0x8e << 40 // present, an interrupt gate
                | (handler.0 >> 16 & 0xffff) << 48;
            slot(IDT, u64::from(vector) * 16, [low, handler.0 >> 32]);
        }
        put(IDT_POINTER, &0xfffu16.to_le_bytes());
        put(IDT_POINTER.wrapping_add(2), &IDT.0.to_le_bytes());
    }

    fn boot_code(&self) -> Code {
        let mut code = Code::at(BOOT);
        code.load(Gpr::Rax, IDT_POINTER.0).put(&[0x0f, 0x01, 0x18]); // lidt [rax]
        code.set_msr(0xc000_0081, 0x0023_0010_0000_0000) // STAR
            .set_msr(0xc000_0082, SYSTEM_CALL.0) // LSTAR
            .set_msr(0xc000_0084, self.flag_mask) // FMASK
            .set_msr(0xc000_0102, USER_GS.0) // KERNEL_GS_BASE: what swapgs brings
            .set_msr(0xc000_0103, self.time_stamp_aux) // TSC_AUX
            .int3()
            .swapgs()
            .put(&[0x48, 0x83, 0xec, 0x28]) // sub rsp, 28h: the frame that is there by now
            .iretq();
        code
    }
}

/// A busy 64-bit task state segment's descriptor.
fn system_descriptor(task: Va) -> [u64; 2] {
    let base = task.0;
    let low = 0x67 | (base & 0xffffff) << 16 | 0x8b << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

/// Where the entry for an address is at a level, the entries above being present.
fn page_table_entry(ram: &GuestRam, root: Pa, address: Va, level: u32) -> Pa {
    let mut table = root.0;
    let mut at = 4;
    loop {
        let entry = Pa(table + (address.0 >> (3 + 9 * at) & 0x1ff) * 8);
        if at == level {
            return entry;
        }
        table = ram.read_u64(entry).unwrap() & 0xf_ffff_ffff_f000;
        at -= 1;
    }
}

/// Goes behind the `int 3` that the machine stopped at.
pub fn pass(machine: &mut Machine) {
    pass_bytes(machine, 1);
}

/// Goes over an instruction of that length.
pub fn pass_bytes(machine: &mut Machine, length: u64) {
    let mut registers = machine.registers();
    registers.rip += length;
    machine.set_registers(&registers).unwrap();
}

/// The 64-bit value at an address.
pub fn word(machine: &Machine, address: Va) -> u64 {
    machine.read_u64(address).unwrap()
}

/// Runs on until something other than a limit far away stops the guest.
pub fn go(machine: &mut Machine) -> Exit {
    let exit = machine.run(machine.work() + 1_000_000).unwrap();
    assert_ne!(exit, Exit::Limit, "the guest runs for ever");
    exit
}
