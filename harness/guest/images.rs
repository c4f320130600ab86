//! The image files a guest is made of, with their symbols.

use crate::image::pdb::{PdbError, PdbFile};
use crate::image::{ImageError, PeImage};
use crate::symbols::{LineTable, SymbolError, SymbolTable, TypeTable};
use poolhit_fixtures::prebuilt::{self, File};
use std::sync::{Arc, OnceLock};

/// A file that is no image or no PDB for it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The PDB cannot be read.
    #[error("{name}: its PDB cannot be read: {source}")]
    Pdb {
        /// The image's name.
        name: String,
        /// What is wrong with the PDB.
        source: PdbError,
    },
    /// The PDB belongs to another image.
    #[error(transparent)]
    Symbols(#[from] SymbolError),
}

/// An image file and the symbols and types for it: parsed once, shared by every lab that loads it.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// The image.
    pub image: Arc<PeImage>,
    /// Its symbols: the PDB's, or without one its exports.
    pub symbols: Arc<SymbolTable>,
    /// Its types: the PDB's, or without one none.
    pub types: Arc<TypeTable>,
    /// Its source lines: the PDB's, or without one none.
    pub lines: Arc<LineTable>,
}

impl ImageFile {
    /// Reads an image called `name`, and its PDB if there is one.
    ///
    /// # Errors
    /// One of the two is not what it should be, or the PDB is another image's.
    ///
    /// ```
    /// use poolhit::guest::ImageFile;
    /// assert!(ImageFile::parse("a.sys", b"MZ".as_slice(), None).is_err());
    /// ```
    pub fn parse(
        name: &str,
        bytes: impl Into<Arc<[u8]>>,
        pdb: Option<&[u8]>,
    ) -> Result<ImageFile, FileError> {
        let image = Arc::new(PeImage::parse(name, bytes)?);
        match pdb {
            Some(pdb) => ImageFile::with_pdb(&image, pdb),
            None => Ok(ImageFile {
                symbols: SymbolTable::from_exports(&image).into(),
                types: Arc::default(),
                lines: Arc::default(),
                image,
            }),
        }
    }

    /// An image that was read before, with a PDB.
    ///
    /// # Errors
    /// The PDB cannot be read, or is another image's.
    ///
    /// ```
    /// use poolhit::guest::GuestImages;
    /// use poolhit::guest::ImageFile;
    /// let image = &GuestImages::built_in().kernel.image;
    /// assert!(ImageFile::with_pdb(image, b"no PDB").is_err());
    /// ```
    pub fn with_pdb(image: &Arc<PeImage>, pdb: &[u8]) -> Result<ImageFile, FileError> {
        let pdb = PdbFile::parse(pdb).map_err(|source| FileError::Pdb {
            name: image.name().to_string(),
            source,
        })?;
        Ok(ImageFile {
            symbols: SymbolTable::for_image(image, &pdb)?.into(),
            types: TypeTable::from_pdb(&pdb).into(),
            lines: LineTable::from_pdb(&pdb).into(),
            image: Arc::clone(image),
        })
    }

    /// The image's file name.
    pub fn name(&self) -> &str {
        self.image.name()
    }
}

/// What a lab loads: a kernel, drivers, and a program with its libraries.
#[derive(Clone, Debug)]
pub struct GuestImages {
    /// The kernel.
    pub kernel: ImageFile,
    /// The driver.
    pub driver: ImageFile,
    /// The user-mode program.
    pub program: ImageFile,
    /// The libraries that the program and its libraries import from.
    pub libraries: Vec<ImageFile>,
}

impl GuestImages {
    /// The images that come with the crate, read at the first use.
    ///
    /// ```
    /// use poolhit::guest::GuestImages;
    /// assert_eq!(GuestImages::built_in().kernel.name(), "ntoskrnl.exe");
    /// ```
    pub fn built_in() -> &'static GuestImages {
        static BUILT_IN: OnceLock<GuestImages> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let file = |image: File, pdb: Option<File>| {
                ImageFile::parse(image.name, image.bytes, pdb.map(|pdb| pdb.bytes))
                    .unwrap_or_else(|error| panic!("the crate's own image is broken: {error}"))
            };
            GuestImages {
                kernel: file(prebuilt::KERNEL, Some(prebuilt::KERNEL_PDB)),
                driver: file(prebuilt::DRIVER, None),
                program: file(prebuilt::PROGRAM, None),
                libraries: vec![
                    file(prebuilt::NTDLL, Some(prebuilt::NTDLL_PDB)),
                    file(prebuilt::KERNELBASE, Some(prebuilt::KERNELBASE_PDB)),
                    file(prebuilt::KERNEL32, Some(prebuilt::KERNEL32_PDB)),
                ],
            }
        })
    }

    /// The program that makes requests on demand, read at the first use.
    ///
    /// ```
    /// use poolhit::guest::GuestImages;
    /// assert_eq!(GuestImages::requester().name(), "Requester.exe");
    /// ```
    pub fn requester() -> &'static ImageFile {
        static REQUESTER: OnceLock<ImageFile> = OnceLock::new();
        REQUESTER.get_or_init(|| {
            let File { name, bytes } = prebuilt::REQUESTER;
            ImageFile::parse(name, bytes, None)
                .unwrap_or_else(|error| panic!("the crate's own image is broken: {error}"))
        })
    }

    /// All images, the kernel first.
    pub fn all(&self) -> impl Iterator<Item = &ImageFile> {
        [&self.kernel, &self.driver, &self.program]
            .into_iter()
            .chain(&self.libraries)
    }
}
