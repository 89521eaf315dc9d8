//! Numbers as Prometheus writes them.

/// The shortest decimal that reads back to the same number, without an exponent; `NaN`, `+Inf`, `-Inf`. What
/// `count_values` and messages show.
pub fn format_number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        // Rust's `Display` of floats is the shortest round-trip decimal and never uses an exponent.
        format!("{value}")
    }
}

/// A number as OpenMetrics writes it in label values such as `le` and `quantile`: `1.0`, `0.25`, `1e-05`.
pub(crate) fn format_open_metrics(value: f64) -> String {
    let text = format_short(value);
    if !value.is_finite() || text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}

/// A number with an exponent where it would be long: `1`, `0.25`, `1e-05`, `1e+06`.
pub(crate) fn format_short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !value.is_finite() || (1e-4..1e6).contains(&size) {
        return format_number(value);
    }
    with_exponent(value)
}

/// A sample's value as the query API writes it: like [`format_number`], with an exponent below 1e-6 and from 1e21 on.
pub fn format_sample(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !value.is_finite() || (1e-6..1e21).contains(&size) {
        return format_number(value);
    }
    with_exponent(value)
}

/// The exponent has a sign and at least two digits.
fn with_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A float as Go's `strconv.ParseFloat` takes it in label values such as `le`: decimal or `Inf`, any letter case.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1.0, &text[1..]),
        b'-' => (-1.0, &text[1..]),
        _ => (1.0, text),
    };
    match rest.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(sign * f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => rest.parse::<f64>().ok().map(|v| sign * v),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_like_prometheus() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e21, "1000000000000000000000"),
            (1.5e-7, "0.00000015"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_number(value), text);
        }
    }

    #[test]
    fn very_large_and_very_small_samples_have_an_exponent() {
        for (value, text) in [(1e21, "1e+21"), (1.5e-7, "1.5e-07"), (1e20, "100000000000000000000"), (1e-6, "0.000001")]
        {
            assert_eq!(format_sample(value), text);
        }
        assert_eq!((format_short(1e6), format_short(0.5)), ("1e+06".to_owned(), "0.5".to_owned()));
    }

    #[test]
    fn labels_print_like_open_metrics() {
        for (value, text) in [(0.0, "0.0"), (1.0, "1.0"), (0.25, "0.25"), (1e-5, "1e-05"), (1.5e7, "1.5e+07")] {
            assert_eq!(format_open_metrics(value), text);
        }
        assert_eq!(format_open_metrics(f64::INFINITY), "+Inf");
    }

    #[test]
    fn floats_of_label_values() {
        assert_eq!(parse_float("+Inf"), Some(f64::INFINITY));
        assert_eq!(parse_float("-1e3"), Some(-1000.0));
        assert_eq!(parse_float(".5"), Some(0.5));
        assert_eq!(parse_float(""), None);
        assert_eq!(parse_float("+-1"), None);
        assert_eq!(parse_float("x"), None);
    }
}
