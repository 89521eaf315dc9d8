//! Times as files spell them: RFC 3339, a date with or without a time of day (UTC unless it says otherwise), or a number.

use series::Timestamp;

use super::mapping::TimeUnit;

/// A whole number of the unit.
pub(super) fn of_integer(number: i64, unit: TimeUnit) -> Option<Timestamp> {
    let unit = if unit == TimeUnit::Auto { guessed(number.unsigned_abs() as f64) } else { unit };
    Some(Timestamp(match unit {
        TimeUnit::Auto | TimeUnit::Seconds => number.checked_mul(1000)?,
        TimeUnit::Milliseconds => number,
        TimeUnit::Microseconds => number.div_euclid(1000),
        TimeUnit::Nanoseconds => number.div_euclid(1_000_000),
    }))
}

/// A number with a fraction of the unit.
pub(super) fn of_number(number: f64, unit: TimeUnit) -> Option<Timestamp> {
    const RANGE: f64 = 9.2e18;
    let unit = if unit == TimeUnit::Auto { guessed(number.abs()) } else { unit };
    let millis = match unit {
        TimeUnit::Auto | TimeUnit::Seconds => number * 1000.0,
        TimeUnit::Milliseconds => number,
        TimeUnit::Microseconds => number / 1000.0,
        TimeUnit::Nanoseconds => number / 1_000_000.0,
    };
    (millis.abs() < RANGE).then_some(Timestamp(millis.round() as i64))
}

/// A text in any of the spellings.
pub(super) fn of_text(text: &str, unit: TimeUnit) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return of_integer(number, unit);
    }
    if let Ok(number) = text.parse::<f64>() {
        return of_number(number, unit);
    }
    calendar(text)
}

/// The unit that puts a number between 1970 and 2128.
fn guessed(size: f64) -> TimeUnit {
    if size < 5e9 {
        TimeUnit::Seconds
    } else if size < 5e12 {
        TimeUnit::Milliseconds
    } else if size < 5e15 {
        TimeUnit::Microseconds
    } else {
        TimeUnit::Nanoseconds
    }
}

/// `2026-11-21`, `2026-11-21 14:32`, `2026-11-21T14:32:00.5+01:00`; a slash is as good as a dash.
fn calendar(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, ['-', '/'])?;
    let days = days_from_civil(year, month, day)?;
    let rest = rest.strip_prefix(['T', 't', ' ']).unwrap_or(rest);
    if rest.is_empty() {
        return Some(Timestamp(days * 86_400_000));
    }
    let (clock, zone_ms) = split_zone(rest)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let full = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    let [hour, minute, second] = numbers(&full, [':', ':'])?;
    if hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    Some(Timestamp(days * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000 + millis - zone_ms))
}

/// The clock and what its zone is ahead of UTC.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix(" UTC")) {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (clock, zone) = text.split_at(at);
    let (hours, minutes) = match zone[1..].split_once(':') {
        Some(parts) => parts,
        None if zone.len() == 5 => (&zone[1..3], &zone[3..]),
        None => (&zone[1..], "0"),
    };
    let ahead = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    (ahead <= 24 * 60).then_some((clock.trim_end(), sign * ahead * 60_000))
}

/// Three unsigned numbers between separators.
fn numbers(text: &str, separators: [char; 2]) -> Option<[i64; 3]> {
    let mut parts = text.split(separators);
    let mut next = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<i64>().ok();
    let found = [next()?, next()?, next()?];
    parts.next().is_none().then_some(found)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; `None` for a date that is none.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_spellings_of_one_moment_are_that_moment() {
        let wanted = Some(Timestamp(1_795_271_520_500));
        for text in [
            "1795271520500",
            "1795271520.5",
            "1795271520500000",
            "1795271520500000000",
            "2026-11-21T14:32:00.5Z",
            "2026-11-21 14:32:00.500",
            "2026/11/21 14:32:00.5 UTC",
            "2026-11-21T15:32:00.5+01:00",
            "2026-11-21T09:02:00.500999-0530",
        ] {
            assert_eq!(of_text(text, TimeUnit::Auto), wanted, "{text}");
        }
        assert_eq!(of_text("2026-11-21", TimeUnit::Auto), Some(Timestamp(1_795_219_200_000)));
        assert_eq!(of_text("2026-11-21 14:32", TimeUnit::Auto), Some(Timestamp(1_795_271_520_000)));
        assert_eq!(of_text("5", TimeUnit::Milliseconds), Some(Timestamp(5)));
        for text in
            ["", "soon", "2026-02-29", "2026-13-01", "2026-11-21T25:00", "2026-11-21Tx", "21.11.2026", "é-é-é-é-é-"]
        {
            assert_eq!(of_text(text, TimeUnit::Auto), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_timestamps_show_is_read_back(at in -60_000_000_000_000_i64..250_000_000_000_000) {
            let text = Timestamp(at).to_string();
            prop_assert_eq!(calendar(&text), Some(Timestamp(at)), "{}", text);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,30}", digits in "[0-9:T. +-]{0,30}") {
            let _ = (of_text(&text, TimeUnit::Auto), of_text(&digits, TimeUnit::Auto));
        }
    }
}
