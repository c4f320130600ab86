//! Memory as a row of numbers: what every display of memory shows.

use super::range::AddressRange;
use super::session::Session;
use crate::address::{Pa, Va};
use crate::memory::{MemoryFault, ReadMemory};

/// Which memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Space {
    /// By the page tables.
    #[default]
    Virtual,
    /// As it lies in the guest's memory; addresses are physical ones.
    Physical,
}

/// Two bytes that differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where the first lies.
    pub first: Va,
    /// Where the second lies.
    pub second: Va,
    /// Both.
    pub bytes: [u8; 2],
}

impl Session {
    /// Reads memory of either kind; false if not all of it is there.
    ///
    /// ```
    /// use poolhit::debugger::elements::Space;
    /// use poolhit::{Lab, Session, address::Va};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert!(session.read_space(Space::Physical, Va(0), &mut [0; 16]));
    /// assert!(!session.read_space(Space::Virtual, Va(0), &mut [0; 16]));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn read_space(&self, space: Space, at: Va, buffer: &mut [u8]) -> bool {
        let machine = self.lab().machine();
        match space {
            Space::Virtual => machine.read(at, buffer).is_ok(),
            Space::Physical => machine.read_physical(Pa(at.0), buffer).is_ok(),
        }
    }

    /// A range as numbers of `size` bytes (1 to 8), each with its address; `None` for those that are
    /// not in memory. The last one may reach over the range's end.
    ///
    /// ```
    /// use poolhit::debugger::{elements::Space, range::AddressRange};
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let start = session.resolve("nt!PoolHitTag").unwrap();
    /// let range = AddressRange { start, bytes: 4 };
    /// let values: Vec<_> = session.elements(Space::Virtual, range, 4).collect();
    /// assert_eq!(values, [(start, Some(0xffffff0f))]);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn elements(
        &self,
        space: Space,
        range: AddressRange,
        size: u64,
    ) -> impl Iterator<Item = (Va, Option<u64>)> + '_ {
        let size = size.clamp(1, 8);
        (0..range.count(size)).map(move |number| {
            let at = range.start.wrapping_add(number * size);
            let mut bytes = [0; 8];
            let there = self.read_space(space, at, &mut bytes[..size as usize]);
            (at, there.then(|| u64::from_le_bytes(bytes)))
        })
    }

    /// Whether all of a range is in memory.
    ///
    /// ```
    /// use poolhit::debugger::{elements::Space, range::AddressRange};
    /// use poolhit::{Lab, Session, address::Va};
    /// let session = Session::new(Lab::builder().build()?);
    /// let nothing = AddressRange { start: Va(0), bytes: 1 << 40 };
    /// assert!(!session.is_there(Space::Virtual, nothing));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn is_there(&self, space: Space, range: AddressRange) -> bool {
        let last = range.start.0.checked_add(range.bytes.saturating_sub(1));
        let Some(last) = last else { return false };
        let mut at = range.start.0;
        loop {
            if !self.read_space(space, Va(at), &mut [0]) {
                return false;
            }
            at = match (at | 0xfff).checked_add(1) {
                Some(next) if next <= last => next,
                _ => return true,
            };
        }
    }

    /// The bytes of a range that differ from those at another address, lowest first, `limit` of them at
    /// most.
    ///
    /// # Errors
    /// A byte of one of the two is not in memory, before that many differences were found.
    ///
    /// ```
    /// use poolhit::debugger::range::AddressRange;
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let (nt, driver) = (session.resolve("nt").unwrap(), session.resolve("myfault").unwrap());
    /// let headers = AddressRange { start: nt, bytes: 2 };
    /// assert_eq!(session.compare_memory(headers, driver, 10)?, []); // MZ
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_memory(
        &self,
        range: AddressRange,
        other: Va,
        limit: usize,
    ) -> Result<Vec<Difference>, MemoryFault> {
        let machine = self.lab().machine();
        let mut differences = Vec::new();
        let mut done = 0;
        while done < range.bytes && differences.len() < limit {
            let length = (range.bytes - done).min(0x1000) as usize;
            let (mut ours, mut theirs) = ([0; 0x1000], [0; 0x1000]);
            let [first, second] = [range.start, other].map(|start| start.wrapping_add(done));
            machine.read(first, &mut ours[..length])?;
            machine.read(second, &mut theirs[..length])?;
            let pairs = (0..).zip(ours.into_iter().zip(theirs)).take(length);
            let found = pairs
                .filter(|(_, (a, b))| a != b)
                .map(|(place, (a, b))| Difference {
                    first: first.wrapping_add(place),
                    second: second.wrapping_add(place),
                    bytes: [a, b],
                });
            differences.extend(found.take(limit - differences.len()));
            done += length as u64;
        }
        Ok(differences)
    }
}
