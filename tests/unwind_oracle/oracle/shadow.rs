//! The shadow call stack: what calls, returns, interrupts and system calls make of it.

use super::context::{Rewriting, laid_out};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use poolhit::address::{CodeAddress, Va};
use poolhit::memory::ReadMemory;
use poolhit::registers::{Gpr, Registers};
use std::collections::BTreeMap;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// How a caller was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By a near call.
    Call,
    /// By an interrupt, an exception or a system call.
    Interruption,
}

/// A function that has been left, and will be returned to.
#[derive(Clone, Debug)]
pub struct Caller {
    pub way: Way,
    /// Where it goes on.
    pub code: CodeAddress,
    /// Its registers, with the stack pointer that it will have again when it goes on.
    pub registers: Registers,
    /// Whether RFLAGS are known, too.
    pub flags_known: bool,
    /// A hash of the code of this caller and all below it.
    pub shape: u64,
}

/// What is below the lowest caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// A thread's start: the lowest function returns to address zero.
    Thread,
    /// The host's own doing: the lowest function was called from outside the guest.
    Host,
    /// A stack pointer loaded by hand. What is below shows when the code returns there.
    Loaded,
}

/// What the shadow stack has to be told of the guest.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The first instructions of handlers of interrupts and exceptions.
    pub handlers: Vec<Va>,
    /// Functions that leave their stack for another one, or for its own top, and never return.
    pub abandoning: Vec<Range<Va>>,
    /// The handler of the timer's interrupt, which comes between any two instructions.
    pub timer: Option<Va>,
    /// The way into system services that the kernel's own calls take: their caller has made a machine
    /// frame, and jumps there.
    pub service: Option<Va>,
    /// The instruction that changes a thread's stack for another thread's.
    pub switch: Option<Va>,
    /// The first instruction behind which a laid-out context is the caller; see [`context`](super::context).
    pub restore: Option<Va>,
    /// The function that changes the frames of interrupted code, by what a filter says.
    pub rewrite: Option<Va>,
}

impl Ways {
    fn abandons(&self, at: Va) -> bool {
        self.abandoning.iter().any(|range| range.contains(&at))
    }
}

/// What an instruction did, as far as others want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    None,
    /// The stack was left for another one.
    Loaded,
    /// The stack loaded last turns out to belong to the code that goes on with these registers.
    Started(Box<Registers>),
}

/// An instruction that was about to execute.
#[derive(Clone, Debug)]
struct Seen {
    registers: Registers,
    instruction: Instruction,
}

/// The call stack as the machine's own doing makes it.
#[derive(Clone, Debug)]
pub struct Shadow {
    ways: Ways,
    callers: Vec<Caller>,
    base: Base,
    seen: Option<Seen>,
    /// What comes next is a handler's first instruction.
    is_interrupted: bool,
    /// The callers and bases of threads that do not run, by where their stack pointers are.
    parked: BTreeMap<u64, (Vec<Caller>, Base)>,
    /// The frames of interrupted code that are being changed.
    rewriting: Option<Rewriting>,
}

/// The longest instruction, in bytes.
const LONGEST: usize = 15;
/// A stack pointer that moves by more has been loaded.
const FAR: u64 = 0x1000;

impl Shadow {
    /// A thread at its first instruction.
    pub fn new(ways: Ways) -> Shadow {
        Shadow {
            ways,
            callers: Vec::new(),
            base: Base::Thread,
            seen: None,
            is_interrupted: false,
            parked: BTreeMap::new(),
            rewriting: None,
        }
    }

    /// The callers, the lowest first.
    pub fn callers(&self) -> &[Caller] {
        &self.callers
    }

    pub fn base(&self) -> Base {
        self.base
    }

    /// Whether the frames of interrupted code are in the middle of being changed, so that nobody can say
    /// what that code's registers are.
    pub fn is_rewriting(&self) -> bool {
        self.rewriting.is_some()
    }

    /// A hash of where the callers are.
    pub fn shape(&self) -> u64 {
        let below = self.callers.last().map(|caller| caller.shape);
        below.unwrap_or(self.base as u64)
    }

    /// An interrupt or a fault is delivered to code with these registers.
    ///
    /// # Errors
    /// As for [`step`](Shadow::step).
    pub fn interrupt(
        &mut self,
        registers: &Registers,
        memory: &dyn ReadMemory,
    ) -> Result<Event, String> {
        // The last instruction came to its end before that, or had no effect.
        let seen = self.seen.take();
        let event = match &seen {
            Some(seen) => self.follow(seen, registers, None)?,
            None => Event::None,
        };
        self.enter_service(seen.as_ref(), registers, memory)?;
        self.interrupted_at(registers);
        self.is_interrupted = true;
        Ok(event)
    }

    /// The host calls a function, which has not run yet. Gives what was there before.
    #[must_use]
    pub fn call(&mut self, return_address: Va) -> Shadow {
        let mut before = self.clone();
        before.seen = None;
        self.callers.clear();
        self.base = Base::Host;
        self.seen = None;
        self.push(Way::Call, return_address, Registers::default());
        before
    }

    /// The code here interrupted code with these registers.
    pub fn interrupted_at(&mut self, registers: &Registers) {
        self.push(Way::Interruption, registers.rip(), registers.clone());
    }

    fn push(&mut self, way: Way, address: Va, mut registers: Registers) {
        let code = match way {
            Way::Call => CodeAddress::ReturnAddress(address),
            Way::Interruption => CodeAddress::InstructionPointer(address),
        };
        registers.rip = address.0;
        let words = [self.shape(), address.0, way as u64];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.callers.push(Caller {
            way,
            code,
            registers,
            flags_known: way == Way::Interruption,
            shape: xxh3_64(&bytes),
        });
    }

    /// Takes what the last instruction did into account; `now` is the next one's registers.
    ///
    /// # Errors
    /// The guest does what the shadow cannot follow: it returns to where nobody called from, or
    /// changes a register that it has to preserve.
    pub fn step(&mut self, now: &Registers, memory: &dyn ReadMemory) -> Result<Event, String> {
        let seen = self.seen.take();
        let event = match (std::mem::take(&mut self.is_interrupted), &seen) {
            (true, _) if self.ways.handlers.contains(&now.rip()) => Event::None,
            (true, _) => return Err("an interrupt that is not delivered".to_string()),
            (false, Some(seen)) if self.ways.timer == Some(now.rip()) => {
                self.take_timer(seen, now, memory)?
            }
            (false, Some(seen)) => self.follow(seen, now, Some(memory))?,
            (false, None) => self.begin(now),
        };
        if self.ways.restore == Some(now.rip()) {
            self.restore(now, memory)?;
        }
        self.enter_service(seen.as_ref(), now, memory)?;
        if self.ways.rewrite == Some(now.rip()) {
            self.rewriting = Some(Rewriting::new(now, self.callers.len()));
        }
        let mut bytes = [0; LONGEST];
        let present = memory.read_partial(now.rip(), &mut bytes);
        let mut decoder = Decoder::with_ip(64, &bytes[..present], now.rip, DecoderOptions::NONE);
        self.seen = Some(Seen {
            registers: now.clone(),
            instruction: decoder.decode(),
        });
        Ok(event)
    }

    /// If the guest is about to enter a system service: a machine frame says where its caller goes on. It
    /// may be there for the second time, behind an interrupt or a stop.
    fn enter_service(
        &mut self,
        seen: Option<&Seen>,
        now: &Registers,
        memory: &dyn ReadMemory,
    ) -> Result<(), String> {
        let is_again = |seen: &Seen| {
            seen.registers.rip == now.rip || seen.instruction.mnemonic() == Mnemonic::Iretq
        };
        if self.ways.service == Some(now.rip()) && !seen.is_some_and(is_again) {
            self.interrupted_at(&framed(now, memory)?);
        }
        Ok(())
    }

    /// A context is about to be gone on with: the frames above its own are gone, and it is the caller of
    /// the few instructions that load it.
    fn restore(&mut self, now: &Registers, memory: &dyn ReadMemory) -> Result<(), String> {
        let target = laid_out(now, memory)?;
        while let Some(caller) = self.callers.pop() {
            let (rsp, wanted) = (caller.registers.rsp(), target.rsp());
            if rsp < wanted {
                continue;
            }
            if rsp > wanted {
                return Err(format!("a context at {}, where nobody is", target.rip()));
            }
            if let Some(register) = changed(&caller.registers, &target) {
                return Err(format!(
                    "{register} is another in a context for {}",
                    target.rip()
                ));
            }
            self.interrupted_at(&target);
            return Ok(());
        }
        Err("a context above all callers".to_string())
    }

    /// The frames of interrupted code have been changed: what they say now is what it goes on with.
    fn rewritten(&mut self, memory: &dyn ReadMemory) -> Result<(), String> {
        let Some(rewriting) = self.rewriting.take_if(|it| it.depth > self.callers.len()) else {
            return Ok(());
        };
        let registers = rewriting.registers(memory)?;
        let interrupted = self
            .callers
            .iter()
            .rposition(|it| it.way == Way::Interruption);
        let at = interrupted.ok_or("frames of code that was not interrupted")?;
        let above: Vec<Caller> = self.callers.drain(at..).skip(1).collect();
        // A filter may have gone on in a caller of that code.
        let is_left = |caller: &mut Caller| caller.registers.rsp() <= registers.rsp();
        while self.callers.pop_if(is_left).is_some() {}
        self.interrupted_at(&registers);
        for caller in above {
            let flags_known = caller.flags_known;
            self.push(caller.way, caller.code.address(), caller.registers);
            if let Some(last) = self.callers.last_mut() {
                last.flags_known = flags_known;
            }
        }
        Ok(())
    }

    fn begin(&mut self, now: &Registers) -> Event {
        if self.base == Base::Host
            && let [landing] = &mut self.callers[..]
        {
            // The function that the host has called is at its first instruction.
            let rip = landing.registers.rip;
            landing.registers = now.clone();
            landing.registers.rip = rip;
            let above = now.rsp().wrapping_add(8);
            landing.registers.set(Gpr::Rsp, above.0);
        }
        Event::None
    }

    /// The timer has interrupted: its handler's frame says where.
    fn take_timer(
        &mut self,
        seen: &Seen,
        now: &Registers,
        memory: &dyn ReadMemory,
    ) -> Result<Event, String> {
        let interrupted = framed(now, memory)?;
        let event = self.follow(seen, &interrupted, Some(memory))?;
        self.enter_service(Some(seen), &interrupted, memory)?;
        self.interrupted_at(&interrupted);
        Ok(event)
    }

    /// Another thread goes on, or starts with what has been laid out for it: eight registers, the
    /// address of its first instruction, and a zero.
    fn switch(
        &mut self,
        before: &Registers,
        now: &Registers,
        memory: Option<&dyn ReadMemory>,
    ) -> Result<(), String> {
        const REGISTERS: u64 = 0xb8;
        let left = (std::mem::take(&mut self.callers), self.base);
        self.parked.insert(before.rsp().0, left);
        if let Some((callers, base)) = self.parked.remove(&now.rsp().0) {
            (self.callers, self.base) = (callers, base);
            return Ok(());
        }
        let memory = memory.ok_or("a thread that starts at an interrupt")?;
        let word = |number: u64| {
            let read = memory.read_u64(now.rsp().wrapping_add(REGISTERS + number * 8));
            read.map_err(|error| error.to_string())
        };
        let mut first = Registers::default();
        use Gpr::{R12, R13, R14, R15, Rbp, Rbx, Rdi, Rsi};
        for (number, register) in [R15, R14, R13, R12, Rdi, Rsi, Rbp, Rbx]
            .into_iter()
            .enumerate()
        {
            first.set(register, word(number as u64)?);
        }
        first.set(Gpr::Rsp, now.rsp().wrapping_add(REGISTERS + 9 * 8).0);
        self.base = Base::Thread;
        // The frame is there as if the code that is to start had called.
        self.push(Way::Call, Va(word(8)?), first);
        Ok(())
    }

    fn follow(
        &mut self,
        seen: &Seen,
        now: &Registers,
        memory: Option<&dyn ReadMemory>,
    ) -> Result<Event, String> {
        let Seen {
            registers: before,
            instruction,
        } = seen;
        if before.rip == now.rip && before.gpr == now.gpr {
            // Stopped in front of it, and gone on; or a jump to itself.
            return Ok(Event::None);
        }
        let returns = instruction.mnemonic() == Mnemonic::Iretq;
        if self.ways.switch == Some(before.rip()) {
            self.switch(before, now, memory)?;
            return Ok(Event::None);
        }
        if self.ways.handlers.contains(&now.rip()) && !returns {
            // A fault: the instruction did nothing.
            self.interrupted_at(before);
            self.flags_unknown();
            return Ok(Event::None);
        }
        let next = Va(instruction.next_ip());
        match (instruction.mnemonic(), instruction.flow_control()) {
            (Mnemonic::Syscall, _) => {
                let mut caller = before.clone();
                // The processor keeps the flags in R11 (Intel SDM volume 2, SYSCALL).
                caller.rflags = now.get(Gpr::R11);
                self.push(Way::Interruption, next, caller);
            }
            (Mnemonic::Sysretq | Mnemonic::Iretq, _) => return self.pop(Way::Interruption, now),
            (Mnemonic::Ret, _) => {
                let event = self.pop(Way::Call, now)?;
                if let Some(memory) = memory {
                    self.rewritten(memory)?;
                }
                return Ok(event);
            }
            // The machine's way into ring 0 is part of a system call.
            _ if instruction.code() == Code::Call_m1632 => {}
            (_, FlowControl::Call | FlowControl::IndirectCall) => {
                self.push(Way::Call, next, before.clone());
            }
            _ if self.ways.abandons(before.rip()) => {
                let moved = now.rsp() - before.rsp();
                let is_far = moved.min(moved.wrapping_neg()) > FAR;
                let caller = self.callers.last();
                // The address to return to is below the stack pointer, and was not returned to.
                if is_far || caller.is_some_and(|it| it.registers.rsp() <= now.rsp()) {
                    self.callers.clear();
                    self.base = Base::Loaded;
                    return Ok(Event::Loaded);
                }
            }
            _ => {}
        }
        Ok(Event::None)
    }

    fn flags_unknown(&mut self) {
        if let Some(last) = self.callers.last_mut() {
            last.flags_known = false;
        }
    }

    fn pop(&mut self, way: Way, now: &Registers) -> Result<Event, String> {
        let Some(caller) = self.callers.pop() else {
            if self.base == Base::Loaded && way == Way::Interruption {
                self.base = Base::Thread;
                return Ok(Event::Started(Box::new(now.clone())));
            }
            return Err("a return without a call".to_string());
        };
        let is_back = (caller.way, caller.code.address(), caller.registers.rsp())
            == (way, now.rip(), now.rsp());
        if !is_back {
            return Err(format!("a return to {}, not to {caller:x?}", now.rip()));
        }
        match changed(&caller.registers, now) {
            Some(register) => Err(format!("{register} is not preserved for {}", now.rip())),
            None => Ok(Event::None),
        }
    }
}

/// The first register that differs of those that functions preserve for their callers (Microsoft,
/// *x64 calling convention*), but for RSP.
pub fn changed(a: &Registers, b: &Registers) -> Option<String> {
    use Gpr::{R12, R13, R14, R15, Rbp, Rbx, Rdi, Rsi};
    let gpr = [Rbx, Rbp, Rsi, Rdi, R12, R13, R14, R15]
        .into_iter()
        .find(|register| a.get(*register) != b.get(*register))
        .map(|register| format!("{register:?}"));
    let xmm = || (6..16).find(|number| a.xmm[*number] != b.xmm[*number]);
    gpr.or_else(|| xmm().map(|number| format!("XMM{number}")))
}

/// The registers that the machine frame at the stack pointer says (Intel SDM volume 3, 6.14.2).
fn framed(now: &Registers, memory: &dyn ReadMemory) -> Result<Registers, String> {
    let word = |number: u64| {
        let read = memory.read_u64(now.rsp().wrapping_add(number * 8));
        read.map_err(|error| error.to_string())
    };
    let mut framed = now.clone();
    framed.rip = word(0)?;
    framed.rflags = word(2)?;
    framed.set(Gpr::Rsp, word(3)?);
    Ok(framed)
}
