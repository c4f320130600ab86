//! The guest's physical memory, shared with the engine.

use crate::address::Pa;
use memmap2::{MmapOptions, MmapRaw};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

/// The size of a page in bytes.
const PAGE: usize = 0x1000;

/// The most physical memory that a guest can have, in bytes.
pub const MAXIMUM_RAM: u64 = 4 << 30;

/// Physical memory from address 0 on, zeroed at first; pages never written cost the host nothing.
///
/// The engine reads and writes the same bytes while it runs, so no Rust reference to them is ever
/// made: everything goes through raw copies.
///
/// For the same reason it stays on one thread at a time:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<poolhit::machine::GuestRam>();
/// ```
pub struct GuestRam {
    map: MmapRaw,
    /// Makes the type not `Sync`, which the mapping is: writing goes through `&self`.
    one_thread: PhantomData<Cell<u8>>,
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
    pub fn new(size: u64) -> std::io::Result<GuestRam> {
        if size == 0 || size > MAXIMUM_RAM {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                format!(
                    "guest memory of {size} bytes: it must be 1 byte to {} MiB",
                    MAXIMUM_RAM >> 20
                ),
            ));
        }
        let length = size.next_multiple_of(0x1000) as usize;
        let map: MmapRaw = MmapOptions::new().len(length).map_anon()?.into();
        // A guest fills its memory from the bottom up; in pages of 4 KiB, a good part of the time
        // to boot goes into the host's page faults. Where the host has no larger ones, no harm.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(GuestRam {
            map,
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

    /// Whether `length` bytes from `address` on are all inside.
    fn offset(&self, address: Pa, length: usize) -> Option<usize> {
        let start = usize::try_from(address.0).ok()?;
        (start.checked_add(length)? <= self.map.len()).then_some(start)
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

    /// A copy of each page; `None` for one that is all zero.
    pub(super) fn copy_pages(&self) -> Vec<Option<Box<[u8; PAGE]>>> {
        let mut page = [0; PAGE];
        let copy = |at: u64| {
            let read = self.read(Pa(at), &mut page);
            (read && page.iter().any(|&byte| byte != 0)).then(|| Box::new(page))
        };
        (0..self.size()).step_by(PAGE).map(copy).collect()
    }

    /// Makes memory equal to a copy of all its pages, and gives the numbers of those that were not.
    #[allow(unsafe_code)]
    pub(super) fn restore_pages(&mut self, pages: &[Option<Box<[u8; PAGE]>>]) -> Vec<u64> {
        static ZERO: [u8; PAGE] = [0; PAGE];
        let mut changed = Vec::new();
        for (number, saved) in pages.iter().enumerate() {
            let Some(start) = self.offset(Pa((number * PAGE) as u64), PAGE) else {
                break;
            };
            // SAFETY: `offset` has checked that the page lies in the mapping. The engine does not
            // run while `self` is borrowed mutably, so nothing else touches the page meanwhile.
            let page =
                unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(start), PAGE) };
            let saved: &[u8] = saved.as_ref().map_or(&ZERO, |page| &page[..]);
            if page != saved {
                page.copy_from_slice(saved);
                changed.push(number as u64);
            }
        }
        changed
    }

    /// Where the engine finds the memory: the mapping's start, as long as self lives.
    pub(super) fn host_pointer(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }
}
