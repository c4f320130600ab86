//! The C13 records of one module.

use super::super::pdb_address::AddressMap;
use super::{FileName, LINE_LIMIT, LineError, LineRange, part, u16_at, u32_at};
use crate::address::Rva;

/// The kinds of records that are read: `DEBUG_S_LINES` and `DEBUG_S_FILECHKSMS`.
const LINES: u32 = 0xf2;
const FILE_CHECKSUMS: u32 = 0xf4;
/// `CV_DebugSLinesHeader_t`: offset and number of the section, flags, bytes of code.
const LINES_HEADER_SIZE: usize = 12;
/// `CV_LINES_HAVE_COLUMNS`.
const HAVE_COLUMNS: u16 = 1;
/// `CV_DebugSLinesFileBlockHeader_t`: file, number of lines, bytes of the whole block.
const BLOCK_HEADER_SIZE: usize = 12;
/// `CV_Line_t`: offset of the code; line, distance of the last line, whether it is a statement.
const LINE_SIZE: usize = 8;
const LINE_MASK: u32 = 0x00ff_ffff;
/// `CV_Column_t`: first and last column.
const COLUMN_SIZE: usize = 4;
/// Numbers that stand for code of no line: that of the compiler, to be stepped through, or over.
const HIDDEN: [u32; 3] = [0, 0x00f0_0f00, 0x00fe_efee];

/// One module's records.
pub(super) struct Program<'a> {
    pub module: usize,
    pub records: &'a [u8],
    pub map: &'a AddressMap,
}

/// Where code of one line starts, from the start of its function; of no line where that is `None`.
#[derive(Clone, Copy)]
struct Start {
    offset: u32,
    source: Option<(FileName, u32, u16)>,
}

impl Program<'_> {
    fn broken(&self, at: usize, reason: &'static str) -> LineError {
        LineError::Broken {
            module: self.module,
            at,
            reason,
        }
    }

    /// Adds the module's lines.
    pub fn read(&self, ranges: &mut Vec<LineRange>) -> Result<(), LineError> {
        // The files may be behind the lines.
        let mut files: &[u8] = &[];
        // A record that is broken is found again below, behind the lines in front of it.
        let _ = self.visit(FILE_CHECKSUMS, |_, record| {
            if files.is_empty() {
                files = record;
            }
            Ok(())
        });
        self.visit(LINES, |at, record| self.lines(at, record, files, ranges))
    }

    /// Visits the records of one kind, each with its place.
    fn visit<'s>(
        &'s self,
        wanted: u32,
        mut visit: impl FnMut(usize, &'s [u8]) -> Result<(), LineError>,
    ) -> Result<(), LineError> {
        let mut at = 0;
        while at < self.records.len() {
            let header = (u32_at(self.records, at), u32_at(self.records, at + 4));
            let (Some(kind), Some(length)) = header else {
                return Err(self.broken(at, "a record's header does not fit"));
            };
            let record = part(self.records, at + 8, length);
            let record = record.ok_or_else(|| self.broken(at, "a record does not fit"))?;
            if kind == wanted {
                visit(at + 8, record)?;
            }
            at += 8 + record.len().next_multiple_of(4);
        }
        Ok(())
    }

    /// Adds the lines of a function, which `record` at `at` has.
    fn lines(
        &self,
        at: usize,
        record: &[u8],
        files: &[u8],
        ranges: &mut Vec<LineRange>,
    ) -> Result<(), LineError> {
        let header = || {
            let place = (u16_at(record, 4)?, u32_at(record, 0)?);
            Some((place, u16_at(record, 6)?, u32_at(record, 8)?))
        };
        let Some(((section, offset), flags, code_size)) = header() else {
            return Err(self.broken(at, "the header of a function's lines does not fit"));
        };
        let mut starts = Vec::new();
        let mut block_at = LINES_HEADER_SIZE;
        while block_at < record.len() {
            let here = at + block_at;
            let header = [0, 4, 8].map(|field| u32_at(record, block_at + field));
            let [Some(file), Some(count), Some(size)] = header else {
                return Err(self.broken(here, "the header of a file's lines does not fit"));
            };
            let block = part(record, block_at, size);
            let block = block.ok_or_else(|| self.broken(here, "a file's lines do not fit"))?;
            let has_columns = flags & HAVE_COLUMNS != 0;
            let each = LINE_SIZE + if has_columns { COLUMN_SIZE } else { 0 };
            let room = block.len().checked_sub(BLOCK_HEADER_SIZE);
            let room = room.filter(|room| count as usize <= room / each);
            if room.is_none() {
                return Err(self.broken(here, "more lines than there is room for"));
            }
            if ranges.len() + starts.len() + count as usize > LINE_LIMIT {
                return Err(LineError::TooMany);
            }
            let name = u32_at(files, file as usize).map(FileName);
            let columns = BLOCK_HEADER_SIZE + LINE_SIZE * count as usize;
            starts.extend((0..count as usize).filter_map(|index| {
                let line_at = BLOCK_HEADER_SIZE + LINE_SIZE * index;
                let line = u32_at(block, line_at + 4)? & LINE_MASK;
                let column = match has_columns {
                    true => u16_at(block, columns + COLUMN_SIZE * index)?,
                    false => 0,
                };
                let is_shown = !HIDDEN.contains(&line);
                Some(Start {
                    offset: u32_at(block, line_at)?,
                    source: name.filter(|_| is_shown).map(|name| (name, line, column)),
                })
            }));
            block_at += block.len();
        }
        // A function of several files has its lines file by file.
        starts.sort_by_key(|start| start.offset);
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(code_size, |next| next.offset);
            let length = end.min(code_size).saturating_sub(start.offset);
            let Some((file, line, column)) = start.source.filter(|_| length > 0) else {
                continue;
            };
            let place = offset.checked_add(start.offset);
            let first = place.and_then(|place| self.map.rva(section, place));
            // Code that was dropped after linking is nowhere.
            if let Some(start) = first
                && let Some(end) = start.0.checked_add(length)
            {
                ranges.push(LineRange {
                    start,
                    end: Rva(end),
                    file,
                    line,
                    column,
                });
            }
        }
        Ok(())
    }
}
