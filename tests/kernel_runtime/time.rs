//! System time against a calendar that counts day by day. Microsoft's pages of `RtlTimeToTimeFields`,
//! `RtlTimeFieldsToTime` and `TIME_FIELDS` (wdm.h): years from 1601 to 30827, FALSE for fields out of their
//! ranges; and of the seconds since 1970 and 1980 (ntddk.h, ntifs.h).

use crate::guest::*;
use proptest::prelude::*;

const DAY: u64 = 24 * 3600 * 10_000_000;
/// The last day of the year 30827, the last that fields can say.
const LAST_DAY: u64 = 10_674_941;

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(400) || year.is_multiple_of(4) && !year.is_multiple_of(100) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Year, month, day, and the day of the week, which was a Monday at first.
fn date(day: u64) -> [u16; 4] {
    let (mut year, mut month, mut left) = (1601, 1, day as u32);
    while left >= (1..=12).map(|month| days_of(year, month)).sum() {
        left -= (1..=12).map(|month| days_of(year, month)).sum::<u32>();
        year += 1;
    }
    while left >= days_of(year, month) {
        left -= days_of(year, month);
        month += 1;
    }
    [
        year as u16,
        month as u16,
        left as u16 + 1,
        ((day + 1) % 7) as u16,
    ]
}

fn fields(time: u64) -> [u16; 8] {
    let [year, month, day, weekday] = date(time / DAY);
    let milliseconds = time % DAY / 10_000;
    let part = |unit: u64, count: u64| (milliseconds / unit % count) as u16;
    [
        year,
        month,
        day,
        part(3_600_000, 24),
        part(60_000, 60),
        part(1000, 60),
        part(1, 1000),
        weekday,
    ]
}

fn any_time() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        DAY - 1,
        DAY,
        58 * DAY + DAY,
        146_096 * DAY,
        146_097 * DAY - 1,
        146_097 * DAY,
    ];
    prop_oneof![
        0..LAST_DAY * DAY,
        (0..LAST_DAY).prop_map(|day| day * DAY),
        (1..LAST_DAY).prop_map(|day| day * DAY - 1),
        proptest::sample::select(edges),
    ]
}

#[test]
fn to_fields_and_back() {
    property(300, any_time(), |guest, time| {
        let (at, result, back) = (guest.put(&words(&[time])), guest.room(16), guest.room(8));
        guest.call("RtlTimeToTimeFields", &[at, result]);
        assert_eq!(guest.units(result, 8), fields(time), "{time}");
        assert!(guest.boolean("RtlTimeFieldsToTime", &[result, back]));
        assert_eq!(guest.u64(back), time / 10_000 * 10_000);
        guest.call("RtlTimeToElapsedTimeFields", &[at, result]);
        let elapsed = fields(time % DAY);
        let expected = [
            0,
            0,
            (time / DAY) as u16,
            elapsed[3],
            elapsed[4],
            elapsed[5],
            elapsed[6],
            0,
        ];
        assert_eq!(guest.units(result, 8), expected);
    });
}

/// `date -u -d @1300000000`, and days that are known.
#[test]
fn known_dates() {
    let mut guest = Guest::new();
    for (time, expected) in [
        (0, [1601, 1, 1, 0, 0, 0, 0, 1]),
        (116_444_736_000_000_000, [1970, 1, 1, 0, 0, 0, 0, 4]),
        (129_444_736_000_000_000, [2011, 3, 13, 7, 6, 40, 0, 0]),
        (125_963_423_999_990_000, [2000, 2, 29, 23, 59, 59, 999, 2]),
    ] {
        let (at, result) = (guest.put(&words(&[time])), guest.room(16));
        guest.call("RtlTimeToTimeFields", &[at, result]);
        assert_eq!(guest.units(result, 8), expected);
    }
}

#[test]
fn fields_out_of_range() {
    let field = |range: std::ops::RangeInclusive<i16>| prop_oneof![8 => range, 1 => any::<i16>()];
    let values = (
        field(1590..=1700),
        field(0..=13),
        field(0..=32),
        field(-1..=24),
        field(-1..=60),
        field(-1..=60),
        field(-1..=1000),
    );
    property(
        600,
        values,
        |guest, (year, month, day, hour, minute, second, millisecond)| {
            let all = [year, month, day, hour, minute, second, millisecond, 99];
            let at = guest.put(&units(&all.map(|field| field as u16)));
            let (time, result) = (guest.room(8), guest.room(16));
            let valid = (1601..=30827).contains(&year)
                && (1..=12).contains(&month)
                && day >= 1
                && day as u32 <= days_of(year as u32, month as u32)
                && (0..24).contains(&hour)
                && (0..60).contains(&minute)
                && (0..60).contains(&second)
                && (0..1000).contains(&millisecond);
            assert_eq!(
                guest.boolean("RtlTimeFieldsToTime", &[at, time]),
                valid,
                "{all:?}"
            );
            if valid {
                guest.call("RtlTimeToTimeFields", &[time, result]);
                assert_eq!(guest.units(result, 7), guest.units(at, 7));
            }
        },
    );
}

#[test]
fn seconds() {
    let near = prop_oneof![0..0x2_0000_0000u64, any::<u64>().prop_map(|x| x >> 30)];
    // the epochs' places in the calendar are the model's
    let start = |year: u16| (0..200_000).find(|day| date(*day)[0] == year).unwrap() * 86_400;
    let epochs = [
        (
            "RtlTimeToSecondsSince1970",
            "RtlSecondsSince1970ToTime",
            start(1970),
        ),
        (
            "RtlTimeToSecondsSince1980",
            "RtlSecondsSince1980ToTime",
            start(1980),
        ),
    ];
    property(
        300,
        (near, any::<u32>(), 0..10_000_000u64),
        move |guest, (offset, seconds, rest)| {
            for (to, from, epoch) in epochs {
                let time = (epoch + offset).saturating_sub(0x4000_0000);
                let (at, result) = (
                    guest.put(&words(&[time * 10_000_000 + rest])),
                    guest.room(4),
                );
                let expected = time
                    .checked_sub(epoch)
                    .and_then(|since| u32::try_from(since).ok());
                assert_eq!(guest.boolean(to, &[at, result]), expected.is_some());
                if let Some(expected) = expected {
                    assert_eq!(guest.u32(result), expected);
                }
                let back = guest.room(8);
                guest.call(from, &[seconds.into(), back]);
                assert_eq!(guest.u64(back), (epoch + u64::from(seconds)) * 10_000_000);
            }
        },
    );
}
