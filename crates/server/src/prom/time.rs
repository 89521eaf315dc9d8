//! Times and durations of the API: RFC 3339 or unix seconds with decimals; `5m` or seconds with decimals.

use std::time::Duration;

use series::{Millis, Timestamp};

use super::envelope::PromFault;
use crate::form::Params;

/// What clients send for "from the beginning" and "to the end": the bounds of a 64-bit count of milliseconds.
const TIME_MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const TIME_MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// The time parameter `name`; `None` when absent.
pub(crate) fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, PromFault> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let fault = || PromFault::bad_data(format!("parameter `{name}`: `{text}` is neither RFC 3339 nor unix seconds"));
    parse_time(text).map(Some).ok_or_else(fault)
}

/// The duration parameter `name`; `None` when absent.
pub(crate) fn duration(params: &Params, name: &str) -> Result<Option<Millis>, PromFault> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let fault = || PromFault::bad_data(format!("parameter `{name}`: `{text}` is neither a duration nor seconds"));
    parse_duration(text).map(Some).ok_or_else(fault)
}

/// `timeout`, at most and by default `longest`.
pub(crate) fn timeout(params: &Params, longest: Duration) -> Result<Duration, PromFault> {
    let asked = duration(params, "timeout")?;
    let asked = asked.and_then(|span| u64::try_from(span.0).ok()).filter(|millis| *millis > 0);
    Ok(asked.map_or(longest, |millis| Duration::from_millis(millis).min(longest)))
}

/// A time, or `None` when the text is none.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    match text {
        TIME_MIN_TEXT => return Some(Timestamp::MIN),
        TIME_MAX_TEXT => return Some(Timestamp::MAX),
        _ => {}
    }
    match text.parse::<f64>() {
        Ok(seconds) => millis(seconds).map(Timestamp),
        Err(_) => rfc3339(text),
    }
}

/// A duration, or `None` when the text is none.
pub(crate) fn parse_duration(text: &str) -> Option<Millis> {
    match text.parse::<f64>() {
        Ok(seconds) => millis(seconds).map(Millis),
        Err(_) => Millis::parse(text).ok(),
    }
}

fn millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    // Beyond ±2^63 the cast would saturate silently.
    (millis.is_finite() && millis.abs() < 9.2e18).then_some(millis as i64)
}

/// `2026-11-21T07:07:26.123Z`, with `+01:00` for the zone if need be.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let at = |i: usize, wanted: &[u8]| text.as_bytes().get(i).is_some_and(|b| wanted.contains(b));
    let marks = at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let calendar = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !marks || !calendar || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = fraction_and_zone(text.get(19..)?)?;
    let days = days_from_civil(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - zone) * 60 + second;
    Some(Timestamp(seconds * 1000 + fraction))
}

/// The milliseconds of `.123` and the minutes of `+01:00`.
fn fraction_and_zone(text: &str) -> Option<(i64, i64)> {
    let (fraction, zone) = match text.strip_prefix('.') {
        None => (0, text),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let ratio: f64 = format!("0.{}", rest.get(..digits).filter(|d| !d.is_empty())?).parse().ok()?;
            ((ratio * 1000.0).floor() as i64, &rest[digits..])
        }
    };
    if matches!(zone, "Z" | "z") {
        return Some((fraction, 0));
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |digits: &str, most: i64| -> Option<i64> {
        let well = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        well.then(|| digits.parse().ok())?.filter(|value| *value <= most)
    };
    Some((fraction, sign * (two(hours, 23)? * 60 + two(minutes, 59)?)))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Proleptic Gregorian date to days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_of_a_time_are_read() {
        for (text, millis) in [
            ("1435781451.781", 1_435_781_451_781),
            ("1435781451", 1_435_781_451_000),
            ("-1.5", -1500),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.781+02:00", 1_435_781_451_781),
            ("2015-07-01T19:40:51-00:30", 1_435_781_451_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("1969-12-31T23:59:59.999Z", -1),
            // Grafana sends milliseconds where seconds belong: far future, but a time.
            ("1700000000000", 1_700_000_000_000_000),
            (TIME_MIN_TEXT, i64::MIN),
            (TIME_MAX_TEXT, i64::MAX),
        ] {
            assert_eq!(parse_time(text), Some(Timestamp(millis)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "now",
            "NaN",
            "inf",
            "1e300",
            "2015-02-29T00:00:00Z",
            "2015-13-01T00:00:00Z",
            "2015-07-01",
            "2015-07-01T20:10:51",
            "2015-07-01T20:10:51.Z",
            "2015-07-01T24:00:00Z",
            "2015-07-01T20:10:51+2:00",
            "2015-07-01T20:10:51+02:99",
            "é015-07-01T20:10:51Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn both_notations_of_a_duration_are_read() {
        assert_eq!(parse_duration("5m"), Some(Millis(300_000)));
        assert_eq!(parse_duration("0.5"), Some(Millis(500)));
        assert_eq!(parse_duration("15"), Some(Millis(15_000)));
        assert_eq!(parse_duration("soon"), None);
    }

    #[test]
    fn a_timeout_is_never_longer_than_allowed() {
        let longest = Duration::from_secs(60);
        let ask = |text: &str| timeout(&Params::parse(text).expect("valid"), longest);
        assert_eq!(ask("timeout=5s"), Ok(Duration::from_secs(5)));
        assert_eq!(ask("timeout=2h"), Ok(longest));
        assert_eq!(ask(""), Ok(longest));
        assert!(ask("timeout=x").is_err());
    }
}
