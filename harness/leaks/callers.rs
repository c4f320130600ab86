//! Who makes a pool call: the stack from the pool's function on, and the drivers on it.

use crate::address::Va;
use crate::guest::ModuleReader;
use crate::hits::{FRAME_LIMIT, HitSite, STACK_LIMIT, StackDepot, StackId, StackSource, entry_of};
use crate::machine::probe::Observed;
use crate::stack::capture::CapturedFrame;
use crate::symbols::Modules;

use super::driver_set::DriverSet;

/// The most states of the module lists that are kept: what comes later is named by the last one.
const MODULE_STATES: usize = 64;

/// A driver that a pool call went through: an image in kernel memory that is not the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Driver {
    /// The name in front of the `!`, such as `myfault`.
    pub name: String,
    /// The image's file name.
    pub image_name: String,
    /// Its first byte.
    pub base: Va,
    /// Its size in bytes.
    pub size: u32,
    /// When it was unloaded, and what it left behind, if that was
    /// [marked](super::LeakTracker::mark_unloaded).
    pub unloaded: Option<super::Unload>,
}

/// The caller of a pool function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub stack: StackId,
    pub drivers: DriverSet,
}

const UNKNOWN: Caller = Caller {
    stack: StackId::NOT_KEPT,
    drivers: DriverSet::ALL,
};

/// Captures who makes pool calls. Frames inside of the pool are left out but for the outermost, which
/// is as if it were at the function's first instruction: where in the pool a block comes from does not
/// make a different caller.
#[derive(Debug)]
pub(super) struct Callers {
    source: StackSource,
    /// The kernel's base, and the entries of its functions that compare.
    kernel: Va,
    functions: Vec<Va>,
    /// What the source's stacks are, by their numbers.
    callers: Vec<Caller>,
    depot: StackDepot,
    /// By which of the states each stack of the depot is named.
    named_by: Vec<u32>,
    states: Vec<Modules>,
    changes: u32,
    drivers: Vec<Driver>,
}

impl Callers {
    pub fn new(sites: &[HitSite], kernel: Va, reader: ModuleReader) -> Callers {
        let mut functions: Vec<Va> = sites.iter().map(|site| site.function).collect();
        functions.sort_unstable();
        functions.dedup();
        Callers {
            source: StackSource::new(reader, STACK_LIMIT),
            kernel,
            functions,
            callers: Vec::new(),
            depot: StackDepot::new(STACK_LIMIT),
            named_by: Vec::new(),
            states: Vec::new(),
            changes: 0,
            drivers: Vec::new(),
        }
    }

    pub fn copy(&self) -> Callers {
        Callers {
            source: self.source.copy(),
            functions: self.functions.clone(),
            callers: self.callers.clone(),
            depot: self.depot.clone(),
            named_by: self.named_by.clone(),
            states: self.states.clone(),
            drivers: self.drivers.clone(),
            ..*self
        }
    }

    /// Who calls the pool at a site.
    #[inline]
    pub fn capture(&mut self, guest: &Observed<'_>, site: &HitSite) -> Caller {
        let captured = self.source.capture(guest, FRAME_LIMIT);
        match captured.index().map(|index| self.callers.get(index)) {
            Some(Some(caller)) => *caller,
            Some(None) => self.new_caller(captured, site),
            None => UNKNOWN,
        }
    }

    /// The kernel's base.
    pub fn kernel(&self) -> Va {
        self.kernel
    }

    /// The frames of the last stack captured, from the innermost on.
    #[inline]
    pub fn frames(&self) -> &[CapturedFrame] {
        self.source.frames()
    }

    /// A stack that the source has not seen before.
    #[cold]
    fn new_caller(&mut self, captured: StackId, site: &HitSite) -> Caller {
        let caller = self.caller_of(captured, site).unwrap_or(UNKNOWN);
        // Its numbers are given in order.
        self.callers.push(caller);
        caller
    }

    fn caller_of(&mut self, captured: StackId, site: &HitSite) -> Option<Caller> {
        if self.states.is_empty() || self.changes != self.source.changes() {
            self.changes = self.source.changes();
            if self.states.len() < MODULE_STATES {
                self.states.push(self.source.modules().clone());
            }
        }
        let modules = self.source.modules();
        let kept = self.source.stacks().stack(captured)?;
        let mut function = site.function;
        let mut frames = kept.frames;
        while let [frame, rest @ ..] = frames
            && !rest.is_empty()
            && let Some(outer) = self.pool_function(modules, frame.return_address)
        {
            function = outer;
            frames = rest;
        }
        let mut frames = frames.to_vec();
        if let ([outermost, ..], [innermost, ..]) = (&mut frames[..], kept.frames) {
            // As if nothing had been called from it.
            outermost.trust = innermost.trust;
        }
        let stack = self.depot.intern(function, &frames, kept.end);
        let returns = frames.iter().map(|frame| frame.return_address);
        let mut drivers = DriverSet::NONE;
        for address in returns.filter(|address| address.is_kernel()) {
            let Some(module) = modules.containing(address) else {
                continue;
            };
            if module.base() == self.kernel {
                continue;
            }
            let same = |driver: &Driver| {
                driver.base == module.base() && driver.image_name == module.image_name()
            };
            let known = self.drivers.iter().position(same);
            let number = known.unwrap_or_else(|| {
                if self.drivers.len() < DriverSet::LIMIT {
                    self.drivers.push(Driver {
                        name: module.name().to_owned(),
                        image_name: module.image_name().to_owned(),
                        base: module.base(),
                        size: module.size(),
                        unloaded: None,
                    });
                    return self.drivers.len() - 1;
                }
                DriverSet::LIMIT
            });
            drivers.0 |= DriverSet::of(number).0;
        }
        if let Some(index) = stack.index()
            && index == self.named_by.len()
        {
            self.named_by.push(self.states.len() as u32 - 1);
        }
        Some(match stack {
            StackId::NOT_KEPT => UNKNOWN,
            _ => Caller { stack, drivers },
        })
    }

    /// The entry of the function that compares and has this address, if one does.
    fn pool_function(&self, modules: &Modules, address: Va) -> Option<Va> {
        let module = modules.containing(address)?;
        let entry = entry_of(&**module.image()?, module.rva(address)?)?;
        let entry = module.base() + entry;
        self.functions.binary_search(&entry).ok().map(|_| entry)
    }

    /// The stacks, by the numbers of [`Caller::stack`].
    pub fn stacks(&self) -> &StackDepot {
        &self.depot
    }

    /// The modules as of when a stack came up first.
    pub fn modules_of(&self, stack: StackId) -> Option<&Modules> {
        let state = *self.named_by.get(stack.index()?)?;
        self.states.get(state as usize)
    }

    pub fn drivers(&self) -> &[Driver] {
        &self.drivers
    }

    pub fn drivers_mut(&mut self) -> &mut [Driver] {
        &mut self.drivers
    }
}
