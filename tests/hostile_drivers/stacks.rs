//! Stacks that are used up, and stacks that are overwritten.

use crate::driver::{Act, End, WAYS, Way, act_by, lab_for};
use crate::ended::{ACCESS_VIOLATION, Ended, ends, ends_both_ways};
use poolhit::address::Va;
use poolhit::guest::SavedLab;
use poolhit::machine::Exit;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Words of a stack that take the driver's callers' return addresses with them.
const WORDS: u64 = 0x20;

/// UNEXPECTED_KERNEL_MODE_TRAP with EXCEPTION_DOUBLE_FAULT; in x64's dumps CR0, CR4 and the instruction
/// follow (Microsoft, "Bug Check 0x7F": "the kernel tries to push a trap frame. Because there is no stack
/// left …").
#[test]
fn a_recursion_without_end_is_a_double_fault() {
    for mut ended in ends_both_ways(Act::Recurse, 0, 0) {
        let [trap, cr0, cr4, instruction] = ended.parameters(0x7f);
        assert_eq!(trap, 8);
        // Paging, write protection, protected mode; PAE.
        assert_eq!((cr0 & 0x8001_0001, cr4 & 0x20), (0x8001_0001, 0x20));
        assert_eq!(ended.instruction(), instruction);
        ended.stack_is_whole();
        let depth = ended.stack(1000);
        let own = depth.iter().filter(|name| name.starts_with("hostile!"));
        assert!(own.count() > 50, "{depth:?}");
        ended.works_again();
    }
}

#[test]
fn a_stack_pointer_behind_the_stack_is_a_double_fault() {
    for ended in ends_both_ways(Act::MoveStack, 0, 0) {
        let [trap, _, _, instruction] = ended.parameters(0x7f);
        assert_eq!((trap, ended.instruction()), (8, instruction));
        ended.works_again();
    }
}

/// A frame that is touched below the guard page while the stack pointer is still above: the kernel has a
/// stack to say so, PAGE_FAULT_IN_NONPAGED_AREA with the address, 1 for a write, the instruction.
#[test]
fn a_frame_larger_than_the_stack_is_a_page_fault() {
    for mut ended in ends_both_ways(Act::DeepFrame, 0, 0) {
        let [address, write, instruction, zero] = ended.parameters(0x50);
        assert_eq!((write, zero), (1, 0));
        assert_eq!(ended.instruction(), instruction);
        let stack = ended.lab.machine().registers().rsp();
        let below = stack.0 - address;
        assert!((0x30000..0x40000).contains(&below), "{address:x} {stack}");
        ended.stack_is_whole();
        ended.works_again();
    }
}

/// A bug check for an exception above frames of nonsense. The walk takes each word for a leaf's return
/// address; it comes to the stack's end, or to the system call, or to a function whose frame register is
/// nonsense, too. What that points to cannot be read, which is an exception in the search, and so on until the
/// stack is used up.
#[track_caller]
fn searched(ended: &Ended, status: u64, address: u64, information: [u64; 2]) {
    let check = ended.check();
    let [one, two, _, four] = check.parameters;
    let [first, second] = information;
    match check.code {
        0x1e => assert_eq!(check.parameters, [status, address, first, second]),
        0x3b => assert_eq!((one, two, four), (status, address, 0)),
        0x7f => {
            assert_eq!(one, 8);
            assert!(
                ended.text.contains("\n    nt!RtlVirtualUnwind+"),
                "{}",
                ended.text
            );
            assert!(ended.text.contains(" more ..."), "{}", ended.text);
        }
        _ => panic!("{check:?}"),
    }
}

/// The exception of a jump to there, since that is what the return is.
#[test]
fn an_overwritten_return_address_is_a_jump() {
    for (value, information) in [
        (0, [8, 0]),
        (0x1234_5678, [8, 0x1234_5678]),
        (0x4141_4141_4141_4141, [0, u64::MAX]),
        (0x8000_0000_0000_0000, [0, u64::MAX]),
    ] {
        for ended in ends_both_ways(Act::FillStack, WORDS, value) {
            searched(&ended, ACCESS_VIOLATION, value, information);
            let place = format!("\n    0x{}", Va(value));
            let nested = ended.check().code == 0x7f;
            assert!(nested || ended.text.contains(&place), "{}", ended.text);
            ended.works_again();
        }
    }
    // An address of the kernel's: PAGE_FAULT_IN_NONPAGED_AREA, 8 for an execution.
    let nowhere = 0xfffffa80_0eee_0000;
    for ended in ends_both_ways(Act::FillStack, WORDS, nowhere) {
        assert_eq!(ended.parameters(0x50), [nowhere, 8, nowhere, 0]);
        ended.works_again();
    }
}

/// All of the stack and more: the write behind its top.
#[test]
fn a_stack_overwritten_to_its_top_is_a_page_fault() {
    for ended in ends_both_ways(Act::FillStack, 0x1000, 0x41) {
        let [address, write, instruction, zero] = ended.parameters(0x50);
        assert_eq!((address & 0xfff, write, zero), (0, 1, 0));
        assert_eq!(ended.instruction(), instruction);
        ended.works_again();
    }
}

/// The search for a handler goes through what has been overwritten, and ends.
#[test]
fn exceptions_above_overwritten_frames_are_bug_checks() {
    let status = 0xffff_ffff_c000_009a; // STATUS_INSUFFICIENT_RESOURCES
    for (what, status, information) in [
        (Act::FillAndFault, ACCESS_VIOLATION, [0, 8]),
        (Act::FillAndRaise, status, [0, 0]),
    ] {
        for value in [0, 1, 0x4141_4141_4141_4141, u64::MAX] {
            for ended in ends_both_ways(what, WORDS, value) {
                searched(&ended, status, ended.instruction(), information);
                ended.works_again();
            }
        }
    }
}

static SAVED: LazyLock<[SavedLab; 2]> =
    LazyLock::new(|| WAYS.map(|way| lab_for(way).save().unwrap()));

/// What a stack may be overwritten with: anything, and what leads into code with frames, or to the stack.
fn words() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0xfffff800_01451000_u64..0xfffff800_01660000,
        0xfffff880_0496e000_u64..0xfffff880_04971000,
        0xfffff880_04ebc000_u64..0xfffff880_04ec2000,
        0xfffff880_02f68000_u64..0xfffff880_02f6e000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is in the frames: a bug check, or the debris is run and that ends. No panic, and the lab is
    /// what it was.
    #[test]
    fn overwritten_frames_end(
        request in any::<bool>(),
        kind in 0..3_usize,
        count in 1..0x100_u64,
        value in words(),
    ) {
        let way = if request { Way::Request } else { Way::Call };
        let what = [Act::FillStack, Act::FillAndFault, Act::FillAndRaise][kind];
        let mut lab = SAVED[way as usize].lab().unwrap();
        let hash = lab.machine().state_hash();
        let (end, text) = act_by(&mut lab, way, what, count, value);
        match end {
            End::BugCheck(check) => prop_assert!(check.code != 0, "{}", text),
            // Code in the middle of the kernel's may do anything: loop, halt, execute an `int 3`.
            End::Stopped(exit) => prop_assert!(
                what == Act::FillStack || !matches!(exit, Exit::Limit),
                "{}", text
            ),
            End::Refused => prop_assert!(false, "{}", text),
            End::Back => prop_assert!(count < WORDS, "came back"),
        }
        lab.restore(&SAVED[way as usize]).unwrap();
        prop_assert_eq!(lab.machine().state_hash(), hash);
    }
}

/// The same each time, to the last byte.
#[test]
fn the_end_is_the_same_each_time() {
    for (what, address, value) in [
        (Act::Recurse, 0, 0),
        (Act::FillStack, WORDS, 0xfffff800_01500000),
        (Act::FillAndFault, WORDS, 0xfffff800_01500000),
    ] {
        for way in WAYS {
            let ended = [(); 2].map(|()| ends(way, what, address, value));
            assert_eq!(ended[0].text, ended[1].text);
            let hashes = ended.map(|ended| ended.lab.machine().state_hash());
            assert_eq!(hashes[0], hashes[1], "{way:?} {what:?}");
        }
    }
}
