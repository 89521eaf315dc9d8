//! Texts of figures: foreign text made harmless, numbers and times for people.

use series::Timestamp;

/// Longest foreign text in a figure.
const CHARS_MAX: usize = 120;

/// A foreign text as Plotly must show it literally: its markup characters become entities, control characters blanks.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.chars().enumerate() {
        if i == CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Bidirectional controls could show a text in another order than it is stored.
            c if is_bidi_control(c) => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A foreign text for plain-text places: without controls.
pub(crate) fn quiet(text: &str) -> String {
    text.chars()
        .take(CHARS_MAX)
        .filter(|c| !is_bidi_control(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `4,812`, `1.25 M`, `0.0042`: three or four digits that matter.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    for (limit, factor, suffix) in [(1e15, 1e15, " P"), (1e12, 1e12, " T"), (1e9, 1e9, " G"), (1e6, 1e6, " M")] {
        if size >= limit {
            return format!("{}{suffix}", trimmed(value / factor, 2));
        }
    }
    match size {
        s if s >= 1000.0 => grouped(value.round()),
        s if s >= 100.0 => trimmed(value, 0),
        s if s >= 1.0 => trimmed(value, 2),
        0.0 => "0".to_owned(),
        s if s >= 0.001 => trimmed(value, 4),
        _ => format!("{value:.2e}"),
    }
}

/// `2026-11-21 19:40 UTC`.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.get(..16) {
        Some(minute) => format!("{} UTC", minute.replace('T', " ")),
        None => text,
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_texts_cannot_be_markup() {
        assert_eq!(plain("<a href=\"x\">&b</a>\n"), "&lt;a href=\"x\"&gt;&amp;b&lt;/a&gt; ");
        assert_eq!(plain("a\u{202e}b"), "ab");
        assert_eq!(quiet("a\u{202e}<b>\n"), "a<b> ");
        assert_eq!(plain(&"é".repeat(200)).chars().count(), CHARS_MAX + 1);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (4812.4, "4,812"),
            (999_999.0, "999,999"),
            (1_250_000.0, "1.25 M"),
            (0.0042, "0.0042"),
            (71.0, "71"),
            (0.0, "0"),
            (-1234.0, "-1,234"),
            (f64::NAN, "–"),
            (3e9, "3 G"),
            (1e-7, "1.00e-7"),
            (256.5, "256"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn times_show_minutes() {
        assert_eq!(time(Timestamp(0)), "1970-01-01 00:00 UTC");
    }
}
