//! A stack as people read it: where each frame is, as module and symbol.

use crate::address::{CodeAddress, Va};
use crate::stack::capture::CapturedFrame;
use crate::stack::frame::FrameTrust;
use crate::stack::walk::{Walk, WalkEnd};
use crate::symbols::{Modules, SourceLine};
use std::fmt;

/// One row of a stack listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallSite {
    /// The stack pointer in the frame.
    pub child_sp: Va,
    /// Where the frame returns to; 0 at the end of the stack.
    pub return_address: Va,
    /// The instruction that the frame is at.
    pub address: Va,
    /// The module's name, if the address lies in one.
    pub module: Option<String>,
    /// The nearest symbol below the address, undecorated, if the module has one.
    pub symbol: Option<String>,
    /// The distance from the symbol, or without one from the module's base, in bytes.
    pub offset: u64,
    /// How the frame was found.
    pub trust: FrameTrust,
    /// The source line of its code, if that was [looked up](CallStack::with_lines) and is known.
    pub source: Option<SourceLine>,
}

/// The address as WinDbg shows a call site: `nt!ExAllocatePoolWithTag+0x82e`, `myfault+0x1634`,
/// or the bare address if it is in no module, without leading zeros if it has 32 bits at most.
impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(module) = &self.module else {
            return match self.address.0 >> 32 {
                0 => write!(f, "{:#x}", self.address.0),
                _ => write!(f, "0x{}", self.address),
            };
        };
        write!(f, "{module}")?;
        if let Some(symbol) = &self.symbol {
            write!(f, "!{symbol}")?;
        }
        if self.offset != 0 {
            write!(f, "+{:#x}", self.offset)?;
        }
        Ok(())
    }
}

/// A stack: its frames from the innermost on, and why there are no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallStack {
    /// The frames, the innermost first.
    pub frames: Vec<CallSite>,
    /// Why the walk ended.
    pub end: WalkEnd,
}

impl CallStack {
    /// The stack with the source lines of all its frames. They are not looked up before: the first
    /// time takes some milliseconds for a kernel's PDB.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let stack = session.stack(64).with_lines(session.modules());
    /// // the break instruction is in assembly, which has no lines; its callers are in C
    /// assert_eq!(stack.frames[0].source, None);
    /// assert!(stack.frames.iter().any(|frame| frame.source.is_some()));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn with_lines(mut self, modules: &Modules) -> CallStack {
        self.find_lines(modules, |_| true);
        self
    }

    /// Looks up the source lines of those frames that are chosen.
    pub(crate) fn find_lines(&mut self, modules: &Modules, chosen: impl Fn(&CallSite) -> bool) {
        for frame in self.frames.iter_mut() {
            if chosen(frame) {
                frame.source = modules.line_of(frame.code());
            }
        }
    }

    /// Names the frames of a walk.
    pub(crate) fn name(walk: Walk, modules: &Modules) -> CallStack {
        let frames = walk.frames.into_iter().map(|frame| {
            let at = (frame.child_sp, frame.return_address);
            CallSite::new(frame.code.address(), at, frame.trust, modules)
        });
        CallStack {
            frames: frames.collect(),
            end: walk.end,
        }
    }

    /// Names the frames of a stack captured at an instruction.
    pub(crate) fn of_capture(
        at: Va,
        frames: &[CapturedFrame],
        end: WalkEnd,
        modules: &Modules,
    ) -> CallStack {
        let mut address = at;
        let named = frames.iter().map(|frame| {
            let places = (frame.child_sp, frame.return_address);
            let site = CallSite::new(address, places, frame.trust, modules);
            address = frame.return_address;
            site
        });
        CallStack {
            frames: named.collect(),
            end,
        }
    }
}

impl CallSite {
    fn new(
        address: Va,
        (child_sp, return_address): (Va, Va),
        trust: FrameTrust,
        modules: &Modules,
    ) -> CallSite {
        let near = modules.nearest(address);
        CallSite {
            child_sp,
            return_address,
            address,
            module: near.as_ref().map(|near| near.module.name().to_string()),
            symbol: near
                .as_ref()
                .and_then(|near| near.symbol)
                .map(|symbol| symbol.display_name().into_owned()),
            offset: near.map_or(0, |near| near.offset.into()),
            trust,
            source: None,
        }
    }

    /// Where the frame's code is: at the instruction that the processor or an interrupt was at, or
    /// behind a call.
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::CodeAddress};
    /// let stack = Session::new(Lab::builder().build()?).stack(2);
    /// let [here, caller] = [0, 1].map(|at| stack.frames[at].code());
    /// assert_eq!(here, CodeAddress::InstructionPointer(stack.frames[0].address));
    /// assert_eq!(caller, CodeAddress::ReturnAddress(stack.frames[0].return_address));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn code(&self) -> CodeAddress {
        match self.trust {
            FrameTrust::Context | FrameTrust::MachineFrame => {
                CodeAddress::InstructionPointer(self.address)
            }
            FrameTrust::UnwindInfo | FrameTrust::Leaf | FrameTrust::Guess => {
                CodeAddress::ReturnAddress(self.address)
            }
        }
    }
}
