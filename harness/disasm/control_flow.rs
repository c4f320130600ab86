//! Where an instruction goes, and the tables by which some jumps go.

use crate::address::Va;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

/// How many instructions in front of a jump are looked at for its table.
const LOOK_BACK: usize = 64;

/// Where an instruction goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlFlow {
    /// To the next instruction.
    Next,
    /// Into a function that comes back; which one, where it stands in the instruction.
    Call(Option<Va>),
    /// Elsewhere; where, if it stands in the instruction.
    Jump(Option<Va>),
    /// There, or to the next instruction.
    Branch(Va),
    /// Back to a caller, or nowhere.
    End,
}

/// Where the instruction at the start of `code` goes, which lies at `address`. Interrupts come back to the
/// next instruction, but for that which ends a program at once (`int 29h`).
///
/// ```
/// use poolhit::{address::Va, disasm::{ControlFlow, control_flow}};
/// assert_eq!(control_flow(Va(0x1000), &[0x74, 0x10]), ControlFlow::Branch(Va(0x1012)));
/// assert_eq!(control_flow(Va(0x1000), &[0xff, 0xe0]), ControlFlow::Jump(None));
/// assert_eq!(control_flow(Va(0x1000), &[0xc3]), ControlFlow::End);
/// ```
pub fn control_flow(address: Va, code: &[u8]) -> ControlFlow {
    let instruction = decode(address, code);
    let target = match instruction.op0_kind() {
        OpKind::NearBranch64 => Some(Va(instruction.near_branch_target())),
        _ => None,
    };
    match (instruction.flow_control(), target) {
        (FlowControl::Call | FlowControl::IndirectCall, target) => match instruction.code() {
            Code::Syscall | Code::Sysenter => ControlFlow::Next,
            _ => ControlFlow::Call(target),
        },
        (FlowControl::UnconditionalBranch | FlowControl::IndirectBranch, target) => {
            ControlFlow::Jump(target)
        }
        (FlowControl::ConditionalBranch, Some(target)) => ControlFlow::Branch(target),
        (FlowControl::Return | FlowControl::Exception, _) => ControlFlow::End,
        (FlowControl::Interrupt, _) if code.starts_with(&[0xcd, 0x29]) => ControlFlow::End,
        _ => ControlFlow::Next,
    }
}

/// A table of distances, of four bytes each, by which a jump goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JumpTable {
    /// Where the first lies.
    pub address: Va,
    /// What they are distances from.
    pub base: Va,
    /// How many there are, if a comparison in front of the jump says it.
    pub count: Option<u64>,
}

/// The table of a jump through a register, which is the last of `code`: instructions that follow each other,
/// each with its address and bytes. What is recognized is `lea B,[…]`, `mov` or `movsxd R,dword ptr [X+I*4+D]`,
/// `add` of both, `jmp`, with a `cmp I,N` and `ja` in front of it, as compilers make of a `switch`.
///
/// ```
/// use poolhit::{address::Va, disasm::{JumpTable, jump_table}};
/// let code: [(Va, &[u8]); 6] = [
///     (Va(0x1000), &[0x83, 0xf9, 3]),                   // cmp ecx,3
///     (Va(0x1003), &[0x77, 0x20]),                      // ja
///     (Va(0x1005), &[0x48, 0x8d, 5, 0xf4, 0, 0, 0]),    // lea rax,[1100h]
///     (Va(0x100c), &[0x48, 0x63, 0x0c, 0x88]),          // movsxd rcx,dword ptr [rax+rcx*4]
///     (Va(0x1010), &[0x48, 1, 0xc1]),                   // add rcx,rax
///     (Va(0x1013), &[0xff, 0xe1]),                      // jmp rcx
/// ];
/// let table = JumpTable { address: Va(0x1100), base: Va(0x1100), count: Some(4) };
/// assert_eq!(jump_table(&code), Some(table));
/// assert_eq!(jump_table(&code[3..]), None);
/// ```
pub fn jump_table(code: &[(Va, &[u8])]) -> Option<JumpTable> {
    let code: Vec<Instruction> = code[code.len().saturating_sub(LOOK_BACK)..]
        .iter()
        .map(|(at, bytes)| decode(*at, bytes))
        .collect();
    let (jump, before) = code.split_last()?;
    if jump.code() != Code::Jmp_rm64 || jump.op0_kind() != OpKind::Register {
        return None;
    }
    let target = jump.op0_register();
    let add = before.iter().rposition(|one| {
        one.mnemonic() == Mnemonic::Add
            && one.op1_kind() == OpKind::Register
            && one.op0_register() == target
    })?;
    let load = before[..add].iter().rposition(|one| {
        matches!(one.mnemonic(), Mnemonic::Mov | Mnemonic::Movsxd)
            && one.op1_kind() == OpKind::Memory
            && one.memory_index_scale() == 4
            && one.memory_index() != Register::None
    })?;
    let loaded = before[load].op0_register().full_register();
    let (one, two) = (before[add].op0_register(), before[add].op1_register());
    let base = match loaded {
        _ if loaded == one => two,
        _ if loaded == two => one,
        _ => return None,
    };
    // The base is set once, before the table is read or behind.
    let mut info = InstructionInfoFactory::new();
    let mut value = |register: Register, until: usize| {
        let set = before[..until]
            .iter()
            .rfind(|one| writes(&mut info, one, register))?;
        let known = set.mnemonic() == Mnemonic::Lea && set.is_ip_rel_memory_operand();
        known.then(|| Va(set.ip_rel_memory_address()))
    };
    let table = value(before[load].memory_base(), load)?;
    let base = value(base, add)?;
    Some(JumpTable {
        address: table.wrapping_add(before[load].memory_displacement64()),
        base,
        count: compared(&mut info, &before[..load], before[load].memory_index()),
    })
}

/// What an index is less than, by a `cmp` and a `ja` in front of where it is used; `None` if something else may
/// have set it since.
fn compared(
    info: &mut InstructionInfoFactory,
    before: &[Instruction],
    index: Register,
) -> Option<u64> {
    let mut index = index.full_register();
    for at in (1..before.len()).rev() {
        let one = &before[at];
        if writes(info, one, index) {
            // a copy, or one without upper bits
            let copies = matches!(
                one.mnemonic(),
                Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsxd
            ) && one.op1_kind() == OpKind::Register;
            if !copies {
                return None;
            }
            index = one.op1_register().full_register();
        }
        let compare = &before[at - 1];
        if one.mnemonic() == Mnemonic::Ja
            && compare.mnemonic() == Mnemonic::Cmp
            && compare.op0_kind() == OpKind::Register
            && compare.op0_register().full_register() == index
        {
            return compare.try_immediate(1).ok()?.checked_add(1);
        }
    }
    None
}

/// Whether an instruction changes a register, or a call that it makes may do so.
fn writes(info: &mut InstructionInfoFactory, one: &Instruction, register: Register) -> bool {
    const KEPT: [Register; 8] = [
        Register::RBX,
        Register::RBP,
        Register::RDI,
        Register::RSI,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];
    let calls = matches!(
        one.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    );
    let register = register.full_register();
    let used = info.info(one).used_registers().iter();
    let mut written =
        used.filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead));
    written.any(|used| used.register().full_register() == register)
        || calls && !KEPT.contains(&register)
}

fn decode(address: Va, code: &[u8]) -> Instruction {
    Decoder::with_ip(64, code, address.0, DecoderOptions::NONE).decode()
}
