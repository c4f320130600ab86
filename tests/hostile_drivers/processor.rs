//! What the processor lives by: page tables, descriptor tables, task state, control region.

use crate::driver::{Act, End, Way, lab};
use crate::ended::{Ended, ends, ends_both_ways};
use crate::writes::GATE;
use poolhit::address::Va;
use poolhit::machine::{Exit, Fault};
use poolhit::memory::ReadMemory;

const PCR: u64 = 0xfffff880_009e9000;
const GDT: u64 = 0xfffff880_009f1000;
const TASK: u64 = GDT + 0x100;
const TOP_TABLE: u64 = 0xfffff6fb_7dbed000;

/// The table entry of an address at a level, 1 being the page's.
fn entry(address: u64, level: u32) -> u64 {
    (0..level).fold(address, |at, _| {
        0xfffff680_0000_0000 + (at >> 9 & 0x7f_ffff_fff8)
    })
}

/// Whatever else it does, the driver then reads from NULL, and that is a stop of some kind.
#[track_caller]
fn stops(what: Act, address: u64, value: u64) -> Vec<Ended> {
    let ended = ends_both_ways(what, address, value).map(|ended| {
        let ended = ended.then(Act::Read, 8, 0);
        ended.is_a_stop();
        ended
    });
    ended.collect()
}

/// Page tables of nonsense: no handler can be reached, which a processor answers with a shutdown. The error
/// has the fault, and the driver's instruction where the guest stands at it.
#[test]
fn page_tables_that_are_nowhere() {
    for root in [0, 0x1234_5000, 0x3ff_f000, 0x400_0000, 0x7fff_f000] {
        for ended in ends_both_ways(Act::LoadCr3, 0, root) {
            let Exit::Fault(Fault {
                vector: 14,
                address,
                ..
            }) = ended.exit()
            else {
                panic!("{root:x}: {}", ended.text);
            };
            assert_eq!(ended.instruction(), address.0, "{}", ended.text);
            ended.works_again();
        }
    }
}

#[test]
fn page_tables_that_are_overwritten() {
    let kernel = lab().bases().kernel.0;
    for address in [kernel, PCR, GDT, GATE, GATE + 0x2000] {
        for level in 1..=4 {
            for ended in stops(Act::Clear, entry(address, level), 8) {
                ended.works_again();
            }
        }
        // A frame behind the end of memory.
        for ended in stops(Act::Set, entry(address, 1), 8) {
            ended.works_again();
        }
    }
    for what in [Act::Clear, Act::Set] {
        for (at, length) in [(TOP_TABLE, 0x1000), (TOP_TABLE + 0x800, 0x800)] {
            for ended in stops(what, at, length) {
                ended.works_again();
            }
        }
    }
}

/// A table without gates, or with gates that lead nowhere. A fault that no gate is there for is reported as
/// it is.
#[test]
fn an_interrupt_table_that_is_overwritten() {
    for ended in ends_both_ways(Act::NoInterrupts, 0, 0) {
        let Exit::Fault(Fault {
            vector: 6, address, ..
        }) = ended.exit()
        else {
            panic!("{}", ended.text);
        };
        assert_eq!(ended.instruction(), address.0);
        ended.works_again();
    }
    // _KPCR.IdtBase
    let table = lab().machine().read_u64(Va(PCR + 0x38)).unwrap();
    for (at, length) in [(table, 0x1000), (table + 14 * 16, 16), (table + 8 * 16, 16)] {
        for what in [Act::Clear, Act::Set] {
            for ended in stops(what, at, length) {
                // A gate of ones asks for a stack that there is not, which is a double fault.
                if at == table + 14 * 16 && what == Act::Set {
                    let [trap, _, _, instruction] = ended.parameters(0x7f);
                    assert_eq!((trap, instruction), (8, ended.instruction()));
                } else if at != table + 8 * 16 {
                    let fault = matches!(ended.exit(), Exit::Fault(Fault { vector: 14, .. }));
                    assert!(fault, "{}", ended.text);
                }
                ended.works_again();
            }
        }
    }
}

/// No processor looks at the task state or the descriptors for a system call. The machine does, and says so
/// in place of a fault that no processor would raise. In ring 0 nothing is noticed.
#[test]
fn descriptors_and_task_state_that_are_overwritten() {
    for (at, length) in [(GDT, 0x80), (GDT + 0x70, 0x10), (TASK, 0x68), (TASK + 4, 8)] {
        for what in [Act::Clear, Act::Set] {
            let ended = ends(Way::Request, what, at, length);
            assert!(matches!(ended.exit(), Exit::Engine(_)), "{}", ended.text);
            let words = "a system call does not get through";
            assert!(ended.text.contains(words), "{}", ended.text);
            assert!(ended.text.contains("KERNELBASE!"), "{}", ended.text);
            ended.works_again();
            let ended = ends(Way::Call, what, at, length);
            assert_eq!(ended.end, End::Back);
            let ended = ended.then(Act::Read, 8, 0);
            ended.is_a_stop();
            ended.works_again();
        }
    }
}

/// The kernel's own code faults then, in the code that is to deal with that, until its stack is used up.
#[test]
fn a_control_region_that_is_overwritten() {
    for what in [Act::Clear, Act::Set] {
        for ended in stops(what, PCR, 0x5000) {
            let [trap, ..] = ended.parameters(0x7f);
            assert_eq!(trap, 8);
            ended.works_again();
        }
    }
}
