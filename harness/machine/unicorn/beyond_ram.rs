//! Physical addresses behind the end of memory: nobody answers there, so that reads give ones and writes
//! are dropped, as on a PC's bus.
//!
//! The engine is told of them when the guest first uses one: a machine that has them from its start
//! boots and is copied noticeably slower, and few guests ever do. It is told between two runs of the
//! engine, since it forgets its translations of addresses then, also those that it is just using.

use super::hooks::State;
use super::{Engine, EngineError, Refusal};
use unicorn_engine::{Unicorn, uc_error};

/// The end of the physical addresses that the engine's processor has: 40 bits.
const END: u64 = 1 << 40;

/// What has been read where nobody answers.
fn read(_: &mut Unicorn<'_, State>, _: u64, size: usize) -> u64 {
    match size {
        0..8 => (1 << (size * 8)) - 1,
        _ => u64::MAX,
    }
}

impl Engine {
    /// Whether the guest has used such an address. It is part of the processor's state, since page
    /// tables that lie there read otherwise from then on.
    pub(super) fn has_beyond(&self) -> bool {
        self.uc.get_data().has_beyond
    }

    /// Has the engine know of them.
    pub(super) fn map_beyond(&mut self) -> Result<(), EngineError> {
        let start = self.ram.size();
        if self.has_beyond() {
            return Ok(());
        }
        let write = |_: &mut Unicorn<'_, State>, _: u64, _: usize, _: u64| {};
        self.uc
            .mmio_map(start, END.saturating_sub(start), Some(read), Some(write))
            .refused("map what is behind the guest's memory")?;
        self.uc.get_data_mut().has_beyond = true;
        Ok(())
    }

    /// Whether the engine has ended its run since it did not know of them, and does now. A read is done
    /// again then; a write has been dropped, and the engine has gone on to the end of its block, or to
    /// the next read.
    pub(super) fn has_learnt_of_beyond(&mut self, result: Result<(), uc_error>) -> bool {
        let is_read = match result {
            Err(uc_error::READ_UNMAPPED) => true,
            Err(uc_error::WRITE_UNMAPPED) => false,
            _ => return false,
        };
        if self.has_beyond() || self.map_beyond().is_err() {
            return false;
        }
        let at = self.rip();
        let state = self.uc.get_data_mut();
        // Its breakpoint, if it has one, has been passed.
        if is_read || state.block.contains(&at) && state.block.start != at {
            state.resume_at = Some(at);
        }
        state.leave_block_at(at);
        true
    }
}
