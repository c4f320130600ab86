//! A map from numbers, for the path of every pool call.
//!
//! Keys have a place each in one of many small buckets, by their hash. Which keys there are is the
//! guest's to choose, and so are collisions: what finds its bucket full goes into a tree, so that no
//! choice of keys makes a look-up slow. It allocates only when it holds more than ever before.

use std::collections::BTreeMap;

/// Keys in a bucket: a line of the processor's cache.
const WAYS: usize = 8;
/// The buckets of a map that is new: a power of two.
const FIRST_BUCKETS: usize = 64;
/// No key.
const EMPTY: u64 = u64::MAX;

/// A map from numbers but for [`u64::MAX`].
#[derive(Clone, Debug)]
pub(super) struct KeyMap<V> {
    keys: Vec<[u64; WAYS]>,
    values: Vec<[V; WAYS]>,
    rest: BTreeMap<u64, V>,
    length: usize,
    limit: usize,
}

/// The map holds as much as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl<V: Copy + Default> KeyMap<V> {
    /// A map for at most `limit` keys.
    pub fn new(limit: usize) -> KeyMap<V> {
        KeyMap {
            keys: vec![[EMPTY; WAYS]; FIRST_BUCKETS],
            values: vec![[V::default(); WAYS]; FIRST_BUCKETS],
            rest: BTreeMap::new(),
            length: 0,
            limit,
        }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    #[inline]
    fn place(&self, key: u64) -> (usize, Option<usize>) {
        let bucket = hash(key) as usize & (self.keys.len() - 1);
        let way = self.keys[bucket].iter().position(|other| *other == key);
        (bucket, way)
    }

    #[inline]
    pub fn get(&self, key: u64) -> Option<V> {
        if key == EMPTY {
            return None;
        }
        let (bucket, way) = self.place(key);
        match way {
            Some(way) => Some(self.values[bucket][way]),
            None if self.rest.is_empty() => None,
            None => self.rest.get(&key).copied(),
        }
    }

    /// Puts a value in; gives the one that was there.
    ///
    /// # Errors
    /// The key is new, and there is no room for it.
    #[inline]
    pub fn insert(&mut self, key: u64, value: V) -> Result<Option<V>, Full> {
        if key == EMPTY {
            return Err(Full);
        }
        let (bucket, way) = self.place(key);
        if let Some(way) = way {
            let before = std::mem::replace(&mut self.values[bucket][way], value);
            return Ok(Some(before));
        }
        if !self.rest.is_empty()
            && let Some(known) = self.rest.get_mut(&key)
        {
            return Ok(Some(std::mem::replace(known, value)));
        }
        if self.length >= self.limit {
            return Err(Full);
        }
        if self.length >= self.keys.len() * WAYS / 2 {
            self.grow();
        }
        self.length += 1;
        self.put(key, value);
        Ok(None)
    }

    #[inline]
    pub fn remove(&mut self, key: u64) -> Option<V> {
        if key == EMPTY {
            return None;
        }
        let (bucket, way) = self.place(key);
        let removed = match way {
            Some(way) => {
                self.keys[bucket][way] = EMPTY;
                Some(self.values[bucket][way])
            }
            None if self.rest.is_empty() => None,
            None => self.rest.remove(&key),
        };
        self.length -= usize::from(removed.is_some());
        removed
    }

    /// All of them, in no order that means anything; but the same each time.
    pub fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        let buckets = self.keys.iter().zip(&self.values);
        let placed = buckets.flat_map(|(keys, values)| keys.iter().zip(values));
        let placed = placed.filter(|(key, _)| **key != EMPTY);
        let all = placed.chain(&self.rest);
        all.map(|(key, value)| (*key, *value))
    }

    /// All values, in the same order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let buckets = self.keys.iter().zip(&mut self.values);
        let placed = buckets.flat_map(|(keys, values)| keys.iter().zip(values));
        let placed = placed.filter(|(key, _)| **key != EMPTY);
        placed.map(|(_, value)| value).chain(self.rest.values_mut())
    }

    /// A key that is not there.
    fn put(&mut self, key: u64, value: V) {
        let bucket = hash(key) as usize & (self.keys.len() - 1);
        let free = self.keys[bucket].iter().position(|other| *other == EMPTY);
        if let Some(way) = free {
            self.keys[bucket][way] = key;
            self.values[bucket][way] = value;
        } else {
            self.rest.insert(key, value);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let buckets = self.keys.len() * 2;
        let keys = std::mem::replace(&mut self.keys, vec![[EMPTY; WAYS]; buckets]);
        let values = vec![[V::default(); WAYS]; buckets];
        let values = std::mem::replace(&mut self.values, values);
        let rest = std::mem::take(&mut self.rest);
        let placed = keys.iter().flatten().zip(values.iter().flatten());
        for (key, value) in placed.filter(|(key, _)| **key != EMPTY).chain(&rest) {
            self.put(*key, *value);
        }
    }
}

/// Addresses of blocks differ in some bits in the middle, which are spread.
#[inline]
fn hash(key: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (key ^ key >> 29).wrapping_mul(MULTIPLIER);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_collide_are_found() {
        let mut map = KeyMap::new(1 << 12);
        let bucket = |key: &u64| hash(*key) as usize & (FIRST_BUCKETS - 1);
        let alike: Vec<u64> = (0..).filter(|key| bucket(key) == 7).take(40).collect();
        for key in &alike {
            assert_eq!(map.insert(*key, *key), Ok(None));
        }
        assert!(!map.rest.is_empty());
        assert!(alike.iter().all(|key| map.get(*key) == Some(*key)));
        assert!(alike.iter().all(|key| map.remove(*key) == Some(*key)));
        assert_eq!((map.len(), map.iter().count()), (0, 0));
    }

    #[test]
    fn there_is_a_limit_and_a_key_that_is_none() {
        let mut map = KeyMap::new(2);
        assert_eq!(map.insert(EMPTY, 1), Err(Full));
        assert_eq!((map.insert(1, 1), map.insert(2, 2)), (Ok(None), Ok(None)));
        assert_eq!(map.insert(3, 3), Err(Full));
        assert_eq!(map.insert(2, 4), Ok(Some(2)));
        assert_eq!((map.get(EMPTY), map.remove(EMPTY)), (None, None));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..700_u64, any::<Option<u32>>()), 0..2000)) {
            let mut map = KeyMap::new(600);
            let mut model = BTreeMap::new();
            for (key, value) in steps {
                let Some(value) = value else {
                    prop_assert_eq!(map.remove(key), model.remove(&key));
                    continue;
                };
                let expected = match model.len() {
                    600 if !model.contains_key(&key) => Err(Full),
                    _ => Ok(model.insert(key, value)),
                };
                prop_assert_eq!(map.insert(key, value), expected);
                prop_assert_eq!(map.get(key), model.get(&key).copied());
            }
            let all: BTreeMap<_, _> = map.iter().collect();
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(all, model);
        }
    }
}
