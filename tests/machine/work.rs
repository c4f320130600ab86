//! Work: bytes of code retired. It does not depend on where a run was stopped, and neither does
//! anything else.

use crate::code::Code;
use crate::guest::{
    Guest, HANDLER, KERNEL, KERNEL_DATA, SYSTEM_CALL, USER, USER_DATA, go, pass_bytes, word,
};
use poolhit::address::Va;
use poolhit::machine::{Exit, Machine};
use poolhit::registers::Gpr;
use proptest::prelude::*;

#[test]
fn work_is_the_bytes_of_the_instructions_retired() {
    for (name, bytes, work) in [
        ("nothing but the int 3", &[][..], 0),
        ("three nops", &[0x90, 0x90, 0x90], 3),
        ("a jump over an instruction", &[0xeb, 0x02, 0x0f, 0x0b], 2),
        // each round of a string instruction is one more, and so is finding that there is none
        ("rep stosb, three times", &[0xb1, 3, 0xf3, 0xaa], 2 + 4 * 2),
        ("rep stosb, no time", &[0x31, 0xc9, 0xf3, 0xaa], 2 + 2),
        (
            "a loop of three",
            &[0xb1, 3, 0xfe, 0xc9, 0x75, 0xfc],
            2 + 3 * 4,
        ),
        // up to the instruction that faults, and not with it
        ("ud2 behind two nops", &[0x90, 0x90, 0x0f, 0x0b], 2),
        ("div by zero", &[0x31, 0xc9, 0xf7, 0xf1], 2),
    ] {
        let mut code = Code::at(USER);
        code.put(bytes).int3();
        let mut machine = Guest::new().code(&code).in_ring_3();
        let mut registers = machine.registers();
        registers.set(Gpr::Rdi, USER_DATA.0);
        machine.set_registers(&registers).unwrap();
        let before = machine.work();
        go(&mut machine);
        assert_eq!(machine.work() - before, work, "{name}");
    }
}

#[test]
fn a_limit_stops_at_the_first_boundary_behind_it() {
    let mut code = Code::at(USER);
    let top = code.here();
    code.put(&[0x90; 3]).jump(top); // eight bytes a round
    for limit in 0..40u64 {
        let mut machine = Guest::new().code(&code).in_ring_3();
        let before = machine.work();
        assert_eq!(machine.run(before + limit).unwrap(), Exit::Limit);
        assert_eq!(machine.work() - before, limit.next_multiple_of(8));
        assert_eq!(machine.registers().rip(), top);
        // A limit that is reached already runs nothing.
        let hash = machine.state_hash();
        for past in [0, before, machine.work()] {
            assert_eq!(machine.run(past).unwrap(), Exit::Limit);
        }
        assert_eq!(machine.state_hash(), hash);
    }
}

/// A part of a program in ring 3. The program uses RBX and RBP for itself.
#[derive(Clone, Debug)]
enum Step {
    /// `times` rounds of adding and storing.
    Loop { times: u8 },
    /// `rep stosb` of so many bytes.
    Fill { bytes: u8 },
    /// `rep movsq` of so many words, backwards if asked.
    Copy { words: u8, backwards: bool },
    /// A call of a function that calls another.
    Call,
    /// A system call, in which the kernel counts and copies.
    SystemCall,
    /// The time, kept in memory, by `rdtsc` or `rdtscp`.
    Time { with_aux: bool },
    /// What the processor says of itself, kept in memory.
    Identity { leaf: u8 },
    /// A fault, which the test goes over as a handler would.
    Fault { kind: u8 },
    /// A division of what has come together so far.
    Divide,
    /// Floating-point arithmetic, which leaves flags of its own.
    Float,
    /// A jump across a page, and a run of code longer than a block may be.
    Long,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u8..20).prop_map(|times| Step::Loop { times }),
        any::<u8>().prop_map(|bytes| Step::Fill { bytes }),
        (0u8..40, any::<bool>()).prop_map(|(words, backwards)| Step::Copy { words, backwards }),
        Just(Step::Call),
        Just(Step::SystemCall),
        any::<bool>().prop_map(|with_aux| Step::Time { with_aux }),
        (0u8..8).prop_map(|leaf| Step::Identity { leaf }),
        (0u8..4).prop_map(|kind| Step::Fault { kind }),
        Just(Step::Divide),
        Just(Step::Float),
        Just(Step::Long),
    ]
}

/// What a fault's instruction is long, by the vector and the kind of the step.
const FAULTS: [&[u8]; 4] = [
    &[0x0f, 0x0b],                         // ud2
    &[0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], // mov rax, [0]
    &[0x48, 0xf7, 0xf5],                   // div rbp, which is zero
    &[0xf4],                               // hlt
];

const FUNCTIONS: Va = Va(USER.0 + 0x3800);

fn append(code: &mut Code, step: &Step) {
    match step {
        Step::Loop { times } => {
            code.load(Gpr::Rcx, (*times).into())
                .load(Gpr::R8, USER_DATA.0);
            let top = code.here();
            code.put(&[0x4c, 0x01, 0xc8]) // add rax, r9
                .put(&[0x49, 0x01, 0x04, 0xc8]) // add [r8+rcx*8], rax
                .put(&[0x48, 0xff, 0xc9]) // dec rcx
                .jump_if_not_zero(top);
        }
        Step::Fill { bytes } => {
            code.load(Gpr::Rdi, USER_DATA.0 + 0xff0)
                .load(Gpr::Rcx, (*bytes).into())
                .put(&[0xf3, 0xaa]); // rep stosb
        }
        Step::Copy { words, backwards } => {
            code.load(Gpr::Rsi, USER_DATA.0 + 0x800)
                .load(Gpr::Rdi, USER_DATA.0 + 0x1ffc)
                .load(Gpr::Rcx, (*words).into());
            if *backwards {
                code.put(&[0xfd]); // std
            }
            code.put(&[0xf3, 0x48, 0xa5, 0xfc]); // rep movsq; cld
        }
        Step::Call => {
            code.call(FUNCTIONS);
        }
        Step::SystemCall => {
            code.syscall();
        }
        Step::Time { with_aux } => {
            code.put(if *with_aux {
                &[0x0f, 0x01, 0xf9]
            } else {
                &[0x0f, 0x31]
            });
            code.store(USER_DATA, Gpr::Rax)
                .store(USER_DATA.wrapping_add(8), Gpr::Rcx);
        }
        Step::Identity { leaf } => {
            code.put(&[0x53]) // push rbx
                .load(Gpr::Rax, (*leaf).into())
                .put(&[0x31, 0xc9, 0x0f, 0xa2]) // xor ecx, ecx; cpuid
                .store(USER_DATA.wrapping_add(16), Gpr::Rbx)
                .put(&[0x5b]); // pop rbx
        }
        Step::Fault { kind } => {
            code.put(FAULTS[usize::from(*kind)]);
        }
        Step::Divide => {
            code.put(&[0x31, 0xd2]) // xor edx, edx
                .put(&[0x48, 0x8d, 0x4b, 0x01]) // lea rcx, [rbx+1]
                .put(&[0x48, 0xf7, 0xf1]) // div rcx
                .put(&[0x49, 0x01, 0xd1]); // add r9, rdx
        }
        Step::Float => {
            code.put(&[0xf2, 0x48, 0x0f, 0x2a, 0xc3]) // cvtsi2sd xmm0, rbx
                .put(&[0xf2, 0x0f, 0x58, 0xc8]) // addsd xmm1, xmm0
                .put(&[0xf2, 0x0f, 0x5e, 0xc1]) // divsd xmm0, xmm1
                .put(&[0x66, 0x0f, 0x2e, 0xc1]); // ucomisd xmm0, xmm1
        }
        Step::Long => {
            for _ in 0..300 {
                code.put(&[0x49, 0xff, 0xc1]).put(&[0x90]); // inc r9; nop
            }
        }
    }
}

fn program(steps: &[Step], rounds: u64) -> Guest {
    let mut user = Code::at(USER);
    user.load(Gpr::Rbx, rounds);
    let top = user.here();
    for step in steps {
        append(&mut user, step);
    }
    user.put(&[0x48, 0xff, 0xcb]).jump_if_not_zero(top).int3(); // dec rbx
    assert!(
        user.here() < FUNCTIONS,
        "the program is too long for its pages"
    );

    let mut functions = Code::at(FUNCTIONS);
    let inner = functions.here().wrapping_add(0x100);
    functions
        .put(&[0x55, 0x48, 0x89, 0xe5]) // push rbp; mov rbp, rsp
        .call(inner)
        .put(&[0x5d, 0xc3]); // pop rbp; ret
    let mut inner = Code::at(inner);
    inner.put(&[0x49, 0x31, 0xc1, 0xc3]); // xor r9, rax; ret

    let mut entry = Code::at(SYSTEM_CALL);
    entry
        .swapgs()
        .put(&[0x65, 0x48, 0xff, 0x04, 0x25, 0, 0, 0, 0]) // inc qword ptr gs:[0]
        .put(&[0x49, 0x89, 0xcc]) // mov r12, rcx
        .load(Gpr::Rsi, USER_DATA.0)
        .load(Gpr::Rdi, KERNEL_DATA.0 + 0xffc)
        .load(Gpr::Rcx, 3)
        .put(&[0xf3, 0xa4]) // rep movsb
        .put(&[0x4c, 0x89, 0xe1]) // mov rcx, r12
        .swapgs()
        .sysretq();
    let guest = Guest::new().code(&user).code(&functions).code(&inner);
    guest.code(&entry).time_stamp_aux(9)
}

/// Goes over the instruction of a fault, as a handler would.
fn handle(machine: &mut Machine, vector: u32) {
    let length = match vector {
        6 => FAULTS[0].len(),
        14 => FAULTS[1].len(),
        0 => FAULTS[2].len(),
        13 => FAULTS[3].len(),
        other => panic!("vector {other}"),
    };
    pass_bytes(machine, length as u64);
}

/// Runs on to the limit or the program's end, in pieces; gives the count of stops there were.
fn run_to(machine: &mut Machine, limit: u64, mut piece: impl FnMut() -> u64) -> usize {
    let mut stops = 0;
    loop {
        let next = machine.work().saturating_add(piece()).min(limit);
        stops += 1;
        match machine.run(next).unwrap() {
            Exit::Limit if machine.work() >= limit => return stops,
            Exit::Limit => {}
            Exit::Fault(fault) => handle(machine, fault.vector),
            Exit::HardcodedBreakpoint { .. } => return stops,
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The law: a run is the sum of its pieces.
    #[test]
    fn running_in_pieces_is_running_in_one_go(
        steps in prop::collection::vec(step(), 1..10),
        rounds in 1u64..4,
        limit in 1u64..20_000,
        pieces in prop::collection::vec(prop_oneof![1u64..10, 1u64..500, 1u64..5000], 1..20),
    ) {
        let mut whole = program(&steps, rounds).in_ring_3();
        let start = whole.work();
        run_to(&mut whole, start + limit, || u64::MAX);

        let mut parts = program(&steps, rounds).in_ring_3();
        prop_assert_eq!(parts.work(), start);
        let mut pieces = pieces.into_iter().cycle();
        run_to(&mut parts, start + limit, || pieces.next().unwrap());

        prop_assert_eq!(parts.work(), whole.work());
        prop_assert_eq!(parts.registers(), whole.registers());
        prop_assert_eq!(parts.state_hash(), whole.state_hash());
    }

    /// Looking at the guest between the pieces, patching what is there with itself, and breakpoints
    /// that come and go change nothing either.
    #[test]
    fn what_a_debugger_does_between_pieces_leaves_no_trace(
        steps in prop::collection::vec(step(), 1..8),
        piece in 1u64..2000,
        breakpoint in 0u64..0x400,
    ) {
        use poolhit::memory::{ReadMemory, WriteMemory};
        let mut whole = program(&steps, 2).in_ring_3();
        run_to(&mut whole, u64::MAX, || u64::MAX);

        let mut watched = program(&steps, 2).in_ring_3();
        let place = USER.wrapping_add(breakpoint);
        let mut bytes = [0; 0x40];
        loop {
            watched.read(USER, &mut bytes).unwrap();
            watched.write(USER, &bytes).unwrap();
            watched.set_breakpoint(place).unwrap();
            let exit = watched.run(watched.work() + piece).unwrap();
            watched.clear_breakpoint(place).unwrap();
            let registers = watched.registers();
            watched.set_registers(&registers).unwrap();
            match exit {
                Exit::Limit | Exit::Breakpoint { .. } => {}
                Exit::Fault(fault) => handle(&mut watched, fault.vector),
                Exit::HardcodedBreakpoint { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(watched.work(), whole.work());
        prop_assert_eq!(watched.registers(), whole.registers());
        prop_assert_eq!(watched.state_hash(), whole.state_hash());
    }
}

#[test]
fn the_programs_of_these_tests_do_what_they_say() {
    let steps = [
        Step::Loop { times: 3 },
        Step::Fault { kind: 0 },
        Step::Fault { kind: 1 },
        Step::Fault { kind: 2 },
        Step::Fault { kind: 3 },
        Step::SystemCall,
        Step::Long,
        Step::Time { with_aux: true },
    ];
    let mut machine = program(&steps, 2).in_ring_3();
    let stops = run_to(&mut machine, u64::MAX, || u64::MAX);
    assert_eq!(stops, 2 * 4 + 1, "the faults, and the end");
    assert_eq!(word(&machine, crate::guest::KERNEL_GS), 2);
    assert_eq!(word(&machine, USER_DATA.wrapping_add(8)), 9);
    assert!(word(&machine, USER_DATA) > 1000);
}

/// Time passes in the kernel too, and in the handler of an interrupt.
#[test]
fn handlers_are_work() {
    let mut code = Code::at(KERNEL);
    let top = code.here();
    code.put(&[0x90; 3]).jump(top);
    let mut handler = Code::at(HANDLER);
    handler.put(&[0x90; 10]).iretq();
    let guest = Guest::new().code(&code).code(&handler);
    let mut machine = guest.gate(0x40, HANDLER).in_ring_0();
    let before = machine.work();
    machine.interrupt(0x40).unwrap();
    assert_eq!(machine.work(), before, "the delivery itself is no work");
    machine.set_breakpoint(KERNEL).unwrap();
    assert_eq!(go(&mut machine), Exit::Breakpoint { address: KERNEL });
    assert_eq!(machine.work() - before, 12);
}
