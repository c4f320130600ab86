//! `poolhit demo` and `poolhit debug`: from options to a session.

use super::complain::complain;
use super::console::{self, ConsoleOptions};
use super::demo as golden;
use super::prompt;
use crate::address::Va;
use crate::debugger::target_text::printable;
use crate::debugger::{QueuedRequest, Session};
use crate::guest::{
    Booted, ImageFile, Lab, LabError, OpenImageError, SymbolPath, UnprovidedPolicy,
};
use crate::report::location::write_location;
use crate::report::stop::write_stop;
use crate::scenario::{Action, Step};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Why a front end could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A script cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is no image.
    #[error(transparent)]
    Image(#[from] OpenImageError),
    /// Input or output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Ctrl+C cannot be watched for.
    #[error("cannot watch for Ctrl+C: {0}")]
    Signal(#[from] ctrlc::Error),
}

/// The options of `poolhit debug`. All have defaults.
#[derive(Clone, Debug, Default)]
pub struct DebugOptions {
    /// A file of commands, one line each.
    pub script: Option<PathBuf>,
    /// Commands to execute.
    pub commands: Option<String>,
    /// The kernel's base.
    pub kernel_base: Option<Va>,
    /// The driver's base.
    pub driver_base: Option<Va>,
    /// Another kernel, and its PDB.
    pub kernel: Option<PathBuf>,
    /// The other kernel's PDB.
    pub kernel_pdb: Option<PathBuf>,
    /// Another driver.
    pub driver: Option<PathBuf>,
    /// The other driver's PDB.
    pub driver_pdb: Option<PathBuf>,
    /// Whether the first prompt comes before the driver is loaded.
    pub initial_break: bool,
    /// Another program.
    pub program: Option<PathBuf>,
    /// Requests that the built-in requester makes of the driver, in place of a program: on `g`, one after
    /// the other.
    pub ioctls: Vec<Step>,
    /// What is opened for them, if it is not what the driver's first symbolic link names.
    pub device: Option<String>,
    /// Whether the requester unloads the driver at the end.
    pub unload: bool,
    /// Where the PDBs of images are looked for that have none beside them, and of which none is named:
    /// the session's symbol path.
    pub symbols: Option<String>,
    /// Functions that the driver imports and that only return a value: name and value; see
    /// [`LabBuilder::return_constant`](crate::guest::LabBuilder::return_constant).
    pub returns: Vec<(String, u64)>,
    /// What becomes of a driver that imports what nobody provides.
    pub unprovided: UnprovidedPolicy,
    /// The guest's memory in MiB.
    pub memory: Option<u64>,
    /// The work that each `g` may take, in bytes of code retired.
    pub budget: Option<u64>,
    /// The work after which a script's `<Ctrl+Break>` takes effect.
    pub break_in_after: Option<u64>,
    /// Whether the first line that fails is the last.
    pub strict: bool,
}

/// The work after which a script's break-in key takes effect if nothing else is said.
pub const DEFAULT_BREAK_IN_AFTER: u64 = 1_000_000;

/// Opens a script. A folder can be opened too, but not read.
fn open(path: &Path) -> Result<File, FrontendError> {
    let open = || {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    };
    open().map_err(|source| FrontendError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// An image with the PDB that is named, or the one beside it. One that nobody named and that does not fit
/// is told of on standard error, and the image is used without.
pub(super) fn image(path: &Path, pdb: Option<&Path>) -> Result<ImageFile, FrontendError> {
    if pdb.is_some() {
        return Ok(ImageFile::open_with_pdb(path, pdb)?);
    }
    match ImageFile::open(path) {
        Err(error) if error.pdb().is_some() => {
            complain(format_args!("{error}; going on without it"));
            Ok(ImageFile::open_with_pdb(path, None)?)
        }
        opened => Ok(opened?),
    }
}

impl DebugOptions {
    fn has_requests(&self) -> bool {
        !self.ioctls.is_empty() || self.device.is_some() || self.unload
    }

    /// What to say if the built-in program has nothing to do with the driver: it ends at once.
    fn idle_program(&self, lab: &Lab) -> Option<String> {
        const LINK: &str = r"\\.\Myfault";
        let is_other = self.driver.is_some() && self.program.is_none() && !self.has_requests();
        if !is_other || self.initial_break || lab.driver_links().iter().any(|link| link == LINK) {
            return None;
        }
        let driver = lab.images().driver.name();
        Some(format!(
            "the built-in program opens {LINK}, which {driver} has not made: --ioctl makes requests of \
             {driver}, --program FILE runs another program"
        ))
    }

    /// What the requester is to do.
    fn requests(&self, lab: &Lab) -> Vec<QueuedRequest> {
        let mut requests = Vec::new();
        if !self.ioctls.is_empty() || self.device.is_some() {
            requests.push(QueuedRequest::Open(self.device.clone()));
            let actions = self.ioctls.iter().map(|step| step.action.clone());
            requests.extend(actions.filter_map(|action| match action {
                Action::Ioctl {
                    code,
                    input,
                    output,
                } => Some(QueuedRequest::Ioctl {
                    code,
                    input,
                    output_length: output as usize,
                }),
                _ => None,
            }));
            requests.push(QueuedRequest::Close);
        }
        if self.unload {
            requests.push(QueuedRequest::UnloadDriver(lab.driver_service()));
        }
        requests
    }

    fn symbol_path(&self) -> SymbolPath {
        SymbolPath::new(self.symbols.as_deref().unwrap_or_default())
    }

    /// An image with the PDB that is named, the one beside it, or the one on the symbol path.
    fn image(&self, path: &Path, pdb: Option<&Path>) -> Result<ImageFile, FrontendError> {
        let file = image(path, pdb)?;
        if file.symbols.source().is_pdb() {
            return Ok(file);
        }
        let found = self.symbol_path().find(&file.image);
        Ok(found.map_or(file, |found| found.file))
    }

    /// Builds the lab that the options describe.
    ///
    /// # Errors
    /// A file cannot be read or loaded, or the guest does not boot.
    ///
    /// ```
    /// use poolhit::frontends::DebugOptions;
    /// let options = DebugOptions { driver: Some("no/such.sys".into()), ..Default::default() };
    /// assert!(options.lab().unwrap_err().to_string().contains("no/such.sys"));
    /// ```
    pub fn lab(&self) -> Result<Lab, FrontendError> {
        Ok(self.boot()?.ready()?)
    }

    /// Builds the lab that the options describe, up to the first prompt or to what stops it before.
    ///
    /// # Errors
    /// A file cannot be read or loaded.
    ///
    /// ```
    /// use poolhit::frontends::DebugOptions;
    /// assert!(DebugOptions::default().boot()?.stopped.is_none());
    /// # Ok::<(), poolhit::frontends::FrontendError>(())
    /// ```
    pub fn boot(&self) -> Result<Booted, FrontendError> {
        let mut builder = Lab::builder();
        if let Some(path) = &self.kernel {
            builder = builder.kernel(self.image(path, self.kernel_pdb.as_deref())?);
        }
        if let Some(path) = &self.driver {
            builder = builder.driver(self.image(path, self.driver_pdb.as_deref())?);
        }
        if let Some(path) = &self.program {
            builder = builder.program(self.image(path, None)?);
        }
        if self.has_requests() {
            builder = builder.requester();
        }
        if self.initial_break {
            builder = builder.initial_break();
        }
        if let Some(base) = self.kernel_base {
            builder = builder.kernel_base(base);
        }
        if let Some(base) = self.driver_base {
            builder = builder.driver_base(base);
        }
        if let Some(mebibytes) = self.memory {
            builder = builder.memory(mebibytes.saturating_mul(1 << 20));
        }
        for (name, value) in &self.returns {
            builder = builder.return_constant(name, *value);
        }
        Ok(builder.unprovided(self.unprovided).boot()?)
    }
}

/// Runs the golden session and writes its transcript. Gives the count of lines that failed.
///
/// # Errors
/// The output cannot be written.
///
/// ```
/// let mut transcript = Vec::new();
/// poolhit::frontends::demo(&mut transcript)?;
/// assert!(transcript.starts_with(b"1: kd> dc nt!PoolHitTag l1\n"));
/// # Ok::<(), poolhit::frontends::FrontendError>(())
/// ```
pub fn demo(out: &mut dyn Write) -> Result<usize, FrontendError> {
    let mut session = Session::new(Lab::builder().build()?);
    let options = ConsoleOptions {
        interactive: false,
        strict: false,
        break_in_after: golden::BREAK_IN_AFTER,
    };
    Ok(console::run(
        &mut session,
        golden::SCRIPT.as_bytes(),
        out,
        options,
    )?)
}

/// A session at the first prompt, or at what stopped the guest before: a bug check of a driver's
/// `DriverEntry`, say, or an import that nobody provides.
fn attach(booted: Booted) -> Session {
    match booted.stopped {
        Some(exit) => Session::stopped(booted.lab, exit),
        None => Session::new(booted.lab),
    }
}

/// Runs the debugger: on a script, on commands, or on standard input. Gives the count of lines
/// that failed.
///
/// # Errors
/// The lab cannot be built, the script cannot be read, or input or output fails.
pub fn debug(
    options: &DebugOptions,
    interactive: bool,
    out: &mut dyn Write,
) -> Result<usize, FrontendError> {
    let script = options.script.as_deref().map(open).transpose()?;
    let booted = options.boot()?;
    if let Some(failed) = booted.driver_failed() {
        complain(format_args!("{failed}"));
    }
    let mut session = attach(booted);
    session.set_symbol_path(options.symbol_path());
    if session.last_stop().is_none()
        && let Some(hint) = options.idle_program(session.lab())
    {
        complain(format_args!("{hint}"));
    }
    if options.has_requests() && session.last_stop().is_none() {
        let requests = options.requests(session.lab());
        session.queue_requests(requests);
    }
    if !session.lab().has_kernel_symbols() {
        let kernel = session.lab().images().kernel.name();
        complain(format_args!(
            "{kernel} has no PDB: modules, break-ins and the program's end cannot be told; \
             give --kernel-pdb FILE"
        ));
    }
    if let Some(budget) = options.budget {
        session.set_budget(budget);
    }
    let console = ConsoleOptions {
        interactive: false,
        strict: options.strict,
        break_in_after: options.break_in_after.unwrap_or(DEFAULT_BREAK_IN_AFTER),
    };
    let interactive = interactive && options.commands.is_none() && script.is_none();
    if interactive {
        writeln!(
            out,
            "Kernel debugger connected to the built-in machine; q ends the session."
        )?;
    }
    let mut text = printable(&session.lab().debug_output()).into_owned();
    // A String takes any text.
    let _ = match session.last_stop() {
        Some(stop) => write_stop(&mut text, &session, stop),
        None if interactive => write_location(&mut text, &session, session.registers().rip()),
        None => Ok(()),
    };
    out.write_all(text.as_bytes())?;
    if let Some(commands) = &options.commands {
        return Ok(console::run(
            &mut session,
            commands.as_bytes(),
            out,
            console,
        )?);
    }
    if let Some(script) = script {
        return Ok(console::run(
            &mut session,
            BufReader::new(script),
            out,
            console,
        )?);
    }
    if interactive {
        if options.budget.is_none() {
            // A person has Ctrl+C.
            session.set_budget(u64::MAX);
        }
        let break_in = session.break_in_handle();
        ctrlc::set_handler(move || break_in.request())?;
        return prompt::run(&mut session, options.strict, out);
    }
    Ok(console::run(
        &mut session,
        io::stdin().lock(),
        out,
        console,
    )?)
}
