//! Query answers as JSON, written straight into bytes: a range answer has up to 11,000 points a series.

use std::io::Write;

use promql::{Answer, Value, format_number};
use series::{Labels, Timestamp};

/// The whole success body. With `limit`, vectors and matrices are cut and a warning says so.
pub(crate) fn answer(answer: &Answer, limit: Option<usize>, stats: Option<serde_json::Value>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":{\"resultType\":");
    let cut = value(&mut out, &answer.value, limit.filter(|limit| *limit > 0));
    if let Some(stats) = stats {
        out.extend_from_slice(b",\"stats\":");
        json(&mut out, &stats);
    }
    out.push(b'}');
    let mut warnings: Vec<String> = answer.warnings.iter().map(ToString::to_string).collect();
    if cut {
        warnings.push("results truncated due to limit".to_owned());
    }
    for (name, list) in [("warnings", warnings), ("infos", answer.infos.iter().map(ToString::to_string).collect())] {
        if !list.is_empty() {
            let _ = write!(out, ",\"{name}\":");
            json(&mut out, &list);
        }
    }
    out.push(b'}');
    out
}

/// Writes `"type","result":…`; true when something was left out.
fn value(out: &mut Vec<u8>, value: &Value, limit: Option<usize>) -> bool {
    match value {
        Value::Scalar(at, number) => {
            out.extend_from_slice(b"\"scalar\",\"result\":");
            point(out, *at, *number);
            false
        }
        Value::String(at, text) => {
            out.extend_from_slice(b"\"string\",\"result\":[");
            time(out, *at);
            out.push(b',');
            json(out, text);
            out.push(b']');
            false
        }
        Value::Vector(items) => {
            out.extend_from_slice(b"\"vector\",\"result\":");
            let shown = limit.unwrap_or(items.len()).min(items.len());
            list(out, &items[..shown], |out, item| {
                metric(out, &item.labels);
                out.extend_from_slice(b",\"value\":");
                point(out, item.at, item.value);
            });
            shown < items.len()
        }
        Value::Matrix(items) => {
            out.extend_from_slice(b"\"matrix\",\"result\":");
            let shown = limit.unwrap_or(items.len()).min(items.len());
            list(out, &items[..shown], |out, item| {
                metric(out, &item.labels);
                out.extend_from_slice(b",\"values\":[");
                for (i, &(at, number)) in item.points.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    point(out, at, number);
                }
                out.push(b']');
            });
            shown < items.len()
        }
    }
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut object: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
        object(out, item);
        out.push(b'}');
    }
    out.push(b']');
}

fn metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(b"\"metric\":{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json(out, &name);
        out.push(b':');
        json(out, &value);
    }
    out.push(b'}');
}

/// `[seconds,"value"]`.
fn point(out: &mut Vec<u8>, at: Timestamp, number: f64) {
    out.push(b'[');
    time(out, at);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(format_number(number).as_bytes());
    out.extend_from_slice(b"\"]");
}

/// Seconds, with three decimals unless they are all zero, as Prometheus prints them.
fn time(out: &mut Vec<u8>, at: Timestamp) {
    let (sign, millis) = (if at.0 < 0 { "-" } else { "" }, at.0.unsigned_abs());
    let _ = match millis % 1000 {
        0 => write!(out, "{sign}{}", millis / 1000),
        rest => write!(out, "{sign}{}.{rest:03}", millis / 1000),
    };
}

fn json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // Writing texts and plain trees to memory has no way to fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(millis: i64) -> String {
        let mut out = Vec::new();
        time(&mut out, Timestamp(millis));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn times_have_no_or_three_decimals() {
        assert_eq!(seconds(1_435_781_451_781), "1435781451.781");
        assert_eq!(seconds(1_435_781_451_000), "1435781451");
        assert_eq!(seconds(1_050), "1.050");
        assert_eq!(seconds(-1), "-0.001");
        assert_eq!(seconds(0), "0");
    }
}
