//! What a scenario has at a time, by names: handles, requests that are on their way, devices.

use super::step::shown;
use std::collections::BTreeSet;
use std::fmt;

/// What a step is to be done to, and is not there.
///
/// ```
/// use poolhit::{Lab, scenario::{Action, RunError, Scenario, Step}};
/// let scenario = Scenario { steps: vec![Step::new(Action::Close)], ..Scenario::default() };
/// let mut lab = Lab::builder().requester().build()?;
/// let error = scenario.run(&mut lab, |_| ()).unwrap_err();
/// assert_eq!(error.to_string(), "step 1 of repetition 1: no handle is open");
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// What it would be.
    kind: Kind,
    /// Its name, if the step gives one.
    name: Option<String>,
    /// Whether it is missing because the step that was to give it failed.
    has_failed: bool,
}

/// What has names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Handle,
    Request,
    Device,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, none) = match self.kind {
            Kind::Handle => ("open handle", "no handle is open"),
            Kind::Request => ("request", "no request is on its way"),
            Kind::Device => ("device", "no device has been added"),
        };
        match (&self.name, self.has_failed) {
            (Some(name), false) => write!(f, "no {one} is called {name:?}"),
            (None, false) => f.write_str(none),
            (Some(name), true) => write!(f, "the step that was to give {} failed", shown(name)),
            (None, true) => write!(
                f,
                "no {one} is the last: the step that was to give it failed"
            ),
        }
    }
}

/// What there is of a kind, in the order in which it came.
#[derive(Debug)]
pub(super) struct Held<T> {
    kind: Kind,
    all: Vec<(Option<String>, T)>,
    /// The names of what did not come.
    failed: BTreeSet<String>,
    has_last_failed: bool,
}

impl<T: Copy> Held<T> {
    pub fn new(kind: Kind) -> Held<T> {
        Held {
            kind,
            all: Vec::new(),
            failed: BTreeSet::new(),
            has_last_failed: false,
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is nothing, and nothing was to come that did not.
    pub fn is_untouched(&self) -> bool {
        self.all.is_empty() && !self.has_last_failed
    }

    pub fn add(&mut self, name: Option<&str>, value: T) {
        if let Some(name) = name {
            self.failed.remove(name);
        }
        self.has_last_failed = false;
        self.all.push((name.map(str::to_owned), value));
    }

    /// Notes that what was to come has not: no step is to take something older for it.
    pub fn fail(&mut self, name: Option<&str>) {
        self.failed.extend(name.map(str::to_owned));
        self.has_last_failed = true;
    }

    fn find(&self, name: Option<&str>) -> Result<usize, Missing> {
        let has_failed = match name {
            Some(name) => self.failed.contains(name),
            None => self.has_last_failed,
        };
        let fits = |(own, _): &(Option<String>, T)| name.is_none() || own.as_deref() == name;
        let found = self.all.iter().rposition(fits);
        found.filter(|_| !has_failed).ok_or_else(|| Missing {
            kind: self.kind,
            name: name.map(str::to_owned),
            has_failed,
        })
    }

    /// What has this name, or the last there is.
    pub fn get(&self, name: Option<&str>) -> Result<T, Missing> {
        Ok(self.all[self.find(name)?].1)
    }

    /// The same, and it is gone.
    pub fn take(&mut self, name: Option<&str>) -> Result<T, Missing> {
        let index = self.find(name)?;
        Ok(self.all.remove(index).1)
    }

    /// What came last, whatever failed since; it is gone.
    pub fn pop(&mut self) -> Option<T> {
        self.has_last_failed = false;
        self.all.pop().map(|(_, value)| value)
    }

    /// Forgets what fits.
    pub fn forget(&mut self, fits: impl Fn(Option<&str>, &T) -> bool) {
        self.all
            .retain(|(name, value)| !fits(name.as_deref(), value));
    }

    pub fn has(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.all.iter().any(|(_, value)| fits(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_older_is_taken_for_what_failed() {
        let mut held = Held::new(Kind::Handle);
        held.add(Some("a"), 1);
        held.add(None, 2);
        assert_eq!((held.get(Some("a")), held.get(None)), (Ok(1), Ok(2)));
        held.fail(Some("a"));
        let error = held.get(Some("a")).unwrap_err().to_string();
        assert_eq!(error, "the step that was to give a failed");
        assert!(held.get(None).unwrap_err().has_failed);
        held.add(Some("b"), 3);
        assert_eq!(held.take(None), Ok(3));
        assert_eq!(held.get(None), Ok(2));
        assert!(held.get(Some("a")).is_err());
        held.add(Some("a"), 4);
        assert_eq!(held.get(Some("a")), Ok(4));
    }
}
