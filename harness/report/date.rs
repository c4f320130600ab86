//! Dates as the debugger prints those of images.

/// A count of seconds since 1970 as `Fri Dec  6 12:20:32 2013`, in UTC: what time it was where somebody
/// looks at it makes no difference here.
///
/// ```
/// use poolhit::report::date::date;
/// assert_eq!(date(0x4ce7951a), "Sat Nov 20 09:30:02 2010");
/// ```
pub fn date(seconds: u32) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let divides = |by: u32, year: u32| year.is_multiple_of(by);
    let is_leap = |year| divides(4, year) && (!divides(100, year) || divides(400, year));
    let (mut year, mut day) = (1970, days);
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
    let month = MONTHS[month];
    format!(
        "{weekday} {month} {:2} {hour:02}:{minute:02}:{second:02} {year}",
        day + 1
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
