//! Saved states: of a guest that changes its code, its page tables and all registers as it runs.

use crate::code::Code;
use crate::guest::{Guest, HANDLER, KERNEL, KERNEL_DATA, SYSTEM_CALL, go, pass};
use poolhit::address::Va;
use poolhit::machine::{Exit, Machine, Snapshot};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::Gpr;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// A page that is one of two in turn.
const CHANGING: Va = Va(KERNEL.0 + 0x3000);
/// `mov eax, imm32; ret`, whose operand the guest counts up.
const COUNTER: Va = SYSTEM_CALL;
/// The bits of an entry that name the page.
const FRAME: u64 = 0xf_ffff_ffff_f000;

/// Where the entry of the last level for an address is, through the tables' map of themselves.
fn entry(address: Va) -> Va {
    Va(0xfffff680_00000000 | (address.0 & 0xffff_ffff_ffff) >> 9 & !7)
}

fn returns(address: Va, value: u8) -> Code {
    let mut code = Code::at(address);
    code.put(&[0xb8, value, 0, 0, 0, 0xc3]); // mov eax, value; ret
    code
}

/// A machine whose guest never ends, and leaves nothing as it was.
fn restless() -> Machine {
    let mut code = Code::at(KERNEL);
    // A word to a place in four pages: rbx is a random number.
    code.load(Gpr::Rcx, 6_364_136_223_846_793_005)
        .put(&[0x48, 0x0f, 0xaf, 0xd9]) // imul rbx, rcx
        .put(&[0x48, 0xff, 0xc3]) // inc rbx
        .put(&[0x48, 0x89, 0xda]) // mov rdx, rbx
        .put(&[0x48, 0xc1, 0xea, 0x28]) // shr rdx, 40
        .put(&[0x81, 0xe2, 0xf8, 0x3f, 0, 0]) // and edx, 3ff8h
        .load(Gpr::Rcx, KERNEL_DATA.0)
        .put(&[0x48, 0x89, 0x1c, 0x11]); // mov [rcx+rdx], rbx
    // Code in another page changes and runs. What runs is summed up in rsi.
    code.load(Gpr::Rcx, COUNTER.0 + 1)
        .put(&[0xfe, 0x01]) // inc byte [rcx]
        .call(COUNTER)
        .put(&[0x48, 0x01, 0xc6]); // add rsi, rax
    // Floating-point and vector registers, and one that the engine keeps elsewhere.
    code.put(&[0xd9, 0xe8]) // fld1
        .put(&[0x66, 0x48, 0x0f, 0x6e, 0xcb]) // movq xmm1, rbx
        .put(&[0x66, 0x0f, 0xd4, 0xc1]) // paddq xmm0, xmm1
        .load(Gpr::Rcx, 0x2ff) // IA32_MTRR_DEF_TYPE
        .put(&[0x0f, 0x32]) // rdmsr
        .put(&[0x48, 0x01, 0xc6]) // add rsi, rax
        .put(&[0xff, 0xc0, 0x31, 0xd2]) // inc eax; xor edx, edx
        .put(&[0x0f, 0x30]); // wrmsr
    // The other of two pages of code appears at one address: r13 is how their entries differ.
    code.load(Gpr::Rcx, entry(CHANGING).0)
        .put(&[0x4c, 0x31, 0x29]) // xor [rcx], r13
        .load(Gpr::Rax, CHANGING.0)
        .put(&[0x0f, 0x01, 0x38]) // invlpg [rax]
        .call(CHANGING)
        .put(&[0x48, 0x01, 0xc6]) // add rsi, rax
        .jump(KERNEL);
    let mut machine = Guest::new()
        .code(&code)
        .code(&returns(COUNTER, 0))
        .code(&returns(HANDLER, 1))
        .code(&returns(CHANGING, 2))
        .in_ring_0();
    let frame = |address| machine.read_u64(entry(address)).unwrap() & FRAME;
    let difference = frame(HANDLER) ^ frame(CHANGING);
    let mut registers = machine.registers();
    registers.set(Gpr::R13, difference);
    machine.set_registers(&registers).unwrap();
    machine
}

/// What is done to a machine, and has the same effect each time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    Run(u64),
    /// Another operand for the code at one of three places.
    Patch(usize, u8),
}

impl Deed {
    fn is_done(self, machine: &mut Machine) {
        match self {
            Deed::Run(work) => {
                let limit = machine.work() + work;
                assert_eq!(machine.run(limit).unwrap(), Exit::Limit);
            }
            Deed::Patch(place, byte) => {
                let place = [COUNTER, HANDLER, CHANGING][place];
                machine.write(place.wrapping_add(2), &[byte]).unwrap();
            }
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => prop_oneof![Just(1), Just(40), Just(777), Just(20_000)].prop_map(Deed::Run),
        1 => (0..3usize, 0..2u8).prop_map(|(place, byte)| Deed::Patch(place, byte)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Do(Deed),
    Save,
    Restore(Index),
    /// Goes on with a new machine, on this thread or after a start on another.
    Copy(Index, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => deed().prop_map(Step::Do),
        2 => Just(Step::Save),
        4 => any::<Index>().prop_map(Step::Restore),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(which, thread)| Step::Copy(which, thread)),
    ]
}

struct Saved {
    snapshot: Snapshot,
    hash: u128,
    path: Vec<Deed>,
}

proptest! {
    /// The laws of saved states, for any order of running, patching, saving, restoring and copying:
    /// saving changes nothing; what is restored is what was saved; from equal states the same deeds
    /// lead to equal states, whichever machine does them, and so they do without any of this.
    #[test]
    fn what_is_restored_runs_as_what_was_saved(steps in vec(step(), 1..40)) {
        let mut machine = restless();
        let mut path = Vec::new();
        let mut states: Vec<Saved> = Vec::new();
        let mut known: BTreeMap<(u128, Deed), u128> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Do(deed) => {
                    let before = machine.state_hash();
                    deed.is_done(&mut machine);
                    path.push(deed);
                    let after = machine.state_hash();
                    prop_assert_eq!(*known.entry((before, deed)).or_insert(after), after);
                }
                Step::Save => {
                    let hash = machine.state_hash();
                    let snapshot = machine.save().unwrap();
                    prop_assert_eq!(machine.state_hash(), hash);
                    states.push(Saved { snapshot, hash, path: path.clone() });
                }
                Step::Restore(which) if !states.is_empty() => {
                    let saved = which.get(&states);
                    machine.restore(&saved.snapshot).unwrap();
                    prop_assert_eq!(machine.state_hash(), saved.hash);
                    path.clone_from(&saved.path);
                }
                Step::Copy(which, thread) if !states.is_empty() => {
                    let saved = which.get(&states);
                    if thread {
                        let deed = Deed::Run(777);
                        let after = std::thread::scope(|threads| {
                            let run = || {
                                let mut copy = Machine::from_snapshot(&saved.snapshot).unwrap();
                                deed.is_done(&mut copy);
                                copy.state_hash()
                            };
                            threads.spawn(run).join().unwrap()
                        });
                        prop_assert_eq!(*known.entry((saved.hash, deed)).or_insert(after), after);
                    }
                    machine = Machine::from_snapshot(&saved.snapshot).unwrap();
                    prop_assert_eq!(machine.state_hash(), saved.hash);
                    path.clone_from(&saved.path);
                }
                Step::Restore(_) | Step::Copy(..) => {}
            }
        }
        let mut plain = restless();
        path.iter().for_each(|deed| deed.is_done(&mut plain));
        prop_assert_eq!(plain.state_hash(), machine.state_hash());
    }
}

/// The guest above does what the test is about: its code and what it maps matter.
#[test]
fn the_restless_guest_runs_what_it_changes() {
    let mut machine = restless();
    Deed::Run(20_000).is_done(&mut machine);
    let sum = |machine: &Machine| machine.registers().get(Gpr::Rsi);
    let saved = machine.save().unwrap();
    let first = sum(&machine);
    let mut sums = vec![];
    for patch in [None, Some(0), Some(1), Some(2)] {
        machine.restore(&saved).unwrap();
        if let Some(place) = patch {
            Deed::Patch(place, 1).is_done(&mut machine);
        }
        Deed::Run(777).is_done(&mut machine);
        sums.push(sum(&machine) - first);
    }
    assert!(sums[0] > 0);
    let more: Vec<u64> = sums[1..].iter().map(|sum| sum - sums[0]).collect();
    assert!(more.iter().all(|more| *more >= 0x100), "{more:x?}");
}

/// The second byte of an operand is 1 only where the code is patched.
#[test]
fn restored_code_runs_and_is_patched_again() {
    let mut call = Code::at(KERNEL);
    call.call(COUNTER).int3();
    let mut machine = Guest::new()
        .code(&call)
        .code(&returns(COUNTER, 7))
        .in_ring_0();
    let value = |machine: &mut Machine| {
        let mut registers = machine.registers();
        registers.rip = KERNEL.0;
        machine.set_registers(&registers).unwrap();
        assert!(matches!(go(machine), Exit::HardcodedBreakpoint { .. }));
        machine.registers().get(Gpr::Rax)
    };
    let plain = machine.save().unwrap();
    assert_eq!(value(&mut machine), 7);
    machine.write(COUNTER.wrapping_add(1), &[8]).unwrap();
    let patched = machine.save().unwrap();
    assert_eq!(value(&mut machine), 8);
    for _ in 0..3 {
        machine.restore(&plain).unwrap();
        assert_eq!(value(&mut machine), 7);
        machine.write(COUNTER.wrapping_add(1), &[9]).unwrap();
        assert_eq!(value(&mut machine), 9);
        machine.restore(&patched).unwrap();
        assert_eq!(value(&mut machine), 8);
    }
    let mut copy = Machine::from_snapshot(&plain).unwrap();
    assert_eq!(value(&mut copy), 7);
    copy.restore(&patched).unwrap();
    assert_eq!(value(&mut copy), 8);
    assert_eq!(value(&mut machine), 8);
}

#[test]
fn breakpoints_stay() {
    let mut code = Code::at(KERNEL);
    code.put(&[0x90; 4]).jump(KERNEL);
    let mut machine = Guest::new().code(&code).in_ring_0();
    let before = machine.save().unwrap();
    let address = KERNEL.wrapping_add(2);
    machine.set_breakpoint(address).unwrap();
    assert_eq!(go(&mut machine), Exit::Breakpoint { address });
    let at_it = machine.save().unwrap();
    machine.restore(&before).unwrap();
    let work = machine.work();
    assert_eq!(go(&mut machine), Exit::Breakpoint { address });
    assert_eq!(machine.work() - work, 2);
    // Where it has been reported, it is passed.
    machine.restore(&at_it).unwrap();
    let work = machine.work();
    assert_eq!(go(&mut machine), Exit::Breakpoint { address });
    assert_eq!(machine.work() - work, 9);
    machine.clear_breakpoint(address).unwrap();
    machine.restore(&before).unwrap();
    let limit = machine.work() + 100;
    assert_eq!(machine.run(limit).unwrap(), Exit::Limit);
    // A copy has none.
    let mut copy = Machine::from_snapshot(&at_it).unwrap();
    let limit = copy.work() + 100;
    assert_eq!(copy.run(limit).unwrap(), Exit::Limit);
}

#[test]
fn both_rings_are_restored() {
    let mut code = Code::at(crate::guest::USER);
    code.int3().int3();
    let mut machine = Guest::new().code(&code).in_ring_3();
    let user = machine.save().unwrap();
    let mut kernel = Guest::new().code(&returns(KERNEL, 1)).in_ring_0();
    let hash = kernel.state_hash();
    let ring_0 = kernel.save().unwrap();
    for _ in 0..2 {
        // States of other machines of the same size will do.
        machine.restore(&ring_0).unwrap();
        assert_eq!((machine.privilege_level(), machine.state_hash()), (0, hash));
        machine.restore(&user).unwrap();
        assert_eq!(machine.privilege_level(), 3);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        pass(&mut machine);
    }
}

/// The engine keeps hardware breakpoints in lists that no state has: those cannot be saved, and do
/// not outlive a restored state.
#[test]
fn hardware_breakpoints_are_not_saved() {
    let target = KERNEL.wrapping_add(0x200);
    let mut code = Code::at(KERNEL);
    code.int3()
        .load(Gpr::Rax, target.0)
        .put(&[0x0f, 0x23, 0xc0]) // mov dr0, rax
        .load(Gpr::Rax, 1)
        .put(&[0x0f, 0x23, 0xf8]) // mov dr7, rax
        .int3()
        .jump(target);
    let mut reached = Code::at(target);
    reached.put(&[0x90]).int3();
    let mut machine = Guest::new().code(&code).code(&reached).in_ring_0();
    assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
    let (before, hash) = (machine.save().unwrap(), machine.state_hash());
    for _ in 0..2 {
        pass(&mut machine);
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        let error = machine.save().unwrap_err();
        assert!(error.to_string().contains("debug registers"), "{error}");
        pass(&mut machine);
        assert!(matches!(go(&mut machine), Exit::Fault(fault) if fault.vector == 1));
        machine.restore(&before).unwrap();
        assert_eq!(machine.state_hash(), hash);
    }
    let mut registers = machine.registers();
    registers.rip = target.0;
    machine.set_registers(&registers).unwrap();
    let address = target.wrapping_add(1);
    assert_eq!(go(&mut machine), Exit::HardcodedBreakpoint { address });
    assert!(machine.save().is_ok());
}

/// After a fault the guest goes on from a restored state as if there had been none.
#[test]
fn a_fault_is_forgotten() {
    let mut code = Code::at(KERNEL);
    code.put(&[0x90]).put(&[0x0f, 0x0b]); // nop; ud2
    let mut machine = Guest::new().code(&code).in_ring_0();
    let (before, hash) = (machine.save().unwrap(), machine.state_hash());
    for _ in 0..3 {
        let exit = go(&mut machine);
        assert!(
            matches!(exit, Exit::Fault(fault) if fault.vector == 6),
            "{exit:?}"
        );
        machine.restore(&before).unwrap();
        assert_eq!(machine.state_hash(), hash);
    }
}

/// The engine tells of all code that it translates but the first.
#[test]
fn the_first_code_that_runs_can_be_patched() {
    let mut code = Code::at(KERNEL);
    code.put(&[0xb8, 1, 0, 0, 0]).int3(); // mov eax, 1
    let saved = Guest::new().code(&code).in_ring_0().save().unwrap();
    let mut machine = Machine::from_snapshot(&saved).unwrap();
    for value in 1..4 {
        machine.write(KERNEL.wrapping_add(1), &[value]).unwrap();
        let mut registers = machine.registers();
        registers.rip = KERNEL.0;
        machine.set_registers(&registers).unwrap();
        assert!(matches!(go(&mut machine), Exit::HardcodedBreakpoint { .. }));
        assert_eq!(machine.registers().get(Gpr::Rax), value.into());
    }
}
