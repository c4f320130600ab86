//! The source lines of one image, to be found by address.

use crate::address::Rva;
use crate::image::lines::{FileName, LineError, LineRange, PdbLines};
use crate::image::pdb::PdbFile;
use std::collections::BTreeSet;
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
        let range = self.range_at(at)?;
        Some(SourceLine {
            file: self.lines.as_ref()?.file_name(range.file)?,
            line: range.line,
            column: (range.column != 0).then(|| range.column.into()),
        })
    }

    /// Where the piece of code begins that the line at an address is about.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::LineTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let lines = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// assert_eq!(lines.start_of(Rva(0x1001)), Some(Rva(0x1000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_of(&self, at: Rva) -> Option<Rva> {
        self.range_at(at).map(|range| range.start)
    }

    fn range_at(&self, at: Rva) -> Option<&LineRange> {
        let ranges = &self.found().0;
        let after = ranges.partition_point(|range| range.start <= at);
        ranges[..after].last().filter(|range| at < range.end)
    }

    /// The source files that code comes from, in the order of the PDB's names, each once.
    ///
    /// ```
    /// # use poolhit::{image::pdb::PdbFile, symbols::LineTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let lines = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// assert!(lines.files().any(|path| path == "/guest/leaky/leaky.c"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn files(&self) -> impl Iterator<Item = String> {
        self.named_files().map(|(_, path)| path)
    }

    fn named_files(&self) -> impl Iterator<Item = (FileName, String)> {
        let names: BTreeSet<FileName> = self.found().0.iter().map(|range| range.file).collect();
        let lines = self.lines.as_ref();
        let path = move |name| Some((name, lines?.file_name(name)?));
        names.into_iter().filter_map(path)
    }

    /// Where the code of a source line starts, in ascending order: of the first file that [`is_path_of`] finds
    /// `file` to be the end of, the line, or the next behind it that has code. Without a line it is the first code
    /// of the file. Code that goes on in the next piece counts once.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::pdb::PdbFile, symbols::LineTable};
    /// # use poolhit_fixtures::prebuilt::LEAKY_PDB;
    /// let lines = LineTable::from_pdb(&PdbFile::parse(LEAKY_PDB.bytes)?);
    /// let entry = lines.find(Rva(0x1000)).unwrap();
    /// assert_eq!(lines.starts_of("LEAKY.C", Some(entry.line))[0], Rva(0x1000));
    /// assert_eq!(lines.starts_of("leaky/leaky.c", None), [Rva(0x1000)]);
    /// assert!(lines.starts_of("y.c", None).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn starts_of(&self, file: &str, line: Option<u32>) -> Vec<Rva> {
        let chosen = self.named_files().find(|(_, path)| is_path_of(path, file));
        let Some((chosen, _)) = chosen else {
            return Vec::new();
        };
        let ranges = &self.found().0;
        let of_file = || ranges.iter().filter(|range| range.file == chosen);
        let Some(wanted) = line else {
            return of_file().map(|range| range.start).take(1).collect();
        };
        let lines = of_file().map(|range| range.line);
        let Some(line) = lines.filter(|line| *line >= wanted).min() else {
            return Vec::new();
        };
        let mut starts = Vec::new();
        let mut end = None;
        for range in of_file().filter(|range| range.line == line) {
            if end != Some(range.start) {
                starts.push(range.start);
            }
            end = Some(range.end);
        }
        starts
    }
}

/// Whether `file` is a path or the end of one, in whole names, in either case and with either slash.
///
/// ```
/// use poolhit::symbols::lines::is_path_of;
/// assert!(is_path_of(r"c:\src\Leaky.c", "leaky.c"));
/// assert!(is_path_of(r"c:\src\leaky.c", "src/leaky.c"));
/// assert!(!is_path_of(r"c:\src\leaky.c", "y.c"));
/// ```
pub fn is_path_of(path: &str, file: &str) -> bool {
    let fold = |byte: u8| match byte {
        b'\\' => b'/',
        byte => byte.to_ascii_lowercase(),
    };
    let Some(start) = path.len().checked_sub(file.len()) else {
        return false;
    };
    let (before, end) = path.as_bytes().split_at(start);
    let same = end.iter().zip(file.as_bytes());
    let whole = before.is_empty() || matches!(before.last(), Some(b'/' | b'\\'));
    !file.is_empty() && whole && same.into_iter().all(|(a, b)| fold(*a) == fold(*b))
}
