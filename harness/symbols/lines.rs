//! The source lines of one image, to be found by address.

use crate::address::Rva;
use crate::image::lines::{LineError, LineRange, PdbLines};
use crate::image::pdb::PdbFile;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A line of a source file. Prints as WinDbg shows it in its stacks, there in brackets:
/// `c:\src\leaky.c @ 57`.
///
/// ```
/// use poolhit::symbols::SourceLine;
/// let line = SourceLine { file: r"c:\src\leaky.c".into(), line: 57, column: None };
/// assert_eq!(line.to_string(), r"c:\src\leaky.c @ 57");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLine {
    /// The file's path, as the compiler was told it on the machine it ran on.
    pub file: String,
    /// The line, from 1; of a statement that has several its first.
    pub line: u32,
    /// The column, from 1, if the compiler wrote one.
    pub column: Option<u32>,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @ {}", self.file, self.line)
    }
}

/// The lines in order, and what was wrong with some.
type Found = (Vec<LineRange>, Option<LineError>);

/// The source lines of one image. Without a PDB there are none, nor in one that was stripped of them.
///
/// The records are looked at when the first line is asked for: most sessions need none.
#[derive(Debug, Default)]
pub struct LineTable {
    lines: Option<Arc<PdbLines>>,
    /// Why there are no lines, if there should be.
    error: Option<LineError>,
    found: OnceLock<Found>,
}

impl LineTable {
    /// The lines of a PDB.
    ///
    /// ```
    /// # use poolhit::{image::pdb::PdbFile, symbols::LineTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let lines = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// assert!(!lines.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_pdb(pdb: &PdbFile) -> LineTable {
        let (lines, error) = match pdb.lines() {
            Ok(lines) => (Some(Arc::clone(lines)), None),
            Err(error) => (None, Some(error.clone())),
        };
        LineTable {
            lines,
            error,
            found: OnceLock::new(),
        }
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| match &self.lines {
            Some(lines) => lines.ranges(),
            None => Found::default(),
        })
    }

    /// How many pieces of code have a line of their own.
    ///
    /// ```
    /// # use poolhit::symbols::LineTable;
    /// assert_eq!(LineTable::default().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.found().0.len()
    }

    /// Whether no line is known.
    ///
    /// ```
    /// # use poolhit::symbols::LineTable;
    /// assert!(LineTable::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is wrong with the lines, or with some of them: those that can be read are there.
    ///
    /// ```
    /// # use poolhit::symbols::LineTable;
    /// assert!(LineTable::default().error().is_none());
    /// ```
    pub fn error(&self) -> Option<&LineError> {
        self.error.as_ref().or(self.found().1.as_ref())
    }

    /// The line that the code at an address of the image comes from. Of a function that was inlined
    /// it is the line of the function around it.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::LineTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let lines = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// // the first function is DriverEntry
    /// let line = lines.find(Rva(0x1000)).unwrap();
    /// assert_eq!(line.file, "/guest/leaky/leaky.c");
    /// assert!(lines.find(Rva(0)).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(&self, at: Rva) -> Option<SourceLine> {
        let ranges = &self.found().0;
        let after = ranges.partition_point(|range| range.start <= at);
        let range = ranges[..after].last().filter(|range| at < range.end)?;
        Some(SourceLine {
            file: self.lines.as_ref()?.file_name(range.file)?,
            line: range.line,
            column: (range.column != 0).then(|| range.column.into()),
        })
    }
}
