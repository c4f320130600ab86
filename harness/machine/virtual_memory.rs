//! Guest memory by virtual address, through the page tables of the last stop.

use super::Machine;
use crate::address::Va;
use crate::memory::{FaultReason, MemoryFault, ReadMemory, WriteMemory, pages};

impl ReadMemory for Machine {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        for (at, part) in pages(address, buffer.len()) {
            let source = self.translate(at, part.start)?.physical;
            if !self.engine.ram().read(source, &mut buffer[part.clone()]) {
                let reason = FaultReason::OutsideRam { physical: source.0 };
                return Err(MemoryFault {
                    address: at,
                    reason,
                    done: part.start,
                });
            }
        }
        Ok(())
    }
}

impl WriteMemory for Machine {
    fn write(&mut self, address: Va, bytes: &[u8]) -> Result<(), MemoryFault> {
        let mut code = false;
        let mut result = Ok(());
        for (at, part) in pages(address, bytes.len()) {
            let target = match self.translate(at, part.start) {
                Ok(target) => target,
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            };
            code |= self.engine.has_translated(target.physical);
            if !self
                .engine
                .ram()
                .write(target.physical, &bytes[part.clone()])
            {
                let reason = FaultReason::OutsideRam {
                    physical: target.physical.0,
                };
                result = Err(MemoryFault {
                    address: at,
                    reason,
                    done: part.start,
                });
                break;
            }
        }
        if code {
            // Dropping translated code is documented to succeed at any stop.
            let dropped = self.engine.code_changed();
            debug_assert!(dropped.is_ok(), "{dropped:?}");
        }
        result
    }
}
