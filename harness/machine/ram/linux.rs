//! Files in memory, private mappings, and which of their pages are private: Linux' answers.

use memmap2::MmapRaw;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};

const PAGE: usize = super::PAGE;

/// A file of zeros in memory, without a name.
#[allow(unsafe_code)]
pub fn memory_file(size: u64) -> io::Result<File> {
    let create = |flags| {
        // SAFETY: the name is a C string; nothing else is passed.
        unsafe { libc::memfd_create(c"guest memory".as_ptr(), flags) }
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Newer hosts may insist on a file that cannot be executed, older ones do not know of that.
    let descriptor = match create(flags | libc::MFD_NOEXEC_SEAL) {
        -1 => create(flags),
        descriptor => descriptor,
    };
    if descriptor == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else's.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(size)?;
    Ok(file)
}

/// Keeps a file as it is for ever. Fails if it is mapped for writing.
#[allow(unsafe_code)]
pub fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: an open descriptor and flags; no memory is passed.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Puts a mapping of `file` from its start where `map` is.
#[allow(unsafe_code)]
pub fn replace_mapping(map: &MmapRaw, file: &File, shared: bool) -> io::Result<()> {
    let kind = if shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    // SAFETY: exactly the pages of `map` are replaced, which its owner has asked for, and which no
    // Rust reference covers while it does. The owner sees to it that the file is long enough, and
    // unmaps whatever is there when it is dropped.
    let mapped = unsafe {
        libc::mmap(
            map.as_mut_ptr().cast(),
            map.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            kind | libc::MAP_FIXED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The page faults that the host's kernel has resolved for this thread. Copying a page of a
/// private mapping is one.
#[allow(unsafe_code)]
pub fn page_faults() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the structure is what the call fills in; it is read only if it has.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let faults = usage.ru_minflt.wrapping_add(usage.ru_majflt);
    u64::try_from(faults).ok()
}

/// The argument of `PAGEMAP_SCAN` (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst).
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;

/// Calls `found` for each page of the process' own in a mapping, in ascending order: those that
/// are in memory or swapped out, and not a file's. False if the host does not tell; then some
/// calls may have been made.
pub fn private_pages(start: *const u8, length: usize, found: &mut dyn FnMut(u64)) -> bool {
    // Opened each time: it belongs to the process that opens it, which may fork.
    let Ok(pagemap) = File::open("/proc/self/pagemap") else {
        return false;
    };
    let mut next = 0;
    let mut once = |page: u64| {
        // Where the first way has failed in the middle, the other starts again.
        if page >= next {
            next = page + 1;
            found(page);
        }
    };
    scan(&pagemap, start as u64, length as u64, &mut once)
        || read(&pagemap, start as u64, length, &mut once)
}

/// By `PAGEMAP_SCAN`, which skips what is not mapped.
#[allow(unsafe_code)]
fn scan(pagemap: &File, start: u64, length: u64, found: &mut dyn FnMut(u64)) -> bool {
    let mut regions = [Region::default(); 128];
    let mut at = start;
    while at < start + length {
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            start: at,
            end: start + length,
            regions: regions.as_mut_ptr() as u64,
            regions_length: regions.len() as u64,
            category_inverted: IS_FILE,
            category_mask: IS_FILE,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_PRESENT,
            ..ScanArguments::default()
        };
        // SAFETY: the arguments have the layout that the kernel knows by their size, and name an
        // array of as many regions as they say, which it fills in. The pages are only looked at.
        let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
        let Some(filled) = usize::try_from(count).ok().and_then(|n| regions.get(..n)) else {
            return false;
        };
        for region in filled {
            let pages = region.start..region.end;
            for address in pages.step_by(PAGE) {
                found((address - start) / PAGE as u64);
            }
        }
        if arguments.walk_end <= at {
            return false;
        }
        at = arguments.walk_end;
    }
    true
}

/// By reading an entry for each page: bit 63 for present, 62 for swapped, 61 for a file's.
fn read(pagemap: &File, start: u64, length: usize, found: &mut dyn FnMut(u64)) -> bool {
    let mut entries = vec![0; (length / PAGE).min(0x2000) * 8];
    let mut page = 0;
    let pages = (length / PAGE) as u64;
    while page < pages {
        let count = ((pages - page) as usize * 8).min(entries.len());
        let part = &mut entries[..count];
        let at = (start / PAGE as u64 + page) * 8;
        if pagemap.read_exact_at(part, at).is_err() {
            return false;
        }
        for entry in part.as_chunks::<8>().0 {
            if matches!(u64::from_ne_bytes(*entry) >> 61, 2 | 4 | 6) {
                found(page);
            }
            page += 1;
        }
    }
    true
}

/// The bytes of memory that a file takes.
pub fn stored_bytes(file: &File) -> Option<u64> {
    Some(file.metadata().ok()?.blocks() * 512)
}

/// The pages that a file stores.
#[allow(unsafe_code)]
pub fn stored_pages(file: &File) -> Option<Vec<u64>> {
    let end = file.metadata().ok()?.len();
    let seek = |from: u64, whence| -> io::Result<u64> {
        // SAFETY: an open descriptor and numbers; no memory is passed.
        let at = unsafe { libc::lseek64(file.as_raw_fd(), from as i64, whence) };
        u64::try_from(at).map_err(|_| io::Error::last_os_error())
    };
    let mut pages = Vec::new();
    let mut at = 0;
    while at < end {
        let data = match seek(at, libc::SEEK_DATA) {
            Ok(data) => data,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => break,
            Err(_) => return None,
        };
        let hole = seek(data, libc::SEEK_HOLE).ok()?;
        pages.extend(data / PAGE as u64..hole.div_ceil(PAGE as u64));
        if hole <= at {
            return None;
        }
        at = hole;
    }
    Some(pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Pa;
    use crate::machine::GuestRam;
    use std::sync::Arc;

    /// Both ways name the pages written, and no other that is not in memory.
    #[test]
    fn private_pages_are_the_ones_written() {
        let size = 40 << 20;
        let file = super::super::MemoryFile::freeze(memory_file(size).unwrap()).unwrap();
        let mut ram = GuestRam::reserve(size).unwrap();
        ram.map_file(&Arc::new(file)).unwrap();
        let mut expected: Vec<u64> = (0..500).map(|n| n * 7919 % 10240).collect();
        for &page in &expected {
            assert!(ram.write(Pa(page * PAGE as u64 + 5), &[1]));
        }
        assert!(ram.read(Pa(0x4_2000), &mut [0; 9000]));
        expected.sort_unstable();
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let start = ram.host_pointer() as u64;
        let mut pages = Vec::new();
        assert!(read(&pagemap, start, size as usize, &mut |page| pages.push(page)));
        assert_eq!(pages, expected);
        pages.clear();
        if scan(&pagemap, start, size, &mut |page| pages.push(page)) {
            assert_eq!(pages, expected);
        }
        assert_eq!(ram.touched_pages().unwrap(), expected);
    }

    #[test]
    fn stored_pages_are_the_ones_written() {
        let file = memory_file(1 << 20).unwrap();
        assert_eq!(stored_pages(&file).unwrap(), Vec::<u64>::new());
        for page in [0, 1, 7, 255] {
            file.write_all_at(&[1], page * PAGE as u64).unwrap();
        }
        assert_eq!(stored_pages(&file).unwrap(), [0, 1, 7, 255]);
        assert_eq!(stored_bytes(&file), Some(4 * PAGE as u64));
        seal(&file).unwrap();
        assert!(file.write_all_at(&[1], 0).is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn a_write_to_a_private_page_is_a_fault() {
        let file = super::super::MemoryFile::freeze(memory_file(1 << 20).unwrap()).unwrap();
        let mut ram = GuestRam::reserve(1 << 20).unwrap();
        ram.map_file(&Arc::new(file)).unwrap();
        for page in 0..256 {
            let at = Pa(page * PAGE as u64);
            // read before or not
            assert!(page % 2 == 0 || ram.read(at, &mut [0]));
            let before = page_faults();
            assert!(ram.write(at, &[1]));
            assert_ne!(page_faults(), before);
        }
    }
}
