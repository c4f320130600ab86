//! The memory of a saved state, and how guest memory is made equal to it again.
//!
//! A saved state is a file in memory that does not change, and pages that are otherwise. Guest
//! memory maps such a file privately: the host copies a page when it is first written, and can tell
//! which have been. Only those are compared with the saved state and copied back; the pages of the
//! next state saved are among them too, so that many states share one file. Where the host has no
//! such files, a state is a copy of all pages that are not zero, and restoring compares all pages.

use super::page_set::PageSet;
use super::ram::{Backing, GuestRam, MemoryFile, Page};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

static ZERO: Page = [0; 0x1000];

/// More pages written than this, and mapping the file afresh costs less than looking at them.
const MANY: usize = 0x1000;
/// More pages of its own than this, and a saved state gets a file of its own.
const OWN_FILE: usize = 0x400;

/// All pages of guest memory at one moment.
pub(super) struct SavedMemory {
    size: u64,
    file: Option<Arc<MemoryFile>>,
    /// Pages that are not as in the file (without one: not zero), by number in ascending order.
    pages: Vec<(u64, Box<Page>)>,
    /// A file with all of it, once that is worth it; `None` if the host has refused it.
    whole: OnceLock<Option<Arc<MemoryFile>>>,
}

impl fmt::Debug for SavedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SavedMemory({} bytes)", self.size)
    }
}

impl SavedMemory {
    fn new(size: u64, file: Option<Arc<MemoryFile>>, pages: Vec<(u64, Box<Page>)>) -> SavedMemory {
        SavedMemory {
            size,
            file,
            pages,
            whole: OnceLock::new(),
        }
    }

    /// The size of guest memory in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A page's bytes.
    pub fn page(&self, number: u64) -> &Page {
        if let Ok(at) = self.pages.binary_search_by_key(&number, |page| page.0) {
            return &self.pages[at].1;
        }
        let stored = self.file.as_ref().and_then(|file| file.page(number));
        stored.unwrap_or(&ZERO)
    }

    /// The bytes of the host's memory that this keeps.
    pub fn stored_bytes(&self) -> u64 {
        let whole = self.whole.get().and_then(Option::as_ref);
        let files = self.file.iter().chain(whole);
        let pages = self.pages.len() as u64 * ZERO.len() as u64;
        pages + files.map(|file| file.stored_bytes()).sum::<u64>()
    }

    /// The pages that are not as in a file that guest memory has mapped; `None` if the saved state
    /// has nothing to do with that file.
    fn pages_beside(&self, mapped: &Arc<MemoryFile>) -> Option<&[(u64, Box<Page>)]> {
        let is_mapped = |file: &Arc<MemoryFile>| Arc::ptr_eq(file, mapped);
        if self.whole().is_some_and(is_mapped) {
            Some(&[])
        } else if self.file.as_ref().is_some_and(is_mapped) {
            Some(&self.pages)
        } else {
            None
        }
    }

    fn whole(&self) -> Option<&Arc<MemoryFile>> {
        self.whole.get()?.as_ref()
    }

    /// A file with all of it.
    fn make_whole(&self) -> Option<&Arc<MemoryFile>> {
        let file = self.file.as_ref()?;
        if self.pages.is_empty() {
            return Some(file);
        }
        let make = || {
            let mut numbers = file.stored_pages();
            numbers.extend(self.pages.iter().map(|page| page.0));
            numbers.sort_unstable();
            numbers.dedup();
            let pages = numbers
                .into_iter()
                .map(|number| (number, self.page(number)));
            let pages = pages.filter(|(_, page)| *page != &ZERO);
            Some(Arc::new(MemoryFile::with_pages(self.size, pages).ok()?))
        };
        self.whole.get_or_init(make).as_ref()
    }
}

impl GuestRam {
    /// Memory equal to a saved state's.
    pub(super) fn of(saved: &SavedMemory) -> io::Result<GuestRam> {
        let mut ram = GuestRam::reserve(saved.size)?;
        ram.restore(saved, &PageSet::new(0))?;
        Ok(ram)
    }

    /// Keeps all pages as they are.
    pub(super) fn save(&mut self) -> io::Result<SavedMemory> {
        match &self.backing {
            Backing::Own => self.save_by_copying(),
            Backing::File(_) => self.save_by_freezing(),
            Backing::CopyOnWrite(_) => self.save_what_was_written(),
        }
    }

    fn save_by_copying(&mut self) -> io::Result<SavedMemory> {
        let numbers = self.touched_pages();
        let can_tell = numbers.is_some();
        let mut pages = Vec::new();
        for number in numbers.unwrap_or_else(|| (0..self.page_count()).collect()) {
            pages.extend(self.copy_unless(number, &ZERO));
        }
        let by_reference = pages.iter().map(|(number, page)| (*number, &**page));
        if can_tell && let Ok(file) = MemoryFile::with_pages(self.size(), by_reference) {
            let file = Arc::new(file);
            self.map_file(&file)?;
            return Ok(SavedMemory::new(self.size(), Some(file), Vec::new()));
        }
        Ok(SavedMemory::new(self.size(), None, pages))
    }

    fn save_by_freezing(&mut self) -> io::Result<SavedMemory> {
        let file = self.freeze()?;
        Ok(SavedMemory::new(self.size(), Some(file), Vec::new()))
    }

    fn save_what_was_written(&mut self) -> io::Result<SavedMemory> {
        let numbers = self.take_written_pages();
        let Backing::CopyOnWrite(mapping) = &self.backing else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let file = Arc::clone(&mapping.file);
        let mut pages = Vec::new();
        for &number in &numbers {
            let unchanged = file.page(number).unwrap_or(&ZERO);
            pages.extend(self.copy_unless(number, unchanged));
        }
        self.set_written_pages(numbers);
        let many = pages.len() > OWN_FILE;
        let saved = SavedMemory::new(self.size(), Some(file), pages);
        if many && let Some(whole) = saved.make_whole() {
            self.map_file(whole)?;
            let whole = Some(Arc::clone(whole));
            return Ok(SavedMemory::new(self.size(), whole, Vec::new()));
        }
        Ok(saved)
    }

    /// A copy of a page, if it is not as it would be without.
    fn copy_unless(&mut self, number: u64, otherwise: &Page) -> Option<(u64, Box<Page>)> {
        let page = self.page_mut(number)?;
        (page != otherwise).then(|| (number, Box::new(*page)))
    }

    /// The pages that may have been written since the file was mapped, in ascending order.
    fn take_written_pages(&mut self) -> Vec<u64> {
        if let Backing::CopyOnWrite(mapping) = &mut self.backing
            && mapping.written.is_complete()
        {
            return mapping.written.take();
        }
        self.touched_pages()
            .unwrap_or_else(|| (0..self.page_count()).collect())
    }

    /// Puts them back, with all pages written since they were taken among them.
    fn set_written_pages(&mut self, numbers: Vec<u64>) {
        if let Backing::CopyOnWrite(mapping) = &mut self.backing {
            mapping.written.set(numbers);
        }
    }

    /// Makes memory equal to a saved state's; tells whether one of the pages in `code` has changed.
    ///
    /// # Errors
    /// The saved state is of another size, or the host refuses.
    pub(super) fn restore(&mut self, saved: &SavedMemory, code: &PageSet) -> io::Result<bool> {
        if saved.size != self.size() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Backing::CopyOnWrite(mapping) = &self.backing
            && let Some(beside) = saved.pages_beside(&mapping.file)
        {
            return self.restore_written_pages(saved, beside, code);
        }
        match saved.whole().or(saved.file.as_ref()) {
            Some(file) => self.restore_by_mapping(saved, file, code),
            None => self.restore_all_pages(saved, code),
        }
    }

    fn restore_written_pages(
        &mut self,
        saved: &SavedMemory,
        beside: &[(u64, Box<Page>)],
        code: &PageSet,
    ) -> io::Result<bool> {
        let mut numbers = self.take_written_pages();
        let known = numbers.len();
        for (number, _) in beside {
            if numbers[..known].binary_search(number).is_err() {
                numbers.push(*number);
            }
        }
        if numbers.len() > known {
            numbers.sort_unstable();
        }
        if numbers.len() > MANY
            && let Some(file) = saved.whole().or(saved.file.as_ref())
        {
            return self.restore_by_mapping(saved, file, code);
        }
        let (mut changed, mut code_changed) = (0, false);
        for &number in &numbers {
            if self.copy_if_different(number, saved.page(number)) {
                changed += 1;
                code_changed |= code.contains(number);
            }
        }
        let in_vain = numbers.len() - changed;
        self.set_written_pages(numbers);
        if self.patience.is_lost(in_vain)
            && let Some(file) = saved.make_whole()
        {
            // Equal already, so no code changes.
            self.restore_by_mapping(saved, file, &PageSet::new(0))?;
        }
        Ok(code_changed)
    }

    fn restore_by_mapping(
        &mut self,
        saved: &SavedMemory,
        file: &Arc<MemoryFile>,
        code: &PageSet,
    ) -> io::Result<bool> {
        let mut differs = |number| {
            self.page_mut(number)
                .is_some_and(|page| page != saved.page(number))
        };
        let code_changed = code.iter().any(&mut differs);
        self.map_file(file)?;
        let beside = saved.pages_beside(file).unwrap_or(&saved.pages);
        for (number, page) in beside {
            self.copy_if_different(*number, page);
        }
        self.set_written_pages(beside.iter().map(|page| page.0).collect());
        Ok(code_changed)
    }

    fn restore_all_pages(&mut self, saved: &SavedMemory, code: &PageSet) -> io::Result<bool> {
        let mut code_changed = false;
        for number in 0..self.page_count() {
            let changed = self.copy_if_different(number, saved.page(number));
            code_changed |= changed && code.contains(number);
        }
        Ok(code_changed)
    }

    fn copy_if_different(&mut self, number: u64, saved: &Page) -> bool {
        let Some(page) = self.page_mut(number) else {
            return false;
        };
        let differs = page != saved;
        if differs {
            *page = *saved;
        }
        differs
    }
}

/// How many pages more may be compared in vain before the file is mapped afresh, so that only those
/// are compared that have been written lately.
#[derive(Debug)]
pub(super) struct Patience {
    wasted: usize,
    limit: usize,
}

impl Default for Patience {
    /// Mapping afresh costs a page fault for each page that is written again: about what twenty
    /// comparisons take, for some hundred pages. Four times that is lost first.
    fn default() -> Patience {
        Patience {
            wasted: 0,
            limit: 0x4000,
        }
    }
}

impl Patience {
    /// Counts comparisons in vain. Where mapping afresh does not end them, it happens ever more
    /// seldom.
    fn is_lost(&mut self, in_vain: usize) -> bool {
        self.wasted = self.wasted.saturating_add(in_vain);
        let lost = self.wasted > self.limit;
        if lost {
            self.wasted = 0;
            self.limit = self.limit.saturating_mul(2);
        }
        lost
    }
}

#[cfg(test)]
#[path = "saved_memory_tests.rs"]
mod tests;
