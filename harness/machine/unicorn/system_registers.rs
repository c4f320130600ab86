//! The registers that a debugger shows beside the general-purpose ones.

use super::registers::{Handle, Msr, Table};
use super::{Engine, EngineError, Refusal};
use crate::machine::system_registers::SystemRegisters;
use unicorn_engine::RegisterX86 as Reg;

const SEGMENTS: [Reg; 6] = [Reg::CS, Reg::SS, Reg::DS, Reg::ES, Reg::FS, Reg::GS];
const DEBUG: [Reg; 6] = [Reg::DR0, Reg::DR1, Reg::DR2, Reg::DR3, Reg::DR6, Reg::DR7];

/// Registers that are read, but that nothing here writes: the local controller's base, the
/// system-call registers of 32-bit code, memory types (Intel SDM volume 4, table 2-2).
const OTHERS: [u32; 7] = [0x1b, 0x174, 0x175, 0x176, 0x277, 0x2ff, 0xc000_0083];

impl Engine {
    /// All of them but CR8, which is no register of the engine's.
    pub fn all_system_registers(&self) -> SystemRegisters {
        let [cs, ss, ds, es, fs, gs] = SEGMENTS.map(|segment| self.register(segment) as u16);
        let (gdt, idt) = (self.table(Table::Gdt), self.table(Table::Idt));
        SystemRegisters {
            cs,
            ss,
            ds,
            es,
            fs,
            gs,
            cr0: self.register(Reg::CR0),
            cr2: self.register(Reg::CR2),
            cr3: self.register(Reg::CR3),
            cr4: self.register(Reg::CR4),
            debug: DEBUG.map(|register| self.register(register)),
            gdtr: gdt.base,
            gdtl: gdt.limit as u16,
            idtr: idt.base,
            idtl: idt.limit as u16,
            tr: self.table(Table::Task).selector,
            ldtr: self.table(Table::Local).selector,
            mxcsr: self.register(Reg::MXCSR) as u32,
        }
    }

    /// A model-specific register by its number, if the processor has it.
    pub fn msr_by_number(&self, number: u32) -> Option<u64> {
        let known = Msr::from_number(number).is_some() || OTHERS.contains(&number);
        known.then(|| Handle::of(&self.uc).msr_number(number))
    }

    /// Sets MXCSR.
    pub fn set_mxcsr(&mut self, value: u32) -> Result<(), EngineError> {
        self.uc
            .reg_write(Reg::MXCSR, value.into())
            .refused("set MXCSR")
    }
}
