//! Whether what is outstanding grows with each repetition of what is done.
//!
//! Whoever repeats a request says where a repetition ends; what is outstanding there is looked at.
//! The ends are divided, in their order, into four parts, as equal as can be (with fewer than four
//! ends, each is a part). Of each part the least counts. If it rises from each part to the next, in
//! blocks or in bytes, or through the last three of four, the memory is [`Growing`](Growth::Growing).
//!
//! | outstanding at the ends | |
//! |---|---|
//! | 1 2 3 4 5 6 7 8 | growing, by 1 each time |
//! | 0 0 1 1 2 2 3 3 | growing, by ½: every second one leaks |
//! | 0 0 0 0 0 1 2 3 4 5 | growing: the driver has warmed up first |
//! | 3 9 3 9 3 9 3 9 | not growing: a cache that is emptied again and again |
//! | 1 1 1 1 1 1 1 1 | not growing: kept since the first |
//! | 1 2 3 4 5 5 5 5 | not growing: a cache that has filled up |
//!
//! So a leak at every N-th repetition is found with 5 N of them, and a cache that takes more than
//! three quarters of all of them to fill up, or fills up through the second half of them, is taken for a
//! leak. Two repetitions are the least, and
//! ten or more are better. Of more than [`WINDOWS`] ends, neighbours are looked at together, by the
//! least of them.

use super::account::Held;

/// The most ends of repetitions, or groups of neighbours of them, that are kept apart.
pub const WINDOWS: usize = 32;
/// The parts that ends are divided into.
const PARTS: usize = 4;

/// How what is outstanding develops from one repetition to the next.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Growth {
    /// Fewer than two repetitions have been marked.
    NotMeasured,
    /// Nothing is outstanding.
    Nothing,
    /// Something is outstanding, but does not grow.
    OneTime,
    /// What one path has outstanding does not grow, but all those of its tag grow together that do not by
    /// themselves: a leak that comes by another path each time.
    WithTag,
    /// It grows with each repetition.
    Growing {
        /// By so many blocks on the average.
        blocks_per_repeat: f64,
        /// By so many bytes.
        bytes_per_repeat: f64,
    },
}

/// The repetitions so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Repeats {
    pub count: u64,
    /// How many ends are looked at together.
    width: u64,
}

impl Repeats {
    pub fn new() -> Repeats {
        Repeats { count: 0, width: 1 }
    }

    /// One more; says whether neighbours are to be put [together](Lows::halve) first.
    pub fn next(&mut self) -> bool {
        let halves = self.count / self.width == WINDOWS as u64;
        if halves {
            self.width *= 2;
        }
        self.count += 1;
        halves
    }

    /// The window of the last end, and whether it is the first one in it.
    fn window(&self) -> (usize, bool) {
        let at = self.count - 1;
        ((at / self.width) as usize, at.is_multiple_of(self.width))
    }
}

/// What was outstanding at the ends of repetitions: of each window the least. Before the first that is
/// kept it was nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Lows {
    list: Vec<Held>,
}

impl Lows {
    pub fn halve(&mut self) {
        let pairs = self.list.chunks(2).map(|pair| match pair {
            [one, other] => one.least(*other),
            _ => pair[0],
        });
        self.list = pairs.collect();
    }

    /// Notes what is outstanding at the last end.
    pub fn note(&mut self, repeats: &Repeats, outstanding: Held) {
        let (window, is_first) = repeats.window();
        if self.list.is_empty() && outstanding == Held::default() {
            return;
        }
        if let Some(low) = self.list.get_mut(window) {
            *low = low.least(outstanding);
            return;
        }
        self.list.resize(window, Held::default());
        self.list.push(match is_first {
            true => outstanding,
            false => Held::default(),
        });
    }

    /// The sum of both: not more than what the least of the sum was.
    pub fn merge(&mut self, other: &Lows) {
        let length = self.list.len().max(other.list.len());
        self.list.resize(length, Held::default());
        for (low, more) in self.list.iter_mut().zip(&other.list) {
            low.add(*more);
        }
    }

    /// See the [module](self). `outstanding` is what is so now.
    pub fn growth(&self, repeats: &Repeats, outstanding: Held) -> Growth {
        if outstanding == Held::default() {
            return Growth::Nothing;
        }
        if repeats.count < 2 {
            return Growth::NotMeasured;
        }
        let windows = repeats.window().0 + 1;
        let parts = windows.min(PARTS);
        let start = |part: usize| part * windows / parts;
        let low = |part: usize| -> Held {
            let part = start(part)..start(part + 1);
            let lows = part.map(|window| self.list.get(window).copied().unwrap_or_default());
            lows.reduce(Held::least).unwrap_or_default()
        };
        let lows: Vec<Held> = (0..parts).map(low).collect();
        let rises = |from: usize, what: fn(&Held) -> u64| {
            let pairs = lows[from..].windows(2);
            pairs.len() > 0 && pairs.into_iter().all(|two| what(&two[0]) < what(&two[1]))
        };
        // From the first part on, or, behind a time without, through the last three.
        let starts = [0, parts.saturating_sub(PARTS - 1)];
        let mut starts = starts.into_iter();
        let rising =
            starts.find(|from| rises(*from, |held| held.blocks) || rises(*from, |held| held.bytes));
        let Some(from) = rising else {
            return Growth::OneTime;
        };
        let (first, last) = (lows[from], lows[parts - 1]);
        let between = (start(parts - 1) - start(from)) as u64 * repeats.width;
        let rate = |last: u64, first: u64| (last as f64 - first as f64) / between as f64;
        Growth::Growing {
            blocks_per_repeat: rate(last.blocks, first.blocks),
            bytes_per_repeat: rate(last.bytes, first.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(ends: impl IntoIterator<Item = u64>) -> Growth {
        let (mut repeats, mut lows, mut last) = (Repeats::new(), Lows::default(), Held::default());
        for blocks in ends {
            let bytes = blocks * 0x10;
            last = Held { blocks, bytes };
            if repeats.next() {
                lows.halve();
            }
            lows.note(&repeats, last);
        }
        assert!(lows.list.len() <= WINDOWS);
        lows.growth(&repeats, last)
    }

    #[track_caller]
    fn grows_by(ends: impl IntoIterator<Item = u64>, expected: f64) {
        let Growth::Growing {
            blocks_per_repeat: blocks,
            bytes_per_repeat: bytes,
        } = growth(ends)
        else {
            panic!("does not grow")
        };
        assert!((blocks - expected).abs() < expected / 4.0, "{blocks}");
        assert_eq!(bytes, blocks * 16.0);
    }

    #[test]
    fn a_leak_at_each_repeat_is_measured_exactly() {
        for count in [2, 3, 4, 5, 7, 16, 17, 33, 100, 1000] {
            let ends = (1..=count).map(|end| 7 + end * 3);
            let growing = Growth::Growing {
                blocks_per_repeat: 3.0,
                bytes_per_repeat: 48.0,
            };
            assert_eq!(growth(ends), growing, "{count}");
        }
    }

    #[test]
    fn a_leak_at_every_nth_repeat_is_found() {
        for every in 1..20 {
            for count in 5 * every..5 * every + 100 {
                let growth = growth((1..=count).map(|end| end / every));
                let grows = matches!(growth, Growth::Growing { .. });
                assert!(grows || count < 2, "{every} {count}");
            }
        }
        grows_by((0..20).map(|end| end / 5), 0.2);
        grows_by((0..200).map(|end| end / 7), 1.0 / 7.0);
        grows_by([0, 0, 1, 1, 2, 2, 3, 3], 0.5);
        // a cache beside it, emptied now and then
        grows_by((0..128).map(|end| end + end % 3 * 20), 1.0);
    }

    /// A driver that warms up first, such as one that fills a list of free blocks.
    #[test]
    fn a_leak_that_begins_later_is_found() {
        for count in [10, 11, 12, 15, 20, 50] {
            let growth = growth((0..count).map(|end: u64| end.saturating_sub(4)));
            assert!(matches!(growth, Growth::Growing { .. }), "{count}");
        }
        grows_by((0..100).map(|end: u64| end.saturating_sub(25)), 1.0);
    }

    #[test]
    fn what_does_not_grow_is_one_time() {
        for ends in [
            &[1, 1, 1, 1, 1, 1, 1, 1][..],
            &[3, 9, 3, 9, 3, 9, 3, 9],
            &[1, 2, 3, 4, 5, 5, 5, 5],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[9, 8, 7, 6, 5, 4, 3, 2],
        ] {
            assert_eq!(growth(ends.iter().copied()), Growth::OneTime, "{ends:?}");
        }
        let late = (0..1000).map(|end| u64::from(end > 900));
        assert_eq!(growth(late), Growth::OneTime);
    }

    #[test]
    fn too_few_repeats_and_nothing_say_so() {
        assert_eq!(growth([]), Growth::Nothing);
        assert_eq!(growth([5]), Growth::NotMeasured);
        assert_eq!(growth([5, 0]), Growth::Nothing);
    }
}
