//! The task-priority register, CR8. The engine has no interrupt controller and loses what is written to
//! it, so each instruction that uses it is done here: its value is a byte of memory.

use super::hooks::{State, stop_with_fault};
use super::registers::{GPRS, Handle};
use super::{Engine, EngineError, Refusal};
use crate::address::{Pa, Va};
use std::sync::Arc;
use unicorn_engine::{Prot, RegisterX86 as Reg, Unicorn};

/// The bytes of an instruction that uses CR8.
const LENGTH: u64 = 4;

/// Where CR8's value is kept, and where it is used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskPriority {
    /// The byte that has the value.
    pub byte: Pa,
    /// The instructions that use CR8.
    pub sites: Vec<Va>,
}

/// A `mov` from or to CR8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Use {
    writes: bool,
    /// The other register's number.
    register: usize,
}

/// The instruction, if it is one (Intel SDM volume 2, "MOV—Move to/from Control Registers"): REX.R says
/// that it is CR8, and the bits that would say what kind of operand the other one is do not count.
fn decode(code: [u8; LENGTH as usize]) -> Option<Use> {
    let [rex, 0x0f, opcode @ (0x20 | 0x22), operands] = code else {
        return None;
    };
    (rex & 0xf4 == 0x44 && operands & 0x38 == 0).then_some(Use {
        writes: opcode == 0x22,
        register: usize::from(rex & 1) << 3 | usize::from(operands & 7),
    })
}

/// The addresses of what may be such instructions in code at an address: any four bytes that look like one.
/// What is only the inside of another instruction is never executed.
pub fn find_sites(code: &[u8], at: Va) -> impl Iterator<Item = Va> {
    let mut windows = code.windows(LENGTH as usize).zip(0u64..);
    std::iter::from_fn(move || {
        windows.find_map(|(bytes, offset)| {
            decode(*bytes.first_chunk()?)?;
            Some(at.wrapping_add(offset))
        })
    })
}

impl Engine {
    /// Does what these instructions do from now on. Once in an engine's life.
    pub(super) fn watch_task_priority(
        &mut self,
        priority: Arc<TaskPriority>,
    ) -> Result<(), EngineError> {
        for site in &priority.sites {
            let byte = priority.byte;
            self.uc
                .add_code_hook(site.0, site.0, move |uc, address, _| {
                    on_use(uc, address, byte);
                })
                .refused("watch the task priority")?;
        }
        self.uc.get_data_mut().priority = priority;
        Ok(())
    }

    /// As [`watch_task_priority`](Engine::watch_task_priority), in a machine that has not run.
    pub fn set_task_priority(&mut self, priority: TaskPriority) -> Result<(), EngineError> {
        self.watch_task_priority(Arc::new(priority))
    }
}

/// An instruction is about to execute that uses CR8, or did when it was loaded.
fn on_use(uc: &mut Unicorn<'_, State>, address: u64, byte: Pa) {
    let state = uc.get_data();
    let stops = state.exit.is_some() || state.panic.is_some() || state.ends_in_front_of(address);
    let mut code = [0; LENGTH as usize];
    let fetched = uc.vmem_read(address, Prot::EXEC, &mut code).is_ok();
    let Some(found) = decode(code).filter(|_| fetched && !stops) else {
        return;
    };
    if Handle::of(uc).read(Reg::CS) & 3 != 0 {
        return; // the engine refuses it
    }
    let register = GPRS[found.register];
    if found.writes {
        match u8::try_from(Handle::of(uc).read(register)) {
            // The engine's own doing has no effect.
            Ok(value @ 0..16) => {
                let _ = uc.mem_write(byte.0, &[value]);
            }
            _ => stop_with_fault(uc, 13),
        }
    } else {
        let mut value = [0];
        let _ = uc.mem_read(byte.0, &mut value);
        let _ = uc.reg_write(register, u64::from(value[0] & 15));
        // The engine's own doing would put zero into the register.
        let next = address.wrapping_add(LENGTH);
        uc.get_data_mut().leave_block_at(next);
        let _ = uc.reg_write(Reg::RIP, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_from_others() {
        let found = |writes, register| Some(Use { writes, register });
        for (code, expected) in [
            ([0x44, 0x0f, 0x20, 0xc0], found(false, 0)), // mov rax, cr8
            ([0x44, 0x0f, 0x20, 0xc6], found(false, 6)), // mov rsi, cr8
            ([0x45, 0x0f, 0x22, 0xc3], found(true, 11)), // mov cr8, r11
            ([0x4d, 0x0f, 0x22, 0xc7], found(true, 15)), // the same with REX.W
            ([0x41, 0x0f, 0x22, 0xc0], None),            // mov cr0, r8
            ([0x44, 0x0f, 0x22, 0xd8], None),            // CR11
            ([0x44, 0x0f, 0x21, 0xc0], None),            // a debug register
            ([0x90, 0x0f, 0x22, 0xc0], None),
        ] {
            assert_eq!(decode(code), expected, "{code:x?}");
        }
    }

    #[test]
    fn sites_are_found_wherever_they_are() {
        let mut code = vec![0x90; 0x20];
        for at in [0, 7, 0x1c] {
            code[at..at + 4].copy_from_slice(&[0x44, 0x0f, 0x22, 0xc1]);
        }
        let sites: Vec<Va> = find_sites(&code, Va(0x1000)).collect();
        assert_eq!(sites, [Va(0x1000), Va(0x1007), Va(0x101c)]);
        assert_eq!(find_sites(&code[..3], Va(0)).count(), 0);
    }
}
