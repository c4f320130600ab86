//! Scenarios: what a program asks of a driver, again and again, so that its leaks show.
//!
//! A [`Scenario`] is made of [`Step`]s, in Rust or in a [TOML file](ScenarioFile). A lab with the
//! [requester](crate::guest::LabBuilder::requester) [does](Scenario::run) what it says.

mod file;
mod run;
mod step;

pub use file::{ScenarioError, ScenarioFile};
pub use run::{Failure, Outcome, Place, RunError};
pub use step::{Action, BUFFER_LIMIT, Expected, IoctlError, PATH_LIMIT, Step};

/// The most steps in a list of a scenario.
pub const MOST_STEPS: usize = 10_000;
/// The most handles that a scenario has open at the same time.
pub const MOST_HANDLES: usize = 256;
/// The most repetitions.
pub const MOST_REPEATS: u32 = 1_000_000;

/// What is done to a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// The device that is opened for each repetition if no step opens anything; `None` for the one that
    /// the driver's symbolic link names.
    pub device: Option<String>,
    /// Steps done once, in front.
    pub setup: Vec<Step>,
    /// Steps done again and again.
    pub steps: Vec<Step>,
    /// Steps done once, behind.
    pub teardown: Vec<Step>,
    /// How often the steps are done.
    pub repeat: u32,
    /// Whether the driver is unloaded at the end.
    pub unload: bool,
}

/// Nothing, once.
impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            device: None,
            setup: Vec::new(),
            steps: Vec::new(),
            teardown: Vec::new(),
            repeat: 1,
            unload: false,
        }
    }
}
