//! Scenarios as TOML files.
//!
//! ```toml
//! driver = "my.sys"          # beside this file
//! pdb = "my.pdb"
//! device = '\\.\MyDevice'    # by default the driver's own symbolic link
//! repeat = 10                # how often the steps are done
//! unload = true              # DriverUnload at the end
//! settle = 50                # milliseconds of the guest's time behind each repetition, for timers,
//!                            # threads and work items; twenty times as much at the end
//! tag = "My??"               # only these tags
//! budget = 100000000         # the most that a request may take, in bytes of code executed
//!
//! [[setup]]                  # once, in front
//! ioctl = 0x222000
//! input-text = "hello"
//!
//! [[step]]                   # each time
//! open = '\\.\MyDevice'
//! as = "one"
//! [[step]]
//! ioctl = 0x222000
//! input = "00 10 00 00"      # or input-text, input-utf16, input-file
//! output = 16                # room for what comes out, in bytes
//! expect = "success"         # or an NTSTATUS: 0xC000000D; or "anything"
//! [[step]]
//! write = "01 02"            # or write-text, write-utf16, write-file
//! offset = 512               # where in the file; where its position is if there is none
//! on = "one"                 # the handle; the last one opened if there is none
//! [[step]]
//! read = 2
//! offset = 512
//! [[step]]
//! sleep = 10                 # milliseconds of the guest's time
//! [[step]]
//! close = "one"              # or true: the last one opened
//!
//! [[teardown]]               # once, behind
//! ioctl = 0x222000
//! ```
//!
//! Requests that take longer than their call:
//!
//! ```toml
//! driver = "my.sys"
//! [[step]]
//! open = '\\.\MyDevice'
//! overlapped = true
//! as = "one"
//! [[step]]
//! ioctl = 0x222004
//! input = "03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
//! output = 4
//! as = "long"                # it is on its way from here on
//! [[step]]
//! cancel = "long"            # CancelIoEx; with a handle's name CancelIo: all that are to that
//! [[step]]
//! wait = "long"              # GetOverlappedResult; true is the one made last
//! timeout = 1000             # milliseconds at most; without it for as long as it takes
//! expect = 0xC0000120        # STATUS_CANCELLED
//! [[step]]
//! close = "one"
//! ```
//!
//! What happens to a Plug and Play driver and its devices, on a bus without hardware:
//!
//! ```toml
//! driver = "pnp.sys"
//! unload = true              # the devices go, and the driver with the last one
//! [[setup]]
//! add-device = true          # AddDevice, IRP_MN_START_DEVICE
//! as = "first"
//! [[step]]
//! add-device = true
//! as = "dev"
//! [[step]]
//! set-power = "D3"           # D0 to D3 of the device `on`; S0 to S5 of the system
//! on = "dev"
//! [[step]]
//! set-power = "D0"
//! on = "dev"
//! [[step]]
//! stop-device = "dev"        # IRP_MN_QUERY_STOP_DEVICE, IRP_MN_STOP_DEVICE
//! [[step]]
//! start-device = "dev"
//! [[step]]
//! remove-device = "dev"      # or surprise-remove
//! [[teardown]]
//! shutdown = true            # IRP_MJ_SHUTDOWN
//! ```
//!
//! `unload = true` and `load = true` are steps too.
//!
//! A list whose steps open nothing themselves has the driver's device: it is opened in front of the first
//! step that needs a handle, if none is open, and closed behind the list, or in front of a step that takes
//! the device or the driver away. So it is for `setup`, for each repetition and for `teardown`. If there is
//! no step that does anything, each repetition opens the device and closes it.
//!
//! Opening, and all that happens to devices and the driver, has to succeed if there is no `expect`, or the
//! run ends with an error. A request may fail, which is a warning. No request goes to a handle whose `open`
//! failed, nor to an older one in its place. A request that is on its way is one of at most 16 until it has
//! been waited for.

use super::step::{Step, path_error};
use super::toml_data::limited;
use super::toml_step::{RawStep, StepError};
use super::{MOST_REPEATS, MOST_STEPS, Scenario};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file read, in bytes.
const FILE_LIMIT: u64 = 16 << 20;

/// A scenario's file: what is done, and to which driver.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScenarioFile {
    /// The driver.
    pub driver: Option<PathBuf>,
    /// The driver's PDB.
    pub pdb: Option<PathBuf>,
    /// A pattern for tags.
    pub tag: Option<String>,
    /// What is done.
    pub scenario: Scenario,
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not TOML, or has keys that no scenario has.
    #[error("{0}")]
    Toml(String),
    /// A step makes no sense.
    #[error("[[{list}]] {number}: {reason}")]
    Step {
        /// `setup`, `step` or `teardown`.
        list: &'static str,
        /// The step's number in its list, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many steps.
    #[error("[[{list}]]: {given} steps; at most {MOST_STEPS}")]
    TooManySteps {
        /// The list.
        list: &'static str,
        /// How many it has.
        given: usize,
    },
    /// It is repeated too often, or not at all.
    #[error("repeat = {0}: from 1 to {MOST_REPEATS}")]
    Repeat(u64),
    /// No program can open such a device.
    #[error("device: {0}")]
    Device(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    driver: Option<PathBuf>,
    pdb: Option<PathBuf>,
    device: Option<String>,
    repeat: Option<u64>,
    budget: Option<u64>,
    settle: Option<u32>,
    #[serde(default)]
    unload: bool,
    tag: Option<String>,
    #[serde(default)]
    setup: Vec<RawStep>,
    #[serde(default)]
    step: Vec<RawStep>,
    #[serde(default)]
    teardown: Vec<RawStep>,
}

impl ScenarioFile {
    /// Reads a file; the files it names are looked for beside it.
    ///
    /// # Errors
    /// It cannot be read, or is no scenario.
    ///
    /// ```
    /// use poolhit::scenario::ScenarioFile;
    /// let error = ScenarioFile::read("no/such.toml".as_ref()).unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read no/such.toml: "));
    /// ```
    pub fn read(path: &Path) -> Result<ScenarioFile, ScenarioError> {
        let text = String::from_utf8(limited(path, FILE_LIMIT)?).map_err(|_| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
            let path = path.to_path_buf();
            ScenarioError::Read { path, source }
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        ScenarioFile::parse(&text, folder)
    }

    /// Reads a text; the files it names are looked for in `folder`.
    ///
    /// # Errors
    /// It is no scenario, or a file cannot be read.
    ///
    /// ```
    /// use poolhit::scenario::{Action, ScenarioFile};
    /// let text = "repeat = 3\n[[step]]\nioctl = 0x22e004\ninput-text = 'hi'\n";
    /// let file = ScenarioFile::parse(text, "".as_ref())?;
    /// let action = Action::Ioctl { code: 0x22e004, input: b"hi".to_vec(), output: 0 };
    /// assert_eq!(file.scenario.steps[0].action, action);
    /// # Ok::<(), poolhit::scenario::ScenarioError>(())
    /// ```
    pub fn parse(text: &str, folder: &Path) -> Result<ScenarioFile, ScenarioError> {
        let raw: Raw =
            toml::from_str(text).map_err(|error| ScenarioError::Toml(error.to_string()))?;
        let repeat = raw.repeat.unwrap_or(1);
        let repeat = u32::try_from(repeat).ok();
        let repeat = repeat.filter(|count| (1..=MOST_REPEATS).contains(count));
        let repeat = repeat.ok_or(ScenarioError::Repeat(raw.repeat.unwrap_or(1)))?;
        if let Some(reason) = raw.device.as_deref().and_then(path_error) {
            return Err(ScenarioError::Device(reason));
        }
        let beside = |path: PathBuf| folder.join(path);
        Ok(ScenarioFile {
            driver: raw.driver.map(beside),
            pdb: raw.pdb.map(beside),
            tag: raw.tag,
            scenario: Scenario {
                device: raw.device,
                repeat,
                budget: raw.budget,
                unload: raw.unload,
                settle: raw.settle.unwrap_or(Scenario::default().settle),
                setup: steps("setup", raw.setup, folder)?,
                steps: steps("step", raw.step, folder)?,
                teardown: steps("teardown", raw.teardown, folder)?,
            },
        })
    }
}

fn steps(list: &'static str, raw: Vec<RawStep>, folder: &Path) -> Result<Vec<Step>, ScenarioError> {
    if raw.len() > MOST_STEPS {
        let given = raw.len();
        return Err(ScenarioError::TooManySteps { list, given });
    }
    let step = |(index, raw): (usize, RawStep)| {
        raw.into_step(folder).map_err(|error| match error {
            StepError::Read(error) => error,
            StepError::Wrong(reason) => ScenarioError::Step {
                list,
                number: index + 1,
                reason,
            },
        })
    };
    raw.into_iter().enumerate().map(step).collect()
}
