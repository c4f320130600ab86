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
    Task,
}

impl Table {
    fn register(self) -> Reg {
        match self {
            Table::Gdt => Reg::GDTR,
            Table::Idt => Reg::IDTR,
            Table::Task => Reg::TR,
        }
    }
}

const GPRS: [Reg; 16] = [
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

const CONTROL: [Reg; 5] = [Reg::CR0, Reg::CR2, Reg::CR3, Reg::CR4, Reg::CR8];

/// The size of the engine's structure for a model-specific register.
const MSR_SIZE: usize = 16;

/// The size of the engine's structure for a descriptor-table register.
const TABLE_SIZE: usize = 24;

/// The size of a vector register's part that the debugger sees.
const XMM_SIZE: usize = 16;

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
        let mut bytes = [0; MSR_SIZE];
        bytes[..4].copy_from_slice(&(msr as u32).to_le_bytes());
        little_endian(&read_structure(self, Reg::MSR, bytes)[8..])
    }

    pub fn registers(self) -> Registers {
        let mut registers = Registers {
            gpr: GPRS.map(|register| self.read(register)),
            rip: self.read(Reg::RIP),
            rflags: self.read(Reg::RFLAGS),
            ..Registers::default()
        };
        for (value, register) in registers.xmm.iter_mut().zip(XMMS) {
            *value = u128::from_le_bytes(read_structure(self, register, [0; XMM_SIZE]));
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
        assert!(SIZE == MSR_SIZE || SIZE == TABLE_SIZE || SIZE == XMM_SIZE || SIZE == FLOAT_SIZE);
    }
    // SAFETY: for these registers the engine reads and writes a structure of at most this size:
    // uc_x86_msr (u32 number, u64 value), uc_x86_mmr (u16 selector, u64 base, u32 limit,
    // u32 flags), or a register's 10 or 16 bytes. It fails only for a register that does not exist.
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
        values.push(self.register(Reg::MXCSR));
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
        let doing = "set a register";
        for (register, value) in GPRS.into_iter().zip(registers.gpr) {
            self.uc.reg_write(register, value).refused(doing)?;
        }
        self.uc.reg_write(Reg::RIP, registers.rip).refused(doing)?;
        self.uc
            .reg_write(Reg::RFLAGS, registers.rflags)
            .refused(doing)?;
        for (register, value) in XMMS.into_iter().zip(registers.xmm) {
            self.uc
                .reg_write_long(register, &value.to_le_bytes())
                .refused(doing)?;
        }
        Ok(())
    }

    pub fn msr(&self, msr: Msr) -> u64 {
        Handle::of(&self.uc).msr(msr)
    }

    pub fn set_msr(&mut self, msr: Msr, value: u64) -> Result<(), EngineError> {
        let mut bytes = [0; MSR_SIZE];
        bytes[..4].copy_from_slice(&(msr as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&value.to_le_bytes());
        self.uc
            .reg_write_long(Reg::MSR, &bytes)
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
        self.uc.context_restore(&self.clean).refused(doing)?;
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
