//! framehop, another unwinder, on the same boundaries: it unwinds one frame of the built-in images,
//! and gives RIP, RSP and RBP. So the truth here is not only what this project takes it for.

use crate::guest::Guest;
use crate::oracle::shadow::{Caller, Shadow};
use crate::oracle::watch::Check;
use framehop::x86_64::{CacheX86_64, Reg, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, MayAllocateDuringUnwind, Module, ModuleSectionInfo, Unwinder};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use poolhit::address::Va;
use poolhit::image::function_table::FunctionTable;
use poolhit::image::unwind_info::UnwindInfo;
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;
use poolhit::registers::{Gpr, Registers};
use poolhit::symbols::Modules;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// An image with all of it in each section that framehop asks for.
struct Sections {
    bytes: Vec<u8>,
    base: u64,
    table: Range<u32>,
}

impl Sections {
    fn range(&self, name: &[u8]) -> Option<Range<u32>> {
        match name {
            b".text" | b".rdata" => Some(0..self.bytes.len() as u32),
            b".pdata" => Some(self.table.clone()),
            _ => None,
        }
    }
}

impl ModuleSectionInfo<Vec<u8>> for Sections {
    fn base_svma(&self) -> u64 {
        self.base
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        let range = self.range(name)?;
        Some(self.base + u64::from(range.start)..self.base + u64::from(range.end))
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let range = self.range(name)?;
        Some(self.bytes[range.start as usize..range.end as usize].to_vec())
    }
}

#[derive(Default)]
struct Opinions {
    agreed: u64,
    /// In prologues that will set a frame register, framehop takes it for set; and it does not know
    /// that `iretq` ends an epilogue, behind which the register is another one's. It panics where
    /// the register's value is less than the frame's offset.
    not_asked: u64,
    /// Where framehop says something else, and how often.
    differed: BTreeMap<Va, u64>,
}

struct SecondOpinion {
    unwinder: UnwinderX86_64<Vec<u8>>,
    cache: CacheX86_64<MayAllocateDuringUnwind>,
    modules: Modules,
    opinions: Arc<Mutex<Opinions>>,
}

impl Check for SecondOpinion {
    fn boundary(&mut self, now: &Registers, shadow: &Shadow, memory: &dyn ReadMemory) {
        let Some(caller) = shadow.callers().last() else {
            return;
        };
        let end = end_of_epilogue(now.rip(), memory);
        if self.sets_frame_register_later(now.rip()) || end.mnemonic() == Mnemonic::Iretq {
            self.opinions.lock().unwrap().not_asked += 1;
            return;
        }
        let found = self.unwind(now, memory);
        let mut opinions = self.opinions.lock().unwrap();
        match found == Some(truth(caller)) {
            true => opinions.agreed += 1,
            false => *opinions.differed.entry(now.rip()).or_default() += 1,
        }
    }
}

fn truth(caller: &Caller) -> [u64; 3] {
    let registers = &caller.registers;
    [registers.rip, registers.rsp().0, registers.get(Gpr::Rbp)]
}

impl SecondOpinion {
    /// Whether the code is in a prologue that may not have come to its frame register yet.
    fn sets_frame_register_later(&self, at: Va) -> bool {
        let look = || {
            let module = self.modules.containing(at)?;
            let (rva, image) = (module.rva(at)?, &**module.image()?);
            let function = FunctionTable::of(image)?.lookup(rva)?;
            let info = UnwindInfo::parse(image, function.unwind_info).ok()?;
            let done = rva.0 - function.begin.0;
            Some(info.frame_register().is_some() && done < info.prologue_size().into())
        };
        look() == Some(true)
    }

    fn unwind(&mut self, now: &Registers, memory: &dyn ReadMemory) -> Option<[u64; 3]> {
        let mut registers = UnwindRegsX86_64::new(now.rip, now.rsp().0, now.get(Gpr::Rbp));
        for (register, value) in framehop_registers().into_iter().zip(now.gpr) {
            registers.set(register, value);
        }
        let address = FrameAddress::from_instruction_pointer(now.rip);
        let mut read = |address: u64| memory.read_u64(Va(address)).map_err(|_| ());
        let found = self
            .unwinder
            .unwind_frame(address, &mut registers, &mut self.cache, &mut read);
        Some([found.ok()??, registers.sp(), registers.bp()])
    }
}

fn framehop_registers() -> [Reg; 16] {
    use Reg::*;
    [
        RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
    ]
}

#[test]
fn framehop_agrees_but_for_what_it_does_not_know() {
    let mut guest = Guest::boot(Some(1));
    let mut unwinder = UnwinderX86_64::new();
    for module in guest.lab.modules().iter() {
        let image = module.image().unwrap();
        let base = module.base().0;
        let bytes = image.layout(module.base()).unwrap();
        let (table, size) = image.exception_directory().unwrap_or_default();
        let sections = Sections {
            base,
            table: table.0..table.0 + size,
            bytes,
        };
        let range = base..base + u64::from(module.size());
        unwinder.add_module(Module::new(module.name().to_owned(), range, base, sections));
    }
    let opinions = Arc::new(Mutex::new(Opinions::default()));
    guest.watch.oracle().also = Some(Box::new(SecondOpinion {
        unwinder,
        cache: CacheX86_64::new_in(),
        modules: guest.lab.modules(),
        opinions: Arc::clone(&opinions),
    }));
    guest.set_tag(b"Leak");
    let mut ticks = 0;
    while ticks < 40 {
        guest.pass_break_instruction();
        let limit = guest.lab.machine().work() + 0x1800;
        if guest.run(limit) == Exit::Limit {
            ticks += u32::from(guest.clock(false));
        }
    }
    let opinions = opinions.lock().unwrap();
    assert!(opinions.agreed > 5000, "{}", opinions.agreed);
    println!(
        "{} agreed, {} not asked",
        opinions.agreed, opinions.not_asked
    );
    assert!(opinions.not_asked * 10 < opinions.agreed);
    // It takes a jump that stays in its function for a tail call, which ends an epilogue.
    for at in opinions.differed.keys() {
        assert!(is_jump_inside(&guest, *at), "{at}");
    }
    assert!(
        !opinions.differed.is_empty(),
        "then it is to be asked again"
    );
}

/// The first instruction that adds nothing and pops nothing.
fn end_of_epilogue(at: Va, memory: &dyn ReadMemory) -> Instruction {
    let mut code = [0; 32];
    let present = memory.read_partial(at, &mut code);
    let mut decoder = Decoder::with_ip(64, &code[..present], at.0, DecoderOptions::NONE);
    let end = decoder
        .iter()
        .find(|it| !matches!(it.mnemonic(), Mnemonic::Add | Mnemonic::Pop));
    end.unwrap_or_default()
}

/// Whether the code from an address on, but for what epilogues have too, is a jump within a function.
fn is_jump_inside(guest: &Guest, at: Va) -> bool {
    let end = end_of_epilogue(at, guest.lab.machine());
    let modules = guest.lab.modules();
    let function = |at: Va| {
        let module = modules.containing(at).unwrap();
        let table = FunctionTable::of(&**module.image().unwrap()).unwrap();
        let function = table.lookup(module.rva(at).unwrap()).unwrap();
        (function, module.base() + function.begin)
    };
    // From a part that lies elsewhere, it is a jump into another one's middle.
    let target = Va(end.near_branch_target());
    end.mnemonic() == Mnemonic::Jmp && {
        let (to, begin) = function(target);
        to == function(at).0 || target != begin
    }
}
