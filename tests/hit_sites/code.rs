//! Random functions, and their machine code (Intel SDM, volume 2).

use poolhit::registers::Gpr;
use proptest::prelude::*;

/// An instruction of a random function. Stack offsets count from RSP.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// `mov to, from`, of 1, 2, 4 or 8 bytes.
    Copy(Gpr, Gpr, u8),
    /// `mov [rsp+offset], from`.
    Store(i8, Gpr, u8),
    /// `mov to, [rsp+offset]`.
    Load(Gpr, i8, u8),
    /// `mov [pointer], from`.
    StoreThrough(Gpr, Gpr),
    /// `mov to, [pointer]`.
    LoadThrough(Gpr, Gpr),
    /// `push register`.
    Push(Gpr),
    /// `pop register`.
    Pop(Gpr),
    /// `lea to, [rsp+offset]`.
    Address(Gpr, i8),
    /// `xor register, register`, of 4 bytes.
    Clear(Gpr),
    /// `xchg a, b`, of 8 bytes.
    Exchange(Gpr, Gpr),
    /// `test register, register`.
    Test(Gpr),
    /// `call` of a function that writes to all it may write to.
    Call,
    /// `jmp` to an instruction, by its number.
    Jump(usize),
    /// `jcc` to an instruction.
    JumpIf(u8, usize),
    /// `int 3`.
    Break,
}

/// A function's code, and the offsets of its `int 3`s. The last instruction is one.
pub struct Assembled {
    pub bytes: Vec<u8>,
    pub breaks: Vec<u32>,
}

/// RSP is moved only by constants, pushes and pops, or set to RBP, and addresses are computed only
/// from it: what the analysis takes for granted about code. Writing over some bytes of an address
/// makes another one; so functions either do that, or go through addresses.
pub fn function() -> impl Strategy<Value = Vec<Op>> {
    let bytes = op(any_size(), -16..96, 1, Just(Op::Break));
    let through = prop_oneof![
        2 => (register(), register()).prop_map(|(pointer, from)| Op::StoreThrough(pointer, from)),
        2 => (register(), register()).prop_map(|(to, pointer)| Op::LoadThrough(to, pointer)),
        1 => Just(Op::Copy(Gpr::Rsp, Gpr::Rbp, 8)),
        2 => Just(Op::Call),
    ];
    let pointers = op(
        prop_oneof![2 => Just(8_u8), 1 => Just(4)],
        -4..24,
        4,
        through,
    );
    prop_oneof![
        1 => prop::collection::vec(bytes, 1..40),
        3 => prop::collection::vec(pointers, 1..40),
    ]
}

fn any_size() -> impl Strategy<Value = u8> + Clone {
    prop_oneof![4 => Just(8_u8), 2 => Just(4), 1 => Just(2), 1 => Just(1)]
}

/// Few registers meet often.
fn register() -> impl Strategy<Value = Gpr> {
    let few = &[
        Gpr::Rcx,
        Gpr::Rdx,
        Gpr::Rbx,
        Gpr::Rsi,
        Gpr::Rbp,
        Gpr::R8,
        Gpr::R12,
    ];
    let few = prop::sample::select(&few[..]);
    let any = prop::sample::select(&Gpr::ALL[..]);
    let any = any.prop_filter("the stack's", |register| *register != Gpr::Rsp);
    prop_oneof![4 => few, 1 => any]
}

fn op(
    size: impl Strategy<Value = u8> + Clone + 'static,
    offsets: std::ops::Range<i8>,
    unit: i8,
    other: impl Strategy<Value = Op> + 'static,
) -> impl Strategy<Value = Op> {
    let one = register;
    let size = || size.clone();
    let any = move || offsets.clone().prop_map(move |at| at * unit);
    let offset = || prop_oneof![4 => (-2_i8..12).prop_map(|at| at * 8), 1 => any()];
    prop_oneof![
        6 => (one(), one(), size()).prop_map(|(to, from, size)| Op::Copy(to, from, size)),
        1 => one().prop_map(|to| Op::Copy(to, Gpr::Rsp, 8)),
        6 => (offset(), one(), size()).prop_map(|(at, from, size)| Op::Store(at, from, size)),
        6 => (one(), offset(), size()).prop_map(|(to, at, size)| Op::Load(to, at, size)),
        3 => one().prop_map(Op::Push),
        3 => one().prop_map(Op::Pop),
        2 => (one(), offset()).prop_map(|(to, at)| Op::Address(to, at)),
        3 => (-6_i8..6).prop_map(|by| Op::Address(Gpr::Rsp, by * 8)),
        1 => one().prop_map(Op::Clear),
        1 => (one(), one()).prop_map(|(a, b)| Op::Exchange(a, b)),
        2 => one().prop_map(Op::Test),
        1 => (0_usize..40).prop_map(Op::Jump),
        3 => (0_u8..16, 0_usize..40).prop_map(|(when, to)| Op::JumpIf(when, to)),
        1 => Just(Op::Break),
        6 => other,
    ]
}

/// `callee` is the offset of the function that is called.
pub fn assemble(ops: &[Op], callee: i32) -> Assembled {
    let mut places = vec![0_i32];
    for op in ops {
        let length = encode(op, 0, &|_| 0, 0).len() as i32;
        places.push(places[places.len() - 1] + length);
    }
    let mut bytes = Vec::new();
    let mut breaks = Vec::new();
    for op in ops.iter().chain([&Op::Break]) {
        let at = bytes.len() as i32;
        if matches!(op, Op::Break) {
            breaks.push(at as u32);
        }
        let place = |number: usize| places[number % places.len()];
        bytes.extend(encode(op, at, &place, callee));
    }
    Assembled { bytes, breaks }
}

fn encode(op: &Op, at: i32, place: &dyn Fn(usize) -> i32, callee: i32) -> Vec<u8> {
    const STACK: u8 = Gpr::Rsp as u8;
    let branch = |opcode: &[u8], target: i32| {
        let next = at + opcode.len() as i32 + 4;
        let mut bytes = opcode.to_vec();
        bytes.extend((target - next).to_le_bytes());
        bytes
    };
    match *op {
        Op::Copy(to, from, size) => registers(size, 0x89, from as u8, to as u8),
        Op::Store(offset, from, size) => memory(size, 0x89, from as u8, STACK, offset),
        Op::Load(to, offset, size) => memory(size, 0x8b, to as u8, STACK, offset),
        Op::StoreThrough(pointer, from) => memory(8, 0x89, from as u8, pointer as u8, 0),
        Op::LoadThrough(to, pointer) => memory(8, 0x8b, to as u8, pointer as u8, 0),
        Op::Push(register) => vec![0x40 | register as u8 >> 3, 0x50 | register as u8 & 7],
        Op::Pop(register) => vec![0x40 | register as u8 >> 3, 0x58 | register as u8 & 7],
        Op::Address(to, offset) => memory(8, 0x8d, to as u8, STACK, offset),
        Op::Clear(register) => registers(4, 0x31, register as u8, register as u8),
        Op::Exchange(a, b) => registers(8, 0x87, a as u8, b as u8),
        Op::Test(register) => registers(8, 0x85, register as u8, register as u8),
        Op::Call => branch(&[0xe8], callee),
        Op::Jump(to) => branch(&[0xe9], place(to)),
        Op::JumpIf(when, to) => branch(&[0x0f, 0x80 | when], place(to)),
        Op::Break => vec![0xcc],
    }
}

/// Prefixes and the opcode, which is even for bytes.
fn opcode(size: u8, opcode: u8, reg: u8, rm: u8, out: &mut Vec<u8>) {
    if size == 2 {
        out.push(0x66);
    }
    let wide = if size == 8 { 8 } else { 0 };
    out.push(0x40 | wide | (reg >> 3) << 2 | rm >> 3);
    out.push(if size == 1 { opcode & !1 } else { opcode });
}

fn registers(size: u8, code: u8, reg: u8, rm: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    opcode(size, code, reg, rm, &mut bytes);
    bytes.push(0xc0 | (reg & 7) << 3 | rm & 7);
    bytes
}

fn memory(size: u8, code: u8, reg: u8, base: u8, offset: i8) -> Vec<u8> {
    let mut bytes = Vec::new();
    opcode(size, code, reg, base, &mut bytes);
    bytes.push(0x40 | (reg & 7) << 3 | base & 7);
    if base & 7 == 4 {
        bytes.push(0x24);
    }
    bytes.push(offset as u8);
    bytes
}
