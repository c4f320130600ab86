//! A stack with what a debugger shows of each frame beside its call site.

use super::call_site::{CallSite, CallStack};
use super::session::Session;
use crate::address::Va;
use crate::guest::ModuleImages;
use crate::memory::ReadMemory;
use crate::registers::{Gpr, Registers};
use crate::stack::frame::{Frame, FrameTrust};
use crate::stack::unwinder::unwind;
use crate::stack::walk::walk;

/// `_KTRAP_FRAME.Rip`, with which the machine frame in it begins.
const TRAP_RIP: u64 = 0x168;
/// How far above a frame's stack pointer its machine frame is looked for, in bytes.
const TRAP_SEARCH: u64 = 0x400;

/// One row of a stack listing, with all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackFrame {
    /// Where it is.
    pub site: CallSite,
    /// The registers in the frame; in all but the first the non-volatile ones alone are right.
    pub registers: Registers,
    /// The four words above the return address: the home space, where a function may keep its first
    /// arguments, and need not. `None` for what cannot be read.
    pub home: [Option<u64>; 4],
    /// The trap frame (`_KTRAP_FRAME`) that leads to the frame behind it.
    pub trap_frame: Option<Va>,
}

impl Session {
    /// The stack from the registers given on, of at most `limit` frames, with all that is known of
    /// each.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// session.execute("ed nt!PoolHitTag 3261654c; g")?;
    /// let frames = session.stack_frames(&session.registers(), 64);
    /// assert_eq!(frames.len(), 11);
    /// // the system call has a trap frame
    /// let call = frames.iter().find(|one| one.trap_frame.is_some()).unwrap();
    /// assert_eq!(call.site.symbol.as_deref(), Some("KiSystemServiceCopyEnd"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stack_frames(&self, from: &Registers, limit: usize) -> Vec<StackFrame> {
        let machine = self.lab.machine();
        let images = ModuleImages {
            modules: &self.modules,
            return_landing: machine.return_landing(),
        };
        let walk = walk(from, machine, &images, limit);
        let frames = walk.frames.clone();
        let sites = CallStack::name(walk, &self.modules).frames;
        let callers = frames.iter().enumerate().map(|(at, frame)| {
            let next = frames.get(at + 1).map(|next| (next.child_sp, next.trust));
            next.or_else(|| {
                let caller = unwind(&frame.registers, frame.code, machine, &images).ok()?;
                Some((caller.registers.rsp(), caller.trust))
            })
        });
        let callers: Vec<_> = callers.collect();
        let rows = frames.into_iter().zip(sites).zip(callers);
        rows.map(|((frame, site), caller)| StackFrame {
            home: [0, 1, 2, 3].map(|word| {
                let at = caller?.0.wrapping_add(word * 8);
                machine.read_u64(at).ok()
            }),
            trap_frame: caller
                .filter(|caller| caller.1 == FrameTrust::MachineFrame)
                .and_then(|caller| self.trap_frame(&frame, caller.0)),
            registers: frame.registers,
            site,
        })
        .collect()
    }

    /// Where the words are that the processor has pushed to come into this frame.
    fn trap_frame(&self, frame: &Frame, stack: Va) -> Option<Va> {
        let word = |at: Va| self.lab.machine().read_u64(at).ok();
        let mut candidates = (0..TRAP_SEARCH).step_by(8);
        let pushed = candidates.find(|offset| {
            let at = frame.child_sp.wrapping_add(*offset);
            word(at) == Some(frame.return_address.0)
                && word(at.wrapping_add(0x18)) == Some(stack.0)
                && word(at.wrapping_add(8)).is_some_and(|cs| matches!(cs & 0xffff, 0x10 | 0x33))
        })?;
        Some(frame.child_sp.wrapping_add(pushed).wrapping_sub(TRAP_RIP))
    }

    /// The registers in a trap frame (`_KTRAP_FRAME`). R12 to R15 are not in it, and zero here; so are RBX, RDI and
    /// RSI but for a system call's frame: others have places for them that nothing is written to, and published
    /// sessions on x64 show them as zero. `None` if it cannot be read.
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::Va};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.trap_frame_registers(Va(0)), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn trap_frame_registers(&self, at: Va) -> Option<Registers> {
        /// Of a system call's frame alone.
        const OF_SERVICES: [(Gpr, u64); 3] =
            [(Gpr::Rbx, 0x140), (Gpr::Rdi, 0x148), (Gpr::Rsi, 0x150)];
        const REGISTERS: [(Gpr, u64); 8] = [
            (Gpr::Rax, 0x30),
            (Gpr::Rcx, 0x38),
            (Gpr::Rdx, 0x40),
            (Gpr::R8, 0x48),
            (Gpr::R9, 0x50),
            (Gpr::R10, 0x58),
            (Gpr::R11, 0x60),
            (Gpr::Rbp, 0x158),
        ];
        let word = |offset: u64| self.lab.machine().read_u64(at.wrapping_add(offset)).ok();
        let mut registers = Registers {
            rip: word(TRAP_RIP)?,
            rflags: word(0x178)? & 0xffff_ffff,
            ..Registers::default()
        };
        // _KTRAP_FRAME.ExceptionActive: 2 is a service's
        let is_service = word(0x28)?.to_le_bytes()[3] == 2;
        let of_services = OF_SERVICES.into_iter().filter(|_| is_service);
        for (register, offset) in REGISTERS.into_iter().chain(of_services) {
            registers.set(register, word(offset)?);
        }
        registers.set(Gpr::Rsp, word(0x180)?);
        for number in 0..6 {
            // XMM0 to XMM5 from 0x70 on
            let offset = 0x70 + number * 16;
            let value = u128::from(word(offset)?) | u128::from(word(offset + 8)?) << 64;
            registers.xmm[number as usize] = value;
        }
        Some(registers)
    }

    /// CS, SS, DS, ES, FS and GS as far as a trap frame has them: the first two, zero for the rest.
    pub(crate) fn trap_frame_segments(&self, at: Va) -> Option<[u16; 6]> {
        let word = |offset: u64| self.lab.machine().read_u16(at.wrapping_add(offset)).ok();
        Some([word(0x170)?, word(0x188)?, 0, 0, 0, 0])
    }

    /// CS, SS, DS, ES, FS and GS in a context record.
    pub(crate) fn context_segments(&self, at: Va) -> Option<[u16; 6]> {
        let word = |offset: u64| self.lab.machine().read_u16(at.wrapping_add(offset)).ok();
        let (cs, ss) = (word(0x38)?, word(0x42)?);
        Some([cs, ss, word(0x3a)?, word(0x3c)?, word(0x3e)?, word(0x40)?])
    }

    /// The registers in a context record (`CONTEXT` for x64, winnt.h). `None` if it cannot be read.
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::Va};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert_eq!(session.context_registers(Va(0)), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn context_registers(&self, at: Va) -> Option<Registers> {
        const ORDER: u64 = 0x78;
        const XMM: u64 = 0x1a0;
        let word = |offset: u64| self.lab.machine().read_u64(at.wrapping_add(offset)).ok();
        let mut registers = Registers {
            rip: word(0xf8)?,
            rflags: word(0x44)? & 0xffff_ffff,
            ..Registers::default()
        };
        for (number, register) in (0..).zip(Gpr::ALL) {
            registers.set(register, word(ORDER + number * 8)?);
        }
        for number in 0..16 {
            let offset = XMM + number * 16;
            let value = u128::from(word(offset)?) | u128::from(word(offset + 8)?) << 64;
            registers.xmm[number as usize] = value;
        }
        Some(registers)
    }

    /// Has the debugger look from other registers than the processor's until the guest goes on:
    /// [`registers`](Session::registers), [`stack`](Session::stack) and expressions are about them
    /// then. `None` for the processor's.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let mut session = Session::new(Lab::builder().build()?);
    /// let caller = session.stack_frames(&session.registers(), 2)[1].registers.clone();
    /// session.look_from(Some(caller.clone()));
    /// assert_eq!(session.registers(), caller);
    /// session.go()?;
    /// assert_ne!(session.registers(), caller);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn look_from(&mut self, registers: Option<Registers>) {
        self.control.reset_context();
        self.control.context = registers;
    }
}
