//! At every kind of hit, what is found where the sites say is what was asked for.

use poolhit::address::Va;
use poolhit::guest::CallError;
use poolhit::hits::{HitKind, HitSite, Location, lab_sites};
use poolhit::machine::{Exit, Snapshot};
use poolhit::memory::WriteMemory;
use poolhit::registers::{Gpr, Registers};
use poolhit::{Lab, Session, StopReason};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// In the order of their addresses.
const PLACES: [Place; 5] = [
    Place::Large,
    Place::Lists,
    Place::Cache,
    Place::FreeLarge,
    Place::FreeSmall,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Large,
    Lists,
    Cache,
    FreeLarge,
    FreeSmall,
}

/// What is at a site's locations.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    tag: u32,
    pool_type: Option<u32>,
    bytes: Option<u64>,
    block: Option<u64>,
    return_address: Va,
}

fn see(lab: &Lab, site: &HitSite, registers: &Registers) -> Seen {
    let read = |location: Location| location.read(registers, lab.machine()).unwrap();
    Seen {
        tag: registers.get(site.tag) as u32,
        pool_type: site.pool_type.map(|location| read(location) as u32),
        bytes: site.bytes.map(read),
        block: site.block.map(read),
        return_address: Va(read(site.return_address.expect("a return address"))),
    }
}

struct Guest {
    lab: Lab,
    booted: Snapshot,
    sites: Vec<HitSite>,
}

impl Guest {
    fn new(kernel: Option<Va>) -> Guest {
        let builder = Lab::builder().memory(8 << 20);
        let builder = match kernel {
            Some(base) => builder.kernel_base(base),
            None => builder,
        };
        let mut lab = builder.build().unwrap();
        let booted = lab.machine_mut().save().unwrap();
        let sites = lab_sites(&lab);
        assert_eq!(sites.len(), PLACES.len());
        Guest { lab, booted, sites }
    }

    fn call(&mut self, routine: &str, arguments: &[u64]) -> u64 {
        self.lab.call_kernel(routine, arguments).unwrap().value
    }

    /// Makes one request that hits at `place`, and looks at it there.
    fn check(&mut self, place: Place, pool_type: u32, bytes: u64, tag: u32) -> TestCaseResult {
        let (allocate, free) = ("ExAllocatePoolWithTag", "ExFreePoolWithTag");
        self.lab.machine_mut().restore(&self.booted).unwrap();
        let bytes = match place {
            Place::Large | Place::FreeLarge => 0xfe1 + bytes % 0x8000,
            Place::Lists | Place::FreeSmall => 0x1f1 + bytes % 0xdef,
            Place::Cache => bytes % 0x1f0,
        };
        let request = [u64::from(pool_type), bytes, u64::from(tag)];
        let (routine, arguments, block) = match place {
            Place::Large | Place::Lists => (allocate, request.to_vec(), None),
            Place::Cache => {
                let block = self.call(allocate, &request);
                self.call(free, &[block, u64::from(tag)]);
                (allocate, request.to_vec(), None)
            }
            Place::FreeLarge | Place::FreeSmall => {
                let block = self.call(allocate, &request);
                (free, vec![block, u64::from(tag)], Some(block))
            }
        };
        let site = PLACES.iter().zip(&self.sites).find(|one| *one.0 == place);
        let site = *site.expect("one of the places").1;
        let hit_tag = self.lab.kernel_symbol("PoolHitTag").unwrap();
        let compared = if block.is_some() {
            tag & 0x7fff_ffff
        } else {
            tag
        };
        let machine = self.lab.machine_mut();
        machine.write(hit_tag, &compared.to_le_bytes()).unwrap();
        machine.set_breakpoint(site.address).unwrap();
        let end = self.lab.call_kernel(routine, &arguments);
        let machine = self.lab.machine_mut();
        machine.clear_breakpoint(site.address).unwrap();
        let stopped = matches!(
            end,
            Err(CallError::Stopped { exit: Exit::Breakpoint { address }, .. }) if address == site.address
        );
        prop_assert!(stopped, "{place:?}: {end:?}");
        let caller = match place {
            Place::Large => {
                let function = self.lab.kernel_symbol(allocate).unwrap();
                function.wrapping_add(0x82e)
            }
            _ => self.lab.machine().return_landing(),
        };
        let expected = Seen {
            tag: compared,
            pool_type: block.is_none().then_some(pool_type),
            bytes: block.is_none().then_some(bytes),
            block,
            return_address: caller,
        };
        let seen = see(&self.lab, &site, &self.lab.machine().registers());
        prop_assert_eq!(seen, expected, "{:?}", place);
        Ok(())
    }
}

/// Any tag but those that the pool refuses: 0, also without the protection bit, and `BIG `.
fn tag() -> impl Strategy<Value = u32> {
    any::<u32>().prop_filter("the pool refuses it", |tag| {
        tag & 0x7fff_ffff != 0 && *tag != u32::from_le_bytes(*b"BIG ")
    })
}

fn check_requests(kernel: Option<Va>) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let guest = std::cell::RefCell::new(Guest::new(kernel));
    let request = (0_u32..2, any::<u64>(), tag());
    let run = |(pool_type, bytes, tag)| {
        for place in PLACES {
            guest.borrow_mut().check(place, pool_type, bytes, tag)?;
        }
        Ok(())
    };
    runner
        .run(&request, run)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_is_asked_for_is_found() {
    check_requests(None);
}

#[test]
fn what_is_asked_for_is_found_at_another_base() {
    check_requests(Some(Va(0xfffff87f_00123000)));
}

/// What the program's hits ask for, in one round: bytes, or the free of the block allocated last.
#[derive(Clone, Copy)]
enum Hit {
    Allocates(u64),
    FreesLast,
}

fn check_program(base: Option<Va>, tag: &[u8; 4], pool_type: u32, round: &[Hit]) {
    let builder = Lab::builder();
    let builder = match base {
        Some(base) => builder.kernel_base(base),
        None => builder,
    };
    let mut session = Session::new(builder.build().unwrap());
    let sites = lab_sites(session.lab());
    let hit_tag = session.resolve("nt!PoolHitTag").unwrap();
    session.write(hit_tag, tag).unwrap();
    let mut blocks = Vec::new();
    for hit in round.repeat(3) {
        let stop = session.go().unwrap();
        assert_eq!(stop.reason, StopReason::BreakInstruction);
        let found = sites.binary_search_by_key(&stop.address, |site| site.address);
        let site = &sites[found.expect("a site")];
        let registers = session.registers();
        let seen = see(session.lab(), site, &registers);
        let frames = session.stack(8).frames;
        let expected = Seen {
            tag: u32::from_le_bytes(*tag),
            pool_type: Some(pool_type),
            bytes: None,
            block: None,
            return_address: frames[0].return_address,
        };
        let expected = match hit {
            Hit::Allocates(bytes) => {
                assert_eq!(site.kind, HitKind::Allocate);
                // What the kernel is about to return.
                blocks.push(registers.get(Gpr::Rax));
                Seen {
                    bytes: Some(bytes),
                    ..expected
                }
            }
            Hit::FreesLast => {
                assert_eq!(site.kind, HitKind::Free);
                Seen {
                    pool_type: None,
                    block: blocks.pop(),
                    ..expected
                }
            }
        };
        assert_eq!(seen, expected);
    }
}

#[test]
fn what_the_program_asks_for_is_found() {
    use Hit::{Allocates, FreesLast};
    for base in [None, Some(Va(0xfffff801_23456000))] {
        let nonpaged = [
            Allocates(0x40),
            Allocates(0x100),
            FreesLast,
            Allocates(0x1400),
            Allocates(0x3000),
            FreesLast,
        ];
        check_program(base, b"Leak", 0, &nonpaged);
        let paged = [
            Allocates(0x2000),
            Allocates(0x1800),
            FreesLast,
            Allocates(0x1000),
        ];
        check_program(base, b"Lea2", 1, &paged);
    }
}
