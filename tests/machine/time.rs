//! The guest's time is its work, and what it can ask about the processor never changes.

use crate::code::Code;
use crate::guest::{Guest, KERNEL, KERNEL_DATA, USER, USER_DATA, go, word};
use poolhit::machine::{Exit, Machine};
use poolhit::registers::Gpr;

const RDTSC: &[u8] = &[0x0f, 0x31];
const RDTSCP: &[u8] = &[0x0f, 0x01, 0xf9];
const CPUID: &[u8] = &[0x0f, 0xa2];

fn in_both_rings(make: impl Fn(&mut Code), check: impl Fn(Machine)) {
    for start in [KERNEL, USER] {
        let mut code = Code::at(start);
        make(&mut code);
        let guest = Guest::new().code(&code).time_stamp_aux(0x5a5a_0001);
        check(match start {
            KERNEL => guest.in_ring_0(),
            _ => guest.in_ring_3(),
        });
    }
}

fn time(machine: &Machine) -> u64 {
    let registers = machine.registers();
    let (low, high) = (registers.get(Gpr::Rax), registers.get(Gpr::Rdx));
    assert!(low >> 32 == 0 && high >> 32 == 0);
    high << 32 | low
}

#[test]
fn the_time_stamp_is_the_work_done_before_the_instruction() {
    for (bytes, aux) in [(RDTSC, None), (RDTSCP, Some(0x5a5a_0001))] {
        for nops in [0, 1, 7] {
            in_both_rings(
                |code| {
                    code.load(Gpr::Rcx, u64::MAX)
                        .load(Gpr::Rdx, u64::MAX)
                        .put(&vec![0x90; nops])
                        .put(bytes)
                        .put(&[0x90; 3])
                        .int3();
                },
                |mut machine| {
                    let before = machine.work();
                    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
                    assert_eq!(time(&machine), before + 20 + nops as u64);
                    let rcx = machine.registers().get(Gpr::Rcx);
                    assert_eq!(rcx, aux.unwrap_or(u64::MAX));
                    // the int 3 itself has not been retired
                    let length = 20 + nops + bytes.len() + 3;
                    assert_eq!(machine.work(), before + length as u64);
                },
            );
        }
    }
}

#[test]
fn the_time_stamp_never_stands_still_in_a_loop() {
    in_both_rings(
        |code| {
            code.load(Gpr::Rdi, 100).load(Gpr::Rbx, 0);
            let top = code.here();
            code.put(RDTSC)
                .put(&[0x48, 0x29, 0xd8]) // sub rax, rbx: since the round before
                .put(&[0x48, 0x01, 0xc3]) // add rbx, rax
                .put(&[0x48, 0xff, 0xcf]) // dec rdi
                .jump_if_not_zero(top)
                .int3();
        },
        |mut machine| {
            let before = machine.work();
            go(&mut machine);
            let registers = machine.registers();
            // a round is 2 + 3 + 3 + 3 + 6 bytes
            assert_eq!(registers.get(Gpr::Rax), 17);
            assert_eq!(registers.get(Gpr::Rbx), before + 20 + 99 * 17);
        },
    );
}

/// All leaves up to the highest, basic and extended.
fn processor_identity() -> Vec<u64> {
    let mut code = Code::at(USER);
    code.load(Gpr::Rsi, 0).load(Gpr::R8, USER_DATA.0);
    let top = code.here();
    for leaves in [0u32, 0x8000_0000] {
        code.put(&[0x89, 0xf0]) // mov eax, esi
            .put(&[0x0d])
            .put(&leaves.to_le_bytes()) // or eax, leaves
            .put(&[0x31, 0xc9]) // xor ecx, ecx
            .put(CPUID);
        for store in [0x00, 0x58, 0x48, 0x50] {
            // mov [r8], eax; mov [r8+4], ebx; mov [r8+8], ecx; mov [r8+0ch], edx
            code.put(&[0x41, 0x89, store]);
            let offset = [0x00, 0x58, 0x48, 0x50].iter().position(|&at| at == store);
            if let Some(offset @ 1..) = offset {
                code.put(&[offset as u8 * 4]);
            }
        }
        code.put(&[0x49, 0x83, 0xc0, 0x10]); // add r8, 10h
    }
    code.put(&[0xff, 0xc6]) // inc esi
        .put(&[0x83, 0xfe, 0x20]) // cmp esi, 20h
        .jump_if_not_zero(top)
        .int3();
    let mut machine = Guest::new().code(&code).in_ring_3();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    (0..128)
        .map(|at| word(&machine, USER_DATA.wrapping_add(at * 8)))
        .collect()
}

#[test]
fn the_processor_is_always_the_same_one() {
    let identity = processor_identity();
    assert_ne!(identity[1], 0, "the vendor's name");
    for _ in 0..3 {
        assert_eq!(processor_identity(), identity);
    }
    // On any host: the values are the engine's. A new engine may bring others, and results of
    // programs that ask then differ, so this is to be changed knowingly.
    let bytes: Vec<u8> = identity
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    assert_eq!(
        xxhash_rust::xxh3::xxh3_64(&bytes),
        0x5edbbb7acf1ec8c1,
        "cpuid gives other values"
    );
}

/// Random numbers of the host's would be different each time.
#[test]
fn the_processor_has_no_random_numbers() {
    for bytes in [[0x0f, 0xc7, 0xf0], [0x0f, 0xc7, 0xf8]] {
        in_both_rings(
            |code| {
                code.put(&bytes); // rdrand eax, rdseed eax
            },
            |mut machine| {
                assert!(matches!(go(&mut machine), Exit::Fault(fault) if fault.vector == 6))
            },
        );
    }
}

/// The machine's own counter: the host's clock does not enter, however long it takes.
#[test]
fn two_machines_tell_the_same_time() {
    let run = |pause: bool| {
        let mut code = Code::at(KERNEL);
        code.load(Gpr::Rdi, 20).load(Gpr::R8, KERNEL_DATA.0);
        let top = code.here();
        code.put(RDTSCP)
            .put(&[0x41, 0x89, 0x00]) // mov [r8], eax
            .put(&[0x49, 0x83, 0xc0, 0x08]) // add r8, 8
            .put(&[0x48, 0xff, 0xcf]) // dec rdi
            .jump_if_not_zero(top)
            .int3();
        let mut machine = Guest::new().code(&code).in_ring_0();
        while machine.run(machine.work() + 40).unwrap() == Exit::Limit {
            if pause {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        machine.state_hash()
    };
    assert_eq!(run(false), run(true));
}
