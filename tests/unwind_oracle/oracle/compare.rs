//! Holding a walk against the shadow stack.

use super::shadow::{Base, Caller, Way, changed};
use poolhit::address::{CodeAddress, Va};
use poolhit::registers::Registers;
use poolhit::stack::capture::Capturer;
use poolhit::stack::frame::{Frame, FrameTrust};
use poolhit::stack::walk::{Walk, WalkEnd};

/// What a walk says that is not so; `callers` are the lowest first.
pub fn difference(now: &Registers, callers: &[Caller], base: Base, walk: &Walk) -> Option<String> {
    // The host that has called into the guest is a caller, but no frame.
    let (known, end) = match base {
        Base::Host => (callers.len(), WalkEnd::Outside),
        _ => (callers.len() + 1, WalkEnd::ReturnAddressZero),
    };
    let frames = &walk.frames;
    for number in 0..known {
        let Some(frame) = frames.get(number) else {
            return Some(format!(
                "{} frames instead of {known}: {:?}",
                frames.len(),
                walk.end
            ));
        };
        let caller = number
            .checked_sub(1)
            .map(|above| &callers[callers.len() - 1 - above]);
        let below = (callers.len() - number)
            .checked_sub(1)
            .map(|below| &callers[below]);
        let reason = match caller {
            None => top_difference(now, frame),
            Some(caller) => caller_difference(caller, &frames[number - 1], frame),
        };
        let returns = below.map(|below| below.code.address());
        let returns = returns.unwrap_or(Va(0));
        let reason = reason.or_else(|| unequal("return address", frame.return_address, returns));
        if let Some(reason) = reason {
            return Some(format!("frame {number} of {known}: {reason}"));
        }
    }
    unequal("count of frames", frames.len(), known).or_else(|| unequal("end", walk.end, end))
}

fn unequal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, is: T) -> Option<String> {
    (found != is).then(|| format!("{what} {found:x?}, but it is {is:x?}"))
}

fn top_difference(now: &Registers, frame: &Frame) -> Option<String> {
    let code = CodeAddress::InstructionPointer(now.rip());
    unequal("code", frame.code, code)
        .or_else(|| unequal("stack pointer", frame.child_sp, now.rsp()))
        .or_else(|| unequal("trust", frame.trust, FrameTrust::Context))
}

fn caller_difference(caller: &Caller, callee: &Frame, frame: &Frame) -> Option<String> {
    unequal("code", frame.code, caller.code)
        .or_else(|| unequal("stack pointer", frame.child_sp, caller.registers.rsp()))
        .or_else(|| unequal("RIP", frame.registers.rip(), caller.registers.rip()))
        .or_else(|| changed(&frame.registers, &caller.registers).map(|it| format!("{it} is wrong")))
        .or_else(|| {
            let found = frame.registers.rflags;
            let known = caller.flags_known;
            known
                .then(|| unequal("RFLAGS", found, caller.registers.rflags))
                .flatten()
        })
        .or_else(|| {
            let is_right = match (caller.way, callee.code) {
                (Way::Interruption, _) => frame.trust == FrameTrust::MachineFrame,
                // Only where no call was made can a function be a leaf, or no function at all: a call
                // to a place that has no code is a guess, and it has to be a right one.
                (Way::Call, CodeAddress::InstructionPointer(_)) => {
                    frame.trust != FrameTrust::MachineFrame && frame.trust != FrameTrust::Context
                }
                (Way::Call, CodeAddress::ReturnAddress(_)) => frame.trust == FrameTrust::UnwindInfo,
            };
            (!is_right).then(|| format!("found by {:?} after {:?}", frame.trust, caller.way))
        })
}

/// What a capture by rules says that the walk does not.
pub fn capture_difference(walk: &Walk, capturer: &Capturer, end: WalkEnd) -> Option<String> {
    let rows = capturer.frames();
    let same = rows.len() == walk.frames.len()
        && rows.iter().zip(&walk.frames).all(|(row, frame)| {
            (row.child_sp, row.return_address, row.trust)
                == (frame.child_sp, frame.return_address, frame.trust)
        });
    if !same {
        return Some(format!("the capture has other rows: {rows:x?}"));
    }
    unequal("the capture's end", end, walk.end)
}
