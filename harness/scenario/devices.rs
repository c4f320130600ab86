//! Which device a scenario opens of itself.

use super::Scenario;
use super::step::{Action, Step};

/// Whether a list opens what it needs itself.
pub(super) fn opens(steps: &[Step]) -> bool {
    steps
        .iter()
        .any(|step| matches!(step.action, Action::Open { .. }))
}

/// Whether a list asks the driver for nothing.
pub(super) fn is_idle(steps: &[Step]) -> bool {
    steps
        .iter()
        .all(|step| matches!(step.action, Action::Sleep { .. }))
}

/// Whether a step is one that needs a handle, and names none.
pub(super) fn wants_handle(step: &Step) -> bool {
    step.action.is_transfer() && step.target.is_none()
}

impl Scenario {
    /// Whether [`device`](Scenario::device) counts, or the driver's own link in its place: whether it is
    /// opened for a list that opens nothing.
    ///
    /// ```
    /// use poolhit::scenario::{Action, Scenario, Step};
    /// let open = Step::new(Action::Open { path: r"\\.\My".into(), overlapped: false });
    /// let mut scenario = Scenario { steps: vec![open], ..Scenario::default() };
    /// assert!(!scenario.uses_device() && Scenario::default().uses_device());
    /// scenario.setup = vec!["0x222004".parse()?];
    /// assert!(scenario.uses_device());
    /// # Ok::<(), poolhit::scenario::IoctlError>(())
    /// ```
    pub fn uses_device(&self) -> bool {
        let mut open = 0_usize;
        let mut uses = |steps: &[Step], is_repeated: bool| {
            if is_repeated && open == 0 && is_idle(steps) {
                return true;
            }
            let opens = opens(steps);
            steps.iter().any(|step| {
                match step.action {
                    Action::Open { .. } => open += 1,
                    Action::Close => open = open.saturating_sub(1),
                    _ => {}
                }
                open == 0 && !opens && wants_handle(step)
            })
        };
        // The first repetition may close what the second one then does not have.
        uses(&self.setup, false)
            || uses(&self.steps, true)
            || self.repeat > 1 && uses(&self.steps, true)
            || uses(&self.teardown, false)
    }
}
