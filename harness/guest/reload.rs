//! Symbols for images that were loaded without.

use super::images::{GuestImages, ImageFile};
use super::lab::Lab;
use super::symbol_path::{FoundPdb, SymbolPath};
use std::path::PathBuf;
use std::sync::Arc;

/// An image that symbols were looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The image's file name.
    pub image: String,
    /// Its PDB, if one was found.
    pub pdb: Option<PathBuf>,
}

impl Lab {
    /// Looks for the PDBs of the images that have none, and takes their symbols, types and lines. With
    /// a name, of the image of that file name, or module's name, alone.
    ///
    /// ```
    /// use poolhit::guest::{ImageFile, SymbolPath};
    /// use poolhit::Lab;
    /// let driver = ImageFile::open_with_pdb("fixtures/prebuilt/leaky.sys", None)?;
    /// let mut lab = Lab::builder().driver(driver).build()?;
    /// assert!(lab.modules().resolve("leaky!CopyInput").is_err());
    /// let found = lab.find_symbols(&SymbolPath::new("fixtures/prebuilt"), Some("leaky"));
    /// assert!(found[0].pdb.is_some());
    /// assert!(lab.modules().resolve("leaky!CopyInput").is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_symbols(&mut self, path: &SymbolPath, name: Option<&str>) -> Vec<Reloaded> {
        let mut images = GuestImages::clone(&self.images);
        let mut reloaded = Vec::new();
        for file in files(&mut images) {
            let has_pdb = file.symbols.source().is_pdb();
            if has_pdb || name.is_some_and(|name| !is_called(file, name)) {
                continue;
            }
            let found = path.find(&file.image);
            reloaded.push(Reloaded {
                image: file.name().to_string(),
                pdb: found.as_ref().map(|found| found.path.clone()),
            });
            if let Some(FoundPdb { file: found, .. }) = found {
                *file = found;
            }
        }
        if reloaded.iter().any(|one| one.pdb.is_some()) {
            self.images = Arc::new(images);
        }
        reloaded
    }
}

fn files(images: &mut GuestImages) -> impl Iterator<Item = &mut ImageFile> {
    [&mut images.kernel, &mut images.driver, &mut images.program]
        .into_iter()
        .chain(&mut images.libraries)
}

fn is_called(file: &ImageFile, name: &str) -> bool {
    let module = crate::symbols::module::module_name(file.name());
    file.name().eq_ignore_ascii_case(name) || module.eq_ignore_ascii_case(name)
}
