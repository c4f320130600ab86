//! `poolhit leaks`: runs a driver, does to it what was asked for, and says what it leaks.

use super::complain::complain;
use super::leak_format::LeakFormat;
use super::leak_plan::Plan;
use super::options::FrontendError;
use crate::guest::{Lab, LabError, NtStatus, Win32Error};
use crate::leaks::{LeakError, RunEnd};
use crate::scenario::{Outcome, RunError, Scenario, ScenarioError, Step};
use crate::tag::PatternError;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

/// The options of `poolhit leaks`.
#[derive(Clone, Debug, Default)]
pub struct LeaksOptions {
    /// The driver; a scenario may name it instead.
    pub driver: Option<PathBuf>,
    /// Its PDB.
    pub pdb: Option<PathBuf>,
    /// A scenario's file.
    pub scenario: Option<PathBuf>,
    /// The device's path, such as `\\.\MyDevice`.
    pub device: Option<String>,
    /// Requests of each repetition, behind the scenario's.
    pub ioctls: Vec<Step>,
    /// How often all is repeated; the scenario's count, or 1.
    pub repeat: Option<u32>,
    /// Whether the driver is unloaded at the end; the scenario may say so, too.
    pub unload: bool,
    /// The most work that a request may take, in bytes of code executed; the scenario's, or
    /// [`REQUEST_WORK`](crate::guest::REQUEST_WORK).
    pub budget: Option<u64>,
    /// Milliseconds of the guest's time behind each repetition: see
    /// [`Scenario::settle`](crate::scenario::Scenario::settle).
    pub settle: Option<u32>,
    /// The repository's folder where the driver was compiled: annotations name its files from there.
    pub source_root: Option<String>,
    /// Only these tags.
    pub tag: Option<String>,
    /// Functions that only return a value: see
    /// [`LabBuilder::return_constant`](crate::guest::LabBuilder::return_constant).
    pub returns: Vec<(String, u64)>,
    /// The guest's memory in MiB.
    pub memory: Option<u64>,
    /// The form of what is printed.
    pub format: LeakFormat,
    /// Files to write, in the form that their names ask for.
    pub output: Vec<PathBuf>,
}

/// Why a driver's leaks cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum LeaksError {
    /// As for the other front ends.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// The scenario cannot be read.
    #[error("{}{source}", path.display().to_string() + ": ")]
    Scenario {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: ScenarioError,
    },
    /// No driver is named.
    #[error("no driver: name its file, or a scenario that has one")]
    NoDriver,
    /// The tag is no pattern.
    #[error("--tag {pattern}: {source}")]
    Tag {
        /// What was given.
        pattern: String,
        /// Why not.
        source: PatternError,
    },
    /// A file's name does not say in which form it is to be.
    #[error("{}: a report's name ends in .txt, .json, .html, .svg, .folded or .pb.gz", .0.display())]
    Form(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A device is named, and nothing is done to it.
    #[error("device {0}: no step uses it; each list of steps opens what it needs")]
    Device(String),
    /// A function is to return a value, and the driver does not import it.
    #[error("--return {0}: the driver does not import it")]
    NotImported(String),
    /// A request of the command line's failed each time.
    #[error("{step} failed each time with {}; if it has to, say so: --ioctl …={:#010x}",
        error.with_status(*status), status.0)]
    Failed {
        /// The request, in words.
        step: String,
        /// What `GetLastError` gave first.
        error: Win32Error,
        /// The status behind it.
        status: NtStatus,
    },
    /// The driver did not come to the end of what was asked for.
    #[error("the run stopped: {0}")]
    Run(#[from] RunError),
    /// Nothing is known to have leaked, but not all allocations are known.
    #[error("whether it leaks cannot be told: not all allocations are in the report")]
    Incomplete,
    /// There is no report.
    #[error(transparent)]
    Leaks(#[from] LeakError),
}

impl From<LabError> for LeaksError {
    fn from(error: LabError) -> LeaksError {
        LeaksError::Frontend(FrontendError::Lab(error))
    }
}

/// Runs the driver and writes its leaks to `out`, warnings and progress (on a terminal) to standard
/// error. Gives whether something has leaked. If something stops the driver on the way, the report is
/// written as far as it goes.
///
/// # Errors
/// A file cannot be read or written, the driver cannot be loaded, a request fails each time, or something
/// stops the driver on the way.
///
/// ```
/// use poolhit::frontends::{LeaksOptions, leaks};
/// let options = LeaksOptions { driver: Some("no/such.sys".into()), ..Default::default() };
/// let error = leaks(&options, &mut Vec::new()).unwrap_err();
/// assert!(error.to_string().contains("no/such.sys"));
/// ```
pub fn leaks(options: &LeaksOptions, out: &mut dyn Write) -> Result<bool, LeaksError> {
    // In front of the work, not behind it.
    let form = |path: &PathBuf| match LeakFormat::of_file(path) {
        Some(format) => Ok((path.clone(), format)),
        None => Err(LeaksError::Form(path.clone())),
    };
    let files: Vec<(PathBuf, LeakFormat)> =
        options.output.iter().map(form).collect::<Result<_, _>>()?;
    let plan = Plan::new(options)?;
    let booted = plan.builder(options)?.boot()?;
    let is_stopped = booted.stopped.is_some();
    let (lab, done) = match booted.stop_error() {
        None => run(&plan, booted.lab),
        Some(error) => stopped(booted.lab, error),
    };
    let (mut report, done) = match (lab.leaks_of(&plan.filter), done) {
        (Ok(report), done) => (report, done),
        // What stopped it may be why there is nothing to tell.
        (Err(_), Err(error)) => return Err(error),
        (Err(error), Ok(())) => return Err(error.into()),
    };
    match &done {
        Err(LeaksError::Run(error)) => report.end = error.end(&lab),
        Err(LeaksError::Frontend(FrontendError::Lab(error))) => {
            report.end = boot_end(&lab, error, is_stopped);
        }
        // A request that failed has not stopped the run.
        _ => {}
    }
    let root = options.source_root.as_deref();
    let mut written = Ok(());
    for (path, format) in files {
        let result = fs::write(&path, format.bytes(&report, root));
        written = written.and(result.map_err(|source| LeaksError::Write { path, source }));
    }
    match out.write_all(&options.format.bytes(&report, root)) {
        // Whoever read the report has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => written = written.and(result.map_err(|error| FrontendError::Io(error).into())),
    }
    if let (Err(error), Err(_)) = (&written, &done) {
        complain(format_args!("{error}"));
    }
    done.and(written)?;
    match (report.is_clean(), report.is_complete()) {
        (true, false) => Err(LeaksError::Incomplete),
        (is_clean, _) => Ok(!is_clean),
    }
}

/// A driver that never came to the program's requests: what it has until there it had from its start.
fn stopped(mut lab: Lab, error: LabError) -> (Lab, Result<(), LeaksError>) {
    if let Ok(tracker) = lab.leak_tracker_mut() {
        tracker.mark_started();
    }
    (lab, Err(error.into()))
}

/// The end of a run that did not come to the program's requests: stopped on its way, with the stack there,
/// or without its driver.
fn boot_end(lab: &Lab, error: &LabError, is_stopped: bool) -> RunEnd {
    match error {
        LabError::Unprovided { used, .. } => lab.stopped_here(&used.to_string()),
        LabError::Boot { what, .. } if is_stopped => lab.stopped_here(what),
        error => RunEnd::stopped(&error.to_string()),
    }
}

fn run(plan: &Plan, mut lab: Lab) -> (Lab, Result<(), LeaksError>) {
    plan.warn(&lab);
    let mut outcome = Outcome::default();
    let result = run_scenario(&plan.scenario, &mut lab, &mut outcome);
    let printed = lab.debug_output();
    if !printed.is_empty() {
        complain(format_args!(
            "the driver's DbgPrint:\n{}",
            printed.trim_end()
        ));
    }
    let failed = plan.failed_always(&outcome);
    warn(&outcome);
    let result = result.map_err(LeaksError::from);
    (lab, result.and(failed.map_or(Ok(()), Err)))
}

fn run_scenario(scenario: &Scenario, lab: &mut Lab, outcome: &mut Outcome) -> Result<(), RunError> {
    // Draws nothing unless standard error is a terminal.
    let bar = ProgressBar::new(scenario.repeat.into());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} repetitions, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let result = scenario.run_noting(lab, outcome, |done| bar.set_position(done.into()));
    bar.finish_and_clear();
    result
}

fn warn(outcome: &Outcome) {
    for failure in &outcome.failures {
        let what = failure.error.with_status(failure.status);
        let times = match failure.times {
            1 => "once".to_owned(),
            times => format!("{times} times in all"),
        };
        complain(format_args!(
            "{}: {} failed with {what}, {times}",
            failure.place, failure.step
        ));
    }
}
