//! What was outstanding when, in a bounded number of points.

/// The most points of a time line.
pub const POINTS: usize = 128;
/// The distance of points at first, in bytes of code executed.
const FIRST_STEP: u64 = 1 << 12;

/// The points in time that lines have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clock {
    pub step: u64,
    /// The interval of the last event.
    pub now: usize,
}

impl Clock {
    pub fn new() -> Clock {
        Clock {
            step: FIRST_STEP,
            now: 0,
        }
    }

    /// Goes on to a time; says how often lines are to be [halved](Line::halve). Time that goes back
    /// stands still.
    #[inline]
    pub fn advance(&mut self, work: u64) -> u32 {
        let mut halvings = 0;
        while work / self.step >= POINTS as u64 {
            // Cannot overflow: at 2⁶³ no time has more than two intervals.
            self.step *= 2;
            self.now /= 2;
            halvings += 1;
        }
        self.now = self.now.max((work / self.step) as usize);
        halvings
    }
}

/// A line: what was outstanding at the end of each interval. Before the first it was nothing, and since
/// the last it is the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    first: usize,
    points: Vec<u64>,
}

impl Line {
    /// A line that starts now.
    pub fn new(clock: &Clock) -> Line {
        Line {
            first: clock.now,
            points: Vec::with_capacity(POINTS),
        }
    }

    /// Notes what is outstanding now.
    #[inline]
    pub fn note(&mut self, clock: &Clock, bytes: u64) {
        let at = clock.now.saturating_sub(self.first);
        if at >= self.points.len() {
            let before = self.points.last().copied().unwrap_or(0);
            self.points.resize(at + 1, before);
        }
        self.points[at] = bytes;
    }

    /// Leaves out every other point: of two intervals the end of the second counts.
    pub fn halve(&mut self) {
        let mut halved = Vec::with_capacity(POINTS);
        // An odd interval that comes first is the second half of its pair.
        let mut end = 1 - self.first % 2;
        while let Some(last) = self.points.last()
            && end <= self.points.len()
        {
            halved.push(*self.points.get(end).unwrap_or(last));
            end += 2;
        }
        self.first /= 2;
        self.points = halved;
    }

    /// All points from the start of time until now.
    pub fn points(&self, clock: &Clock) -> Vec<u64> {
        let mut points = vec![0; self.first];
        points.extend(&self.points);
        let last = self.points.last().copied().unwrap_or(0);
        points.resize(clock.now + 1, last);
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each point is what the last event up to its end has left.
        #[test]
        fn points_are_samples(
            steps in prop::collection::vec((0..200_000_u64, 0..1000_u64), 1..200),
            lines in prop::collection::vec(0..3_usize, 200),
        ) {
            let mut clock = Clock::new();
            let mut found: [Option<Line>; 3] = [None, None, None];
            let (mut work, mut events) = (0, Vec::new());
            for ((ahead, bytes), line) in steps.into_iter().zip(lines) {
                work += ahead;
                for _ in 0..clock.advance(work) {
                    found.iter_mut().flatten().for_each(Line::halve);
                }
                found[line].get_or_insert_with(|| Line::new(&clock)).note(&clock, bytes);
                events.push((work, line, bytes));
            }
            for (line, known) in found.iter().enumerate() {
                let Some(known) = known else { continue };
                let points = known.points(&clock);
                prop_assert!(points.len() <= POINTS);
                prop_assert_eq!(points.len() as u64, work / clock.step + 1);
                for (at, point) in (1..).zip(points) {
                    let mut until = events.iter().filter(|event| event.0 < at * clock.step);
                    let expected = until.rfind(|event| event.1 == line);
                    prop_assert_eq!(point, expected.map_or(0, |event| event.2));
                }
            }
        }
    }
}
