//! Processors (`_KPCR`, `_KPRCB`).

use super::ObjectError;
use super::fields::Fields;
use crate::address::Va;
use crate::guest::Lab;
use crate::memory::ReadMemory;

mod field {
    pub const GDT_BASE: u64 = 0;
    pub const TSS_BASE: u64 = 8;
    pub const USER_RSP: u64 = 0x10;
    pub const SELF: u64 = 0x18;
    pub const LOCK_ARRAY: u64 = 0x28;
    pub const USED_SELF: u64 = 0x30;
    pub const IDT_BASE: u64 = 0x38;
    pub const IRQL: u64 = 0x50;
    pub const MAJOR_VERSION: u64 = 0x60;
    pub const MINOR_VERSION: u64 = 0x62;
    pub const PRCB: u64 = 0x180;
    pub const CURRENT_THREAD: u64 = PRCB + 8;
    pub const NEXT_THREAD: u64 = PRCB + 0x10;
    pub const IDLE_THREAD: u64 = PRCB + 0x18;
    pub const NUMBER: u64 = PRCB + 0x24;
}

/// A processor's control region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Processor {
    /// The `_KPCR`.
    pub address: Va,
    /// The `_KPRCB` in it.
    pub prcb: Va,
    /// The processor's number.
    pub number: u32,
    /// The structure's version.
    pub version: [u16; 2],
    /// The interrupt request level.
    pub irql: u8,
    /// Descriptor table, task state segment, and interrupt descriptor table.
    pub tables: [Va; 3],
    /// The user-mode stack pointer of a system call, the region's own address, and the two words behind.
    pub words: [u64; 4],
    /// The thread that runs.
    pub current_thread: Va,
    /// The one that is to run next; NULL if that is not decided.
    pub next_thread: Va,
    /// The one that runs when nobody else wants to.
    pub idle_thread: Va,
}

impl Lab {
    /// The processor with this number, or the one that runs.
    ///
    /// # Errors
    /// There is none with this number.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert_eq!((lab.processor(None)?.number, lab.processor(Some(0))?.number), (1, 0));
    /// assert_eq!(lab.processor(Some(9)).unwrap_err().to_string(), "Cannot get PRCB address");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processor(&self, number: Option<u64>) -> Result<Processor, ObjectError> {
        const BLOCKS: &str = "KiProcessorBlock";
        let memory = self.machine();
        let address = match number {
            None => self.processor_control_region(),
            Some(number) => {
                let count = self.kernel_symbol("KeNumberProcessors");
                let count = count.and_then(|at| memory.read_u8(at).ok()).unwrap_or(1);
                if number >= count.into() {
                    return Err(ObjectError::NoProcessor(number));
                }
                let blocks = self
                    .kernel_symbol(BLOCKS)
                    .ok_or(ObjectError::NoSymbol(BLOCKS))?;
                let prcb = memory.read_va(blocks.wrapping_add(number * 8))?;
                Va(prcb.0.wrapping_sub(field::PRCB))
            }
        };
        let fields = Fields {
            memory,
            at: address,
        };
        Ok(Processor {
            address,
            prcb: address.wrapping_add(field::PRCB),
            number: fields.u32(field::NUMBER)?,
            version: [
                fields.u16(field::MAJOR_VERSION)?,
                fields.u16(field::MINOR_VERSION)?,
            ],
            irql: fields.u8(field::IRQL)?,
            tables: [
                fields.va(field::GDT_BASE)?,
                fields.va(field::TSS_BASE)?,
                fields.va(field::IDT_BASE)?,
            ],
            words: [
                fields.u64(field::USER_RSP)?,
                fields.u64(field::SELF)?,
                fields.u64(field::LOCK_ARRAY)?,
                fields.u64(field::USED_SELF)?,
            ],
            current_thread: fields.va(field::CURRENT_THREAD)?,
            next_thread: fields.va(field::NEXT_THREAD)?,
            idle_thread: fields.va(field::IDLE_THREAD)?,
        })
    }

    /// The processors, by number.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().build()?.processors().len(), 2);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn processors(&self) -> Vec<Processor> {
        // KeNumberProcessors is a byte
        (0..256)
            .map_while(|number| self.processor(Some(number)).ok())
            .collect()
    }
}
