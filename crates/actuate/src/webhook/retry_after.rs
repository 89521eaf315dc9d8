//! `Retry-After`: seconds, or a date as RFC 9110 prefers it.

use series::{Millis, Timestamp};

/// Longer wishes are cut: a receiver must not silence us for days.
const LONGEST: Millis = Millis::from_hours(1);

/// `None` for what is not readable; never negative, at most an hour.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Millis> {
    let text = text.trim();
    let span = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are longer than an hour, too.
        Millis(text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1000))
    } else {
        date(text)? - now
    };
    Some(span.clamp(Millis(0), LONGEST))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let mut next = || parts.next();
    let day = number(next()?, 31)?;
    let month = MONTHS.iter().position(|name| Some(*name) == rest.get(3..6))?;
    next()?;
    let year = number(next()?, 9999)?;
    let mut clock = next()?.split(':');
    let (hour, minute, second) = (number(clock.next()?, 23)?, number(clock.next()?, 59)?, number(clock.next()?, 60)?);
    if clock.next().is_some() || next()? != "GMT" || next().is_some() || day == 0 {
        return None;
    }
    let days = days_from_civil(year, month as i64 + 1, day);
    Some(Timestamp((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000))
}

fn number(text: &str, most: i64) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number <= most)
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = Timestamp(784_111_777_000);
        let wait = |text| parse(text, now);
        assert_eq!((wait("0"), wait(" 120 ")), (Some(Millis(0)), Some(Millis(120_000))));
        assert_eq!(wait("99999999999999999999"), Some(LONGEST));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Millis(0)), "now");
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Millis(60_000)));
        assert_eq!(wait("Sun, 06 Nov 1993 08:50:37 GMT"), Some(Millis(0)), "past");
        for text in
            ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, é"]
        {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
