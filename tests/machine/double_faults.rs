//! Faults whose frames do not fit on the stack, and stacks that gates ask for.

use crate::code::Code;
use crate::guest::{
    Guest, HANDLER, IDT, INTERRUPT_STACK, KERNEL, KERNEL_STACK, TASK_STACK, go, word,
};
use poolhit::address::Va;
use poolhit::machine::{Exit, Fault, InterruptError, Machine};
use poolhit::memory::WriteMemory;
use poolhit::registers::Gpr;

const PAGE_FAULT: u8 = 14;
const DOUBLE_FAULT: u8 = 8;
/// Where no stack is.
const NOWHERE: u64 = 0x1234_5000;
/// From the stack of ring 0 to the first of the stacks that gates ask for.
const FIRST_STACK: u64 = 0x20;

/// A guest that pushes where there is no memory, with handlers that stop.
fn machine(gates: &[u8]) -> (Machine, Fault) {
    let mut code = Code::at(KERNEL);
    code.load(Gpr::Rsp, NOWHERE).put(&[0x50]); // push rax
    let mut handler = Code::at(HANDLER);
    handler.int3();
    let mut guest = Guest::new().code(&code).code(&handler);
    for gate in gates {
        guest = guest.gate(*gate, HANDLER);
    }
    let mut machine = guest.in_ring_0();
    let Exit::Fault(fault) = go(&mut machine) else {
        panic!("no fault");
    };
    assert_eq!(fault.vector, u32::from(PAGE_FAULT));
    assert_eq!(fault.accessed, Some(Va(NOWHERE - 8)));
    (machine, fault)
}

/// Has a gate ask for a stack of its own.
fn set_stack(machine: &mut Machine, vector: u8, number: u8, top: Va) {
    let gate = IDT.wrapping_add(u64::from(vector) * 16 + 4);
    machine.write(gate, &[number]).unwrap();
    let place = TASK_STACK.wrapping_add(FIRST_STACK + 8 * (u64::from(number) - 1));
    machine.write(place, &top.0.to_le_bytes()).unwrap();
}

#[test]
fn a_gate_has_a_stack_of_its_own() {
    for number in [1, 3, 7] {
        let (mut machine, fault) = machine(&[PAGE_FAULT]);
        set_stack(&mut machine, PAGE_FAULT, number, INTERRUPT_STACK);
        machine.deliver_fault(&fault).unwrap();
        let frame = machine.registers().rsp();
        assert_eq!(frame, INTERRUPT_STACK.wrapping_sub(6 * 8));
        // The error code (a write), RIP, and RSP as it was.
        assert_eq!(word(&machine, frame), 2);
        assert_eq!(word(&machine, frame.wrapping_add(8)), fault.address.0);
        assert_eq!(word(&machine, frame.wrapping_add(32)), NOWHERE);
        assert_eq!(
            go(&mut machine),
            Exit::HardcodedBreakpoint { address: HANDLER }
        );
    }
}

#[test]
fn a_frame_that_does_not_fit_is_a_double_fault() {
    let (mut machine, fault) = machine(&[PAGE_FAULT, DOUBLE_FAULT]);
    set_stack(&mut machine, DOUBLE_FAULT, 1, KERNEL_STACK);
    machine.deliver_fault(&fault).unwrap();
    let frame = machine.registers().rsp();
    assert_eq!(frame, KERNEL_STACK.wrapping_sub(6 * 8));
    assert_eq!(word(&machine, frame), 0);
    assert_eq!(word(&machine, frame.wrapping_add(8)), fault.address.0);
    assert_eq!(word(&machine, frame.wrapping_add(32)), NOWHERE);
    assert_eq!(
        go(&mut machine),
        Exit::HardcodedBreakpoint { address: HANDLER }
    );
}

/// Without a gate for it, or a stack that can be reached, the first fault is what the host is told of.
#[test]
fn a_double_fault_that_cannot_be_delivered_either() {
    for gates in [&[PAGE_FAULT][..], &[PAGE_FAULT, DOUBLE_FAULT]] {
        for stack in [None, Some(Va(0x5555_0000))] {
            let (mut machine, fault) = machine(gates);
            if let Some(stack) = stack {
                set_stack(&mut machine, DOUBLE_FAULT, 2, stack);
            }
            let before = machine.registers();
            let error = machine.deliver_fault(&fault).unwrap_err();
            let InterruptError::Memory(error) = error else {
                panic!("{error}");
            };
            assert_eq!(error.address, Va(NOWHERE - 6 * 8));
            assert_eq!(machine.registers(), before);
        }
    }
}

/// In the machine's own pages the processor is in the middle of a system call.
#[test]
fn faults_inside_the_gate_are_not_delivered() {
    let (mut machine, fault) = machine(&[PAGE_FAULT]);
    let address = crate::guest::GATE.kernel_page;
    let inside = Fault { address, ..fault };
    let delivered = machine.deliver_fault(&inside);
    assert_eq!(delivered, Err(InterruptError::InsideInstruction));
}
