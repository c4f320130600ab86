//! What registers and stack hold at one point of a function, as far as it matters for finding
//! arguments, and what an instruction does to it.
//!
//! Stack addresses are offsets from RSP at the function's entry, where the return address is. Three
//! things are taken for granted, all of them Microsoft's x64 convention (*x64 calling convention*,
//! *x64 stack usage*): a call keeps the non-volatile registers, returns with RSP as it was, and
//! writes of its caller's frame only the 32 bytes of home space above its return address; what is
//! below RSP is lost at any time; and code writes to a slot of the stack only by RSP, a register
//! that was made from RSP, or an address of that slot which was handed out before.

use super::Width;
use crate::registers::Gpr;
use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

/// The most slots, and the most addresses handed out, that are kept.
const SLOT_LIMIT: usize = 32;
/// The home space of a callee's four register arguments, in bytes.
const HOME_SPACE: i64 = 0x20;
const VOLATILE: [Gpr; 7] = [
    Gpr::Rax,
    Gpr::Rcx,
    Gpr::Rdx,
    Gpr::R8,
    Gpr::R9,
    Gpr::R10,
    Gpr::R11,
];
/// The registers of the first four arguments.
pub(super) const ARGUMENTS: [Gpr; 4] = [Gpr::Rcx, Gpr::Rdx, Gpr::R8, Gpr::R9];

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Unknown,
    /// An argument, by its place from 0 on: all of it, or its low 32 bits with any above.
    Argument(u8, Width),
    /// A stack address.
    Stack(i32),
}

impl Value {
    fn join(self, other: Value) -> Value {
        match (self, other) {
            (Value::Argument(a, first), Value::Argument(b, second)) if a == b => {
                Value::Argument(a, first.min(second))
            }
            _ if self == other => self,
            _ => Value::Unknown,
        }
    }

    /// What is left of it in a copy of 32 bits.
    fn doubleword(self) -> Value {
        match self {
            Value::Argument(number, _) => Value::Argument(number, Width::Doubleword),
            _ => Value::Unknown,
        }
    }

    fn moved(self, by: i64) -> Value {
        match self {
            Value::Stack(at) => stack(i64::from(at).checked_add(by)),
            _ => Value::Unknown,
        }
    }
}

fn stack(at: Option<i64>) -> Value {
    at.and_then(|at| i32::try_from(at).ok())
        .map_or(Value::Unknown, Value::Stack)
}

/// A place on the stack that holds an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub at: i32,
    pub number: u8,
    pub width: Width,
}

impl Slot {
    fn overlaps(&self, at: i32, bytes: i64) -> bool {
        let (own, other) = (i64::from(self.at), i64::from(at));
        own < other + bytes && other < own + self.width.bytes()
    }
}

/// Where a memory operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operand {
    /// Not on the stack, or only by an address that was handed out.
    Elsewhere,
    Stack(i32),
    /// At an unknown distance from a stack address.
    Indexed(Option<i32>),
}

/// What registers and stack hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    registers: [Value; 16],
    /// By address.
    slots: Vec<Slot>,
    /// Stack addresses that others may write to, sorted.
    exposed: Vec<i32>,
    /// There are more of them than fit, or unknown ones: no slot is safe any more.
    all_exposed: bool,
}

impl State {
    /// At a function's entry.
    pub fn entry() -> State {
        let mut registers = [Value::Unknown; 16];
        for (number, register) in (0..).zip(ARGUMENTS) {
            registers[register as usize] = Value::Argument(number, Width::Quadword);
        }
        registers[Gpr::Rsp as usize] = Value::Stack(0);
        State {
            registers,
            slots: Vec::new(),
            exposed: Vec::new(),
            all_exposed: false,
        }
    }

    pub fn get(&self, register: Gpr) -> Value {
        self.registers[register as usize]
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Keeps what this state and `other` agree on. Says whether that took something away.
    pub fn join(&mut self, other: &State) -> bool {
        let before = self.clone();
        let lost: Vec<i32> = (self.registers.iter().zip(&other.registers))
            .filter(|(a, b)| a != b)
            .flat_map(|(a, b)| [*a, *b])
            .filter_map(|value| match value {
                Value::Stack(at) => Some(at),
                _ => None,
            })
            .collect();
        for (own, other) in self.registers.iter_mut().zip(&other.registers) {
            *own = own.join(*other);
        }
        self.slots.retain_mut(|slot| {
            let same = |other: &&Slot| (other.at, other.number) == (slot.at, slot.number);
            let Some(other) = other.slots.iter().find(same) else {
                return false;
            };
            slot.width = slot.width.min(other.width);
            true
        });
        for at in other.exposed.iter().copied().chain(lost) {
            self.expose(at);
        }
        if other.all_exposed {
            self.expose_all();
        }
        *self != before
    }

    /// What `instruction` makes of it.
    pub fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        match instruction.flow_control() {
            FlowControl::Call | FlowControl::IndirectCall => return self.call(),
            // A debugger goes on behind a break instruction with the same registers.
            FlowControl::Interrupt if instruction.mnemonic() == Mnemonic::Int3 => return,
            FlowControl::Interrupt => return self.call(),
            _ => {}
        }
        let done = match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movsxd => self.copy(instruction),
            Mnemonic::Lea => self.take_address(instruction),
            Mnemonic::Add | Mnemonic::Sub => self.adjust(instruction),
            Mnemonic::Push => self.push(instruction),
            Mnemonic::Pop => self.pop(instruction),
            Mnemonic::Leave => {
                self.set(Gpr::Rsp, self.get(Gpr::Rbp).moved(8));
                self.set(Gpr::Rbp, Value::Unknown);
                true
            }
            _ => false,
        };
        if !done {
            self.other(instruction, factory);
        }
    }

    fn set(&mut self, register: Gpr, value: Value) {
        self.registers[register as usize] = value;
        if let (Gpr::Rsp, Value::Stack(top)) = (register, value) {
            self.slots.retain(|slot| slot.at >= top);
        }
    }

    fn forget(&mut self, at: i32, bytes: i64) {
        self.slots.retain(|slot| !slot.overlaps(at, bytes));
    }

    /// Others may write to this address from now on: 8 bytes, since what lies there is a variable of
    /// its own.
    fn expose(&mut self, at: i32) {
        self.forget(at, 8);
        let Err(place) = self.exposed.binary_search(&at) else {
            return;
        };
        if self.exposed.len() == SLOT_LIMIT {
            return self.expose_all();
        }
        self.exposed.insert(place, at);
    }

    /// An address that is not known was handed out.
    fn expose_all(&mut self) {
        self.slots.clear();
        self.all_exposed = true;
    }

    fn expose_value(&mut self, value: Value) {
        if let Value::Stack(at) = value {
            self.expose(at);
        }
    }

    fn operand(&self, base: Register, index: Register, displacement: u64) -> Operand {
        let of = |register: Register| gpr(register).map(|register| self.get(register));
        let is_stack = |value: Option<Value>| matches!(value, Some(Value::Stack(_)));
        if !is_stack(of(base)) {
            // RSP is always somewhere on the stack.
            return match is_stack(of(index)) || base.full_register() == Register::RSP {
                true => Operand::Indexed(None),
                false => Operand::Elsewhere,
            };
        }
        let value = of(base).unwrap_or(Value::Unknown);
        match value.moved(displacement as i64) {
            Value::Stack(at) if base.is_gpr64() && index == Register::None => Operand::Stack(at),
            Value::Stack(at) if base.is_gpr64() => Operand::Indexed(Some(at)),
            _ => Operand::Indexed(None),
        }
    }

    /// The memory operand of an instruction that has one.
    fn memory(&self, instruction: &Instruction) -> Operand {
        if matches!(instruction.memory_segment(), Register::FS | Register::GS) {
            return Operand::Elsewhere;
        }
        self.operand(
            instruction.memory_base(),
            instruction.memory_index(),
            instruction.memory_displacement64(),
        )
    }

    /// What is at a stack address, all of it or its low 32 bits.
    fn load(&self, at: i32) -> Value {
        let found = self.slots.iter().find(|slot| slot.at == at);
        found.map_or(Value::Unknown, |slot| {
            Value::Argument(slot.number, slot.width)
        })
    }

    /// `bytes` are written; 0 is an unknown number.
    fn store(&mut self, operand: Operand, bytes: usize, value: Value) {
        self.expose_value(value);
        let at = match operand {
            Operand::Elsewhere => return,
            Operand::Stack(at) if bytes != 0 => at,
            _ => return self.slots.clear(),
        };
        self.forget(at, bytes as i64);
        let value = if bytes == 8 {
            value
        } else {
            value.doubleword()
        };
        let Value::Argument(number, width) = value else {
            return;
        };
        let below = matches!(self.get(Gpr::Rsp), Value::Stack(top) if at < top);
        let slot = Slot { at, number, width };
        let near = |exposed: &i32| slot.overlaps(*exposed, 8);
        let open = self.all_exposed || self.exposed.iter().any(near);
        if bytes < 4 || below || open || self.slots.len() == SLOT_LIMIT {
            return;
        }
        let place = self.slots.partition_point(|slot| slot.at < at);
        self.slots.insert(place, slot);
    }

    /// `mov` and `movsxd` between general-purpose registers and memory.
    fn copy(&mut self, instruction: &Instruction) -> bool {
        let (to, from) = (instruction.op0_kind(), instruction.op1_kind());
        match (to, from) {
            (OpKind::Register, OpKind::Register | OpKind::Memory) => {
                let Some(register) = gpr(instruction.op0_register()) else {
                    return false;
                };
                let bytes = instruction.op0_register().size();
                let (value, from_bytes) = if from == OpKind::Register {
                    let Some(source) = gpr(instruction.op1_register()) else {
                        return false;
                    };
                    (self.get(source), instruction.op1_register().size())
                } else {
                    let value = match self.memory(instruction) {
                        Operand::Stack(at) => self.load(at),
                        _ => Value::Unknown,
                    };
                    (value, instruction.memory_size().size())
                };
                let value = match (bytes, from_bytes) {
                    (8, 8) => value,
                    (4 | 8, 4) => {
                        self.expose_value(value);
                        value.doubleword()
                    }
                    _ => {
                        self.expose_value(value);
                        Value::Unknown
                    }
                };
                self.set(register, value);
                true
            }
            (OpKind::Memory, OpKind::Register) => {
                let source = instruction.op1_register();
                let Some(register) = gpr(source) else {
                    return false;
                };
                // AH and its like are no low part.
                let value = match source.size() {
                    4 | 8 => self.get(register),
                    _ => Value::Unknown,
                };
                self.store(self.memory(instruction), source.size(), value);
                true
            }
            _ => false,
        }
    }

    fn take_address(&mut self, instruction: &Instruction) -> bool {
        let Some(register) = gpr(instruction.op0_register()) else {
            return false;
        };
        let whole = instruction.op0_register().is_gpr64();
        // `lea` computes: a segment has no part in it.
        let operand = self.operand(
            instruction.memory_base(),
            instruction.memory_index(),
            instruction.memory_displacement64(),
        );
        let value = match operand {
            Operand::Stack(at) if whole => Value::Stack(at),
            Operand::Stack(at) | Operand::Indexed(Some(at)) => {
                self.expose(at);
                Value::Unknown
            }
            Operand::Indexed(None) => {
                self.expose_all();
                Value::Unknown
            }
            Operand::Elsewhere => Value::Unknown,
        };
        self.set(register, value);
        true
    }

    /// `add` and `sub` of a constant to a stack address.
    fn adjust(&mut self, instruction: &Instruction) -> bool {
        let whole = instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().is_gpr64()
            && matches!(
                instruction.op1_kind(),
                OpKind::Immediate8to64 | OpKind::Immediate32to64
            );
        let Some(register) = gpr(instruction.op0_register()).filter(|_| whole) else {
            return false;
        };
        let by = instruction.immediate(1) as i64;
        let by = match instruction.mnemonic() {
            Mnemonic::Sub => by.checked_neg(),
            _ => Some(by),
        };
        let value = by.map_or(Value::Unknown, |by| self.get(register).moved(by));
        self.set(register, value);
        true
    }

    fn push(&mut self, instruction: &Instruction) -> bool {
        let source = instruction.op0_register();
        let bytes = match instruction.stack_pointer_increment() {
            -8 => 8,
            _ => return false,
        };
        let value = match gpr(source) {
            Some(register) if source.is_gpr64() => self.get(register),
            _ => Value::Unknown,
        };
        let top = self.get(Gpr::Rsp).moved(-bytes);
        self.set(Gpr::Rsp, top);
        let operand = match top {
            Value::Stack(at) => Operand::Stack(at),
            _ => Operand::Indexed(None),
        };
        self.store(operand, bytes as usize, value);
        true
    }

    fn pop(&mut self, instruction: &Instruction) -> bool {
        let to = instruction.op0_register();
        if instruction.op0_kind() != OpKind::Register || !to.is_gpr64() {
            return false;
        }
        let Some(register) = gpr(to) else {
            return false;
        };
        let top = self.get(Gpr::Rsp);
        let value = match top {
            Value::Stack(at) => self.load(at),
            _ => Value::Unknown,
        };
        self.set(Gpr::Rsp, top.moved(8));
        self.set(register, value);
        true
    }

    fn call(&mut self) {
        for register in ARGUMENTS {
            self.expose_value(self.get(register));
        }
        for register in VOLATILE {
            self.set(register, Value::Unknown);
        }
        match self.get(Gpr::Rsp) {
            Value::Stack(top) => {
                let kept = i64::from(top) + HOME_SPACE;
                self.slots.retain(|slot| i64::from(slot.at) >= kept);
            }
            _ => self.slots.clear(),
        }
    }

    /// Any other instruction: what it writes is lost.
    fn other(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        let compares = matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test);
        for operand in 0..instruction.op_count() {
            if instruction.op_kind(operand) == OpKind::Register
                && let Some(register) = gpr(instruction.op_register(operand))
                && !compares
            {
                self.expose_value(self.get(register));
            }
        }
        let info = factory.info(instruction);
        for memory in info.used_memory() {
            if !writes(memory.access()) || matches!(memory.segment(), Register::FS | Register::GS) {
                continue;
            }
            // How often a string instruction writes is in a register.
            let bytes = match instruction.is_string_instruction() {
                true => 0,
                false => memory.memory_size().size(),
            };
            let operand = self.operand(memory.base(), memory.index(), memory.displacement());
            self.store(operand, bytes, Value::Unknown);
        }
        for used in info.used_registers() {
            if writes(used.access())
                && let Some(register) = gpr(used.register())
            {
                self.set(register, Value::Unknown);
            }
        }
    }
}

pub(in crate::hits) fn writes(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// The general-purpose register that `register` is, or is a part of.
pub(in crate::hits) fn gpr(register: Register) -> Option<Gpr> {
    let full = register.full_register();
    full.is_gpr64()
        .then(|| Gpr::from_number(full.number() as u8))
}
