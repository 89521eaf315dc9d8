//! Parts of a date in UTC.

/// The part of the date of `seconds` since the epoch that a function names; NaN and the infinities have none.
pub(crate) fn part(name: &str, seconds: f64) -> f64 {
    if !seconds.is_finite() || seconds.abs() > 1e15 {
        return f64::NAN;
    }
    let whole = seconds.floor() as i64;
    let (days, in_day) = (whole.div_euclid(86_400), whole.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let value = match name {
        "year" => year,
        "month" => month,
        "day_of_month" => day,
        "day_of_week" => (days + 4).rem_euclid(7),
        "day_of_year" => days - days_before(year, 1) + 1,
        "days_in_month" => {
            let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            days_before(next_year, next) - days_before(year, month)
        }
        "hour" => in_day / 3600,
        "minute" => in_day / 60 % 60,
        _ => return f64::NAN,
    };
    value as f64
}

/// Days since 1970-01-01 to year, month, day (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5;
    let year_of_era = year.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_known_dates() {
        // 2006-01-02 22:04:05 UTC, a Monday.
        let at = 1_136_239_445.0;
        for (name, value) in [
            ("year", 2006.0),
            ("month", 1.0),
            ("day_of_month", 2.0),
            ("day_of_week", 1.0),
            ("hour", 22.0),
            ("minute", 4.0),
        ] {
            assert_eq!(part(name, at), value, "{name}");
        }
        assert_eq!(part("days_in_month", 1_454_284_800.0), 29.0);
        assert_eq!(part("day_of_year", 1_483_191_420.0), 366.0);
        assert_eq!(part("year", -1.0), 1969.0);
        assert!(part("year", f64::NAN).is_nan());
    }

    #[test]
    fn both_directions_of_the_calendar_agree() {
        for days in (-200_000..200_000).step_by(17) {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month) + day - 1, days);
        }
    }
}
