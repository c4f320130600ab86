//! Random functions of every form that unwind data can describe.

use poolhit_fixtures::unwind_builder::{Function, Instruction};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::ops::Range;

/// RBX, RBP, RSI, RDI and R12 to R15: the registers that a function preserves.
const NONVOLATILE: [u8; 8] = [3, 5, 6, 7, 12, 13, 14, 15];
const RCX: u8 = 1;
const RSP: u8 = 4;

/// What a function's prologue does and how the function ends.
#[derive(Clone, Debug)]
pub struct Shape {
    /// A machine frame below the function, with an error code or not.
    pub machine_frame: Option<bool>,
    /// Eight bytes allocated before the pushes, released by a pop.
    pub has_scratch: bool,
    pub pushes: Vec<u8>,
    /// Allocations of eight bytes between the pushes; such a function has no standard epilogue.
    pub is_interleaved: bool,
    pub allocations: Vec<u32>,
    /// The frame register (one of `pushes`) and its offset.
    pub frame: Option<(u8, u32)>,
    /// Whether registers are saved before the frame register is set.
    pub saves_first: bool,
    /// The distance of the first save from the stack pointer.
    pub first_slot: u32,
    pub saves: Vec<u8>,
    pub xmm_saves: Vec<u8>,
    /// What the body allocates if there is a frame register to release it with.
    pub dynamic: u32,
    /// Registers that a chained record saves, in slots of this function's allocation.
    pub chained_saves: Vec<u8>,
    pub ending: Instruction,
}

/// The function of a [`Shape`], and where its parts are, by index of instruction.
pub struct Shaped {
    pub function: Function,
    pub body: Range<usize>,
    /// Where an epilogue's instructions are, and the first of them that changes RSP.
    pub epilogues: Vec<(Range<usize>, usize)>,
    pub chained_slots: Vec<(u8, u32)>,
}

fn shuffled(of: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    subsequence(of, 0..=of.len()).prop_shuffle()
}

fn ending() -> impl Strategy<Value = Instruction> {
    select(vec![
        Instruction::Return,
        Instruction::RepReturn,
        Instruction::JumpTo(0x40),
        Instruction::JumpTo(0x9_0000),
        Instruction::JumpThroughMemory,
        Instruction::JumpToRax,
    ])
}

pub fn shapes() -> impl Strategy<Value = Shape> {
    let allocation = prop_oneof![1_u32..20, 1_u32..0x200, 0xfff0_u32..0x2_8000].prop_map(|n| n * 8);
    let stack = (
        prop::option::weighted(0.25, any::<bool>()),
        any::<bool>(),
        shuffled(&NONVOLATILE),
        prop::bool::weighted(0.2),
        prop::collection::vec(allocation, 0..3),
        prop::option::of((any::<prop::sample::Index>(), 0_u32..16)),
    );
    let saves = (
        any::<bool>(),
        select(vec![0, 0x20, 0x7_fff0, 0x10_0000, 0x11_0000]),
        subsequence(&NONVOLATILE[..], 0..=8),
        subsequence(&[6_u8, 7, 8, 9, 10, 11, 12, 13, 14, 15][..], 0..=10),
        select(vec![0_u32, 8, 0x500]),
        any::<u8>(),
        ending(),
    );
    (stack, saves).prop_map(|(stack, saves)| {
        let (machine_frame, has_scratch, pushes, is_interleaved, allocations, frame) = stack;
        let (saves_first, first_slot, others, xmm_saves, dynamic, chained, ending) = saves;
        let frame = frame.filter(|_| !pushes.is_empty());
        let frame = frame.map(|(index, units)| (*index.get(&pushes), units * 16));
        let others: Vec<u8> = others.into_iter().filter(|r| !pushes.contains(r)).collect();
        let (chained_saves, saves) = others
            .into_iter()
            .partition(|register| chained >> (register & 7) & 1 != 0);
        Shape {
            machine_frame,
            has_scratch: has_scratch && !pushes.is_empty(),
            pushes,
            is_interleaved,
            allocations,
            frame,
            saves_first,
            first_slot,
            saves,
            xmm_saves,
            dynamic,
            chained_saves,
            ending,
        }
    })
}

impl Shape {
    /// The function, with two epilogues unless it has none, described in version 2 if asked for.
    pub fn function(&self, version_2: bool) -> Shaped {
        let mut code: Vec<Instruction> = Vec::new();
        code.extend(
            self.machine_frame
                .map(|error_code| Instruction::MachineFrame { error_code }),
        );
        if self.has_scratch {
            code.push(Instruction::SubRsp(8));
        }
        for (index, register) in self.pushes.iter().enumerate() {
            code.push(Instruction::Push(*register));
            if self.is_interleaved && index % 2 == 0 {
                code.push(Instruction::SubRsp(8));
            }
        }
        let mut next = self.first_slot;
        let mut slot = |size: u32| {
            next = next.next_multiple_of(size) + size;
            next - size
        };
        let xmm_slots: Vec<_> = self.xmm_saves.iter().map(|xmm| (*xmm, slot(16))).collect();
        let slots: Vec<_> = self
            .saves
            .iter()
            .map(|register| (*register, slot(8)))
            .collect();
        let chained_slots: Vec<_> = self.chained_saves.iter().map(|r| (*r, slot(8))).collect();
        let mut allocations = self.allocations.clone();
        let wanted: u32 = allocations.iter().sum();
        if wanted < next {
            allocations.push((next - wanted).next_multiple_of(8));
        }
        code.extend(allocations.iter().map(|bytes| Instruction::SubRsp(*bytes)));
        // As where a large allocation calls a function that touches the stack's pages.
        code.push(Instruction::Nop);
        let place = |slot: u32, is_set: bool| match self.frame.filter(|_| is_set) {
            Some((register, offset)) => (register, slot as i32 - offset as i32),
            None => (RSP, slot as i32),
        };
        let set_frame = self
            .frame
            .map(|(register, offset)| Instruction::SetFrame { register, offset });
        if !self.saves_first {
            code.extend(set_frame);
        }
        for (register, slot) in &xmm_slots {
            let (base, displacement) = place(*slot, !self.saves_first);
            code.push(Instruction::StoreXmm {
                register: *register,
                base,
                displacement,
                slot: *slot,
            });
        }
        for (register, slot) in &slots {
            let (base, displacement) = place(*slot, !self.saves_first);
            code.push(Instruction::Store {
                register: *register,
                base,
                displacement,
                slot: *slot,
            });
        }
        if self.saves_first {
            code.extend(set_frame);
        }
        let prologue = code.len();

        let own_frame = self.frame.map(|(register, _)| register);
        let changed = self
            .pushes
            .iter()
            .chain(&self.saves)
            .filter(|r| Some(**r) != own_frame);
        code.extend(changed.map(|register| Instruction::Set {
            register: *register,
            value: 0xdead,
        }));
        code.extend(self.xmm_saves.iter().map(|xmm| Instruction::ClearXmm(*xmm)));
        if self.frame.is_some() && self.dynamic != 0 {
            code.push(Instruction::SubRsp(self.dynamic));
        }
        code.push(Instruction::Breakpoint);
        let body = prologue..code.len();

        let mut epilogues = Vec::new();
        let mut described = Vec::new();
        for _ in 0..if self.is_interleaved { 0 } else { 2 } {
            let start = code.len();
            for (register, slot) in &xmm_slots {
                let (base, displacement) = place(*slot, true);
                code.push(Instruction::LoadXmm {
                    register: *register,
                    base,
                    displacement,
                });
            }
            for (register, slot) in &slots {
                let (base, displacement) = place(*slot, true);
                code.push(Instruction::Load {
                    register: *register,
                    base,
                    displacement,
                });
            }
            let release = code.len();
            let allocated: u32 = allocations.iter().sum();
            match self.frame {
                Some((base, offset)) => {
                    let displacement = allocated as i32 - offset as i32;
                    code.push(Instruction::LeaRsp { base, displacement });
                }
                None if allocated != 0 => code.push(Instruction::AddRsp(allocated)),
                None => {}
            }
            let pops = code.len();
            code.extend(
                self.pushes
                    .iter()
                    .rev()
                    .map(|register| Instruction::Pop(*register)),
            );
            if self.has_scratch {
                code.push(Instruction::Pop(RCX));
            }
            match self.machine_frame {
                Some(error_code) => {
                    code.extend(error_code.then_some(Instruction::AddRsp(8)));
                    code.push(Instruction::InterruptReturn);
                }
                None => code.push(self.ending),
            }
            described.push((pops, code.len()));
            epilogues.push((start..code.len(), release));
        }
        described.retain(|_| version_2);
        let frame = self.frame;
        let function = Function {
            instructions: code,
            prologue,
            frame,
            parent: None,
            epilogues: described,
        };
        Shaped {
            function,
            body,
            epilogues,
            chained_slots,
        }
    }
}
