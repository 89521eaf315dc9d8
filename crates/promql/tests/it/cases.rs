//! Notation of the shared cases: series of floats and native histograms, written short.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use series::{Buckets, CUSTOM_BUCKETS, Histogram, Labels, ResetHint, STALE_NAN, Span};

use crate::check::Point;
use crate::memory::Memory;

/// Puts all loads of a segment into a store.
pub(crate) fn load(loads: &[Json]) -> Memory {
    let mut memory = Memory::default();
    for load in loads {
        let step = load["step"].as_i64().expect("a step");
        let mut classic: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
        for series in load["series"].as_array().expect("series") {
            let labels = labels(&series["labels"]);
            for (i, item) in expand(&series["v"]).into_iter().enumerate() {
                let at = i as i64 * step;
                match item {
                    Some(Point::Float(value)) => {
                        memory.push(&labels, at, value);
                        if load["nhcb"] == true {
                            note(&mut classic, &labels, at, value);
                        }
                    }
                    Some(Point::Histogram(histogram)) => memory.push_histogram(&labels, at, *histogram),
                    None => {}
                }
            }
        }
        for (labels, samples) in classic {
            for (at, parts) in samples {
                memory.push_histogram(&labels, at, parts.converted());
            }
        }
    }
    memory
}

/// The series of a classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

fn note(classic: &mut BTreeMap<Labels, BTreeMap<i64, Classic>>, labels: &Labels, at: i64, value: f64) {
    let name = labels.metric();
    for ending in ["_bucket", "_count", "_sum"] {
        let Some(base) = name.strip_suffix(ending) else { continue };
        let base = labels.to_builder().set("__name__", base).remove("le").build();
        let parts = classic.entry(base).or_default().entry(at).or_default();
        match ending {
            "_count" => parts.count = Some(value),
            "_sum" => parts.sum = value,
            _ => parts.buckets.push((labels.get("le").expect("a bound").parse().expect("a number"), value)),
        }
        return;
    }
}

impl Classic {
    /// As one histogram with custom buckets.
    fn converted(mut self) -> Histogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|a, b| a.0 == b.0);
        let count = self.count.or(self.buckets.last().map(|bucket| bucket.1)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|bucket| bucket.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let below = std::iter::once(0.0).chain(self.buckets.iter().map(|bucket| bucket.1));
        let counts: BTreeMap<i64, f64> =
            (0..).zip(self.buckets.iter().zip(below).map(|((_, count), below)| count - below)).collect();
        let custom_bounds = self.buckets[..self.buckets.len() - 1].iter().map(|bucket| bucket.0).collect();
        let positive = side(&counts);
        Histogram { schema: CUSTOM_BUCKETS, count, sum: self.sum, positive, custom_bounds, ..Histogram::default() }
    }
}

pub(crate) fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("labels");
    Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value.as_str().unwrap_or("")))).expect("valid labels")
}

pub(crate) fn number(json: &Json) -> f64 {
    match json {
        Json::Number(number) => number.as_f64().expect("a float"),
        Json::String(text) if text == "stale" => STALE_NAN,
        Json::String(text) => text.parse().expect("a float as text"),
        _ => panic!("not a number: {json}"),
    }
}

/// One point a position.
pub(crate) fn expand(items: &Json) -> Vec<Option<Point>> {
    let mut out = Vec::new();
    for item in items.as_array().expect("points") {
        let count = item["n"].as_u64().unwrap_or(1) as usize;
        if item.is_null() {
            out.push(None);
        } else if let Some(gap) = item["gap"].as_u64() {
            out.extend(std::iter::repeat_n(None, gap as usize));
        } else if let Some(first) = item.get("hist") {
            let mut parts = Parts::new(first);
            let by = item.get("by").map(Parts::new);
            let sign = if item["sign"] == "-" { -1.0 } else { 1.0 };
            for _ in 0..count {
                out.push(Some(Point::Histogram(Box::new(parts.histogram()))));
                if let Some(by) = &by {
                    parts.add(by, sign);
                }
            }
        } else if let Some(from) = item.get("from") {
            let (mut value, by) = (number(from), number(&item["by"]));
            let stale = from == "stale";
            for _ in 0..count {
                out.push(Some(Point::Float(value)));
                if !stale {
                    value += by;
                }
            }
        } else {
            out.push(Some(Point::Float(number(item))));
        }
    }
    out
}

/// A histogram with buckets by index.
#[derive(Clone)]
struct Parts {
    base: Histogram,
    positive: BTreeMap<i64, f64>,
    negative: BTreeMap<i64, f64>,
}

impl Parts {
    fn new(json: &Json) -> Self {
        let field = |name: &str| json.get(name).map_or(0.0, number);
        let list = |name: &str| -> Vec<f64> { json[name].as_array().into_iter().flatten().map(number).collect() };
        let side = |offset: &str, counts: &str| (field(offset) as i64..).zip(list(counts)).collect();
        let base = Histogram {
            reset: match json["counter_reset_hint"].as_str() {
                Some("reset") => ResetHint::Reset,
                Some("not_reset") => ResetHint::NotReset,
                Some("gauge") => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            },
            schema: field("schema") as i32,
            zero_threshold: field("z_bucket_w"),
            zero_count: field("z_bucket"),
            count: field("count"),
            sum: field("sum"),
            custom_bounds: list("custom_values"),
            ..Histogram::default()
        };
        Self { base, positive: side("offset", "buckets"), negative: side("n_offset", "n_buckets") }
    }

    fn add(&mut self, by: &Self, sign: f64) {
        let schema = self.base.schema.min(by.base.schema);
        self.base.zero_count += sign * by.base.zero_count;
        self.base.count += sign * by.base.count;
        self.base.sum += sign * by.base.sum;
        for (own, other) in [(&mut self.positive, &by.positive), (&mut self.negative, &by.negative)] {
            let mut joined = coarser(own, self.base.schema - schema);
            for (index, count) in coarser(other, by.base.schema - schema) {
                *joined.entry(index).or_insert(0.0) += sign * count;
            }
            *own = joined;
        }
        self.base.schema = schema;
    }

    fn histogram(&self) -> Histogram {
        Histogram { positive: side(&self.positive), negative: side(&self.negative), ..self.base.clone() }
    }
}

fn coarser(buckets: &BTreeMap<i64, f64>, steps: i32) -> BTreeMap<i64, f64> {
    let mut out = BTreeMap::new();
    for (index, count) in buckets {
        *out.entry((0..steps).fold(*index, |index, _| (index + 1) >> 1)).or_insert(0.0) += count;
    }
    out
}

fn side(buckets: &BTreeMap<i64, f64>) -> Buckets {
    let mut out = Buckets::default();
    let mut next = 0;
    for (index, count) in buckets {
        out.spans.push(Span { offset: (index - next) as i32, length: 1 });
        out.counts.push(*count);
        next = index + 1;
    }
    out
}
