//! One sample line of the text formats.

use series::{Exemplar, Labels, METRIC_NAME, Timestamp};

use super::{LineLabels, TextFormat};

/// Characters that the labels of an exemplar may have together (OpenMetrics 1.0).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// What a line says beside its labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<'t> {
    pub(crate) value: f64,
    pub(crate) at: Option<Timestamp>,
    /// The text behind `#`.
    pub(crate) exemplar: Option<&'t str>,
}

/// Cuts a line without surrounding blanks behind its labels. Quotes are respected; whether the labels can be read is
/// [`read_series`]' to say.
pub(crate) fn split_series(line: &str) -> Result<(&str, &str), &'static str> {
    let name_end = line.find(['{', ' ', '\t']).ok_or("there is no value")?;
    let rest = line[name_end..].trim_start();
    if !rest.starts_with('{') {
        return Ok((&line[..name_end], rest));
    }
    let open = line.len() - rest.len();
    let (mut in_quotes, mut bytes) = (false, line.bytes().enumerate().skip(open + 1));
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' if in_quotes => {
                bytes.next();
            }
            b'}' if !in_quotes => return Ok((&line[..=at], &line[at + 1..])),
            _ => {}
        }
    }
    Ok((line, ""))
}

/// Reads `name{…}`; the labels (the metric's name among them) replace those in `labels`.
pub(crate) fn read_series(text: &str, labels: &mut LineLabels) -> Result<(), &'static str> {
    labels.clear();
    let name_end = text.find(['{', ' ', '\t']).unwrap_or(text.len());
    if name_end > 0 {
        labels.push_metric(&text[..name_end]);
    }
    match text[name_end..].trim_start().strip_prefix('{') {
        Some(inside) => read_labels(inside, labels).map(drop),
        None => Ok(()),
    }
}

/// Reads what follows the labels.
pub(crate) fn read_numbers(rest: &str, format: TextFormat) -> Result<Sample<'_>, &'static str> {
    let (numbers, exemplar) = match rest.split_once('#') {
        Some((numbers, exemplar)) if format == TextFormat::OpenMetrics => (numbers, Some(exemplar)),
        Some(_) => return Err("`#` after the value"),
        None => (rest, None),
    };
    let mut words = numbers.split_ascii_whitespace();
    let value = words.next().ok_or("there is no value")?.parse().map_err(|_| "the value is not a number")?;
    let at = words.next().map(|word| read_time(word, format)).transpose()?;
    if words.next().is_some() {
        return Err("there is text after the time");
    }
    Ok(Sample { value, at, exemplar })
}

/// Reads ` {trace_id="…"} value [time]`; `at` is its time when it names none. `None` when its labels are too long, for
/// which OpenMetrics drops it and keeps the sample.
pub(crate) fn read_exemplar(
    text: &str,
    at: Timestamp,
    labels: &mut LineLabels,
) -> Result<Option<Exemplar>, &'static str> {
    labels.clear();
    let inside = text.trim_start().strip_prefix('{').ok_or("the exemplar has no labels")?;
    let rest = read_labels(inside, labels)?;
    let sample = read_numbers(rest, TextFormat::OpenMetrics).map_err(|_| "the exemplar has no value")?;
    if sample.exemplar.is_some() || labels.pairs.iter().any(|(name, _)| labels.texts[name.clone()] == *METRIC_NAME) {
        return Err("the exemplar cannot be read");
    }
    if labels.texts.chars().count() > EXEMPLAR_CHARS_MAX {
        return Ok(None);
    }
    let pairs = labels.pairs.iter().map(|(name, value)| (&labels.texts[name.clone()], &labels.texts[value.clone()]));
    let labels = Labels::from_pairs(pairs).map_err(|_| "the exemplar repeats a label")?;
    Ok(Some(Exemplar { labels, value: sample.value, at: sample.at.unwrap_or(at) }))
}

fn read_time(word: &str, format: TextFormat) -> Result<Timestamp, &'static str> {
    match format {
        TextFormat::Prometheus => word.parse().map(Timestamp).map_err(|_| "the time is not whole milliseconds"),
        TextFormat::OpenMetrics => match word.parse::<f64>() {
            Ok(seconds) if seconds.abs() < 9e15 => Ok(Timestamp((seconds * 1000.0).round() as i64)),
            _ => Err("the time is not a number of seconds"),
        },
    }
}
/// Reads `name="value", …}` and returns what follows the brace. A quoted text alone is the metric's name.
fn read_labels<'a>(mut rest: &'a str, labels: &mut LineLabels) -> Result<&'a str, &'static str> {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let start = labels.texts.len();
        rest = read_name(rest, &mut labels.texts)?.trim_start();
        let middle = labels.texts.len();
        match rest.strip_prefix('=') {
            Some(after) => {
                let quoted = after.trim_start().strip_prefix('"').ok_or("a label value is not quoted")?;
                rest = read_quoted(quoted, &mut labels.texts)?;
                labels.pairs.push((start..middle, middle..labels.texts.len()));
            }
            None => {
                let metric = labels.texts.split_off(start);
                labels.push_metric(&metric);
            }
        }
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("labels are not separated by a comma or closed by a brace"),
        }
    }
}

fn read_name<'a>(rest: &'a str, texts: &mut String) -> Result<&'a str, &'static str> {
    if let Some(quoted) = rest.strip_prefix('"') {
        return read_quoted(quoted, texts);
    }
    let end = rest.find(['=', ' ', '\t', ',', '}', '"']).ok_or("the labels are not closed by a brace")?;
    if end == 0 || !rest[end..].trim_start().starts_with('=') {
        return Err("a label has no name or no value");
    }
    texts.push_str(&rest[..end]);
    Ok(&rest[end..])
}

/// Text up to the closing quote, escapes resolved; returns what follows the quote.
fn read_quoted<'a>(rest: &'a str, texts: &mut String) -> Result<&'a str, &'static str> {
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(&rest[at + 1..]),
            '\\' => push_escaped(chars.next().map(|(_, escaped)| escaped), texts),
            _ => texts.push(c),
        }
    }
    Err("a quote is not closed")
}

/// `\n`, `\"` and `\\`; any other escape keeps its backslash, as in Prometheus.
fn push_escaped(escaped: Option<char>, texts: &mut String) {
    match escaped {
        Some('n') => texts.push('\n'),
        Some(c @ ('"' | '\\')) => texts.push(c),
        Some(c) => texts.extend(['\\', c]),
        None => texts.push('\\'),
    }
}

/// A help text with its escapes resolved.
pub(crate) fn unescape(text: &str) -> String {
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        if c == '\\' { push_escaped(chars.next(), &mut plain) } else { plain.push(c) }
    }
    plain
}

/// A family name, which may be quoted.
pub(crate) fn unquote(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => unescape(inside),
        None => name.to_owned(),
    }
}
