//! Calls whose return a probe wants to see.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::machine::probe::{Observed, Pass, Point, Probe, ReturnWatch};
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;

/// Has a call watched at its entry, and notes down the tokens of those that return.
#[derive(Default)]
struct Watching {
    entered: u64,
    returned: Vec<u64>,
}

impl Probe for Watching {
    fn hit(&mut self, guest: &Observed<'_>, _: Point) -> Option<Pass> {
        let stack = Va(guest.register(Gpr::Rsp));
        let watch = ReturnWatch {
            address: guest.read_va(stack).ok()?,
            stack: stack.wrapping_add(8),
            token: self.entered,
        };
        self.entered += 1;
        Some(Pass {
            watch: Some(watch),
            ..Pass::default()
        })
    }

    fn returned(&mut self, _: &Observed<'_>, token: u64) {
        self.returned.push(token);
    }
}

/// A lab in the middle of a call that is watched.
fn in_a_call() -> Lab {
    let mut lab = Lab::builder().build().unwrap();
    let function = lab.kernel_symbol("NtDeviceIoControlFile").unwrap();
    let machine = lab.machine_mut();
    machine.set_breakpoint(function).unwrap();
    machine.set_probe(Some(Box::new(Watching::default())), &[function]);
    let mut registers = machine.registers();
    registers.rip += 1;
    machine.set_registers(&registers).unwrap();
    while machine.probe::<Watching>().unwrap().entered == 0 {
        machine.run(machine.work() + 1).unwrap();
    }
    assert!(machine.probe::<Watching>().unwrap().returned.is_empty());
    machine.clear_breakpoint(function).unwrap();
    lab
}

fn run_on(lab: &mut Lab) -> &[u64] {
    let limit = lab.machine().work() + 100_000;
    lab.run(limit).unwrap();
    &lab.machine().probe::<Watching>().unwrap().returned
}

#[test]
fn a_call_that_returns_is_told_once() {
    assert_eq!(run_on(&mut in_a_call()), [0]);
}

#[test]
fn a_probe_is_not_told_of_the_calls_of_another() {
    let mut lab = in_a_call();
    let other = Box::new(Watching::default());
    lab.machine_mut().set_probe(Some(other), &[]);
    assert!(run_on(&mut lab).is_empty());
}

/// A state that is restored has calls of its own in progress.
#[test]
fn a_call_is_forgotten_when_a_state_is_restored() {
    let mut lab = in_a_call();
    let saved = lab.save().unwrap();
    lab.restore(&saved).unwrap();
    assert!(run_on(&mut lab).is_empty());
}

/// More calls under way than are watched: the innermost are told, in the order of their return.
#[test]
fn of_too_many_calls_the_oldest_are_forgotten() {
    use poolhit::machine::probe::RETURN_LIMIT;
    use poolhit::memory::WriteMemory;
    let deep = RETURN_LIMIT as u64 + 4;
    let mut lab = Lab::builder().build().unwrap();
    // dec ecx; jz 6; call 0; ret
    let function = lab.kernel_symbol("ExAllocatePoolWithTag").unwrap();
    let code = [0xff, 0xc9, 0x74, 5, 0xe8, 0xf7, 0xff, 0xff, 0xff, 0xc3];
    let machine = lab.machine_mut();
    machine.write(function, &code).unwrap();
    machine.set_breakpoint(function).unwrap();
    machine.set_probe(Some(Box::new(Watching::default())), &[function]);
    lab.call_kernel("ExAllocatePoolWithTag", &[deep]).unwrap();
    let probe = lab.machine().probe::<Watching>().unwrap();
    assert_eq!(probe.entered, deep);
    let expected: Vec<u64> = (4..deep).rev().collect();
    assert_eq!(probe.returned, expected);
}
