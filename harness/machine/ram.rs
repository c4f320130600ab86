//! The guest's physical memory, shared with the engine; and what the host is asked for to have it.

#[cfg(not(target_os = "linux"))]
#[path = "ram/elsewhere.rs"]
mod host;
#[cfg(target_os = "linux")]
#[path = "ram/linux.rs"]
mod host;

pub(super) use host::page_faults;

use super::saved_memory::Patience;
use super::written_pages::WrittenPages;
use crate::address::Pa;
use memmap2::{Mmap, MmapOptions, MmapRaw};
use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::sync::Arc;

/// The size of a page in bytes.
const PAGE: usize = 0x1000;

/// The most physical memory that a guest can have, in bytes.
pub const MAXIMUM_RAM: u64 = 4 << 30;

/// A page's bytes.
pub(super) type Page = [u8; PAGE];

/// Physical memory from address 0 on, zeroed at first; pages never written cost the host nothing.
///
/// The engine reads and writes the same bytes while it runs, so no Rust reference to them outlives
/// a call: everything goes through raw copies.
///
/// For the same reason it stays on one thread at a time:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<poolhit::machine::GuestRam>();
/// ```
pub struct GuestRam {
    map: MmapRaw,
    pub(super) backing: Backing,
    pub(super) patience: Patience,
    /// The host has taken the memory away and not given it back.
    lost: bool,
    /// Makes the type not `Sync`, which the mapping is: writing goes through `&self`.
    one_thread: PhantomData<Cell<u8>>,
}

/// Where the host keeps the memory.
pub(super) enum Backing {
    /// Nowhere else.
    Own,
    /// In a file that nobody else knows, and that saving makes a [`MemoryFile`].
    File(File),
    /// Where it has not been written, in a file that does not change.
    CopyOnWrite(CopyOnWrite),
}

/// A private mapping of a file.
pub(super) struct CopyOnWrite {
    pub file: Arc<MemoryFile>,
    pub written: WrittenPages,
}

impl fmt::Debug for GuestRam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestRam({} bytes)", self.size())
    }
}

impl GuestRam {
    /// Memory of `size` bytes, rounded up to whole pages.
    ///
    /// # Errors
    /// The host refuses the memory, or `size` is 0 or above [`MAXIMUM_RAM`].
    ///
    /// ```
    /// use poolhit::{address::Pa, machine::GuestRam};
    /// let ram = GuestRam::new(0x2000)?;
    /// assert!(ram.write(Pa(0x1ffe), &[1, 2]));
    /// assert!(!ram.write(Pa(0x1fff), &[1, 2]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(size: u64) -> io::Result<GuestRam> {
        let ram = GuestRam::reserve(size)?;
        // A guest fills its memory from the bottom up; in pages of 4 KiB, a good part of the time
        // to boot goes into the host's page faults. Where the host has no larger ones, no harm.
        #[cfg(target_os = "linux")]
        let _ = ram.map.advise(memmap2::Advice::HugePage);
        Ok(ram)
    }

    /// The same, in a file where the host has such: the first time that it is saved, nothing is
    /// copied.
    ///
    /// # Errors
    /// As with [`new`](GuestRam::new).
    ///
    /// ```
    /// use poolhit::machine::GuestRam;
    /// assert_eq!(GuestRam::to_be_saved(0x2000)?.size(), 0x2000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_be_saved(size: u64) -> io::Result<GuestRam> {
        let mut ram = GuestRam::reserve(size)?;
        let in_a_file = host::memory_file(ram.size()).and_then(|file| {
            ram.replace(&file, true)?;
            ram.backing = Backing::File(file);
            Ok(())
        });
        match in_a_file {
            Ok(()) => Ok(ram),
            Err(_) => GuestRam::new(size),
        }
    }

    pub(super) fn reserve(size: u64) -> io::Result<GuestRam> {
        if size == 0 || size > MAXIMUM_RAM {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "guest memory of {size} bytes: it must be 1 byte to {} MiB",
                    MAXIMUM_RAM >> 20
                ),
            ));
        }
        let length = size.next_multiple_of(0x1000) as usize;
        Ok(GuestRam {
            map: MmapOptions::new().len(length).map_anon()?.into(),
            backing: Backing::Own,
            patience: Patience::default(),
            lost: false,
            one_thread: PhantomData,
        })
    }

    /// The size in bytes, a multiple of the page size.
    ///
    /// ```
    /// # use poolhit::machine::GuestRam;
    /// assert_eq!(GuestRam::new(1)?.size(), 0x1000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// The number of pages.
    pub(super) fn page_count(&self) -> u64 {
        self.size() / PAGE as u64
    }

    /// Whether `length` bytes from `address` on are all inside.
    fn offset(&self, address: Pa, length: usize) -> Option<usize> {
        let start = usize::try_from(address.0).ok()?;
        let inside = start.checked_add(length)? <= self.map.len() && !self.lost;
        inside.then_some(start)
    }

    /// Copies bytes out; false, and nothing copied, if they are not all inside.
    ///
    /// ```
    /// use poolhit::{address::Pa, machine::GuestRam};
    /// let mut bytes = [9; 2];
    /// assert!(GuestRam::new(0x1000)?.read(Pa(0), &mut bytes));
    /// assert_eq!(bytes, [0, 0]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    #[allow(unsafe_code)]
    pub fn read(&self, address: Pa, buffer: &mut [u8]) -> bool {
        let Some(start) = self.offset(address, buffer.len()) else {
            return false;
        };
        // SAFETY: `offset` has checked that the range lies in the mapping, which lives as long as
        // self; the buffer is a Rust slice and so cannot overlap memory that no reference covers.
        unsafe {
            let source = self.map.as_ptr().add(start);
            std::ptr::copy_nonoverlapping(source, buffer.as_mut_ptr(), buffer.len());
        }
        true
    }

    /// Copies bytes in; false, and nothing copied, if they do not all fit.
    ///
    /// ```
    /// use poolhit::{address::Pa, machine::GuestRam};
    /// assert!(!GuestRam::new(0x1000)?.write(Pa(u64::MAX), &[0; 2]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    #[allow(unsafe_code)]
    pub fn write(&self, address: Pa, bytes: &[u8]) -> bool {
        let Some(start) = self.offset(address, bytes.len()) else {
            return false;
        };
        self.about_to_write();
        // SAFETY: as in `read`. Writing through a shared reference is sound since the mapping is
        // only ever touched through raw pointers and GuestRam is not Sync.
        unsafe {
            let target = self.map.as_mut_ptr().add(start);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        true
    }

    /// The 64-bit value at a physical address, if it is inside.
    ///
    /// ```
    /// use poolhit::{address::Pa, machine::GuestRam};
    /// assert_eq!(GuestRam::new(0x1000)?.read_u64(Pa(0xff8)), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_u64(&self, address: Pa) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }

    /// Whoever writes says so before, since which pages have been written is told by what the host
    /// counts for each thread.
    pub(super) fn about_to_write(&self) {
        if let Backing::CopyOnWrite(mapping) = &self.backing {
            mapping.written.by_this_thread();
        }
    }

    /// A page's bytes. The engine does not run while `self` is borrowed mutably, so nothing else
    /// touches them.
    #[allow(unsafe_code)]
    pub(super) fn page_mut(&mut self, number: u64) -> Option<&mut Page> {
        let start = self.offset(Pa(number.checked_mul(PAGE as u64)?), PAGE)?;
        // SAFETY: `offset` has checked that the page lies in the mapping. Everybody else who has
        // its address is the engine, which does not run, and the borrow keeps others out.
        Some(unsafe { &mut *self.map.as_mut_ptr().add(start).cast::<Page>() })
    }

    /// Pages that may differ from what the memory was made of, in ascending order: all others are
    /// zero, or as in the file that is mapped. `None` if the host does not tell.
    pub(super) fn touched_pages(&self) -> Option<Vec<u64>> {
        let mut touched = Vec::new();
        host::private_pages(self.map.as_ptr(), self.map.len(), &mut |number| {
            touched.push(number);
        })
        .then_some(touched)
    }

    /// Makes the memory that of a file, at the same place: writing copies a page first.
    pub(super) fn map_file(&mut self, file: &Arc<MemoryFile>) -> io::Result<()> {
        if file.map.len() != self.map.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.replace(&file.file, false)?;
        self.backing = Backing::CopyOnWrite(CopyOnWrite {
            file: Arc::clone(file),
            written: WrittenPages::none(),
        });
        Ok(())
    }

    /// Keeps the file that the memory is in as it is, and goes on with a private mapping of it.
    pub(super) fn freeze(&mut self) -> io::Result<Arc<MemoryFile>> {
        let Backing::File(file) = std::mem::replace(&mut self.backing, Backing::Own) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.replace(&file, false)?;
        let frozen = MemoryFile::freeze(file);
        self.lost |= frozen.is_err();
        let file = Arc::new(frozen?);
        self.backing = Backing::CopyOnWrite(CopyOnWrite {
            file: Arc::clone(&file),
            written: WrittenPages::none(),
        });
        Ok(file)
    }

    /// Puts a mapping of a file where the memory is. If the host fails in the middle of it, there
    /// is no memory any more, and nothing may run.
    fn replace(&mut self, file: &File, shared: bool) -> io::Result<()> {
        let result = host::replace_mapping(&self.map, file, shared);
        self.lost |= result.is_err();
        result
    }

    /// Whether the memory is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Where the engine finds the memory: the mapping's start, as long as self lives.
    pub(super) fn host_pointer(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }
}

/// Memory that does not change any more, in a file without a name.
pub(super) struct MemoryFile {
    file: File,
    map: Mmap,
}

impl MemoryFile {
    /// Keeps a file from [`host::memory_file`] as it is now. Nothing else may have it mapped for
    /// writing.
    #[allow(unsafe_code)]
    pub fn freeze(file: File) -> io::Result<MemoryFile> {
        host::seal(&file)?;
        // SAFETY: nobody can write to the file or make it shorter any more.
        let map = unsafe { Mmap::map(&file)? };
        Ok(MemoryFile { file, map })
    }

    /// A file of `size` bytes with these pages, by number, and zeros elsewhere.
    pub fn with_pages<'a>(
        size: u64,
        pages: impl Iterator<Item = (u64, &'a Page)>,
    ) -> io::Result<MemoryFile> {
        let file = host::memory_file(size)?;
        let mut at = 0;
        for (number, page) in pages {
            let start = number * PAGE as u64;
            if start != at {
                (&file).seek(SeekFrom::Start(start))?;
            }
            (&file).write_all(page)?;
            at = start + PAGE as u64;
        }
        MemoryFile::freeze(file)
    }

    /// A page, if the file has it.
    pub fn page(&self, number: u64) -> Option<&Page> {
        let start = usize::try_from(number).ok()?.checked_mul(PAGE)?;
        self.map.get(start..)?.first_chunk()
    }

    /// The bytes that it takes of the host's memory.
    pub fn stored_bytes(&self) -> u64 {
        host::stored_bytes(&self.file).unwrap_or(self.map.len() as u64)
    }

    /// The pages that are stored, in ascending order; all others are zero.
    pub fn stored_pages(&self) -> Vec<u64> {
        host::stored_pages(&self.file).unwrap_or_else(|| {
            (0..self.map.len() / PAGE)
                .map(|number| number as u64)
                .collect()
        })
    }
}
