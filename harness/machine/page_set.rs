//! A set of physical pages.

/// A set of physical pages, by number.
#[derive(Clone, Debug)]
pub(super) struct PageSet(Vec<u64>);

impl PageSet {
    /// An empty set of numbers below `pages`.
    pub fn new(pages: u64) -> PageSet {
        PageSet(vec![0; pages.div_ceil(64) as usize])
    }

    /// Adds a page; one that the set has no room for is left out.
    pub fn insert(&mut self, page: u64) {
        if let Some(word) = self.0.get_mut((page / 64) as usize) {
            *word |= 1 << (page % 64);
        }
    }

    pub fn contains(&self, page: u64) -> bool {
        self.0
            .get((page / 64) as usize)
            .is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The pages in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| index as u64 * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_set(pages in btree_set(0u64..300, 0..80)) {
            let mut set = PageSet::new(200);
            pages.iter().for_each(|&page| set.insert(page));
            // There is room for whole words.
            let kept: Vec<u64> = pages.into_iter().filter(|page| *page < 256).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), kept.clone());
            prop_assert!(kept.iter().all(|&page| set.contains(page)));
            prop_assert!(!set.contains(299));
            set.clear();
            prop_assert_eq!(set.iter().next(), None);
        }
    }
}
