//! Scenarios as TOML files.
//!
//! ```toml
//! driver = "my.sys"          # beside this file
//! pdb = "my.pdb"
//! device = '\\.\MyDevice'    # by default the driver's own symbolic link
//! repeat = 10                # how often the steps are done
//! unload = true              # DriverUnload at the end
//! tag = "My??"               # only these tags
//!
//! [[setup]]                  # once, in front
//! ioctl = 0x22e000
//!
//! [[step]]                   # each time
//! open = '\\.\MyDevice'
//! as = "one"
//! [[step]]
//! ioctl = 0x22e004
//! input = "00 10 00 00"      # or input-text, input-utf16, input-file
//! output = 16                # room for what comes out, in bytes
//! expect = "success"         # or an NTSTATUS: 0xC000000D
//! [[step]]
//! write = "01 02"            # or write-text, write-utf16, write-file
//! offset = 0
//! on = "one"                 # the handle; the last one opened if there is none
//! [[step]]
//! read = 512
//! [[step]]
//! sleep = 10                 # milliseconds of the guest's time
//! [[step]]
//! close = "one"
//!
//! [[teardown]]               # once, behind
//! ioctl = 0x22e008
//! ```
//!
//! If no step opens anything, the device is opened in front of each repetition, and closed behind it.

use super::step::{Action, BUFFER_LIMIT, Expected, PATH_LIMIT, Step, bytes};
use super::{MOST_REPEATS, MOST_STEPS, Scenario};
use serde::Deserialize;
use std::io::{self, Read};
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    driver: Option<PathBuf>,
    pdb: Option<PathBuf>,
    device: Option<String>,
    repeat: Option<u64>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStep {
    open: Option<String>,
    #[serde(rename = "as")]
    name: Option<String>,
    close: Option<Close>,
    ioctl: Option<u32>,
    input: Option<String>,
    input_text: Option<String>,
    input_utf16: Option<String>,
    input_file: Option<PathBuf>,
    output: Option<u32>,
    read: Option<u32>,
    write: Option<String>,
    write_text: Option<String>,
    write_utf16: Option<String>,
    write_file: Option<PathBuf>,
    offset: Option<u64>,
    sleep: Option<u32>,
    on: Option<String>,
    expect: Option<Expect>,
}

/// `close = "one"`, or `close = true` for the last one opened.
#[derive(Deserialize)]
#[serde(untagged)]
enum Close {
    Name(String),
    Last(bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Status(u32),
    Word(String),
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
        let beside = |path: PathBuf| folder.join(path);
        Ok(ScenarioFile {
            driver: raw.driver.map(beside),
            pdb: raw.pdb.map(beside),
            tag: raw.tag,
            scenario: Scenario {
                device: raw.device,
                repeat,
                unload: raw.unload,
                setup: steps("setup", raw.setup, folder)?,
                steps: steps("step", raw.step, folder)?,
                teardown: steps("teardown", raw.teardown, folder)?,
            },
        })
    }
}

fn limited(path: &Path, limit: u64) -> Result<Vec<u8>, ScenarioError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let text = format!("it is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    };
    read().map_err(|source| ScenarioError::Read {
        path: path.to_path_buf(),
        source,
    })
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

enum StepError {
    Read(ScenarioError),
    Wrong(String),
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, StepError> {
    Err(StepError::Wrong(reason.into()))
}

impl RawStep {
    fn into_step(self, folder: &Path) -> Result<Step, StepError> {
        let input = Data {
            name: "input",
            hex: self.input,
            text: self.input_text,
            utf16: self.input_utf16,
            file: self.input_file,
        };
        let write = Data {
            name: "write",
            hex: self.write,
            text: self.write_text,
            utf16: self.write_utf16,
            file: self.write_file,
        };
        let asked = [
            ("open", self.open.is_some()),
            ("close", self.close.is_some()),
            ("ioctl", self.ioctl.is_some()),
            ("read", self.read.is_some()),
            ("write", write.is_given()),
            ("sleep", self.sleep.is_some()),
        ];
        let mut asked = asked.iter().filter(|(_, is_given)| *is_given);
        let kind = match (asked.next(), asked.next()) {
            (Some((kind, _)), None) => *kind,
            (None, _) => return wrong("it has none of open, close, ioctl, read, write and sleep"),
            (Some((one, _)), Some((other, _))) => {
                return wrong(format!("it has both {one} and {other}"));
            }
        };
        for (key, is_given, kinds) in [
            ("as", self.name.is_some(), &["open"][..]),
            ("input", input.is_given(), &["ioctl"]),
            ("output", self.output.is_some(), &["ioctl"]),
            ("offset", self.offset.is_some(), &["read", "write"]),
            ("on", self.on.is_some(), &["ioctl", "read", "write"]),
        ] {
            if is_given && !kinds.contains(&kind) {
                return wrong(format!("{kind} has no {key}"));
            }
        }
        let length = |key: &str, length: u32| match length as usize <= BUFFER_LIMIT {
            true => Ok(length),
            false => wrong(format!("{key} = {length}: at most {BUFFER_LIMIT} bytes")),
        };
        let offset = self.offset.unwrap_or(0);
        let mut handle = self.on;
        let action = if let Some(path) = self.open {
            if path.encode_utf16().count() > PATH_LIMIT {
                return wrong(format!("the path has more than {PATH_LIMIT} characters"));
            }
            handle = self.name;
            Action::Open { path }
        } else if let Some(close) = self.close {
            handle = match close {
                Close::Name(name) => Some(name),
                Close::Last(true) => None,
                Close::Last(false) => return wrong("close = false: a handle's name, or true"),
            };
            Action::Close
        } else if let Some(code) = self.ioctl {
            let output = length("output", self.output.unwrap_or(0))?;
            let input = input.bytes(folder)?;
            Action::Ioctl {
                code,
                input,
                output,
            }
        } else if let Some(read) = self.read {
            let length = length("read", read)?;
            Action::Read { length, offset }
        } else if let Some(milliseconds) = self.sleep {
            Action::Sleep { milliseconds }
        } else {
            let data = write.bytes(folder)?;
            Action::Write { data, offset }
        };
        let expected = match self.expect {
            None => Expected::Anything,
            Some(Expect::Status(0)) => Expected::Success,
            Some(Expect::Status(status)) => Expected::Status(status),
            Some(Expect::Word(word)) => match &*word {
                "success" => Expected::Success,
                "anything" => Expected::Anything,
                _ => {
                    let word: String = word.chars().take(40).collect();
                    return wrong(format!(
                        "expect = {word:?}: \"success\", \"anything\" or an NTSTATUS"
                    ));
                }
            },
        };
        Ok(Step {
            action,
            handle,
            expected,
        })
    }
}

/// Bytes, written in one of four ways.
struct Data {
    name: &'static str,
    hex: Option<String>,
    text: Option<String>,
    utf16: Option<String>,
    file: Option<PathBuf>,
}

impl Data {
    fn is_given(&self) -> bool {
        self.hex.is_some() || self.text.is_some() || self.utf16.is_some() || self.file.is_some()
    }

    fn bytes(self, folder: &Path) -> Result<Vec<u8>, StepError> {
        let name = self.name;
        let bytes = match (self.hex, self.text, self.utf16, self.file) {
            (None, None, None, None) => Vec::new(),
            (Some(hex), None, None, None) => match bytes(&hex) {
                Some(bytes) => bytes,
                None => {
                    return wrong(format!(
                        "{name}: pairs of hexadecimal digits, at most {BUFFER_LIMIT}; {name}-text \
                         is text"
                    ));
                }
            },
            (None, Some(text), None, None) => text.into_bytes(),
            (None, None, Some(text), None) => {
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            (None, None, None, Some(file)) => {
                let path = folder.join(file);
                limited(&path, BUFFER_LIMIT as u64).map_err(StepError::Read)?
            }
            _ => return wrong(format!("{name} is given in more than one way")),
        };
        match bytes.len() <= BUFFER_LIMIT {
            true => Ok(bytes),
            false => wrong(format!("{name}: at most {BUFFER_LIMIT} bytes")),
        }
    }
}
