//! Query answers as JSON, written straight into bytes: a range answer has up to 11,000 points a series.

use std::io::Write;
use std::sync::Arc;

use promql::{Answer, Point, Value, buckets, format_sample};
use series::{Histogram, Labels, Timestamp};

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

/// A query's value in the shape of the Prometheus API: `{"resultType":…,"result":…}`.
pub fn promql_value(found: &Value) -> Vec<u8> {
    let mut out = b"{\"resultType\":".to_vec();
    value(&mut out, found, None);
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
                match &item.point {
                    Point::Float(number) => {
                        out.extend_from_slice(b",\"value\":");
                        point(out, item.at, *number);
                    }
                    Point::Histogram(native) => {
                        out.extend_from_slice(b",\"histogram\":");
                        histogram(out, item.at, native);
                    }
                }
            });
            shown < items.len()
        }
        Value::Matrix(items) => {
            out.extend_from_slice(b"\"matrix\",\"result\":");
            let shown = limit.unwrap_or(items.len()).min(items.len());
            list(out, &items[..shown], |out, item| {
                metric(out, &item.labels);
                // Each list is there only if it holds something.
                points(out, "values", &item.points, |out, (at, number)| point(out, *at, *number));
                points(out, "histograms", &item.histograms, |out, (at, native): &(Timestamp, Arc<Histogram>)| {
                    histogram(out, *at, native);
                });
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

fn points<T>(out: &mut Vec<u8>, name: &str, points: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    if points.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
    for (i, point) in points.iter().enumerate() {
        out.push(if i > 0 { b',' } else { b'[' });
        write(out, point);
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
    out.push(b',');
    quoted(out, number);
    out.push(b']');
}

/// `[seconds,{"count":"…","sum":"…","buckets":[[rule,"lower","upper","count"],…]}]`; buckets that hold something only,
/// and no list of them if none does.
fn histogram(out: &mut Vec<u8>, at: Timestamp, native: &Histogram) {
    out.push(b'[');
    time(out, at);
    out.extend_from_slice(b",{\"count\":");
    quoted(out, native.count);
    out.extend_from_slice(b",\"sum\":");
    quoted(out, native.sum);
    let mut is_first = true;
    for bucket in buckets(native).iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(if is_first { b",\"buckets\":[[" } else { b",[" });
        is_first = false;
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            quoted(out, number);
        }
        out.push(b']');
    }
    out.extend_from_slice(if is_first { b"}]" } else { b"]}]" });
}

fn quoted(out: &mut Vec<u8>, number: f64) {
    out.push(b'"');
    out.extend_from_slice(format_sample(number).as_bytes());
    out.push(b'"');
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

    use series::{Buckets, Span};

    fn body(value: Value) -> serde_json::Value {
        let whole = Answer { value, warnings: Vec::new(), infos: Vec::new(), stats: promql::Stats::default() };
        let text = answer(&whole, None, None);
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["data"]["result"].clone()
    }

    #[test]
    fn histograms_stand_beside_floats() {
        let side = |counts: &[f64]| Buckets {
            spans: vec![Span { offset: 1, length: counts.len() as u32 }],
            counts: counts.to_vec(),
        };
        let native = Histogram {
            count: 6.0,
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive: side(&[2.0, 0.0]),
            negative: side(&[3.0]),
            ..Histogram::default()
        };
        let labels = Labels::from_pairs([("a", "b")]).expect("valid");
        let shown = serde_json::json!({
            "count": "6", "sum": "2.5",
            "buckets": [[1, "-2", "-1", "3"], [3, "-0.001", "0.001", "1"], [0, "1", "2", "2"]],
        });
        let at = Timestamp(1500);
        let point = Point::Histogram(Arc::new(native.clone()));
        let found = body(Value::Vector(vec![promql::VectorItem { labels: labels.clone(), at, point }]));
        assert_eq!(found, serde_json::json!([{"metric": {"a": "b"}, "histogram": [1.5, shown]}]));
        let (points, histograms) = (vec![(Timestamp(0), 1e21)], vec![(at, Arc::new(native))]);
        let found = body(Value::Matrix(vec![promql::MatrixItem { labels: labels.clone(), points, histograms }]));
        assert_eq!(found[0]["values"], serde_json::json!([[0, "1e+21"]]));
        assert_eq!(found[0]["histograms"], serde_json::json!([[1.5, shown]]));
        let empty = vec![(at, Arc::new(Histogram::default()))];
        let found = body(Value::Matrix(vec![promql::MatrixItem { labels, points: Vec::new(), histograms: empty }]));
        assert_eq!(found[0].get("values"), None);
        assert_eq!(found[0]["histograms"], serde_json::json!([[1.5, {"count": "0", "sum": "0"}]]));
    }

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
