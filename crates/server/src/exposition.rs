//! The Prometheus text format 0.0.4.

use std::fmt::Write;

use promql::format_number;

use crate::parts::MetricFamily;

/// MIME type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families sorted by name, each with its help and type.
pub(crate) fn text(mut families: Vec<MetricFamily>) -> String {
    families.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = String::with_capacity(families.len() * 256);
    for family in &families {
        let name = &family.name;
        let _ = writeln!(out, "# HELP {name} {}", escape(&family.help, false));
        let _ = writeln!(out, "# TYPE {name} {}", family.kind.as_str());
        for sample in &family.samples {
            let _ = write!(out, "{name}{}", sample.suffix);
            for (i, (label, value)) in sample.labels.iter().enumerate() {
                let _ = write!(out, "{}{label}=\"{}\"", if i > 0 { "," } else { "{" }, escape(value, true));
            }
            let close = if sample.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(out, "{close} {}", format_number(sample.value));
        }
    }
    out
}

fn escape(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::{MetricKind, MetricSample};

    #[test]
    fn hostile_texts_are_escaped_and_families_sorted() {
        let hostile = MetricFamily {
            name: "b_total".into(),
            help: "back\\slash \"quoted\"\nnext".into(),
            kind: MetricKind::Counter,
            samples: vec![MetricSample {
                suffix: "",
                labels: vec![("a".into(), "x\"\\\n".into()), ("c".into(), "y".into())],
                value: f64::INFINITY,
            }],
        };
        let plain = MetricFamily::single("a", "A.", MetricKind::Gauge, 1.5);
        assert_eq!(
            text(vec![hostile, plain]),
            "# HELP a A.\n# TYPE a gauge\na 1.5\n\
             # HELP b_total back\\\\slash \"quoted\"\\nnext\n# TYPE b_total counter\nb_total{a=\"x\\\"\\\\\\n\",c=\"y\"} +Inf\n"
        );
    }
}
