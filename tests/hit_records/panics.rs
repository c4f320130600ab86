//! What a test asserts in a probe or a tracer.

use poolhit::Lab;
use poolhit::machine::probe::{Observed, Pass, Point, Probe, Tracer};
use poolhit::registers::Gpr;
use std::panic::{AssertUnwindSafe, catch_unwind};

struct Demanding;

impl Probe for Demanding {
    fn hit(&mut self, guest: &Observed<'_>, _: Point) -> Option<Pass> {
        assert_eq!(guest.register(Gpr::Rdx), 0x77, "the size");
        Some(Pass::default())
    }
}

impl Tracer for Demanding {
    fn instruction(&mut self, _: &Observed<'_>) {
        panic!("an instruction");
    }
}

fn message(result: std::thread::Result<()>) -> String {
    let panic = result.unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    let literal = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or(literal).unwrap()
}

#[test]
fn a_probe_may_panic() {
    let mut lab = Lab::builder().build().unwrap();
    let function = lab.kernel_symbol("ExAllocatePoolWithTag").unwrap();
    lab.machine_mut().set_breakpoint(function).unwrap();
    lab.machine_mut()
        .set_probe(Some(Box::new(Demanding)), &[function]);
    let tag = 0x74736554;
    lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x77, tag])
        .unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x78, tag]);
    }));
    assert!(message(panicked).contains("the size"));
}

#[test]
fn a_tracer_may_panic() {
    let mut lab = Lab::builder().build().unwrap();
    lab.machine_mut()
        .set_tracer(Some(Box::new(Demanding)))
        .unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x78, 0x74736554]);
    }));
    assert_eq!(message(panicked), "an instruction");
}
