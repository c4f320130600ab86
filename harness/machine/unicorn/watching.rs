//! The watcher: who sees the guest reach certain instructions without being in anyone's way.
//!
//! Where a breakpoint is on one of its points, the breakpoint comes first, and the watcher is called
//! when the instruction is really about to execute: once, however often the guest stops there.

use super::hooks::{State, stop_with_panic};
use super::observed::Observed;
use super::watches::Watches;
use super::{Engine, EngineError, Refusal};
use crate::address::Va;
use crate::machine::probe::Watcher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use unicorn_engine::Unicorn;

/// A watcher, and what the engine keeps for it.
#[derive(Default)]
pub struct Watch {
    pub watcher: Option<Box<dyn Watcher>>,
    /// Where it looks.
    pub points: Vec<u64>,
    /// Those of the points that have a breakpoint, which calls the watcher.
    pub shared: Vec<u64>,
    /// The calls whose return it wants to see.
    pub calls: Watches,
}

impl Watch {
    /// A copy for another engine.
    pub fn copy(&self) -> Watch {
        Watch {
            watcher: self.watcher.as_ref().map(|watcher| watcher.copy()),
            points: self.points.clone(),
            shared: Vec::new(),
            calls: self.calls.clone(),
        }
    }
}

/// One of the watcher's points is about to execute.
fn on_point(uc: &mut Unicorn<'_, State>, address: u64) {
    let state = uc.get_data();
    let here = !state.aside && !state.ends_in_front_of(address);
    if here && !state.watch.shared.contains(&address) {
        reach(uc, address);
    }
}

/// Calls the watcher.
pub(super) fn reach(uc: &mut Unicorn<'_, State>, address: u64) {
    let state = uc.get_data_mut();
    if state.exit.is_some() || state.panic.is_some() {
        return;
    }
    let Some(mut watcher) = state.watch.watcher.take() else {
        return;
    };
    let guest = Observed::new(uc, address);
    let call = catch_unwind(AssertUnwindSafe(|| watcher.reached(&guest, Va(address))));
    drop(guest);
    let watch = &mut uc.get_data_mut().watch;
    watch.watcher = Some(watcher);
    match call {
        Ok(Some(call)) => watch.calls.add(call),
        Ok(None) => {}
        Err(panic) => stop_with_panic(uc, panic),
    }
}

/// A call has returned that the watcher wants to see return.
pub(super) fn report_return(uc: &mut Unicorn<'_, State>, address: u64, token: u64) {
    let Some(mut watcher) = uc.get_data_mut().watch.watcher.take() else {
        return;
    };
    let guest = Observed::new(uc, address);
    let returned = catch_unwind(AssertUnwindSafe(|| watcher.returned(&guest, token)));
    drop(guest);
    uc.get_data_mut().watch.watcher = Some(watcher);
    if let Err(panic) = returned {
        stop_with_panic(uc, panic);
    }
}

impl Engine {
    /// Has a watcher look at the guest, in place of the one before.
    pub fn set_watch(&mut self, watch: Watch) -> Result<Watch, EngineError> {
        if watch.points != self.uc.get_data().watch.points {
            for hook in std::mem::take(&mut self.watch) {
                self.remove_hook(hook)?;
            }
            for point in &watch.points {
                let hook = self
                    .uc
                    .add_code_hook(*point, *point, |uc, address, _| on_point(uc, address))
                    .refused("watch an instruction")?;
                self.watch.push(hook);
            }
            self.code_changed()?;
        }
        let before = std::mem::replace(&mut self.uc.get_data_mut().watch, watch);
        self.share_points();
        Ok(before)
    }

    pub fn watch(&self) -> &Watch {
        &self.uc.get_data().watch
    }

    pub fn watch_mut(&mut self) -> &mut Watch {
        &mut self.uc.get_data_mut().watch
    }

    /// Notes which of the watcher's points have a breakpoint.
    pub(super) fn share_points(&mut self) {
        let breakpoints = &self.breakpoints;
        let watch = &mut self.uc.get_data_mut().watch;
        let shared = watch.points.iter().copied();
        let shared = shared.filter(|point| breakpoints.contains_key(point));
        watch.shared = shared.collect();
    }
}
