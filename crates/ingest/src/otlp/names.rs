//! Names of OTLP as names of Prometheus: separators, units and the suffix of counters.
//!
//! ```text
//!   http.server.duration  ms  histogram  →  http_server_duration_milliseconds
//!   requests              {request}  counter  →  requests_total
//!   cpu.utilization       1   gauge      →  cpu_utilization_ratio
//! ```
//!
//! Source: opentelemetry.io, "Prometheus and OpenMetrics Compatibility", and what Prometheus 3 does by default.

use std::borrow::Cow;

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// Letters, digits, `_` and `:` only; units and `_total` appended.
    #[default]
    Underscores,
    /// Any UTF-8; units and `_total` appended.
    Utf8,
    /// As they were sent.
    AsSent,
}

/// What a metric is, as far as its name is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Other,
}

/// UCUM's words for units that Prometheus writes out.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("", ""),
];

/// The same behind a slash.
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

impl Naming {
    /// By its word in the configuration; `None` for others.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "underscores" => Self::Underscores,
            "utf8" => Self::Utf8,
            "as_sent" => Self::AsSent,
            _ => return None,
        })
    }

    /// The name of a metric family.
    pub(crate) fn metric(self, name: &str, unit: &str, kind: Kind) -> String {
        match self {
            Self::AsSent => name.to_owned(),
            Self::Utf8 => with_suffixes(name, unit, kind),
            Self::Underscores => from_words(name, unit, kind),
        }
    }

    /// The name of a label.
    pub(crate) fn label(self, name: &str) -> Cow<'_, str> {
        if self != Self::Underscores {
            return name.into();
        }
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let first = name.chars().next();
        let prefix = match first {
            Some(c) if c.is_ascii_digit() => "key_",
            Some('_') if !name.starts_with("__") => "key",
            _ => "",
        };
        if prefix.is_empty() && name.chars().all(is_fine) {
            return name.into();
        }
        let clean = name.chars().map(|c| if is_fine(c) { c } else { '_' });
        prefix.chars().chain(clean).collect::<String>().into()
    }
}

/// The unit in words: what is counted, and per what. Annotations in braces are for people and dropped.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |text: &str, table: &[(&str, &str)]| {
        let text = text.trim();
        if text.contains(['{', '}']) {
            return String::new();
        }
        let known = table.iter().find(|(symbol, _)| *symbol == text).map(|(_, word)| *word);
        let clean: String =
            known.unwrap_or(text).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        clean.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
    };
    (word(main, &UNITS), word(per, &PER_UNITS))
}

fn from_words(name: &str, unit: &str, kind: Kind) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut words: Vec<&str> = name.split(|c| !is_fine(c)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_words(unit);
    if !main.is_empty() && !words.contains(&main.as_str()) {
        words.push(&main);
    }
    if !per.is_empty() && !words.contains(&per.as_str()) {
        words.extend(["per", &per]);
    }
    if let Some(suffix) = kind_suffix(unit, kind) {
        words.retain(|word| *word != suffix);
        words.push(suffix);
    }
    let joined = words.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    let mut name = name.to_owned();
    for suffix in [main.as_str(), &per, kind_suffix(unit, kind).unwrap_or("")] {
        if suffix.is_empty() {
            continue;
        }
        if let Some(stem) = name.strip_suffix(suffix) {
            name = stem.trim_end_matches(['_', '.']).to_owned();
        }
        name = if name.is_empty() { suffix.to_owned() } else { format!("{name}_{suffix}") };
    }
    name
}

fn kind_suffix(unit: &str, kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Counter => Some("total"),
        Kind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_units_and_suffixes_once() {
        for (name, unit, kind, wanted) in [
            ("http.server.duration", "ms", Kind::Other, "http_server_duration_milliseconds"),
            ("system.disk.io", "By", Kind::Counter, "system_disk_io_bytes_total"),
            ("requests_total", "", Kind::Counter, "requests_total"),
            ("total.requests", "{request}", Kind::Counter, "requests_total"),
            ("process.runtime.seconds", "s", Kind::Gauge, "process_runtime_seconds"),
            ("cpu.utilization", "1", Kind::Gauge, "cpu_utilization_ratio"),
            ("flow", "m/s", Kind::Gauge, "flow_meters_per_second"),
            ("speed", "{packet}/s", Kind::Gauge, "speed_per_second"),
            ("odd", "foo.bar__x", Kind::Gauge, "odd_foo_bar_x"),
            ("2xx responses", "", Kind::Gauge, "_2xx_responses"),
            ("job:rate:5m", "", Kind::Gauge, "job:rate:5m"),
            ("größe", "", Kind::Gauge, "gr_e"),
        ] {
            assert_eq!(Naming::Underscores.metric(name, unit, kind), wanted, "{name} {unit}");
        }
    }

    #[test]
    fn other_namings_keep_the_characters() {
        let utf8 = |name, unit, kind| Naming::Utf8.metric(name, unit, kind);
        assert_eq!(utf8("http.server.duration", "ms", Kind::Other), "http.server.duration_milliseconds");
        assert_eq!(utf8("disk.bytes.total", "By", Kind::Counter), "disk.bytes.total_bytes_total");
        assert_eq!(utf8("requests.total", "", Kind::Counter), "requests_total");
        assert_eq!(Naming::AsSent.metric("a.b", "s", Kind::Counter), "a.b");
    }

    #[test]
    fn labels_keep_their_length_but_for_a_prefix() {
        for (name, wanted) in [
            ("http.method", "http_method"),
            ("a__b", "a__b"),
            ("1st", "key_1st"),
            ("_private", "key_private"),
            ("__name__", "__name__"),
        ] {
            assert_eq!(Naming::Underscores.label(name), wanted);
        }
        assert_eq!(Naming::Utf8.label("http.method"), "http.method");
    }
}
