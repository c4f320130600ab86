//! What is captured at a hit is what a walk gives there, whatever has changed since a walk was kept:
//! the stack, the code, the page tables, the lists of modules, or the whole state.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{ModuleImages, ModuleReader};
use poolhit::hits::{StackSource, lab_sites};
use poolhit::machine::Exit;
use poolhit::machine::probe::{Observed, Pass, Point, Probe};
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::stack::frame::FrameTrust;
use poolhit::stack::walk::{WalkEnd, walk};
use poolhit::symbols::Modules;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::mem::discriminant;

const LIMIT: usize = 64;

type Row = (Va, Va, FrameTrust);

/// Captures, and walks with modules just read.
struct Compare {
    source: StackSource,
    reader: ModuleReader,
    hits: u64,
    difference: Option<(Vec<Row>, Vec<Row>)>,
}

impl Probe for Compare {
    fn hit(&mut self, guest: &Observed<'_>, _: Point) -> Option<Pass> {
        self.hits += 1;
        let stack = self.source.capture(guest, LIMIT);
        let captured = self.source.frames().iter();
        let captured: Vec<Row> = captured
            .map(|row| (row.child_sp, row.return_address, row.trust))
            .collect();
        let modules = self.reader.read(guest, guest.gs_bases());
        let images = ModuleImages {
            modules: &modules,
            return_landing: self.reader.return_landing(),
        };
        let walk = walk(&guest.registers(), guest, &images, LIMIT);
        let walked = walk.frames.iter();
        let walked: Vec<Row> = walked
            .map(|frame| (frame.child_sp, frame.return_address, frame.trust))
            .collect();
        let kept = self.source.stacks().stack(stack);
        let same_end = |end: WalkEnd| discriminant(&end) == discriminant(&walk.end);
        let as_kept = kept.is_some_and(|kept| {
            let rows = kept
                .frames
                .iter()
                .map(|row| (row.return_address, row.trust));
            same_end(kept.end) && rows.eq(walked.iter().map(|row| (row.1, row.2)))
        });
        let names = |modules: &Modules| -> Vec<Option<String>> {
            let near = walked.iter().map(|row| modules.nearest(row.1));
            near.map(|near| near.map(|near| near.to_string())).collect()
        };
        let same_names = names(&modules) == names(self.source.modules());
        if captured != walked || !as_kept || !same_names {
            self.difference.get_or_insert((captured, walked));
        }
        Some(Pass::default())
    }
}

/// Something that a walk may depend on, changed.
#[derive(Clone, Debug)]
enum Change {
    /// A word of the kernel's stack, above the stack pointer.
    Stack(u64, u64),
    /// A byte of code at the hit.
    Code(usize, i8, u8),
    /// A list of modules, of the kernel or of the process, ends one earlier.
    EndList(bool),
    /// The last entry of a list is another image's.
    Base(bool, u64),
    /// The page with the program's stack is not present, or is where another one is.
    Table(u64, bool),
    /// All is as it was.
    Restore,
    /// The guest runs.
    Run(u64),
}

fn changes() -> impl Strategy<Value = Change> {
    let word = prop_oneof![
        any::<u64>(),
        Just(0),
        0xfffff800_01400000..0xfffff800_01900000u64
    ];
    prop_oneof![
        3 => (0..0x100u64, word).prop_map(|(at, word)| Change::Stack(at, word)),
        1 => (0..5usize, -8..8i8, any::<u8>()).prop_map(|(site, at, byte)| Change::Code(site, at, byte)),
        2 => any::<bool>().prop_map(Change::EndList),
        2 => (any::<bool>(), 1..0x40u64).prop_map(|(user, at)| Change::Base(user, at)),
        1 => (0..2u64, any::<bool>()).prop_map(|(page, present)| Change::Table(page, present)),
        2 => Just(Change::Restore),
        6 => (1..100_000u64).prop_map(Change::Run),
    ]
}

/// The heads of the lists in load order.
fn heads(lab: &Lab) -> [Va; 2] {
    let read = |base: Va, offset| lab.machine().read_va(base.wrapping_add(offset)).unwrap();
    let kernel = lab.kernel_symbol("PsLoadedModuleList").unwrap();
    let thread = read(lab.processor_control_region(), 0x188);
    let loader_data = read(read(read(thread, 0xb8), 0x60), 0x18);
    [kernel, loader_data.wrapping_add(0x10)]
}

fn put(lab: &mut Lab, at: Va, value: u64) {
    // Where the guest has taken the memory away, there is nothing to change.
    let _ = lab.machine_mut().write(at, &value.to_le_bytes());
}

fn change(lab: &mut Lab, lists: [Va; 2], change: &Change) {
    match *change {
        Change::Stack(at, word) => {
            let place = lab.machine().registers().rsp().wrapping_add(at * 8);
            put(lab, place, word);
        }
        Change::EndList(user) => {
            let head = lists[usize::from(user)];
            let read = |at: Va| lab.machine().read_va(at);
            if let Ok(last) = read(head.wrapping_add(8))
                && let Ok(before) = read(last.wrapping_add(8))
                && before != head
            {
                put(lab, head.wrapping_add(8), before.0);
                put(lab, before, head.0);
            }
        }
        Change::Base(user, pages) => {
            let head = lists[usize::from(user)];
            if let Ok(last) = lab.machine().read_va(head.wrapping_add(8)) {
                let base = last.wrapping_add(0x30);
                let known = lab.machine().read_u64(base).unwrap_or(0);
                put(lab, base, known ^ pages << 12);
            }
        }
        Change::Table(page, present) => {
            // By the tables' own mapping, as the kernel does.
            let entry = |address: u64| Va(0xfffff680_00000000 + (address >> 9 & 0x7f_ffff_fff8));
            let at = entry(0xdf000 + page * 0x1000);
            let other = lab.machine().read_u64(entry(0xdf000)).unwrap_or(0);
            put(lab, at, other & !u64::from(!present));
        }
        Change::Code(..) | Change::Restore | Change::Run(_) => {}
    }
}

#[test]
fn captures_are_walks_whatever_has_changed() {
    let mut lab = Lab::builder().build().unwrap();
    let sites = lab_sites(&lab);
    let points: Vec<Va> = sites.iter().map(|site| site.address).collect();
    let tag = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(tag, b"Leak").unwrap();
    let mut registers = lab.machine().registers();
    registers.rip += 1;
    lab.machine_mut().set_registers(&registers).unwrap();
    let compare = Compare {
        source: StackSource::new(lab.module_reader(), 1 << 16),
        reader: lab.module_reader(),
        hits: 0,
        difference: None,
    };
    lab.machine_mut()
        .set_probe(Some(Box::new(compare)), &points);
    // The first hit and what is behind it, so that requests are under way.
    let start = lab.machine().work() + 60_000;
    assert_eq!(lab.run(start).unwrap(), Exit::Limit);
    let lists = heads(&lab);
    let saved = lab.save().unwrap();
    let lab = std::cell::RefCell::new(lab);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    });
    let steps = prop::collection::vec(changes(), 1..30);
    let result = runner.run(&steps, |steps| {
        let mut lab = lab.borrow_mut();
        lab.restore(&saved).unwrap();
        let compare = lab.machine_mut().probe_mut::<Compare>().unwrap();
        compare.difference = None;
        for step in steps {
            match step {
                Change::Restore => lab.restore(&saved).unwrap(),
                Change::Run(work) => {
                    let limit = lab.machine().work() + work;
                    // It may fault, or end in a bug check: then there are no more hits.
                    let _ = lab.run(limit).unwrap();
                }
                Change::Code(site, at, byte) => {
                    let place = points[site].wrapping_add(at as i64 as u64);
                    // But not the int 3 itself.
                    if at != 0 {
                        let _ = lab.machine_mut().write(place, &[byte]);
                    }
                }
                other => change(&mut lab, lists, &other),
            }
            let compare = lab.machine().probe::<Compare>().unwrap();
            prop_assert_eq!(&compare.difference, &None);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let lab = lab.into_inner();
    let compare = lab.machine().probe::<Compare>().unwrap();
    assert!(compare.hits > 1_000, "{} hits", compare.hits);
    let stacks = compare.source.stacks().len();
    assert!(stacks > 30, "{stacks} stacks");
}
