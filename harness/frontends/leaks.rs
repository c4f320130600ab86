//! `poolhit leaks`: runs a driver, does to it what was asked for, and says what it leaks.

use super::options::{FrontendError, image};
use crate::guest::{Lab, LabBuilder};
use crate::leaks::{LeakError, LeakFilter, LeakReport};
use crate::report::leaks::{
    to_flame_graph, to_folded, to_github, to_html, to_json, to_pprof, write_text,
};
use crate::scenario::{Outcome, RunError, Scenario, ScenarioError, ScenarioFile, Step};
use crate::tag::{PatternError, TagPattern};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A form of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LeakFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: `docs/leaks.schema.json`.
    Json,
    /// A page.
    Html,
    /// A flame graph of the bytes outstanding, as SVG.
    Svg,
    /// Stacks in one line each, for other programs that draw flame graphs.
    Folded,
    /// A profile for `go tool pprof` and others, compressed.
    Pprof,
    /// Annotations of GitHub Actions.
    Github,
}

impl LeakFormat {
    /// The form that a file's name asks for: `.txt`, `.json`, `.html`, `.svg`, `.folded`, `.pb.gz`.
    ///
    /// ```
    /// use poolhit::frontends::LeakFormat;
    /// assert_eq!(LeakFormat::of_file("out/leaks.pb.gz".as_ref()), Some(LeakFormat::Pprof));
    /// assert_eq!(LeakFormat::of_file("leaks.doc".as_ref()), None);
    /// ```
    pub fn of_file(path: &Path) -> Option<LeakFormat> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let formats = [
            (".txt", LeakFormat::Text),
            (".json", LeakFormat::Json),
            (".html", LeakFormat::Html),
            (".svg", LeakFormat::Svg),
            (".folded", LeakFormat::Folded),
            (".pb.gz", LeakFormat::Pprof),
        ];
        let fits = |(end, _): &&(&str, LeakFormat)| name.ends_with(end);
        formats.iter().find(fits).map(|(_, format)| *format)
    }

    /// The report in this form.
    ///
    /// ```
    /// use poolhit::{Lab, frontends::LeakFormat};
    /// let report = Lab::builder().track_leaks().build()?.leaks()?;
    /// assert!(LeakFormat::Html.bytes(&report).starts_with(b"<!DOCTYPE html>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bytes(self, report: &LeakReport) -> Vec<u8> {
        let text = match self {
            LeakFormat::Text => {
                let mut text = String::new();
                let _ = write_text(&mut text, report); // a String takes all
                text
            }
            LeakFormat::Json => to_json(report),
            LeakFormat::Html => to_html(report),
            LeakFormat::Svg => to_flame_graph(report),
            LeakFormat::Folded => to_folded(report),
            LeakFormat::Github => to_github(report),
            LeakFormat::Pprof => return to_pprof(report),
        };
        text.into_bytes()
    }
}

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
    /// There are requests, and it is not known to which device.
    #[error("which device? {0}")]
    Device(String),
    /// The driver did not come to the end of what was asked for.
    #[error("the run stopped: {0}")]
    Run(#[from] RunError),
    /// There is no report.
    #[error(transparent)]
    Leaks(#[from] LeakError),
}

impl From<crate::guest::LabError> for LeaksError {
    fn from(error: crate::guest::LabError) -> LeaksError {
        LeaksError::Frontend(FrontendError::Lab(error))
    }
}

/// What is to be done, as options and scenario say together.
struct Plan {
    driver: PathBuf,
    pdb: Option<PathBuf>,
    filter: LeakFilter,
    scenario: Scenario,
}

fn plan(options: &LeaksOptions) -> Result<Plan, LeaksError> {
    let file = match &options.scenario {
        None => ScenarioFile::default(),
        Some(path) => ScenarioFile::read(path).map_err(|source| LeaksError::Scenario {
            path: path.clone(),
            source,
        })?,
    };
    let pdb = match &options.driver {
        // Another driver than the scenario's does not have its PDB.
        Some(_) => options.pdb.clone(),
        None => options.pdb.clone().or(file.pdb),
    };
    let driver = options.driver.clone().or(file.driver);
    let driver = driver.ok_or(LeaksError::NoDriver)?;
    let tags = match options.tag.clone().or(file.tag) {
        None => None,
        Some(pattern) => Some(
            pattern
                .parse::<TagPattern>()
                .map_err(|source| LeaksError::Tag { pattern, source })?,
        ),
    };
    let mut scenario = file.scenario;
    scenario.steps.extend(options.ioctls.iter().cloned());
    scenario.repeat = options.repeat.unwrap_or(scenario.repeat);
    scenario.unload |= options.unload;
    if options.device.is_some() {
        scenario.device.clone_from(&options.device);
    }
    let name = driver.file_name().unwrap_or(driver.as_os_str());
    Ok(Plan {
        filter: LeakFilter {
            tags,
            driver: Some(name.to_string_lossy().into_owned()),
            ..LeakFilter::default()
        },
        driver,
        pdb,
        scenario,
    })
}

/// Runs the driver and writes its leaks to `out`, warnings and progress (on a terminal) to standard
/// error. Gives whether something has leaked.
///
/// # Errors
/// A file cannot be read or written, the driver cannot be loaded, or something stops it on the way.
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
    let mut plan = plan(options)?;
    let mut lab = builder(options, &plan)?.build()?;
    choose_device(&lab, &mut plan.scenario)?;
    let outcome = run(&plan.scenario, &mut lab)?;
    warn(&outcome);
    let report = lab.leaks_of(&plan.filter)?;
    for (path, format) in files {
        fs::write(&path, format.bytes(&report))
            .map_err(|source| LeaksError::Write { path, source })?;
    }
    out.write_all(&options.format.bytes(&report))
        .map_err(FrontendError::Io)?;
    Ok(!report.is_clean())
}

fn builder(options: &LeaksOptions, plan: &Plan) -> Result<LabBuilder, LeaksError> {
    let driver = image(&plan.driver, plan.pdb.as_deref())?;
    let mut builder = Lab::builder().driver(driver).requester().track_leaks();
    if let Some(mebibytes) = options.memory {
        builder = builder.memory(mebibytes.saturating_mul(1 << 20));
    }
    for (name, value) in &options.returns {
        builder = builder.return_constant(name, *value);
    }
    Ok(builder)
}

/// The device that the steps go to, if nobody has named it: the driver's own link.
fn choose_device(lab: &Lab, scenario: &mut Scenario) -> Result<(), LeaksError> {
    if scenario.device.is_some() || scenario.steps.is_empty() || scenario.opens() {
        return Ok(());
    }
    let links = lab.driver_links();
    match &links[..] {
        [link] => {
            scenario.device = Some(link.clone());
            Ok(())
        }
        [] => Err(LeaksError::Device(
            "the driver has made no symbolic link; name a path with --device".into(),
        )),
        links => Err(LeaksError::Device(format!(
            "choose one of {} with --device",
            links.join(", ")
        ))),
    }
}

fn run(scenario: &Scenario, lab: &mut Lab) -> Result<Outcome, RunError> {
    // Draws nothing unless standard error is a terminal.
    let bar = ProgressBar::new(scenario.repeat.into());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} repetitions, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let outcome = scenario.run(lab, |done| bar.set_position(done.into()));
    bar.finish_and_clear();
    outcome
}

fn warn(outcome: &Outcome) {
    for failure in &outcome.failures {
        eprintln!(
            "poolhit: {}: {} failed with error {} (status {}), {} times in all",
            failure.place, failure.step, failure.error.0, failure.status, failure.times
        );
    }
}
