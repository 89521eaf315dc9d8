//! OTLP in JSON: lowerCamelCase names, 64-bit integers as texts, enumerations as numbers, identifiers in hexadecimal.
//!
//! Lists are walked element by element over slices of the text, so that nothing grows with the number of points. Unknown
//! names are passed over, `null` is the same as absent. Source: opentelemetry.io, "JSON Protobuf Encoding".

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json_fields::{Data, Metric, Number, Pair, Request, Resource, Resources, Scopes};
use super::model::{Attributes, Body, Explicit, Exponential, Head, Point, PointExemplar, Scope, Shape, Side};
use super::translate::Translator;
use super::value;
use crate::error::IngestError;

const NO_RECORDED_VALUE: u32 = 1;

/// Hands every point of `message` to `out`.
pub(crate) fn read(message: &[u8], out: &mut Translator<'_>) -> Result<(), IngestError> {
    let text = std::str::from_utf8(message).map_err(|err| IngestError::NotUtf8 { offset: err.valid_up_to() })?;
    // The only place where line and column are those of the whole text; everything inside is well-formed afterwards.
    let request: Request<'_> = serde_json::from_str(text).map_err(|err| IngestError::Json { why: err.to_string() })?;
    each(request.resource_metrics, |item| read_resource(item, out))
}

fn read_resource(item: &RawValue, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let resources: Resources<'_> = parse(item)?;
    let resource: Resource<'_> = resources.resource.map(parse).transpose()?.unwrap_or_default();
    out.begin_resource(&attributes(resource.attributes.0));
    each(resources.scope_metrics, |item| read_scope(item, out))?;
    out.end_resource()
}

fn read_scope(item: &RawValue, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let scopes: Scopes<'_> = parse(item)?;
    let scope: super::json_fields::Scope<'_> = scopes.scope.map(parse).transpose()?.unwrap_or_default();
    out.begin_scope(&Scope {
        name: scope.name.unwrap_or_default().0,
        version: scope.version.unwrap_or_default().0,
        attributes: attributes(scope.attributes.0),
    });
    each(scopes.metrics, |item| read_metric(item, out))
}

fn read_metric(item: &RawValue, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let metric: Metric<'_> = parse(item)?;
    let kinds = [metric.gauge, metric.sum, metric.histogram, metric.exponential_histogram, metric.summary];
    let found = kinds.into_iter().enumerate().find_map(|(kind, data)| data.map(|data| (kind, data)));
    let (shape, points) = match found {
        None => (Shape::Unknown, None),
        Some((kind, data)) => {
            let data: Data<'_> = parse(data)?;
            let temporality = data.aggregation_temporality.0;
            let shape = match kind {
                0 => Shape::Gauge,
                1 => Shape::Sum { temporality, monotonic: data.is_monotonic.unwrap_or(false) },
                2 => Shape::Histogram { temporality },
                3 => Shape::Exponential { temporality },
                _ => Shape::Summary,
            };
            (shape, data.data_points)
        }
    };
    out.begin_metric(&Head {
        name: metric.name.unwrap_or_default().0,
        description: metric.description.unwrap_or_default().0,
        unit: metric.unit.unwrap_or_default().0,
        shape,
    });
    each(points, |item| out.point(point(shape, parse(item)?)))
}

fn point<'a>(shape: Shape, fields: Number<'a>) -> Point<'a> {
    let count = fields.count.0;
    let sum = fields.sum.map(|sum| sum.0);
    let body = match shape {
        Shape::Histogram { .. } => Body::Histogram(Explicit {
            count,
            sum,
            counts: fields.bucket_counts.0.into_iter().map(|count| count.0).collect(),
            bounds: fields.explicit_bounds.0.into_iter().map(|bound| bound.0).collect(),
        }),
        Shape::Exponential { .. } => Body::Exponential(Box::new(Exponential {
            count,
            sum,
            scale: fields.scale.unwrap_or(0),
            zero_count: fields.zero_count.0,
            zero_threshold: fields.zero_threshold.0,
            positive: side(fields.positive),
            negative: side(fields.negative),
        })),
        Shape::Summary => Body::Summary {
            count,
            sum: sum.unwrap_or(0.0),
            quantiles: fields.quantile_values.0.into_iter().map(|item| (item.quantile.0, item.value.0)).collect(),
        },
        Shape::Unknown | Shape::Gauge | Shape::Sum { .. } => {
            Body::Number(fields.as_double.map(|value| value.0).or(fields.as_int.map(|value| value.0 as f64)))
        }
    };
    let exemplars = fields.exemplars.0.into_iter().map(|exemplar| PointExemplar {
        attributes: attributes(exemplar.filtered_attributes.0),
        time_ns: exemplar.time_unix_nano.0,
        value: exemplar.as_double.map(|value| value.0).or(exemplar.as_int.map(|value| value.0 as f64)).unwrap_or(0.0),
        trace_id: exemplar.trace_id.unwrap_or_default(),
        span_id: exemplar.span_id.unwrap_or_default(),
    });
    Point {
        exemplars: exemplars.collect(),
        attributes: attributes(fields.attributes.0),
        start_ns: fields.start_time_unix_nano.0,
        time_ns: fields.time_unix_nano.0,
        is_stale: fields.flags.unwrap_or(0) & NO_RECORDED_VALUE != 0,
        body,
    }
}

fn side(fields: Option<super::json_fields::Buckets>) -> Side {
    let fields = fields.unwrap_or_default();
    Side {
        offset: fields.offset.unwrap_or(0),
        counts: fields.bucket_counts.0.into_iter().map(|count| count.0).collect(),
    }
}

fn attributes(pairs: Vec<Pair<'_>>) -> Attributes<'_> {
    pairs
        .into_iter()
        .map(|pair| (pair.key.unwrap_or_default().0, pair.value.map_or(Cow::default(), value::json_text)))
        .collect()
}

fn parse<'a, T: serde::Deserialize<'a>>(item: &'a RawValue) -> Result<T, IngestError> {
    serde_json::from_str(item.get()).map_err(|err| fault(&err))
}

/// Calls `take` with each element of a list.
fn each<'a>(
    list: Option<&'a RawValue>,
    mut take: impl FnMut(&'a RawValue) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    let Some(list) = list else { return Ok(()) };
    let mut stopped = None;
    let items = Items { take: &mut take, stopped: &mut stopped };
    let walked = serde_json::Deserializer::from_str(list.get()).deserialize_seq(items);
    match stopped {
        Some(err) => Err(err),
        None => walked.map_err(|err| fault(&err)),
    }
}

/// Without the place, which is one inside a slice.
fn fault(err: &serde_json::Error) -> IngestError {
    let text = err.to_string();
    IngestError::Json { why: text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned() }
}

struct Items<'f, F> {
    take: &'f mut F,
    /// The error of `take`, which serde's own could not carry.
    stopped: &'f mut Option<IngestError>,
}

impl<'de, F: FnMut(&'de RawValue) -> Result<(), IngestError>> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            if let Err(err) = (self.take)(item) {
                *self.stopped = Some(err);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
