//! What `poolhit leaks` is to do, as options and scenario say together.

use super::complain::complain;
use super::imports::NATIVE;
use super::leaks::{LeaksError, LeaksOptions};
use super::options::image;
use crate::guest::{GuestImages, ImageFile, Lab, LabBuilder, ListedImport, list_imports};
use crate::image::PeImage;
use crate::image::binding::names_image;
use crate::image::imports::ImportName;
use crate::leaks::LeakFilter;
use crate::scenario::{Action, Outcome, Place, Scenario, ScenarioFile};
use crate::tag::TagPattern;
use std::path::PathBuf;

/// What is to be done.
pub(super) struct Plan {
    driver: PathBuf,
    pdb: Option<PathBuf>,
    pub filter: LeakFilter,
    pub scenario: Scenario,
    /// The index of the command line's first request among the scenario's steps.
    first_request: usize,
}

impl Plan {
    pub fn new(options: &LeaksOptions) -> Result<Plan, LeaksError> {
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
        let first_request = scenario.steps.len();
        scenario.steps.extend(options.ioctls.iter().cloned());
        scenario.repeat = options.repeat.unwrap_or(scenario.repeat);
        scenario.unload |= options.unload;
        scenario.budget = options.budget.or(scenario.budget);
        scenario.settle = options.settle.unwrap_or(scenario.settle);
        if options.device.is_some() {
            scenario.device.clone_from(&options.device);
        }
        if let Some(device) = &scenario.device
            && !scenario.uses_device()
        {
            return Err(LeaksError::Device(device.clone()));
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
            first_request,
        })
    }

    pub fn builder(&self, options: &LeaksOptions) -> Result<LabBuilder, LeaksError> {
        let driver = image(&self.driver, self.pdb.as_deref())?;
        warn_of(&driver.image);
        check_returns(&driver, &options.returns)?;
        let mut builder = Lab::builder().driver(driver).requester().track_leaks();
        if let Some(mebibytes) = options.memory {
            builder = builder.memory(mebibytes.saturating_mul(1 << 20));
        }
        for (name, value) in &options.returns {
            builder = builder.return_constant(name, *value);
        }
        Ok(builder)
    }

    /// Says on standard error what will not be done.
    pub fn warn(&self, lab: &Lab) {
        let scenario = &self.scenario;
        let lists = [&scenario.setup, &scenario.steps, &scenario.teardown];
        let mut steps = lists.into_iter().flatten();
        let adds = steps.any(|step| step.action == Action::AddDevice);
        let name = lab.images().driver.name();
        if lab.driver_routines().is_some_and(|it| it.add_device) && !adds {
            complain(format_args!(
                "{name} has an AddDevice routine, and no device is added: nothing of what it \
                 does for devices is exercised; add one by a scenario with `add-device = true` in \
                 [[setup]]"
            ));
        } else if lists.iter().all(|list| list.is_empty())
            && scenario.device.is_none()
            && lab.driver_links().is_empty()
        {
            complain(format_args!(
                "{name} has made no symbolic link, and nothing is asked of it: only its \
                 DriverEntry was exercised; name a path with --device, or write a scenario"
            ));
        }
    }

    /// The first request of the command line's that failed each time.
    pub fn failed_always(&self, outcome: &Outcome) -> Option<LeaksError> {
        let index_of = |place| match place {
            Place::Step { index, .. } if index >= self.first_request => Some(index),
            _ => None,
        };
        outcome.failures.iter().find_map(|failure| {
            let index = index_of(failure.place)?;
            let same = outcome.failures.iter();
            let same = same.filter(|other| index_of(other.place) == Some(index));
            let times: u64 = same.map(|other| other.times).sum();
            (times >= self.scenario.repeat.into()).then(|| LeaksError::Failed {
                step: failure.step.clone(),
                error: failure.error,
                status: failure.status,
            })
        })
    }
}

/// Whether the driver imports all functions that are to return a value.
fn check_returns(driver: &ImageFile, returns: &[(String, u64)]) -> Result<(), LeaksError> {
    if returns.is_empty() {
        return Ok(());
    }
    // If the directory is broken, the loader says so.
    let kernel = &GuestImages::built_in().kernel.image;
    let Ok(imports) = list_imports(&driver.image, kernel) else {
        return Ok(());
    };
    for (name, _) in returns {
        let (dll, function) = match name.split_once('!') {
            Some((dll, function)) => (Some(dll), function),
            None => (None, &**name),
        };
        let is = |listed: &ListedImport| {
            let import = &listed.import;
            !listed.delayed
                && dll.is_none_or(|dll| names_image(dll, &import.dll))
                && match &import.function {
                    ImportName::Name { name, .. } => name == function,
                    ordinal @ ImportName::Ordinal(_) => ordinal.to_string() == function,
                }
        };
        if !imports.iter().any(is) {
            return Err(LeaksError::NotImported(name.clone()));
        }
    }
    Ok(())
}

/// Says on standard error what is odd about a driver's image.
fn warn_of(driver: &PeImage) {
    let name = driver.name();
    if driver.exception_directory().is_none() {
        complain(format_args!(
            "{name} has no exception directory (.pdata): stacks through its functions are wrong, and so \
             is which path leaks; compile it with unwind tables (clang: -fasynchronous-unwind-tables)"
        ));
    }
    if driver.subsystem() != NATIVE {
        complain(format_args!(
            "{name} is not linked as a driver: its subsystem is {}, and a driver's is {NATIVE}",
            driver.subsystem()
        ));
    }
}
