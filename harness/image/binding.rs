//! Binding imports: writing the addresses of other images' exports into an import address table.

use super::exports::{Export, ExportTarget};
use super::imports::{Import, ImportName};
use super::pe::PeImage;
use super::text::printable;
use crate::address::{Rva, Va};
use std::fmt;

/// The longest chain of forwarders followed.
pub const FORWARD_LIMIT: usize = 16;
/// The most missing imports that an error lists.
pub const MISSING_LIMIT: usize = 32;

/// Why an import could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingReason {
    /// There is no such image.
    NoImage,
    /// The image exports no such function.
    NoExport,
    /// The export is forwarded more than [`FORWARD_LIMIT`] times, or in a circle.
    ForwardedTooOften,
    /// The export's forwarder is not of the form `DLL.Function`.
    BadForwarder,
}

/// An import that nothing provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingImport {
    /// The image it was to come from, as the importing image spells it.
    pub dll: String,
    /// The function.
    pub function: ImportName,
    /// The image and function where the search ended, if forwarders led elsewhere.
    pub forwarded_to: Option<(String, ImportName)>,
    /// What was wrong there.
    pub reason: MissingReason,
}

impl fmt::Display for MissingImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}, which nothing provides", self.dll, self.function)?;
        if let Some((dll, function)) = &self.forwarded_to {
            write!(f, " (it is forwarded to {dll}!{function})")?;
        }
        match self.reason {
            MissingReason::NoImage => write!(f, " (no such image is loaded)"),
            MissingReason::NoExport => write!(f, " (it has no such export)"),
            MissingReason::ForwardedTooOften => {
                write!(f, " (it is forwarded more than {FORWARD_LIMIT} times)")
            }
            MissingReason::BadForwarder => write!(f, " (its forwarder is not DLL.Function)"),
        }
    }
}

/// Why an image's imports could not all be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Imports are missing; all others are bound.
    #[error("{}", describe(image, missing, *more))]
    Missing {
        /// The importing image.
        image: String,
        /// The first [`MISSING_LIMIT`] of them, in the order of the import directory.
        missing: Vec<MissingImport>,
        /// How many more there are.
        more: usize,
    },
    /// The memory given is not the image's.
    #[error("{image}: the slot at {slot:#x} is outside the {size} bytes it is mapped in", slot = slot.0)]
    SlotOutside {
        /// The importing image.
        image: String,
        /// The slot of the import address table.
        slot: Rva,
        /// The size of the memory given, in bytes.
        size: usize,
    },
}

fn describe(image: &str, missing: &[MissingImport], more: usize) -> String {
    let mut lines: Vec<_> = missing
        .iter()
        .map(|m| format!("{image} needs {m}"))
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// Whether an import's or forwarder's spelling of an image's name means the image `name`: case
/// does not matter, and a forwarder leaves the extension out.
///
/// ```
/// use poolhit::image::binding::names_image;
/// assert!(names_image("NTOSKRNL.EXE", "ntoskrnl.exe"));
/// assert!(names_image("ntdll", "ntdll.dll"));
/// assert!(!names_image("hal.dll", "ntdll.dll"));
/// ```
pub fn names_image(spelling: &str, name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    spelling.eq_ignore_ascii_case(name)
        || !spelling.contains('.') && spelling.eq_ignore_ascii_case(stem)
}

/// Writes the address of every import of `image` into its slot in `mapped`, which is the image's
/// memory ([`PeImage::layout`]).
///
/// `providers` finds an image and its base by the name the importing image gives, such as
/// `ntoskrnl.exe`, or by a forwarder's, which has no extension: [`names_image`] compares both.
/// Forwarders are followed, [`FORWARD_LIMIT`] of them at most.
///
/// # Errors
/// Imports that nothing provides, all together; the other ones are bound. Or `mapped` is too
/// small to be the image's.
///
/// ```
/// # use poolhit::{address::Va, image::{PeImage, binding::{bind_imports, names_image}}};
/// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
/// let mut builder = PeBuilder::new(0x10000);
/// let text = builder.section(".text", CODE, vec![0xc3], 1);
/// let kernel = PeImage::parse("ntoskrnl.exe", builder.export("DbgPrint", text).build())?;
/// let mut builder = PeBuilder::new(0x20000);
/// let driver = PeImage::parse("a.sys", builder.import("ntoskrnl.exe", ["DbgPrint"]).build())?;
///
/// let mut mapped = driver.layout(Va(0x20000))?;
/// let base = Va(0xfffff800_01450000);
/// bind_imports(&driver, &mut mapped, &mut |dll| {
///     names_image(dll, kernel.name()).then_some((base, &kernel))
/// })?;
/// let slot = driver.imports()[0].slot.0 as usize;
/// assert_eq!(mapped[slot..slot + 8], 0xfffff800_01451000_u64.to_le_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bind_imports<'a>(
    image: &PeImage,
    mapped: &mut [u8],
    providers: &mut dyn FnMut(&str) -> Option<(Va, &'a PeImage)>,
) -> Result<(), BindError> {
    bind_imports_to(image, mapped, &mut |import| find_import(import, providers))
}

/// Does what [`bind_imports`] does, with the address of each import told by `find`.
///
/// # Errors
/// As for [`bind_imports`].
///
/// ```
/// # use poolhit::{address::Va, image::{PeImage, binding::bind_imports_to}};
/// # use poolhit_fixtures::pe_builder::PeBuilder;
/// let mut builder = PeBuilder::new(0x20000);
/// let driver = PeImage::parse("a.sys", builder.import("HAL.dll", ["HalGone"]).build())?;
/// let mut mapped = driver.layout(Va(0x20000))?;
/// bind_imports_to(&driver, &mut mapped, &mut |_| Ok(Va(0x123)))?;
/// let slot = driver.imports()[0].slot.0 as usize;
/// assert_eq!(mapped[slot..slot + 8], 0x123_u64.to_le_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bind_imports_to(
    image: &PeImage,
    mapped: &mut [u8],
    find: &mut dyn FnMut(&Import) -> Result<Va, MissingImport>,
) -> Result<(), BindError> {
    let mut missing = Vec::new();
    let mut more = 0;
    for import in image.imports() {
        let start = import.slot.0 as usize;
        let size = mapped.len();
        let slot = mapped
            .get_mut(start..start + 8)
            .ok_or_else(|| BindError::SlotOutside {
                image: image.name().to_owned(),
                slot: import.slot,
                size,
            })?;
        match find(import) {
            Ok(address) => slot.copy_from_slice(&address.0.to_le_bytes()),
            Err(_) if missing.len() == MISSING_LIMIT => more += 1,
            Err(import) => missing.push(import),
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(BindError::Missing {
            image: image.name().to_owned(),
            missing,
            more,
        })
    }
}

/// The address of what an import names, with forwarders followed; `providers` are those of
/// [`bind_imports`].
///
/// # Errors
/// Nothing provides it.
///
/// ```
/// # use poolhit::image::{PeImage, binding::{MissingReason, find_import}};
/// # use poolhit_fixtures::pe_builder::PeBuilder;
/// let mut builder = PeBuilder::new(0x20000);
/// let driver = PeImage::parse("a.sys", builder.import("HAL.dll", ["HalGone"]).build())?;
/// let missing = find_import(&driver.imports()[0], &mut |_| None).unwrap_err();
/// assert_eq!(missing.reason, MissingReason::NoImage);
/// # Ok::<(), poolhit::image::ImageError>(())
/// ```
pub fn find_import<'a>(
    import: &Import,
    providers: &mut dyn FnMut(&str) -> Option<(Va, &'a PeImage)>,
) -> Result<Va, MissingImport> {
    find(&import.dll, &import.function, providers).map_err(|(reason, forwarded_to)| MissingImport {
        dll: import.dll.to_string(),
        function: import.function.clone(),
        forwarded_to,
        reason,
    })
}

type Failure = (MissingReason, Option<(String, ImportName)>);

fn find<'a>(
    dll: &str,
    function: &ImportName,
    providers: &mut dyn FnMut(&str) -> Option<(Va, &'a PeImage)>,
) -> Result<Va, Failure> {
    let mut forwarded: Option<(String, ImportName)> = None;
    for _ in 0..=FORWARD_LIMIT {
        let (dll, function) = match &forwarded {
            Some((dll, function)) => (dll.as_str(), function),
            None => (dll, function),
        };
        let Some((base, provider)) = providers(dll) else {
            return Err((MissingReason::NoImage, forwarded));
        };
        let Some(export) = lookup(provider, function) else {
            return Err((MissingReason::NoExport, forwarded));
        };
        match &export.target {
            ExportTarget::Address(rva) => return Ok(base + *rva),
            ExportTarget::Forward(target) => {
                forwarded = match parse_forwarder(target) {
                    Some(next) => Some(next),
                    None => return Err((MissingReason::BadForwarder, forwarded)),
                }
            }
        }
    }
    Err((MissingReason::ForwardedTooOften, forwarded))
}

fn lookup<'a>(provider: &'a PeImage, function: &ImportName) -> Option<&'a Export> {
    match function {
        ImportName::Name { name, .. } => provider.export(name),
        ImportName::Ordinal(ordinal) => provider.export_by_ordinal(*ordinal),
    }
}

/// `DLL.Function` or `DLL.#ordinal`. The function's name has no dot, the DLL's may.
fn parse_forwarder(target: &str) -> Option<(String, ImportName)> {
    let (dll, function) = target.rsplit_once('.')?;
    if dll.is_empty() || function.is_empty() {
        return None;
    }
    let function = match function.strip_prefix('#') {
        Some(ordinal) => ImportName::Ordinal(ordinal.parse().ok()?),
        None => ImportName::Name {
            hint: 0,
            name: printable(function.as_bytes()),
        },
    };
    Some((dll.to_owned(), function))
}
