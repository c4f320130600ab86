//! Image files as they lie in folders, with their PDBs beside them.

use super::images::{FileError, ImageFile};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest image or PDB that is read, in bytes: no larger image can be loaded.
const FILE_LIMIT: u64 = 256 << 20;

/// A file that cannot be read, or is no image or no PDB for it.
#[derive(Debug, thiserror::Error)]
pub enum OpenImageError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {source}", path.display())]
    File {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// A PDB is none, or is another image's.
    #[error("{}: {source}", pdb.display())]
    Pdb {
        /// The PDB.
        pdb: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
}

impl OpenImageError {
    /// The PDB, if it is that and not the image which cannot be used.
    ///
    /// ```
    /// use poolhit::guest::ImageFile;
    /// let pdb = "fixtures/prebuilt/ntdll.pdb".as_ref();
    /// let error = ImageFile::open_with_pdb("fixtures/prebuilt/leaky.sys", Some(pdb)).unwrap_err();
    /// assert_eq!(error.pdb(), Some(pdb));
    /// assert!(error.to_string().starts_with("fixtures/prebuilt/ntdll.pdb: "));
    /// assert_eq!(ImageFile::open("no/such.sys").unwrap_err().pdb(), None);
    /// ```
    pub fn pdb(&self) -> Option<&Path> {
        match self {
            OpenImageError::Pdb { pdb, .. } => Some(pdb),
            OpenImageError::Read { .. } | OpenImageError::File { .. } => None,
        }
    }
}

impl ImageFile {
    /// Reads an image, and the PDB that lies beside it under the image's name, if one does: `my.pdb`
    /// beside `my.sys`.
    ///
    /// # Errors
    /// A file cannot be read or has more than 256 MiB, the image is none, or the PDB is another image's.
    ///
    /// ```
    /// use poolhit::guest::ImageFile;
    /// let driver = ImageFile::open("fixtures/prebuilt/leaky.sys")?;
    /// assert_eq!(driver.name(), "leaky.sys");
    /// assert!(driver.symbols.by_name("LeakyDeviceControl").is_some()); // leaky.pdb's
    /// let error = ImageFile::open("no/such.sys").unwrap_err();
    /// assert!(error.to_string().starts_with("cannot read no/such.sys: "));
    /// # Ok::<(), poolhit::guest::OpenImageError>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<ImageFile, OpenImageError> {
        let path = path.as_ref();
        let pdb = path.with_extension("pdb");
        ImageFile::open_with_pdb(path, (pdb != path && pdb.is_file()).then_some(&*pdb))
    }

    /// Reads an image, and the PDB that is named, if one is; none is looked for.
    ///
    /// # Errors
    /// As for [`open`](ImageFile::open).
    ///
    /// ```
    /// use poolhit::{guest::ImageFile, symbols::SymbolSource};
    /// let driver = ImageFile::open_with_pdb("fixtures/prebuilt/leaky.sys", None)?;
    /// assert_eq!(driver.symbols.source(), SymbolSource::None);
    /// # Ok::<(), poolhit::guest::OpenImageError>(())
    /// ```
    pub fn open_with_pdb(
        path: impl AsRef<Path>,
        pdb: Option<&Path>,
    ) -> Result<ImageFile, OpenImageError> {
        let path = path.as_ref();
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        let bytes = pdb.map(read).transpose()?;
        let parsed = ImageFile::parse(&name, read(path)?, bytes.as_deref());
        parsed.map_err(|source| match (source, pdb) {
            (source @ (FileError::Pdb { .. } | FileError::Symbols(_)), Some(pdb)) => {
                let pdb = pdb.to_path_buf();
                OpenImageError::Pdb { pdb, source }
            }
            (source, _) => {
                let path = path.to_path_buf();
                OpenImageError::File { path, source }
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, OpenImageError> {
    let read = || {
        let mut bytes = Vec::new();
        // A device has no length that could be asked for.
        File::open(path)?
            .take(FILE_LIMIT + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_LIMIT {
            let text = format!("it is larger than {} MiB", FILE_LIMIT >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        Ok(bytes)
    };
    read().map_err(|source| OpenImageError::Read {
        path: path.to_path_buf(),
        source,
    })
}
