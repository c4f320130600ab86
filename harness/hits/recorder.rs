//! Keeping what happens at hits while the guest runs on.

use super::depot::{StackDepot, StackId};
use super::record::{BLOCK, BYTES, Hit, Keep, POOL_TYPE, Record, Records};
use super::request::{Request, return_watch};
use super::site::{HitKind, HitSite, lab_sites};
use super::source::StackSource;
use crate::address::Va;
use crate::guest::{Lab, ModuleReader};
use crate::machine::probe::{Observed, Pass, Point, Probe};
use crate::memory::ReadMemory;
use crate::registers::Gpr;
use crate::symbols::Modules;

/// The most frames kept of a stack.
pub const FRAME_LIMIT: usize = 256;

/// The most different stacks kept.
pub const STACK_LIMIT: usize = 1 << 16;

/// A probe that keeps every pool hit it comes to, and lets the guest go on.
#[derive(Debug)]
pub struct Recorder {
    sites: Vec<HitSite>,
    source: StackSource,
    records: Records,
    hits: u64,
    /// Hits by stack; those of stacks not kept are the rest.
    by_stack: Vec<u64>,
    /// Hits by site.
    by_site: Vec<u64>,
}

impl Recorder {
    /// One for the given sites, in any order. For all of a lab's, see [`Recorder::attach`].
    ///
    /// ```
    /// use poolhit::{Lab, hits::{Keep, Recorder}};
    /// let lab = Lab::builder().build()?;
    /// let recorder = Recorder::new(Vec::new(), lab.module_reader(), Keep::Counts);
    /// assert_eq!(recorder.points(), []);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn new(sites: Vec<HitSite>, reader: ModuleReader, keep: Keep) -> Recorder {
        Recorder {
            by_site: vec![0; sites.len()],
            sites,
            source: StackSource::new(reader, STACK_LIMIT),
            records: Records::new(keep),
            hits: 0,
            by_stack: Vec::new(),
        }
    }

    /// One for all sites of a lab's kernel.
    pub(crate) fn of(lab: &Lab, keep: Keep) -> Recorder {
        Recorder::new(lab_sites(lab), lab.module_reader(), keep)
    }

    /// Records the hits of a lab without a session, those of calls say, in place of the probe its
    /// machine had. [`Lab::restore`] does not take back what has been recorded.
    ///
    /// ```
    /// use poolhit::{Lab, hits::{Keep, Recorder}, memory::WriteMemory};
    /// let mut lab = Lab::builder().build()?;
    /// let tag = lab.kernel_symbol("PoolHitTag").unwrap();
    /// lab.machine_mut().write(tag, b"Test")?;
    /// Recorder::attach(&mut lab, Keep::Last(1000));
    ///
    /// lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x74736554])?;
    /// let recorder = lab.machine().probe::<Recorder>().unwrap();
    /// assert_eq!(recorder.hits().next().unwrap().bytes, Some(0x2000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach(lab: &mut Lab, keep: Keep) {
        let recorder = Recorder::of(lab, keep);
        let points = recorder.points();
        lab.machine_mut()
            .set_probe(Some(Box::new(recorder)), &points);
    }

    /// The addresses of the sites: where the machine is to call it.
    pub fn points(&self) -> Vec<Va> {
        self.sites.iter().map(|site| site.address).collect()
    }

    /// The number of hits so far.
    pub fn count(&self) -> u64 {
        self.hits
    }

    /// The hits kept, in their order.
    pub fn hits(&self) -> impl ExactSizeIterator<Item = Hit> {
        self.records.iter().map(|record| {
            let site = &self.sites[usize::from(record.site)];
            record.hit(site.address, site.kind)
        })
    }

    /// The stacks of all hits.
    pub fn stacks(&self) -> &StackDepot {
        self.source.stacks()
    }

    /// How many hits came by a stack.
    pub fn count_of(&self, stack: StackId) -> u64 {
        let index = stack.index();
        index
            .and_then(|index| self.by_stack.get(index))
            .copied()
            .unwrap_or(match stack {
                StackId::NOT_KEPT => self.hits - self.by_stack.iter().sum::<u64>(),
                _ => 0,
            })
    }

    /// The sites, each with the number of its hits.
    pub fn sites(&self) -> impl ExactSizeIterator<Item = (&HitSite, u64)> {
        self.sites.iter().zip(self.by_site.iter().copied())
    }

    /// The modules as of the last hit.
    pub fn modules(&self) -> &Modules {
        self.source.modules()
    }

    /// Forgets the rules by which stacks are captured, as if there had been none.
    pub fn forget_rules(&mut self) {
        self.source.forget_rules();
    }
}

impl Probe for Recorder {
    /// An `int 3`, or a breakpoint on what was one before it was patched.
    fn hit(&mut self, guest: &Observed<'_>, point: Point) -> Option<Pass> {
        const INT3: u8 = 0xcc;
        let address = match point {
            Point::BreakInstruction { address } => address,
            // The instruction is still to come, and will be a hit of its own.
            Point::Breakpoint { address } if guest.read_u8(address) == Ok(INT3) => {
                return Some(Pass::default());
            }
            Point::Breakpoint { address } => address,
        };
        let number = self.sites.iter().position(|site| site.address == address)?;
        let site = &self.sites[number];
        let sequence = self.hits;
        let keeps = self.records.keeps(sequence);
        // In front of the stack, whose registers are read with these.
        let values = keeps.then(|| Request::at(site, guest));
        let stack = self.source.capture(guest, FRAME_LIMIT);
        self.hits += 1;
        self.by_site[number] += 1;
        if let Some(index) = stack.index() {
            if index == self.by_stack.len() {
                self.by_stack.push(0);
            }
            self.by_stack[index] += 1;
        }
        let Some(values) = values else {
            return Some(Pass::default());
        };
        let mut record = Record {
            sequence,
            work: guest.work(),
            block: 0,
            bytes: 0,
            site: number as u16,
            processor: self.source.processor() as u16,
            known: 0,
            tag: values.tag as u32,
            pool_type: 0,
            stack,
        };
        if let Some(bytes) = values.bytes {
            record.bytes = bytes;
            record.known |= BYTES;
        }
        if let Some(pool_type) = values.pool_type {
            record.pool_type = pool_type as u32;
            record.known |= POOL_TYPE;
        }
        let mut watch = None;
        match site.kind {
            HitKind::Free => {
                if let Some(block) = values.block {
                    record.block = block;
                    record.known |= BLOCK;
                }
            }
            HitKind::Allocate => {
                watch = return_watch(site, guest, self.source.frames(), sequence);
            }
        }
        self.records.push(record);
        Some(Pass {
            watch,
            ..Pass::default()
        })
    }

    fn returned(&mut self, guest: &Observed<'_>, token: u64) {
        let block = guest.register(Gpr::Rax);
        if let Some(record) = self.records.get_mut(token)
            && block != 0
        {
            record.block = block;
            record.known |= BLOCK;
        }
    }
}
