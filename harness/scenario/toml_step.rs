//! A step as TOML has it, and what it means.

use super::file::ScenarioError;
use super::step::{Action, BUFFER_LIMIT, Expected, Step, path_error, shown};
use super::toml_data::Data;
use crate::guest::{DeviceAction, SystemPower};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawStep {
    open: Option<String>,
    #[serde(default)]
    overlapped: bool,
    #[serde(rename = "as")]
    name: Option<String>,
    close: Option<Target>,
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
    wait: Option<Target>,
    timeout: Option<u32>,
    cancel: Option<Target>,
    add_device: Option<bool>,
    start_device: Option<Target>,
    stop_device: Option<Target>,
    remove_device: Option<Target>,
    surprise_remove: Option<Target>,
    set_power: Option<String>,
    shutdown: Option<bool>,
    unload: Option<bool>,
    load: Option<bool>,
    on: Option<String>,
    expect: Option<Expect>,
}

/// `close = "one"`, or `close = true` for the last one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Target {
    Name(String),
    Last(bool),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Status(u32),
    Word(String),
}

/// Why a step makes no sense.
pub(super) enum StepError {
    /// A file of its cannot be read.
    Read(ScenarioError),
    /// In words.
    Wrong(String),
}

pub(super) fn wrong<T>(reason: impl Into<String>) -> Result<T, StepError> {
    Err(StepError::Wrong(reason.into()))
}

/// What `true` says, which is all that can be said.
fn only_true(key: &str, value: bool, action: Action) -> Result<Action, StepError> {
    match value {
        true => Ok(action),
        false => wrong(format!("{key} = false: it can only be true")),
    }
}

/// `D0` to `D3` of a device, `S0` to `S5` of the system.
fn power(state: &str) -> Result<Action, StepError> {
    Ok(match state {
        "D0" => Action::DevicePower(0),
        "D1" => Action::DevicePower(1),
        "D2" => Action::DevicePower(2),
        "D3" => Action::DevicePower(3),
        "S0" => Action::SystemPower(SystemPower::Working),
        "S1" => Action::SystemPower(SystemPower::Sleeping1),
        "S2" => Action::SystemPower(SystemPower::Sleeping2),
        "S3" => Action::SystemPower(SystemPower::Sleeping3),
        "S4" => Action::SystemPower(SystemPower::Hibernate),
        "S5" => Action::SystemPower(SystemPower::Shutdown),
        _ => {
            let state: String = state.chars().take(40).collect();
            return wrong(format!("set-power = {state:?}: D0 to D3, or S0 to S5"));
        }
    })
}

fn expected(expect: Expect) -> Result<Expected, StepError> {
    match expect {
        Expect::Status(0) => Ok(Expected::Success),
        Expect::Status(status) => Ok(Expected::Status(status)),
        Expect::Word(word) => word
            .parse()
            .or_else(|error| wrong(format!("expect: {error}"))),
    }
}

/// The keys that say what is done.
const KINDS: [&str; 17] = [
    "open",
    "close",
    "ioctl",
    "read",
    "write",
    "sleep",
    "wait",
    "cancel",
    "add-device",
    "start-device",
    "stop-device",
    "remove-device",
    "surprise-remove",
    "set-power",
    "shutdown",
    "unload",
    "load",
];

impl RawStep {
    /// Which of [`KINDS`] it is, the one that it has.
    fn kind(&self, writes: bool) -> Result<&'static str, StepError> {
        let given = [
            self.open.is_some(),
            self.close.is_some(),
            self.ioctl.is_some(),
            self.read.is_some(),
            writes,
            self.sleep.is_some(),
            self.wait.is_some(),
            self.cancel.is_some(),
            self.add_device.is_some(),
            self.start_device.is_some(),
            self.stop_device.is_some(),
            self.remove_device.is_some(),
            self.surprise_remove.is_some(),
            self.set_power.is_some(),
            self.shutdown.is_some(),
            self.unload.is_some(),
            self.load.is_some(),
        ];
        let mut kinds = KINDS.iter().zip(given).filter(|(_, is_given)| *is_given);
        match (kinds.next(), kinds.next()) {
            (Some((kind, _)), None) => Ok(kind),
            (None, _) => wrong(format!("it has none of {}", KINDS.join(", "))),
            (Some((one, _)), Some((other, _))) => wrong(format!("it has both {one} and {other}")),
        }
    }

    /// What it means; files are looked for in `folder`.
    pub fn into_step(self, folder: &Path) -> Result<Step, StepError> {
        let is_written = [&self.write, &self.write_text, &self.write_utf16];
        let is_written = is_written.iter().any(|data| data.is_some()) || self.write_file.is_some();
        let kind = self.kind(is_written)?;
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
        let transfers = &["ioctl", "read", "write"][..];
        let named = &["open", "ioctl", "read", "write", "add-device"];
        let to_device = matches!(&self.set_power, Some(state) if state.starts_with('D'));
        let on = match to_device {
            true => &["set-power"][..],
            false => transfers,
        };
        for (key, is_given, kinds) in [
            ("as", self.name.is_some(), &named[..]),
            ("overlapped", self.overlapped, &["open"]),
            ("input", input.is_given(), &["ioctl"]),
            ("output", self.output.is_some(), &["ioctl"]),
            ("offset", self.offset.is_some(), &["read", "write"]),
            ("timeout", self.timeout.is_some(), &["wait"]),
            ("on", self.on.is_some(), on),
        ] {
            if is_given && !kinds.contains(&kind) {
                return wrong(format!("{kind} has no {key}"));
            }
        }
        let length = |key: &str, length: u32| match length as usize <= BUFFER_LIMIT {
            true => Ok(length),
            false => wrong(format!("{key} = {length}: at most {BUFFER_LIMIT} bytes")),
        };
        let offset = self.offset;
        if let Some(offset) = offset
            && i64::try_from(offset).is_err()
        {
            return wrong(format!("offset = {offset}: at most {}", i64::MAX));
        }
        let mut target = self.on;
        let mut of = |key: &str, action: Action, named: Target| match named {
            Target::Name(name) => {
                target = Some(name);
                Ok(action)
            }
            Target::Last(last) => match last {
                true => Ok(action),
                false => wrong(format!("{key} = false: a name, or true for the last one")),
            },
        };
        let action = if let Some(path) = self.open {
            if let Some(reason) = path_error(&path) {
                return wrong(reason);
            }
            let overlapped = self.overlapped;
            Action::Open { path, overlapped }
        } else if let Some(named) = self.close {
            of(kind, Action::Close, named)?
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
        } else if let Some(named) = self.wait {
            let milliseconds = self.timeout.unwrap_or(u32::MAX);
            of(kind, Action::Wait { milliseconds }, named)?
        } else if let Some(named) = self.cancel {
            of(kind, Action::Cancel, named)?
        } else if let Some(value) = self.add_device {
            only_true(kind, value, Action::AddDevice)?
        } else if let Some(named) = self.start_device {
            of(kind, Action::Device(DeviceAction::Start), named)?
        } else if let Some(named) = self.stop_device {
            of(kind, Action::Device(DeviceAction::Stop), named)?
        } else if let Some(named) = self.remove_device {
            of(kind, Action::Device(DeviceAction::Remove), named)?
        } else if let Some(named) = self.surprise_remove {
            of(kind, Action::Device(DeviceAction::SurpriseRemove), named)?
        } else if let Some(state) = self.set_power {
            power(&state)?
        } else if let Some(value) = self.shutdown {
            only_true(kind, value, Action::Shutdown)?
        } else if let Some(value) = self.unload {
            only_true(kind, value, Action::Unload)?
        } else if let Some(value) = self.load {
            only_true(kind, value, Action::Load)?
        } else {
            let data = write.bytes(folder)?;
            Action::Write { data, offset }
        };
        for name in [&target, &self.name].into_iter().flatten() {
            if name.contains('\0') {
                return wrong(format!("the name `{}` has a NUL in it", shown(name)));
            }
        }
        let usual = action.usual();
        Ok(Step {
            action,
            target,
            name: self.name,
            expected: self.expect.map_or(Ok(usual), expected)?,
        })
    }
}
