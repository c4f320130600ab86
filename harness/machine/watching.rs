//! Watchers of a machine: see [`Watcher`].

use super::probe::Watcher;
use super::{EngineError, Machine, unicorn};
use crate::address::Va;
use std::any::Any;
use std::fmt;

/// A copy of a machine's watcher, with what the machine keeps for it.
#[derive(Default)]
pub(crate) struct SavedWatch(unicorn::Watch);

impl fmt::Debug for SavedWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedWatch")
            .field("points", &self.0.points)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Has a watcher see the guest reach these instructions, in place of the one before, and gives that
    /// one back.
    ///
    /// # Errors
    /// The engine refuses.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va};
    /// use poolhit::machine::probe::{Observed, ReturnWatch, Watcher};
    ///
    /// #[derive(Clone)]
    /// struct Count(u64);
    /// impl Watcher for Count {
    ///     fn reached(&mut self, _: &Observed<'_>, _: Va) -> Option<ReturnWatch> {
    ///         self.0 += 1;
    ///         None
    ///     }
    ///     fn copy(&self) -> Box<dyn Watcher> {
    ///         Box::new(self.clone())
    ///     }
    /// }
    ///
    /// let mut lab = Lab::builder().build()?;
    /// let function = lab.kernel_symbol("ExAllocatePoolWithTag").unwrap();
    /// lab.machine_mut().set_watcher(Some(Box::new(Count(0))), &[function])?;
    /// lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x100, 0x74736554])?;
    /// assert_eq!(lab.machine().watcher::<Count>().unwrap().0, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_watcher(
        &mut self,
        watcher: Option<Box<dyn Watcher>>,
        points: &[Va],
    ) -> Result<Option<Box<dyn Watcher>>, EngineError> {
        let watch = unicorn::Watch {
            points: match watcher {
                Some(_) => points.iter().map(|point| point.0).collect(),
                None => Vec::new(),
            },
            watcher,
            ..unicorn::Watch::default()
        };
        Ok(self.engine.set_watch(watch)?.watcher)
    }

    /// The watcher, if it is of this type. See [`set_watcher`](Machine::set_watcher) for an example.
    pub fn watcher<W: Watcher>(&self) -> Option<&W> {
        let watcher: &dyn Any = self.engine.watch().watcher.as_deref()?;
        watcher.downcast_ref()
    }

    /// The watcher, if it is of this type.
    ///
    /// ```
    /// # use poolhit::{Lab, address::Va, machine::probe::{Observed, ReturnWatch, Watcher}};
    /// # struct Count(u64);
    /// # impl Watcher for Count {
    /// #     fn reached(&mut self, _: &Observed<'_>, _: Va) -> Option<ReturnWatch> { None }
    /// #     fn copy(&self) -> Box<dyn Watcher> { Box::new(Count(self.0)) }
    /// # }
    /// let mut lab = Lab::builder().build()?;
    /// assert!(lab.machine_mut().watcher_mut::<Count>().is_none());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn watcher_mut<W: Watcher>(&mut self) -> Option<&mut W> {
        let watcher: &mut dyn Any = self.engine.watch_mut().watcher.as_deref_mut()?;
        watcher.downcast_mut()
    }

    /// Tells the watcher that the guest has started up.
    pub(crate) fn tell_started(&mut self) {
        if let Some(watcher) = &mut self.engine.watch_mut().watcher {
            watcher.started();
        }
    }

    /// Tells the watcher that a driver is loaded, or given a device.
    pub(crate) fn tell_starting(&mut self) {
        if let Some(watcher) = &mut self.engine.watch_mut().watcher {
            watcher.starting();
        }
    }

    /// Tells the watcher that a driver has been unloaded.
    pub(crate) fn tell_unloaded(&mut self, image_name: &str) {
        if let Some(watcher) = &mut self.engine.watch_mut().watcher {
            watcher.unloaded(image_name);
        }
    }

    /// A copy of the watcher.
    pub(crate) fn save_watch(&self) -> SavedWatch {
        SavedWatch(self.engine.watch().copy())
    }

    /// Puts a copy of a watcher in the place of this one, or takes this one away if there is none.
    pub(crate) fn restore_watch(&mut self, saved: &SavedWatch) -> Result<(), EngineError> {
        if saved.0.watcher.is_some() || self.engine.watch().watcher.is_some() {
            self.engine.set_watch(saved.0.copy())?;
        }
        Ok(())
    }
}
