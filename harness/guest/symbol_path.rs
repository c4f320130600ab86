//! Where PDBs are looked for: folders, and symbol stores in folders ("Symbol Path").
//!
//! | element | where `my.pdb` with a GUID and age is looked for |
//! |---|---|
//! | `FOLDER` | `FOLDER/my.pdb`, `FOLDER/symbols/sys/my.pdb`, `FOLDER/sys/my.pdb`, and as in a store |
//! | `srv*STORE…` | in each store that is a folder: `STORE/my.pdb/GUIDAGE/my.pdb` |
//! | `cache*STORE` | as `srv*` |
//!
//! Servers in the network are left out: nothing is fetched. A PDB counts only if its GUID and age are
//! those that the image names, wherever it lies.

use super::image_path::read;
use super::images::ImageFile;
use crate::image::PeImage;
use crate::symbols::table::signature;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most elements that a path has. The project's own limit.
const ELEMENT_LIMIT: usize = 64;

/// One element of a symbol path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Element {
    Folder(PathBuf),
    Store(Vec<PathBuf>),
}

/// A symbol path. Prints as it was given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SymbolPath {
    text: String,
}

impl fmt::Display for SymbolPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A PDB that was found.
#[derive(Clone, Debug)]
pub struct FoundPdb {
    /// Where it lies.
    pub path: PathBuf,
    /// The image with its symbols.
    pub file: ImageFile,
}

impl SymbolPath {
    /// A path of elements separated by semicolons.
    ///
    /// ```
    /// use poolhit::guest::SymbolPath;
    /// let path = SymbolPath::new("build; srv*store*https://server");
    /// assert_eq!(path.to_string(), "build;srv*store*https://server");
    /// ```
    pub fn new(text: &str) -> SymbolPath {
        let elements = text.split(';').map(str::trim).filter(|one| !one.is_empty());
        let elements: Vec<&str> = elements.take(ELEMENT_LIMIT).collect();
        SymbolPath {
            text: elements.join(";"),
        }
    }

    /// The path with more elements behind it.
    ///
    /// ```
    /// use poolhit::guest::SymbolPath;
    /// let path = SymbolPath::new("build").with("more");
    /// assert_eq!(path.to_string(), "build;more");
    /// ```
    #[must_use]
    pub fn with(&self, text: &str) -> SymbolPath {
        SymbolPath::new(&format!("{};{text}", self.text))
    }

    fn elements(&self) -> impl Iterator<Item = Element> {
        self.text
            .split(';')
            .filter(|one| !one.is_empty())
            .map(|element| {
                let mut parts = element.split('*');
                match parts.next().map(str::to_ascii_lowercase).as_deref() {
                    Some("srv" | "cache" | "symsrv") if element.contains('*') => {
                        let local = parts.filter(|part| !part.is_empty() && !part.contains("://"));
                        Element::Store(local.map(PathBuf::from).collect())
                    }
                    _ => Element::Folder(element.into()),
                }
            })
    }

    /// Where an image's PDB could lie, in the order in which it is looked for.
    ///
    /// ```
    /// use poolhit::guest::{ImageFile, SymbolPath};
    /// let image = ImageFile::open("fixtures/prebuilt/leaky.sys")?.image;
    /// let places = SymbolPath::new("srv*store").places(&image);
    /// let place = places[0].to_str().unwrap().replace('\\', "/");
    /// assert!(place.starts_with("store/leaky.pdb/") && place.ends_with("1/leaky.pdb"));
    /// # Ok::<(), poolhit::guest::OpenImageError>(())
    /// ```
    pub fn places(&self, image: &PeImage) -> Vec<PathBuf> {
        let Some(reference) = image.pdb_reference() else {
            return Vec::new();
        };
        let name = reference.base_name();
        // A name that leads elsewhere is an image's idea, not the user's.
        if name.is_empty() || matches!(name, "." | "..") || name.contains(':') {
            return Vec::new();
        }
        let in_store = |store: &Path| {
            let folder = signature(&reference.guid, reference.age);
            store.join(name).join(folder).join(name)
        };
        let mut places = Vec::new();
        for element in self.elements() {
            match element {
                Element::Folder(folder) => {
                    let extension = image
                        .name()
                        .rsplit_once('.')
                        .map(|(_, extension)| extension);
                    let extension = extension.filter(|one| one.chars().all(char::is_alphanumeric));
                    places.push(folder.join(name));
                    if let Some(extension) = extension {
                        places.push(folder.join("symbols").join(extension).join(name));
                        places.push(folder.join(extension).join(name));
                    }
                    places.push(in_store(&folder));
                }
                Element::Store(stores) => {
                    places.extend(stores.iter().map(|store| in_store(store)));
                }
            }
        }
        places
    }

    /// The image with the first PDB on the path that is its own; `None` if none is.
    ///
    /// ```
    /// use poolhit::guest::{ImageFile, SymbolPath};
    /// use poolhit::symbols::SymbolSource;
    /// let file = ImageFile::open_with_pdb("fixtures/prebuilt/leaky.sys", None)?;
    /// assert_eq!(file.symbols.source(), SymbolSource::None);
    /// let found = SymbolPath::new("no/such;fixtures/prebuilt").find(&file.image).unwrap();
    /// assert!(found.file.symbols.source().is_pdb());
    /// assert!(found.path.ends_with("leaky.pdb"));
    /// # Ok::<(), poolhit::guest::OpenImageError>(())
    /// ```
    pub fn find(&self, image: &Arc<PeImage>) -> Option<FoundPdb> {
        let places = self.places(image).into_iter().filter(|path| path.is_file());
        let mut found = places.filter_map(|path| {
            let file = ImageFile::with_pdb(image, &read(&path).ok()?).ok()?;
            Some(FoundPdb { path, file })
        });
        found.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn leaky() -> (Arc<PeImage>, Vec<u8>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prebuilt");
        let file = ImageFile::open_with_pdb(folder.join("leaky.sys"), None).unwrap();
        (file.image, fs::read(folder.join("leaky.pdb")).unwrap())
    }

    #[test]
    fn each_layout_is_found_and_another_builds_pdb_is_not() {
        let (image, pdb) = leaky();
        let reference = image.pdb_reference().unwrap();
        let id = signature(&reference.guid, reference.age);
        for (element, place) in [
            ("", "leaky.pdb".to_string()),
            ("", "symbols/sys/leaky.pdb".to_string()),
            ("", "sys/leaky.pdb".to_string()),
            ("", format!("leaky.pdb/{id}/leaky.pdb")),
            ("srv*", format!("leaky.pdb/{id}/leaky.pdb")),
            ("cache*", format!("leaky.pdb/{id}/leaky.pdb")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = SymbolPath::new(&format!("{element}{}", folder.path().display()));
            assert!(path.find(&image).is_none());
            let place = folder.path().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            // another's first
            fs::write(&place, poolhit_fixtures::prebuilt::KERNEL_PDB.bytes).unwrap();
            assert!(path.find(&image).is_none());
            fs::write(&place, &pdb).unwrap();
            assert_eq!(path.find(&image).unwrap().path, place);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_path(text in r"([a-z*;:/ .]|srv\*|https://){0,20}|\PC{0,12}") {
            let path = SymbolPath::new(&text);
            prop_assert_eq!(SymbolPath::new(&path.to_string()), path.clone());
            path.places(&leaky().0);
        }
    }
}
