//! The bytes of a PDB, as the `pdb` crate reads them, with an end to its appetite.

use pdb::{Source, SourceSlice, SourceView};
use std::fmt;
use std::io::{Error, ErrorKind};

/// How often a whole file may be read. Every stream is needed once, the debug information a few
/// times; a file that makes one page part of many streams would be read without end.
const READ_LIMIT: usize = 8;

/// A PDB's bytes.
///
/// A view is one stream of the file. No stream can be longer than the file, and all views
/// together not longer than [`READ_LIMIT`] times the file: a hostile page list cannot make much
/// memory out of little file.
pub(crate) struct BoundedSource<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> BoundedSource<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> BoundedSource<'a> {
        // The first view is the header's, which is a page of 4 KiB even in a smaller file.
        BoundedSource {
            bytes,
            left: bytes.len().saturating_mul(READ_LIMIT).max(0x1_0000),
        }
    }
}

impl fmt::Debug for BoundedSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundedSource({} bytes)", self.bytes.len())
    }
}

impl<'a> Source<'a> for BoundedSource<'a> {
    fn view(&mut self, slices: &[SourceSlice]) -> Result<Box<dyn SourceView<'a>>, Error> {
        let total = slices
            .iter()
            .try_fold(0usize, |sum, slice| sum.checked_add(slice.size));
        let total = total.filter(|&total| total <= self.bytes.len() && total <= self.left);
        let Some(total) = total else {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "its streams are larger than itself",
            ));
        };
        self.left -= total;
        let part = |slice: &SourceSlice| -> Result<&'a [u8], Error> {
            let start = usize::try_from(slice.offset).ok();
            let range = start.and_then(|start| Some(start..start.checked_add(slice.size)?));
            range
                .and_then(|range| self.bytes.get(range))
                .ok_or_else(|| {
                    Error::new(ErrorKind::UnexpectedEof, "a stream reaches behind its end")
                })
        };
        let mut bytes = Vec::with_capacity(total);
        for slice in slices {
            bytes.extend_from_slice(part(slice)?);
        }
        Ok(Box::new(View(bytes)))
    }
}

/// One stream, copied: the crate's views cannot borrow.
struct View(Vec<u8>);

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} bytes)", self.0.len())
    }
}

impl SourceView<'_> for View {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(offset: u64, size: usize) -> SourceSlice {
        SourceSlice { offset, size }
    }

    #[test]
    fn parts_are_joined() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut source = BoundedSource::new(&bytes);
        let view = source.view(&[slice(16, 2), slice(4, 1)]).unwrap();
        assert_eq!(view.as_slice(), [16, 17, 4]);
    }

    #[test]
    fn no_stream_is_longer_than_the_file() {
        let bytes = [0; 256];
        let mut source = BoundedSource::new(&bytes);
        assert!(source.view(&[slice(0, 256), slice(0, 1)]).is_err());
        assert!(source.view(&[slice(255, 2)]).is_err());
        assert!(source.view(&[slice(u64::MAX, 2)]).is_err());
        assert!(source.view(&[slice(0, usize::MAX), slice(0, 2)]).is_err());
    }

    #[test]
    fn reading_ends() {
        let bytes = [0; 0x8000];
        let mut source = BoundedSource::new(&bytes);
        let views = (0..100)
            .take_while(|_| source.view(&[slice(0, 0x8000)]).is_ok())
            .count();
        assert_eq!(views, READ_LIMIT);
    }
}
