//! The code of a function that its flow reaches.

use super::function::CodeRange;
use super::session::Session;
use crate::address::Va;
use crate::disasm::{ControlFlow, Instruction, control_flow, jump_table};
use crate::memory::ReadMemory;
use std::collections::{BTreeMap, BTreeSet};

/// The most entries of a jump's table that are read.
const TABLE: u64 = 0x400;
/// The most instructions of a function.
const INSTRUCTIONS: usize = 0x4_0000;

/// A function, as `uf` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionFlow {
    /// Its basic blocks: what is jumped to, or follows a jump, up to the next such place. By address, but that
    /// those of the entry's part come first.
    pub blocks: Vec<CodeRange>,
    /// Whether all of the code could be read, and either there is no jump through a register or all of the function
    /// was found: such a jump may be the call of another function, or one by a table that is not recognized.
    pub complete: bool,
}

impl Session {
    /// The blocks of the function that an address is in, by following its flow from the entry on: jumps, jumps
    /// by tables, and what lies behind calls. It ends where the function's code does
    /// ([`Session::function_code`]); what no flow comes to, such as padding, is left out.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let entry = session.resolve("nt!NtDeviceIoControlFile").unwrap();
    /// let flow = session.function_flow(entry.wrapping_add(0x20));
    /// assert_eq!(flow.blocks[0].start, entry);
    /// assert!(flow.complete);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn function_flow(&self, address: Va) -> FunctionFlow {
        let parts = self.function_code(address);
        follow(&parts, &|at| self.instruction(at), &|at| {
            let mut bytes = [0; 4];
            self.lab.machine().read(at, &mut bytes).ok()?;
            Some(i32::from_le_bytes(bytes))
        })
    }

    /// Where an instruction goes.
    pub(crate) fn control_flow(&self, instruction: &Instruction) -> ControlFlow {
        control_flow(instruction.address, instruction.bytes())
    }
}

fn follow(
    parts: &[CodeRange],
    instruction: &dyn Fn(Va) -> Instruction,
    distance: &dyn Fn(Va) -> Option<i32>,
) -> FunctionFlow {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|number| parts[*number].start);
    let within = |at: Va| {
        let behind = order.partition_point(|number| parts[*number].start <= at);
        let number = *order.get(behind.checked_sub(1)?)?;
        (at < parts[number].end).then_some(number)
    };
    let mut room = INSTRUCTIONS;
    let mut found: BTreeMap<Va, Instruction> = BTreeMap::new();
    // Where blocks begin.
    let mut begins = BTreeSet::new();
    let mut open: Vec<Va> = parts.first().map(|one| one.start).into_iter().collect();
    begins.extend(open.iter().copied());
    let (mut complete, mut certain) = (true, true);
    while let Some(mut at) = open.pop() {
        while within(at).is_some() && !found.contains_key(&at) {
            let one = instruction(at);
            if one.bytes().is_empty() || one.mnemonic() == "???" || found.len() >= INSTRUCTIONS {
                complete = false;
                break;
            }
            let next = one.next_address();
            let flow = control_flow(at, one.bytes());
            found.insert(at, one);
            let mut targets = Vec::new();
            match flow {
                ControlFlow::Next | ControlFlow::Call(_) => {
                    at = next;
                    continue;
                }
                ControlFlow::Branch(target) => targets.extend([target, next]),
                ControlFlow::Jump(Some(target)) => targets.push(target),
                ControlFlow::Jump(None) => {
                    // A table may be longer than what is in front of the jump tells.
                    certain = false;
                    let more = table_targets(&found, at, distance, &within).unwrap_or_default();
                    match room.checked_sub(more.len()) {
                        Some(left) => {
                            room = left;
                            targets.extend(more);
                        }
                        None => complete = false,
                    }
                }
                ControlFlow::End => {}
            }
            targets.retain(|target| within(*target).is_some());
            begins.extend(targets.iter().copied());
            open.extend(targets);
            break;
        }
    }
    let mut blocks: Vec<CodeRange> = Vec::new();
    let mut ended = true;
    for (at, one) in &found {
        let end = one.next_address();
        match blocks.last_mut() {
            Some(block) if !ended && block.end == *at && !begins.contains(at) => block.end = end,
            _ => blocks.push(CodeRange { start: *at, end }),
        }
        let flow = control_flow(*at, one.bytes());
        ended = !matches!(flow, ControlFlow::Next | ControlFlow::Call(_));
    }
    complete &= certain || !parts.iter().any(|part| misses(*part, &blocks, instruction));
    blocks.sort_by_key(|block| (within(block.start) != Some(0), block.start));
    FunctionFlow { blocks, complete }
}

/// Whether there is more than padding between the blocks, which are sorted, in a part.
fn misses(part: CodeRange, blocks: &[CodeRange], instruction: &dyn Fn(Va) -> Instruction) -> bool {
    let mut at = part.start;
    while at < part.end {
        let behind = blocks.partition_point(|one| one.start <= at);
        let block = behind.checked_sub(1).and_then(|last| blocks.get(last));
        if let Some(block) = block.filter(|one| at < one.end) {
            at = block.end;
            continue;
        }
        let one = instruction(at);
        if !matches!(one.bytes(), [0xcc]) && one.mnemonic() != "nop" {
            return true;
        }
        at = one.next_address();
    }
    false
}

/// Where a jump through a register goes, by the table that the instructions in front of it name.
fn table_targets(
    found: &BTreeMap<Va, Instruction>,
    jump: Va,
    distance: &dyn Fn(Va) -> Option<i32>,
    within: &dyn Fn(Va) -> Option<usize>,
) -> Option<Vec<Va>> {
    let mut code: Vec<(Va, &[u8])> = found
        .range(..=jump)
        .rev()
        .take(64)
        .map(|(at, one)| (*at, one.bytes()))
        .collect();
    code.reverse();
    let table = jump_table(&code)?;
    let mut targets = Vec::new();
    for number in 0..table.count.unwrap_or(TABLE).min(TABLE) {
        let Some(offset) = distance(table.address.wrapping_add(number * 4)) else {
            break;
        };
        let target = table.base.wrapping_add(i64::from(offset) as u64);
        // Without a count, what is behind the table leads elsewhere.
        if within(target).is_none() {
            break;
        }
        targets.push(target);
    }
    (!targets.is_empty()).then_some(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disasm::Disassembler;
    use proptest::prelude::*;

    const AT: Va = Va(0x1000);

    fn flow_of(code: &[u8], parts: &[(u64, u64)]) -> FunctionFlow {
        let parts: Vec<CodeRange> = parts
            .iter()
            .map(|(start, end)| CodeRange {
                start: AT.wrapping_add(*start),
                end: AT.wrapping_add(*end),
            })
            .collect();
        let bytes = |at: Va| code.get(usize::try_from(at.0.wrapping_sub(AT.0)).ok()?..);
        follow(
            &parts,
            &|at| Disassembler::new().decode(at, bytes(at).unwrap_or_default(), &|_| None),
            &|at| Some(i32::from_le_bytes(bytes(at)?.get(..4)?.try_into().ok()?)),
        )
    }

    fn places(flow: &FunctionFlow) -> Vec<(u64, u64)> {
        let place = |one: &CodeRange| (one.start - AT, one.end - AT);
        flow.blocks.iter().map(place).collect()
    }

    #[test]
    fn padding_is_not_reached_and_parts_elsewhere_are() {
        // test al,al; je +3; xor eax,eax; ret; nop; jmp +7 (another part); int 3 …; nop; jmp back to the ret
        let code = [
            0x84, 0xc0, 0x74, 4, 0x31, 0xc0, 0xc3, 0x90, 0xeb, 6, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
            0xcc, 0x90, 0xeb, 0xf3,
        ];
        let flow = flow_of(&code, &[(0, 16), (16, 19)]);
        assert!(flow.complete);
        assert_eq!(places(&flow), [(0, 4), (4, 6), (6, 7), (8, 10), (16, 19)]);
    }

    /// `cmp edx,1; ja …` says nothing of ECX: the table goes on as long as it leads into the function.
    #[test]
    fn another_register_s_comparison_does_not_count() {
        let mut code = vec![
            0x83, 0xfa, 1, // cmp edx,1
            0x77, 25, // ja 30
            0x83, 0xe1, 3, // and ecx,3
            0x48, 0x8d, 5, 17, 0, 0, 0, // lea rax,[32]
            0x48, 0x85, 0xc0, // test rax,rax
            0x48, 0x63, 0x0c, 0x88, // movsxd rcx,dword ptr [rax+rcx*4]
            0x48, 1, 0xc1, // add rcx,rax
            0xff, 0xe1, // jmp rcx
            0xc3, 0xc3, 0xc3, 0xc3, // 27 to 30: ret
        ];
        code.resize(32, 0xcc);
        for case in 27_i32..31 {
            code.extend((case - 32).to_le_bytes());
        }
        let flow = flow_of(&code, &[(0, 31)]);
        assert_eq!(
            places(&flow),
            [(0, 5), (5, 27), (27, 28), (28, 29), (29, 30), (30, 31)]
        );
        assert!(flow.complete);
    }

    #[test]
    fn a_table_leads_to_its_cases() {
        let mut code = vec![
            0x83, 0xf9, 1, // cmp ecx,1
            0x77, 19, // ja 24
            0x48, 0x8d, 5, 20, 0, 0, 0, // lea rax,[32]
            0x48, 0x63, 0x0c, 0x88, // movsxd rcx,dword ptr [rax+rcx*4]
            0x48, 1, 0xc1, // add rcx,rax
            0xff, 0xe1, // jmp rcx
            0xc3, 0xc3, 0x90, 0xc3, // 21: ret; 22: ret; 23: nop; 24: ret
        ];
        code.resize(32, 0xcc);
        code.extend((21_i32 - 32).to_le_bytes());
        code.extend((22_i32 - 32).to_le_bytes());
        let flow = flow_of(&code, &[(0, 25)]);
        assert_eq!(
            places(&flow),
            [(0, 5), (5, 21), (21, 22), (22, 23), (24, 25)]
        );
        assert!(flow.complete);
        // without a table, and code that may be reached by it; without such code
        assert!(!flow_of(&[0xff, 0xe1, 0x90, 0xc3], &[(0, 4)]).complete);
        assert!(flow_of(&[0xff, 0xe1, 0x90, 0xcc], &[(0, 4)]).complete);
    }

    /// With steps that grow by the square of the blocks this would not end.
    #[test]
    fn many_blocks_are_many_steps_and_no_more() {
        let mut code = [0xeb, 0].repeat(0x2_0000);
        code.extend([0xff, 0xe1]);
        let flow = flow_of(&code, &[(0, code.len() as u64)]);
        assert_eq!(flow.blocks.len(), 0x2_0001);
        assert!(flow.complete);
    }

    proptest! {
        #[test]
        fn any_code_has_blocks_within_its_parts(
            code in proptest::collection::vec(any::<u8>(), 0..200), first in 0_u64..100, second in 100_u64..200,
        ) {
            let flow = flow_of(&code, &[(first, first + 60), (second, second + 20)]);
            let mut last = None;
            let mut blocks = flow.blocks.clone();
            blocks.sort_by_key(|one| one.start);
            for block in &blocks {
                let at = block.start - AT;
                prop_assert!(block.start < block.end);
                prop_assert!(
                    (first..first + 60).contains(&at) || (second..second + 20).contains(&at)
                );
                prop_assert!(last.replace(at) != Some(at));
            }
        }
    }
}
