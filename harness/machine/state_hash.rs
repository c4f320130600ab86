//! A hash of all of a machine's state.

use super::Machine;
use crate::address::Pa;
use xxhash_rust::xxh3::Xxh3;

impl Machine {
    /// A hash of what the guest can see: memory, integer, floating-point and vector registers, system
    /// registers, what waits at the debug port and how much has been sent there, and the work done. Two
    /// machines with the same history have the same hash.
    pub fn state_hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut page = [0; 0x1000];
        for at in (0..self.engine.ram().size()).step_by(page.len()) {
            if self.engine.ram().read(Pa(at), &mut page) && page.iter().any(|&byte| byte != 0) {
                hash.update(&at.to_le_bytes());
                hash.update(&page);
            }
        }
        let registers = self.registers();
        let places = [&registers.rip, &registers.rflags];
        for value in registers.gpr.iter().chain(places) {
            hash.update(&value.to_le_bytes());
        }
        for value in &registers.xmm {
            hash.update(&value.to_le_bytes());
        }
        let others = [
            self.work(),
            self.time(),
            self.engine.ram().size(),
            self.sent_bytes(),
            self.engine.pci().state(),
        ];
        for value in others.into_iter().chain(self.engine.system_registers()) {
            hash.update(&value.to_le_bytes());
        }
        hash.update(&self.engine.waiting_input());
        self.engine.timer().state().iter().for_each(|value| {
            hash.update(&value.to_le_bytes());
        });
        hash.digest128()
    }
}
