//! Which drivers a stack goes through.

/// Which drivers a stack goes through: a set of numbers below [`DriverSet::LIMIT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct DriverSet(pub u64);

impl DriverSet {
    /// The number of drivers that can be told apart.
    pub const LIMIT: usize = 64;
    /// None.
    pub const NONE: DriverSet = DriverSet(0);
    /// All of them: what stands for a stack that is not known.
    pub const ALL: DriverSet = DriverSet(u64::MAX);

    /// The set of one driver; that of all, if it is behind the limit.
    ///
    /// ```
    /// use poolhit::leaks::DriverSet;
    /// assert_eq!(DriverSet::of(2), DriverSet(4));
    /// assert_eq!(DriverSet::of(64), DriverSet::ALL);
    /// ```
    pub fn of(driver: usize) -> DriverSet {
        match driver {
            0..DriverSet::LIMIT => DriverSet(1 << driver),
            _ => DriverSet::ALL,
        }
    }

    /// Whether both have a driver in common.
    ///
    /// ```
    /// use poolhit::leaks::DriverSet;
    /// assert!(DriverSet::of(2).meets(DriverSet::ALL) && !DriverSet::of(2).meets(DriverSet::of(1)));
    /// ```
    pub fn meets(self, other: DriverSet) -> bool {
        self.0 & other.0 != 0
    }
}
