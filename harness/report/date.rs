//! Dates as the debugger prints those of images.

/// A count of seconds since 1970 as `Fri Dec  6 12:20:32 2013`, in UTC: what time it was where somebody
/// looks at it makes no difference here.
///
/// ```
/// use poolhit::report::date::date;
/// assert_eq!(date(0x4ce7951a), "Sat Nov 20 09:30:02 2010");
/// ```
pub fn date(seconds: u32) -> String {
    let (day, clock, year) = calendar(u64::from(seconds), EPOCH_YEAR);
    format!("{day} {clock} {year}")
}

/// A FILETIME, a count of tenths of microseconds since 1601, as `.formats` shows it, in UTC. `None` for one
/// that is negative as a signed number, which is none.
///
/// ```
/// use poolhit::report::date::file_time;
/// let text = file_time(116_444_736_000_000_000);
/// assert_eq!(text.as_deref(), Some("Thu Jan  1 00:00:00.000 1970 (UTC + 0:00)"));
/// assert_eq!(file_time(u64::MAX), None);
/// ```
pub fn file_time(time: u64) -> Option<String> {
    let time = i64::try_from(time).ok()?.unsigned_abs();
    let (day, clock, year) = calendar(time / 10_000_000, FILETIME_YEAR);
    let milliseconds = time / 10_000 % 1000;
    Some(format!(
        "{day} {clock}.{milliseconds:03} {year} (UTC + 0:00)"
    ))
}

/// The years that seconds are counted from.
const EPOCH_YEAR: u64 = 1970;
const FILETIME_YEAR: u64 = 1601;
/// The days of four centuries.
const CYCLE: u64 = 146_097;

/// `Fri Dec  6`, `12:20:32` and the year of a count of seconds since the start of a year: 1601 or 1970.
fn calendar(seconds: u64, since: u64) -> (String, String, u64) {
    // Both years start when 1601 did but for so many days.
    const DAYS_TO_EPOCH: u64 = 134_774;
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let start = if since == EPOCH_YEAR {
        DAYS_TO_EPOCH
    } else {
        0
    };
    let (days, time) = (seconds / 86_400 + start, seconds % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let divides = |by: u64, year: u64| year.is_multiple_of(by);
    let is_leap = |year| divides(4, year) && (!divides(100, year) || divides(400, year));
    let (mut year, mut day) = (FILETIME_YEAR + days / CYCLE * 400, days % CYCLE);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let mut month = 0;
    loop {
        let length = match month {
            1 if is_leap(year) => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    (
        format!("{weekday} {} {:2}", MONTHS[month], day + 1),
        format!("{hour:02}:{minute:02}:{second:02}"),
        year,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second is `Fri Dec  6 12:20:32 2013 (52A23190)` in the manual's "Bug Check 0x117", whose author's
    /// clock was eight hours behind UTC.
    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (0x52A2_3190, "Fri Dec  6 20:20:32 2013"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (u32::MAX, "Sun Feb  7 06:28:15 2106"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
