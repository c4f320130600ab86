//! Scenarios: what a program asks of a driver, again and again, so that its leaks show.
//!
//! A [`Scenario`] is made of [`Step`]s, in Rust or in a [TOML file](mod@file). A lab with the
//! [requester](crate::guest::LabBuilder::requester) [does](Scenario::run) what it says.

mod devices;
mod error;
pub mod file;
mod held;
mod ioctl;
mod outcome;
mod perform;
mod run;
mod step;
mod toml_data;
mod toml_step;

pub use error::RunError;
pub use file::{ScenarioError, ScenarioFile};
pub use held::Missing;
pub use ioctl::IoctlError;
pub use outcome::{Failure, Outcome, Place};
pub use step::{Action, BUFFER_LIMIT, Expected, ExpectedError, PATH_LIMIT, Step};

/// The most steps in a list of a scenario.
pub const MOST_STEPS: usize = 10_000;
/// The most handles that a scenario has open at the same time.
pub const MOST_HANDLES: usize = 256;
/// The most repetitions.
pub const MOST_REPEATS: u32 = 1_000_000;

/// What is done to a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// The device that is opened for lists whose steps open nothing; `None` for the one that the driver's
    /// symbolic link names.
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
    /// How much of the guest's time passes behind each repetition, in milliseconds, before it is
    /// [marked](crate::Lab::mark_repeat): what the driver has put off is done, if it is due by then. Behind
    /// the last repetition, the teardown and unloading it is [twenty times](Scenario::last_settle) as much.
    pub settle: u32,
    /// The most work that a request may take, in bytes of code executed; `None` for
    /// [`REQUEST_WORK`](crate::guest::REQUEST_WORK), which is the limit of what happens to devices and to
    /// the driver, too.
    pub budget: Option<u64>,
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
            settle: 50,
            budget: None,
        }
    }
}

impl Scenario {
    /// How much of the guest's time passes at the end, in milliseconds: see
    /// [`settle`](Scenario::settle).
    ///
    /// ```
    /// assert_eq!(poolhit::scenario::Scenario::default().last_settle(), 1000);
    /// ```
    pub fn last_settle(&self) -> u32 {
        self.settle.saturating_mul(20)
    }
}
