//! The timer: channel 0 of an 8254 in mode 0, which counts down once and then interrupts
//! (Intel, *8254 Programmable Interval Timer*). It is the only clock that the guest has; nothing ticks
//! while it is not set.

/// The data port of channel 0.
pub const DATA: u32 = 0x40;
/// The control word register.
pub const CONTROL: u32 = 0x43;
/// The counter's frequency in hertz.
pub const FREQUENCY: u64 = 1_193_182;
/// The vector of the interrupt: that of the HAL's clock on Windows 7 x64.
pub const VECTOR: u8 = 0xd1;

const NANOSECONDS: u64 = 1_000_000_000;
/// The control word for channel 0, low byte and then high byte, mode 0, binary.
const ONE_SHOT: u32 = 0x30;
/// A count of 0 stands for this.
const MOST_TICKS: u64 = 0x10000;

/// What the counter does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Counter {
    /// It counts nothing, and its output does not change.
    #[default]
    Stopped,
    /// The control word has been written.
    WaitsForLow,
    /// The low byte, too.
    WaitsForHigh { low: u8 },
    /// It interrupts at this time, in nanoseconds.
    Counts { due: u64 },
}

/// The timer's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IntervalTimer {
    counter: Counter,
}

impl IntervalTimer {
    /// What an `out` of a byte to a port at a time (in nanoseconds) does. Other modes than the
    /// one-shot, and other ports, do nothing.
    ///
    /// ```
    /// use poolhit::machine::timer::{CONTROL, DATA, IntervalTimer};
    /// let mut timer = IntervalTimer::default();
    /// for (port, byte) in [(CONTROL, 0x30), (DATA, 2), (DATA, 0)] {
    ///     timer.output(port, byte, 1000);
    /// }
    /// assert_eq!(timer.due(), Some(1000 + 1677)); // two ticks of 838.1 ns, rounded up
    /// timer.output(CONTROL, 0x30, 2000);
    /// assert_eq!(timer.due(), None);
    /// ```
    pub fn output(&mut self, port: u32, byte: u8, now: u64) {
        self.counter = match (port, self.counter) {
            (CONTROL, _) if u32::from(byte) == ONE_SHOT => Counter::WaitsForLow,
            (DATA, Counter::WaitsForLow | Counter::Counts { .. }) => {
                Counter::WaitsForHigh { low: byte }
            }
            (DATA, Counter::WaitsForHigh { low }) => {
                let ticks = match u64::from(byte) << 8 | u64::from(low) {
                    0 => MOST_TICKS,
                    ticks => ticks,
                };
                let wait = (ticks * NANOSECONDS).div_ceil(FREQUENCY);
                Counter::Counts {
                    due: now.saturating_add(wait),
                }
            }
            (_, counter) => counter,
        };
    }

    /// When it interrupts, in nanoseconds; `None` while it counts nothing.
    ///
    /// ```
    /// assert_eq!(poolhit::machine::timer::IntervalTimer::default().due(), None);
    /// ```
    pub fn due(&self) -> Option<u64> {
        match self.counter {
            Counter::Counts { due } => Some(due),
            _ => None,
        }
    }

    /// The interrupt has been taken: the counter has nothing more to do.
    ///
    /// ```
    /// use poolhit::machine::timer::{CONTROL, DATA, IntervalTimer};
    /// let mut timer = IntervalTimer::default();
    /// for (port, byte) in [(CONTROL, 0x30), (DATA, 0), (DATA, 0)] {
    ///     timer.output(port, byte, 0);
    /// }
    /// assert_eq!(timer.due(), Some(54_925_402)); // all 65536 ticks
    /// timer.taken();
    /// assert_eq!(timer.due(), None);
    /// ```
    pub fn taken(&mut self) {
        self.counter = Counter::Stopped;
    }

    /// All of its state as numbers, for hashes.
    pub(super) fn state(&self) -> [u64; 2] {
        match self.counter {
            Counter::Stopped => [0, 0],
            Counter::WaitsForLow => [1, 0],
            Counter::WaitsForHigh { low } => [2, low.into()],
            Counter::Counts { due } => [3, due],
        }
    }
}
