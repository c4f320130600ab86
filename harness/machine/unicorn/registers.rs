//! Reading and writing the engine's registers.

use super::hooks::State;
use super::{Engine, EngineError, Refusal};
use crate::registers::{Gpr, Registers};
use std::ffi::c_void;
use std::marker::PhantomData;
use unicorn_engine::hook::sys;
use unicorn_engine::{RegisterX86 as Reg, Unicorn, uc_error};

/// A system register that the machine reads or writes by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Msr {
    Efer = 0xC000_0080,
    Star = 0xC000_0081,
    Lstar = 0xC000_0082,
    Fmask = 0xC000_0084,
    FsBase = 0xC000_0100,
    GsBase = 0xC000_0101,
    KernelGsBase = 0xC000_0102,
    TscAux = 0xC000_0103,
}

impl Msr {
    const ALL: [Msr; 8] = [
        Msr::Efer,
        Msr::Star,
        Msr::Lstar,
        Msr::Fmask,
        Msr::FsBase,
        Msr::GsBase,
        Msr::KernelGsBase,
        Msr::TscAux,
    ];

    pub fn from_number(number: u32) -> Option<Msr> {
        Msr::ALL.into_iter().find(|msr| *msr as u32 == number)
    }
}

/// A descriptor-table or task register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableRegister {
    pub selector: u16,
    pub base: u64,
    pub limit: u32,
    pub flags: u32,
}

/// Which descriptor-table or task register.
#[derive(Clone, Copy)]
pub enum Table {
    Gdt,
    Idt,
    Local,
    Task,
}

impl Table {
    fn register(self) -> Reg {
        match self {
            Table::Gdt => Reg::GDTR,
            Table::Idt => Reg::IDTR,
            Table::Local => Reg::LDTR,
            Table::Task => Reg::TR,
        }
    }
}

pub(super) const GPRS: [Reg; 16] = [
    Reg::RAX,
    Reg::RCX,
    Reg::RDX,
    Reg::RBX,
    Reg::RSP,
    Reg::RBP,
    Reg::RSI,
    Reg::RDI,
    Reg::R8,
    Reg::R9,
    Reg::R10,
    Reg::R11,
    Reg::R12,
    Reg::R13,
    Reg::R14,
    Reg::R15,
];

const XMMS: [Reg; 16] = [
    Reg::XMM0,
    Reg::XMM1,
    Reg::XMM2,
    Reg::XMM3,
    Reg::XMM4,
    Reg::XMM5,
    Reg::XMM6,
    Reg::XMM7,
    Reg::XMM8,
    Reg::XMM9,
    Reg::XMM10,
    Reg::XMM11,
    Reg::XMM12,
    Reg::XMM13,
    Reg::XMM14,
    Reg::XMM15,
];

/// The registers that [`Registers`] has, in its order.
const BATCH: usize = 34;

fn numbers() -> [i32; BATCH] {
    let mut numbers = [0; BATCH];
    let registers = GPRS.into_iter().chain([Reg::RIP, Reg::RFLAGS]).chain(XMMS);
    for (number, register) in numbers.iter_mut().zip(registers) {
        *number = register.into();
    }
    numbers
}

const CONTROL: [Reg; 5] = [Reg::CR0, Reg::CR2, Reg::CR3, Reg::CR4, Reg::CR8];

/// The size of the engine's structure for a model-specific register.
const MSR_SIZE: usize = 16;

/// The size of the engine's structure for a descriptor-table register.
const TABLE_SIZE: usize = 24;

/// The size of a floating-point register.
const FLOAT_SIZE: usize = 10;

const FLOATS: [Reg; 8] = [
    Reg::FP0,
    Reg::FP1,
    Reg::FP2,
    Reg::FP3,
    Reg::FP4,
    Reg::FP5,
    Reg::FP6,
    Reg::FP7,
];

/// What else floating-point arithmetic depends on.
const FLOAT_CONTROL: [Reg; 4] = [Reg::FPSW, Reg::FPCW, Reg::FPTAG, Reg::MXCSR];

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// An engine to read registers from: between runs, or in a hook.
#[derive(Clone, Copy)]
pub struct Handle<'a> {
    engine: *mut unicorn_engine::uc_engine,
    alive: PhantomData<&'a State>,
}

impl<'a> Handle<'a> {
    #[inline]
    pub fn of(uc: &'a Unicorn<'_, State>) -> Handle<'a> {
        Handle {
            engine: uc.get_handle(),
            alive: PhantomData,
        }
    }

    /// A register of at most 64 bits.
    #[inline]
    pub fn read(self, register: Reg) -> u64 {
        let mut value = 0u64;
        // SAFETY: the engine is alive as long as `'a`; it writes at most the register's 8 bytes, and
        // for a valid number cannot fail.
        let error =
            unsafe { sys::uc_reg_read(self.engine, register.into(), (&raw mut value).cast()) };
        debug_assert_eq!(error, uc_error::OK);
        value
    }

    #[inline]
    pub fn gpr(self, register: Gpr) -> u64 {
        self.read(GPRS[register as usize])
    }

    /// Several registers of 64 bits at once.
    #[inline]
    fn batch<const N: usize>(self, registers: [Reg; N]) -> [u64; N] {
        let numbers = registers.map(i32::from);
        let mut values = [0u64; N];
        let first = values.as_mut_ptr();
        let mut places: [*mut c_void; N] = std::array::from_fn(|at| first.wrapping_add(at).cast());
        // SAFETY: as for `read`; `numbers` and `places` are N long, each place one of `values`.
        let error = unsafe {
            sys::uc_reg_read_batch(
                self.engine,
                numbers.as_ptr().cast_mut(),
                places.as_mut_ptr(),
                N as i32,
            )
        };
        debug_assert_eq!(error, uc_error::OK);
        values
    }

    /// RSP, CR3, and three more.
    #[inline]
    pub fn place_and(self, registers: [Gpr; 3]) -> (u64, u64, [u64; 3]) {
        let [a, b, c] = registers.map(|register| GPRS[register as usize]);
        let [rsp, root, a, b, c] = self.batch([Reg::RSP, Reg::CR3, a, b, c]);
        (rsp, root, [a, b, c])
    }

    /// RSP and CR3.
    #[inline]
    pub fn place(self) -> (u64, u64) {
        let [rsp, root] = self.batch([Reg::RSP, Reg::CR3]);
        (rsp, root)
    }

    pub fn msr(self, msr: Msr) -> u64 {
        self.msr_number(msr as u32)
    }

    pub(super) fn msr_number(self, number: u32) -> u64 {
        little_endian(&read_structure(self, Reg::MSR, msr_structure(number, 0))[8..])
    }

    pub fn registers(self) -> Registers {
        let mut registers = Registers::default();
        let mut places = [std::ptr::null_mut(); BATCH];
        let integers = registers
            .gpr
            .iter_mut()
            .chain([&mut registers.rip, &mut registers.rflags])
            .map(|value| std::ptr::from_mut(value).cast());
        let vectors = registers
            .xmm
            .iter_mut()
            .map(|value| std::ptr::from_mut(value).cast());
        for (place, value) in places.iter_mut().zip(integers.chain(vectors)) {
            *place = value;
        }
        // SAFETY: as many registers as there are places, in the same order; each place is a value of
        // the register's size that lives on here: 8 bytes, or 16 for a vector register (all hosts
        // that this is built for store them as the engine does, least significant byte first).
        // Reading a register by a valid number cannot fail.
        unsafe {
            sys::uc_reg_read_batch(
                self.engine,
                numbers().as_mut_ptr(),
                places.as_mut_ptr(),
                BATCH as i32,
            );
        }
        registers
    }
}

/// Reads a register that is a structure, into a buffer of the structure's size.
fn read_structure<const SIZE: usize>(
    handle: Handle<'_>,
    register: Reg,
    mut bytes: [u8; SIZE],
) -> [u8; SIZE] {
    const {
        assert!(SIZE == MSR_SIZE || SIZE == TABLE_SIZE || SIZE == FLOAT_SIZE);
    }
    // SAFETY: for these registers the engine reads and writes a structure of at most this size:
    // uc_x86_msr (u32 number, u64 value), uc_x86_mmr (u16 selector, u64 base, u32 limit,
    // u32 flags), or a floating-point register's 10 bytes. It fails only for a register that does not exist.
    let error =
        unsafe { sys::uc_reg_read(handle.engine, register.into(), bytes.as_mut_ptr().cast()) };
    debug_assert_eq!(error, uc_error::OK);
    bytes
}

/// The general-purpose registers, RIP and the flags.
pub struct Integers([u64; 18]);

impl Integers {
    fn numbers() -> impl Iterator<Item = Reg> {
        GPRS.into_iter().chain([Reg::RIP, Reg::RFLAGS])
    }

    pub fn read(uc: &Unicorn<'_, State>) -> Integers {
        let mut values = [0; 18];
        for (value, register) in values.iter_mut().zip(Integers::numbers()) {
            // Reading or writing a register by a valid number cannot fail.
            *value = uc.reg_read(register).unwrap_or(0);
        }
        Integers(values)
    }

    pub fn write(&self, uc: &mut Unicorn<'_, State>) {
        for (value, register) in self.0.into_iter().zip(Integers::numbers()) {
            let _ = uc.reg_write(register, value);
        }
    }
}

/// Registers that the engine leaves out of its contexts: the memory type range registers (Intel SDM
/// volume 3, 11.11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RareRegisters([u64; 28]);

impl RareRegisters {
    /// `IA32_MTRR_PHYSBASE0` to `IA32_MTRR_PHYSMASK7`, the fixed ranges, and the default type.
    fn numbers() -> impl Iterator<Item = u32> {
        let fixed = [0x250, 0x258, 0x259].into_iter().chain(0x268..0x270);
        (0x200..0x210).chain(fixed).chain([0x2ff])
    }

    pub fn read(uc: &Unicorn<'_, State>) -> RareRegisters {
        let mut values = [0; 28];
        for (value, number) in values.iter_mut().zip(RareRegisters::numbers()) {
            *value = Handle::of(uc).msr_number(number);
        }
        RareRegisters(values)
    }

    /// Writes those that differ.
    pub fn write(&self, uc: &mut Unicorn<'_, State>) {
        let now = RareRegisters::read(uc);
        if now == *self {
            return;
        }
        for (value, number) in self.0.iter().zip(RareRegisters::numbers()) {
            // Writing a register by a valid number cannot fail.
            let _ = uc.reg_write_long(Reg::MSR, &msr_structure(number, *value));
        }
    }
}

fn msr_structure(number: u32, value: u64) -> [u8; MSR_SIZE] {
    let mut bytes = [0; MSR_SIZE];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    bytes
}

impl Engine {
    pub fn rip(&self) -> u64 {
        self.register(Reg::RIP)
    }

    pub(super) fn register(&self, register: Reg) -> u64 {
        // Reading a register by a valid number cannot fail.
        self.uc.reg_read(register).unwrap_or(0)
    }

    /// The registers besides those that [`registers`](Engine::registers) reads.
    pub fn system_registers(&self) -> Vec<u64> {
        let mut values: Vec<u64> = CONTROL.map(|register| self.register(register)).into();
        values.extend(Msr::ALL.map(|msr| self.msr(msr)));
        values.extend(FLOAT_CONTROL.map(|register| self.register(register)));
        for float in FLOATS {
            let bytes = read_structure(Handle::of(&self.uc), float, [0; FLOAT_SIZE]);
            values.extend([little_endian(&bytes[..8]), little_endian(&bytes[8..])]);
        }
        for table in [Table::Gdt, Table::Idt, Table::Task] {
            let table = self.table(table);
            values.extend([table.base, table.limit.into(), table.selector.into()]);
        }
        let segments = [Reg::CS, Reg::SS, Reg::DS, Reg::ES, Reg::FS, Reg::GS];
        values.extend(segments.map(|register| self.register(register)));
        values
    }

    pub fn cr3(&self) -> u64 {
        self.register(Reg::CR3)
    }

    pub fn code_selector(&self) -> u16 {
        self.register(Reg::CS) as u16
    }

    pub fn stack_selector(&self) -> u16 {
        self.register(Reg::SS) as u16
    }

    pub fn registers(&self) -> Registers {
        Handle::of(&self.uc).registers()
    }

    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), EngineError> {
        let mut places = [std::ptr::null_mut(); BATCH];
        let integers = registers
            .gpr
            .iter()
            .chain([&registers.rip, &registers.rflags])
            .map(|value| std::ptr::from_ref(value).cast_mut().cast());
        let vectors = registers
            .xmm
            .iter()
            .map(|value| std::ptr::from_ref(value).cast_mut().cast());
        for (place, value) in places.iter_mut().zip(integers.chain(vectors)) {
            *place = value;
        }
        let uc = self.uc.get_handle();
        // SAFETY: as above; the engine does not write to the values.
        let error = unsafe {
            sys::uc_reg_write_batch(uc, numbers().as_mut_ptr(), places.as_ptr(), BATCH as i32)
        };
        match error {
            uc_error::OK => Ok(()),
            error => Err(error).refused("set a register"),
        }
    }

    pub fn msr(&self, msr: Msr) -> u64 {
        Handle::of(&self.uc).msr(msr)
    }

    pub fn set_msr(&mut self, msr: Msr, value: u64) -> Result<(), EngineError> {
        self.uc
            .reg_write_long(Reg::MSR, &msr_structure(msr as u32, value))
            .refused("set a model-specific register")
    }

    pub fn table(&self, table: Table) -> TableRegister {
        let bytes = read_structure(Handle::of(&self.uc), table.register(), [0; TABLE_SIZE]);
        TableRegister {
            selector: little_endian(&bytes[..2]) as u16,
            base: little_endian(&bytes[8..16]),
            limit: little_endian(&bytes[16..20]) as u32,
            flags: little_endian(&bytes[20..]) as u32,
        }
    }

    pub fn set_table(&mut self, table: Table, value: TableRegister) -> Result<(), EngineError> {
        let mut bytes = [0; TABLE_SIZE];
        bytes[..2].copy_from_slice(&value.selector.to_le_bytes());
        bytes[8..16].copy_from_slice(&value.base.to_le_bytes());
        bytes[16..20].copy_from_slice(&value.limit.to_le_bytes());
        bytes[20..].copy_from_slice(&value.flags.to_le_bytes());
        self.uc
            .reg_write_long(table.register(), &bytes)
            .refused("load a descriptor table")
    }

    /// Floating-point registers as after `fninit`, and MXCSR as after a reset (Intel SDM volume 3,
    /// table 9-1); the engine has zeros.
    pub fn start_floats(&mut self) -> Result<(), EngineError> {
        for (register, value) in FLOAT_CONTROL.into_iter().zip([0, 0x37f, 0xffff, 0x1f80]) {
            self.uc
                .reg_write(register, value)
                .refused("set up floating-point arithmetic")?;
        }
        Ok(())
    }

    /// Makes the engine forget that an exception is being delivered: it never delivers one, and
    /// would take the next for a double fault. Afterwards the processor is in ring 0 with all
    /// other registers as they were.
    pub fn forget_fault(&mut self) -> Result<(), EngineError> {
        let doing = "go on after a fault";
        let registers = self.registers();
        let msrs = Msr::ALL.map(|msr| self.msr(msr));
        let control = CONTROL.map(|register| self.register(register));
        let floats =
            FLOATS.map(|float| read_structure(Handle::of(&self.uc), float, [0; FLOAT_SIZE]));
        let float_control = FLOAT_CONTROL.map(|register| self.register(register));
        let (gdt, idt, task) = (
            self.table(Table::Gdt),
            self.table(Table::Idt),
            self.table(Table::Task),
        );
        self.forgotten_breakpoints = self.has_hardware_breakpoints();
        self.clean.restore(&self.uc)?;
        for (register, value) in CONTROL.into_iter().zip(control) {
            self.uc.reg_write(register, value).refused(doing)?;
        }
        for (msr, value) in Msr::ALL.into_iter().zip(msrs) {
            self.set_msr(msr, value)?;
        }
        for (register, value) in FLOATS.into_iter().zip(floats) {
            self.uc.reg_write_long(register, &value).refused(doing)?;
        }
        for (register, value) in FLOAT_CONTROL.into_iter().zip(float_control) {
            self.uc.reg_write(register, value).refused(doing)?;
        }
        self.set_table(Table::Gdt, gdt)?;
        self.set_table(Table::Idt, idt)?;
        self.set_table(Table::Task, task)?;
        self.set_registers(&registers)
    }
}
