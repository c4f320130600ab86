//! Which image provides what another one imports.

use crate::address::Va;
use crate::image::binding::{MissingImport, MissingReason, find_import, names_image};
use crate::image::imports::{Import, ImportName};
use crate::image::{ImageError, PeImage};

/// An image, its base, and whether it is user mode's.
pub(super) type Provider<'a> = (&'a PeImage, Va, bool);

/// The names that the kernel goes by, whatever its file is called.
const KERNEL: &str = "ntoskrnl.exe";
/// In Windows a module of its own, with a part of the kernel's functions.
const HAL: &str = "hal.dll";

/// Finds what an import of an image of user mode (`user`) or of the kernel's side leads to.
/// `images` are those loaded, the kernel first.
///
/// # Errors
/// Nothing provides it.
pub(super) fn find_provided(
    import: &Import,
    user: bool,
    images: &[Provider<'_>],
) -> Result<Va, MissingImport> {
    let named = |dll: &str| {
        let mut all = images.iter().filter(|(_, _, other)| *other == user);
        all.find(|(image, ..)| names_image(dll, image.name()))
    };
    let kernel = || images.first().filter(|_| !user);
    let provider = |dll: &str| {
        let is_kernel = || names_image(dll, KERNEL) || names_image(dll, HAL);
        named(dll).or_else(|| kernel().filter(|_| is_kernel()))
    };
    // The kernel provides the HAL's functions, but its ordinals are its own.
    let by_ordinal = matches!(import.function, ImportName::Ordinal(_));
    if by_ordinal && names_image(&import.dll, HAL) && named(&import.dll).is_none() {
        return Err(MissingImport {
            dll: import.dll.to_string(),
            function: import.function.clone(),
            forwarded_to: None,
            reason: match kernel() {
                Some(_) => MissingReason::NoExport,
                None => MissingReason::NoImage,
            },
        });
    }
    find_import(import, &mut |dll| {
        provider(dll).map(|&(image, base, _)| (base, image))
    })
}

/// An import of a driver, and whether a kernel provides it.
#[derive(Clone, Debug)]
pub struct ListedImport {
    /// The import.
    pub import: Import,
    /// It is looked up when it is first called, and not by the loader.
    pub delayed: bool,
    /// Why nothing provides it; `None` if the kernel does.
    pub missing: Option<MissingImport>,
}

/// Lists what a driver imports, in the order of its directories, with those that are loaded when they
/// are first called behind the others. The kernel's functions count for `ntoskrnl.exe` and for
/// `hal.dll`, as when a lab loads the driver.
///
/// # Errors
/// The delay-load directory is broken.
///
/// ```
/// use poolhit::guest::{GuestImages, list_imports};
/// let images = GuestImages::built_in();
/// let listed = list_imports(&images.driver.image, &images.kernel.image)?;
/// assert!(listed.iter().all(|listed| listed.missing.is_none()));
/// # Ok::<(), poolhit::image::ImageError>(())
/// ```
pub fn list_imports(driver: &PeImage, kernel: &PeImage) -> Result<Vec<ListedImport>, ImageError> {
    let images = [(kernel, Va(0), false), (driver, Va(0), false)];
    let list = |import: &Import, delayed| ListedImport {
        import: import.clone(),
        delayed,
        missing: find_provided(import, false, &images).err(),
    };
    let delayed = driver.delay_imports()?;
    let bound = driver.imports().iter().map(|import| list(import, false));
    let delayed = delayed.iter().map(|import| list(import, true));
    Ok(bound.chain(delayed).collect())
}
