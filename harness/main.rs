//! The command line of poolhit: arguments only.

use clap::{Args, Parser, Subcommand, ValueEnum};
use poolhit::address::Va;
use poolhit::debugger::session::DEFAULT_BUDGET;
use poolhit::frontends::options::DEFAULT_BREAK_IN_AFTER;
use poolhit::frontends::{
    self, DebugOptions, FrontendError, ImportsOptions, LeakFormat, LeaksError, LeaksOptions,
};
use poolhit::guest::{DEFAULT_MEMORY, REQUEST_WORK, UnprovidedPolicy};
use poolhit::scenario::{IoctlError, MOST_REPEATS, Step};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// A Windows kernel that fits in `cargo test`: who leaks, by nt!PoolHitTag, with the whole stack.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Command {
    /// Run the golden session and print its transcript
    Demo,
    /// Debug the guest, with WinDbg's commands
    Debug(Debug),
    /// Run a driver and report what it leaks: status 1 if something leaks
    Leaks(Leaks),
    /// List what a driver imports and whether it is provided: status 1 if something is not
    Imports(Imports),
}

/// The form of what is printed.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs (docs/leaks.schema.json)
    Json,
    /// One page with tables and pictures
    Html,
    /// A flame graph of the bytes leaked and kept
    Svg,
    /// Folded stacks, for other flame graph programs
    Folded,
    /// A profile for `go tool pprof`
    Pprof,
    /// Annotations of GitHub Actions
    Github,
}

impl From<Format> for LeakFormat {
    fn from(format: Format) -> LeakFormat {
        match format {
            Format::Text => LeakFormat::Text,
            Format::Json => LeakFormat::Json,
            Format::Html => LeakFormat::Html,
            Format::Svg => LeakFormat::Svg,
            Format::Folded => LeakFormat::Folded,
            Format::Pprof => LeakFormat::Pprof,
            Format::Github => LeakFormat::Github,
        }
    }
}

/// A user-mode program opens the driver's device, makes the requests, and closes it; that is repeated,
/// and what is left in the pool behind it is reported with the stack of each allocation.
#[derive(Args)]
struct Leaks {
    /// The driver; a scenario may name it instead
    #[arg(value_name = "DRIVER.sys", required_unless_present = "scenario")]
    driver: Option<PathBuf>,
    /// The driver's PDB
    #[arg(long, value_name = "FILE")]
    pdb: Option<PathBuf>,
    /// Make this request, of control code CODE (0x…, or decimal), with INPUT in hexadecimal digits and room
    /// for OUTLEN bytes; in the order given. Behind `=`, what has to come of it: success or an
    /// NTSTATUS. Without that, it may fail, but not each time
    #[arg(long = "ioctl", value_name = "CODE[:INPUT[:OUTLEN]][=EXPECTED]")]
    ioctls: Vec<Step>,
    /// Open this path instead of the driver's own symbolic link, for the requests and for steps that open
    /// nothing
    #[arg(long, value_name = r"\\.\NAME")]
    device: Option<String>,
    /// Do all that N times: what grows from one time to the next is told from what does not
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_REPEATS)))]
    repeat: Option<u32>,
    /// Unload the driver at the end: all that it has left then leaks
    #[arg(long)]
    unload: bool,
    #[arg(long, value_name = "WORK", help = format!(
        "Stop a request after WORK bytes of code executed, a decimal number [default: {REQUEST_WORK}]"
    ))]
    budget: Option<u64>,
    /// Let MS milliseconds of the guest's time pass behind each repetition, for timers, threads and work
    /// items of the driver's, and twenty times as much at the end [default: 50]
    #[arg(long, value_name = "MS")]
    settle: Option<u32>,
    /// Name source files in annotations by their paths from DIR, the repository's folder where the driver
    /// was compiled [default: $GITHUB_WORKSPACE]
    #[arg(long, value_name = "DIR")]
    source_root: Option<String>,
    /// Report only tags that fit PATTERN, with * and ?
    #[arg(long, value_name = "PATTERN")]
    tag: Option<String>,
    /// Do what FILE says, a TOML file
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Print the report in this form
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the report to FILE, too: .txt, .json, .html, .svg, .folded or .pb.gz
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Let the driver's calls of FUNCTION, or DLL!FUNCTION, return VALUE (hexadecimal)
    #[arg(long = "return", value_name = "FUNCTION=VALUE", value_parser = returned)]
    returns: Vec<(String, u64)>,
    /// Give the guest MIB of memory
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
}

impl From<Leaks> for LeaksOptions {
    fn from(leaks: Leaks) -> LeaksOptions {
        LeaksOptions {
            driver: leaks.driver,
            pdb: leaks.pdb,
            scenario: leaks.scenario,
            device: leaks.device,
            ioctls: leaks.ioctls,
            repeat: leaks.repeat,
            unload: leaks.unload,
            budget: leaks.budget,
            settle: leaks.settle,
            source_root: leaks.source_root.or_else(workspace),
            tag: leaks.tag,
            returns: leaks.returns,
            memory: leaks.memory,
            format: leaks.format.into(),
            output: leaks.output,
        }
    }
}

/// The repository's folder in a job of GitHub Actions ("Variables reference", "Default environment
/// variables").
fn workspace() -> Option<String> {
    let folder = std::env::var("GITHUB_WORKSPACE").ok();
    folder.filter(|folder| !folder.is_empty())
}

#[derive(Args)]
struct Imports {
    /// The driver
    #[arg(value_name = "FILE")]
    driver: PathBuf,
    /// Look in FILE instead of the built-in kernel
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<Imports> for ImportsOptions {
    fn from(imports: Imports) -> ImportsOptions {
        ImportsOptions {
            driver: imports.driver,
            kernel: imports.kernel,
            json: imports.json,
        }
    }
}

#[derive(Args)]
struct Debug {
    /// Execute the commands in FILE; a line <Ctrl+Break> breaks in while the guest runs
    #[arg(long, value_name = "FILE", conflicts_with = "commands")]
    script: Option<PathBuf>,
    /// Execute COMMANDS
    #[arg(short = 'c', value_name = "COMMANDS")]
    commands: Option<String>,
    /// Load the kernel at ADDRESS (hexadecimal)
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    nt_base: Option<Va>,
    /// Load the driver at ADDRESS (hexadecimal)
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    driver_base: Option<Va>,
    /// Load FILE as the kernel
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The PDB of that kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    kernel_pdb: Option<PathBuf>,
    /// Load FILE as the driver
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// The PDB of that driver
    #[arg(long, value_name = "FILE", requires = "driver")]
    driver_pdb: Option<PathBuf>,
    /// Look for PDBs that are not named and lie beside no image in PATH: folders, and srv*FOLDER for
    /// symbol stores in them, with ; between them
    #[arg(short = 'y', long, value_name = "PATH")]
    symbols: Option<String>,
    /// Let the driver's calls of FUNCTION, or DLL!FUNCTION, return VALUE (hexadecimal)
    #[arg(long = "return", value_name = "FUNCTION=VALUE", value_parser = returned)]
    returns: Vec<(String, u64)>,
    /// Refuse a driver that imports what nobody provides, instead of stopping where it uses it
    #[arg(long)]
    refuse_unprovided: bool,
    /// Come to the first prompt before the driver is loaded, for its DriverEntry
    #[arg(long)]
    initial_break: bool,
    /// Run FILE as the user-mode program
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Run a program that opens the driver's device and makes this request on `g`, of control code CODE
    /// (0x…, or decimal), with INPUT in hexadecimal digits and room for OUTLEN bytes; in the order given
    #[arg(
        long = "ioctl",
        value_name = "CODE[:INPUT[:OUTLEN]]",
        conflicts_with = "program", value_parser = told
    )]
    ioctls: Vec<Step>,
    /// Let that program open this path instead of the driver's own symbolic link
    #[arg(long, value_name = r"\\.\NAME", conflicts_with = "program")]
    device: Option<String>,
    /// Let that program unload the driver at the end
    #[arg(long, conflicts_with = "program")]
    unload: bool,
    #[arg(long, value_name = "MIB", help = format!(
        "Give the guest MIB of memory, a decimal number of mebibytes [default: {}]",
        DEFAULT_MEMORY >> 20
    ))]
    memory: Option<u64>,
    #[arg(long, value_name = "WORK", help = format!(
        "Stop a `g` after WORK bytes of code executed, a decimal number [default: {DEFAULT_BUDGET}; \
         at a prompt: no limit]"
    ))]
    budget: Option<u64>,
    #[arg(long, value_name = "WORK", help = format!(
        "Let a script's <Ctrl+Break> take effect after WORK bytes of code executed, a decimal number \
         [default: {DEFAULT_BREAK_IN_AFTER}]"
    ))]
    break_after: Option<u64>,
    /// End at the first line that fails, with status 1
    #[arg(long)]
    strict: bool,
}

/// A hexadecimal address, with or without 0x and a back-tick.
fn address(text: &str) -> Result<Va, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace('`', "");
    u64::from_str_radix(&digits, 16)
        .map(Va)
        .map_err(|error| format!("not an address: {error}"))
}

/// A request of which nothing is expected: what comes of it is told.
fn told(text: &str) -> Result<Step, String> {
    if text.contains('=') {
        return Err(
            "what comes of it is told, nothing is expected: leave out = and the rest".into(),
        );
    }
    text.parse().map_err(|error: IoctlError| error.to_string())
}

/// A function's name and the value it returns.
fn returned(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("no = in it")?;
    if name.is_empty() {
        return Err("no function's name in front of =".to_string());
    }
    let digits = value.strip_prefix("0x").unwrap_or(value).replace('`', "");
    let value = u64::from_str_radix(&digits, 16);
    let value = value.map_err(|error| format!("not a hexadecimal value: {error}"))?;
    Ok((name.to_owned(), value))
}

impl From<Debug> for DebugOptions {
    fn from(debug: Debug) -> DebugOptions {
        DebugOptions {
            script: debug.script,
            commands: debug.commands,
            kernel_base: debug.nt_base,
            driver_base: debug.driver_base,
            kernel: debug.kernel,
            kernel_pdb: debug.kernel_pdb,
            driver: debug.driver,
            driver_pdb: debug.driver_pdb,
            returns: debug.returns,
            unprovided: if debug.refuse_unprovided {
                UnprovidedPolicy::RefuseAtLoad
            } else {
                UnprovidedPolicy::StopAtCall
            },
            initial_break: debug.initial_break,
            program: debug.program,
            ioctls: debug.ioctls,
            device: debug.device,
            unload: debug.unload,
            symbols: debug.symbols,
            memory: debug.memory,
            budget: debug.budget,
            break_in_after: debug.break_after,
            strict: debug.strict,
        }
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let mut out = io::stdout().lock();
    let result: Result<usize, LeaksError> = match command {
        Command::Demo => frontends::demo(&mut out).map_err(LeaksError::from),
        Command::Leaks(options) => frontends::leaks(&options.into(), &mut out).map(usize::from),
        Command::Imports(options) => {
            frontends::imports(&options.into(), &mut out).map_err(LeaksError::from)
        }
        Command::Debug(debug) => {
            let interactive = io::stdin().is_terminal();
            frontends::debug(&debug.into(), interactive, &mut out).map_err(LeaksError::from)
        }
    };
    let flushed = |failed| match out.flush() {
        Ok(()) => Ok(failed),
        // whoever read the output has seen enough; what came of the work is the same
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(failed),
        Err(error) => Err(LeaksError::Frontend(error.into())),
    };
    match result.and_then(flushed) {
        Ok(0) => ExitCode::SUCCESS,
        // the errors are in the transcript
        Ok(_) => ExitCode::FAILURE,
        // whoever read the transcript has seen enough
        Err(LeaksError::Frontend(FrontendError::Io(error)))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            frontends::complain(format_args!("{error}"));
            ExitCode::from(2)
        }
    }
}
