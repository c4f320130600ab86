//! Ports and the time stamp counter.

use super::hooks::{State, stop_with_fault};
use super::registers::Integers;
use super::{Msr, Uc, stepping};
use crate::machine::pci::PciBus;
use crate::machine::timer;
use std::ffi::{c_int, c_void};
use unicorn_engine::hook::sys;
use unicorn_engine::{HookType, RegisterX86 as Reg, Unicorn, X86Insn, uc_error};

/// Makes the engine call all of it.
pub fn install(uc: &mut Uc) -> Result<(), uc_error> {
    uc.add_insn_in_hook(on_port_input)?;
    uc.add_insn_out_hook(on_port_output)?;
    hook_time_stamp(uc, X86Insn::RDTSC)?;
    hook_time_stamp(uc, X86Insn::RDTSCP)
}

/// A port is read.
fn on_port_input(uc: &mut Unicorn<'_, State>, port: u32, size: usize) -> u32 {
    if refuse_port(uc) {
        return u32::MAX;
    }
    stepping::on_port(uc.get_data_mut(), port, size);
    if PciBus::has_port(port) {
        uc.get_data().pci.input(port, size)
    } else {
        uc.get_data_mut().port.input(port)
    }
}

/// A port is written.
fn on_port_output(uc: &mut Unicorn<'_, State>, port: u32, size: usize, value: u32) {
    if refuse_port(uc) {
        return;
    }
    stepping::on_port(uc.get_data_mut(), port, size);
    if PciBus::has_port(port) {
        uc.get_data_mut().pci.output(port, size, value);
        return;
    }
    if size != 1 {
        return;
    }
    if !matches!(port, timer::DATA | timer::CONTROL) {
        uc.get_data_mut().port.output(port, value as u8);
        return;
    }
    // The block's end: the engine does not say where in the block an `out` of ring 0's is.
    let state = uc.get_data_mut();
    let now = state.work.saturating_add(state.skipped);
    state.timer.output(port, value as u8, now);
    state.look_again();
}

/// Whether the guest may not use ports where it is (Intel SDM volume 1, 19.5): the engine lets it.
/// The run ends with a fault at the instruction; but the engine executes the rest of the block
/// before that, so the registers are kept.
fn refuse_port(uc: &mut Unicorn<'_, State>) -> bool {
    let ring = uc.reg_read(Reg::CS).unwrap_or(0) & 3;
    let allowed = uc.reg_read(Reg::RFLAGS).unwrap_or(0) >> 12 & 3;
    if ring <= allowed {
        return false;
    }
    let kept = Integers::read(uc);
    uc.get_data_mut().refused.get_or_insert(kept);
    stop_with_fault(uc, 13);
    true
}

/// Gives `rdtsc` and `rdtscp` the work done so far, and the latter `IA32_TSC_AUX` too; the engine's
/// own time would be the host's clock.
fn hook_time_stamp(uc: &mut Uc, instruction: X86Insn) -> Result<(), uc_error> {
    /// For these two instructions the engine wants an answer, whether to skip its own doing. The
    /// binding's closures for instruction hooks cannot answer, so this goes past them.
    unsafe extern "C" fn time_stamp<const AUX: bool>(
        uc: *mut sys::uc_engine,
        state: *mut c_void,
    ) -> c_int {
        let mut rip = 0u64;
        // SAFETY: `state` is the engine's own data, which lives in one place as long as the
        // engine; the engine calls back on the thread that runs it, and no reference to the data
        // is alive then. The registers read and written here are 64 bits wide, but for the
        // structure of a model-specific register: its number in 32 bits, padding, its value.
        unsafe {
            sys::uc_reg_read(uc, Reg::RIP.into(), (&raw mut rip).cast());
            let time = (*state.cast::<State>()).work_at(rip) + (*state.cast::<State>()).skipped;
            let (low, high) = (time & 0xffff_ffff, time >> 32);
            sys::uc_reg_write(uc, Reg::RAX.into(), (&raw const low).cast());
            sys::uc_reg_write(uc, Reg::RDX.into(), (&raw const high).cast());
            if AUX {
                let mut msr = [Msr::TscAux as u64, 0];
                sys::uc_reg_read(uc, Reg::MSR.into(), (&raw mut msr).cast());
                sys::uc_reg_write(uc, Reg::RCX.into(), (&raw const msr[1]).cast());
            }
        }
        1
    }
    let callback = match instruction {
        X86Insn::RDTSCP => time_stamp::<true>,
        _ => time_stamp::<false>,
    };
    let state: *mut State = uc.get_data_mut();
    let mut hook: sys::uc_hook = 0;
    // SAFETY: the callback has the form that the engine's manual gives for these instructions;
    // the hook is never removed, and `state` outlives it.
    let error = unsafe {
        sys::uc_hook_add(
            uc.get_handle(),
            &raw mut hook,
            HookType::INSN.0 as c_int,
            callback as *mut c_void,
            state.cast(),
            1u64,
            0u64,
            instruction,
        )
    };
    if error == uc_error::OK {
        Ok(())
    } else {
        Err(error)
    }
}
