//! `poolhit imports`: what a driver imports, and what of it the kernel provides. Nothing runs.
//!
//! For people it is a table, an image a paragraph. For programs (`--json`) it is one line of JSON:
//!
//! | key | value |
//! |---|---|
//! | `version` | 1; another number if a key goes or means something else |
//! | `driver`, `kernel` | the files' names |
//! | `subsystem` | the driver's `Subsystem`: 1 if it is linked as a driver |
//! | `provided`, `missing` | how many imports are provided, and how many are not |
//! | `imports` | an array, in the order of the file, with an object an import: |
//! | … `module` | the image it comes from, as the driver spells it |
//! | … `name` or `ordinal` | a string, or a number |
//! | … `delayed` | `true` if it is looked up when it is first called, and not by the loader |
//! | … `provided` | `true` or `false` |
//! | … `reason` | only if it is not: `no_image`, `no_export`, `forwarded_too_often` or `bad_forwarder` |

use super::options::FrontendError;
use crate::guest::{GuestImages, ImageFile, ListedImport, OpenImageError, list_imports};
use crate::image::PeImage;
use crate::image::binding::MissingReason;
use crate::image::imports::ImportName;
use crate::report::json::JsonText;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

/// `IMAGE_SUBSYSTEM_NATIVE`.
pub(super) const NATIVE: u16 = 1;

/// The options of `poolhit imports`.
#[derive(Clone, Debug, Default)]
pub struct ImportsOptions {
    /// The driver.
    pub driver: PathBuf,
    /// Another kernel than the built-in one.
    pub kernel: Option<PathBuf>,
    /// JSON instead of a table.
    pub json: bool,
}

/// Lists what a driver imports. Gives the count of what nothing provides.
///
/// # Errors
/// A file cannot be read or is no image for x64, or the output cannot be written.
///
/// ```
/// use poolhit::frontends::{ImportsOptions, imports};
/// let options = ImportsOptions { driver: "no/such.sys".into(), ..Default::default() };
/// assert!(imports(&options, &mut Vec::new()).unwrap_err().to_string().contains("no/such.sys"));
/// ```
pub fn imports(options: &ImportsOptions, out: &mut dyn Write) -> Result<usize, FrontendError> {
    let open = |path: &PathBuf| ImageFile::open_with_pdb(path, None);
    let driver = open(&options.driver)?.image;
    let kernel = match &options.kernel {
        Some(path) => open(path)?.image,
        None => GuestImages::built_in().kernel.image.clone(),
    };
    let listed = list_imports(&driver, &kernel).map_err(|error| OpenImageError::File {
        path: options.driver.clone(),
        source: error.into(),
    })?;
    let missing = listed.iter().filter(|import| import.missing.is_some());
    let missing = missing.count();
    let images = [&*driver, &*kernel];
    if options.json {
        write_json(out, images, &listed, missing)?;
    } else {
        write_table(out, images, &listed, missing)?;
    }
    Ok(missing)
}

/// The imports from one image: its name as it is spelled first.
struct Group<'a> {
    module: &'a str,
    imports: Vec<&'a ListedImport>,
}

/// The imports by image, in the order in which the images come first.
fn groups(listed: &[ListedImport]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for import in listed {
        let module = &*import.import.dll;
        let place = *places
            .entry(module.to_ascii_lowercase())
            .or_insert_with(|| {
                let imports = Vec::new();
                groups.push(Group { module, imports });
                groups.len() - 1
            });
        groups[place].imports.push(import);
    }
    groups
}

fn write_table(
    out: &mut dyn Write,
    [driver, kernel]: [&PeImage; 2],
    listed: &[ListedImport],
    missing: usize,
) -> io::Result<()> {
    for Group { module, imports } in groups(listed) {
        let provided = imports.iter().filter(|import| import.missing.is_none());
        let provided = provided.count();
        writeln!(out, "{module}: {provided} of {} provided", imports.len())?;
        for listed in imports {
            let state = match listed.missing {
                None => "provided    ",
                Some(_) => "not provided",
            };
            write!(out, "  {state}  {}", listed.import.function)?;
            if listed.delayed {
                write!(out, " (loaded when it is first called)")?;
            }
            let missing = listed.missing.as_ref();
            match missing.and_then(|missing| missing.forwarded_to.as_ref()) {
                Some((module, function)) => {
                    writeln!(out, " (it is forwarded to {module}!{function})")?;
                }
                None => writeln!(out)?,
            }
        }
        writeln!(out)?;
    }
    let all = listed.len();
    let subsystem = driver.subsystem();
    let (driver, kernel) = (driver.name(), kernel.name());
    match (all, missing) {
        (0, _) => writeln!(out, "{driver} imports nothing."),
        (_, 0) => writeln!(out, "{driver}: {kernel} provides all {all} imports."),
        _ => writeln!(
            out,
            "{driver}: {kernel} provides {} of {all} imports; {missing} {} not provided.",
            all - missing,
            if missing == 1 { "is" } else { "are" }
        ),
    }?;
    if subsystem != NATIVE {
        writeln!(
            out,
            "{driver} is not linked as a driver: its subsystem is {subsystem}, and a driver's is 1."
        )?;
    }
    Ok(())
}

fn write_json(
    out: &mut dyn Write,
    [driver, kernel]: [&PeImage; 2],
    listed: &[ListedImport],
    missing: usize,
) -> io::Result<()> {
    let subsystem = driver.subsystem();
    let (driver, kernel) = (JsonText(driver.name()), JsonText(kernel.name()));
    let provided = listed.len() - missing;
    write!(
        out,
        "{{\"version\":1,\"driver\":{driver},\"subsystem\":{subsystem},\"kernel\":{kernel},\
         \"provided\":{provided},\"missing\":{missing},\"imports\":["
    )?;
    for (at, listed) in listed.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let module = JsonText(&listed.import.dll);
        write!(out, "{comma}{{\"module\":{module},")?;
        match &listed.import.function {
            ImportName::Name { name, .. } => write!(out, "\"name\":{}", JsonText(name))?,
            ImportName::Ordinal(ordinal) => write!(out, "\"ordinal\":{ordinal}")?,
        }
        let provided = listed.missing.is_none();
        write!(
            out,
            ",\"delayed\":{},\"provided\":{provided}",
            listed.delayed
        )?;
        if let Some(missing) = &listed.missing {
            let reason = match missing.reason {
                MissingReason::NoImage => "no_image",
                MissingReason::NoExport => "no_export",
                MissingReason::ForwardedTooOften => "forwarded_too_often",
                MissingReason::BadForwarder => "bad_forwarder",
            };
            write!(out, ",\"reason\":\"{reason}\"")?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "]}}")
}
