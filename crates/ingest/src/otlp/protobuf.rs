//! OTLP in protobuf, read without an object for the whole message: one point at a time.
//!
//! ```text
//!   ExportMetricsServiceRequest{resource_metrics = 1}    ResourceMetrics{resource = 1, scope_metrics = 2}
//!   ScopeMetrics{scope = 1, metrics = 2}                 KeyValue{key = 1, value = 2}
//!   Metric{name = 1, description = 2, unit = 3, gauge = 5, sum = 7, histogram = 9, exponential = 10, summary = 11}
//! ```
//!
//! A first walk counts the points, so that a message of empty ones costs no memory. Field order is free in protobuf,
//! therefore what describes (resource, name, temporality) is looked for before the points are read.
//! Source: opentelemetry.io, opentelemetry-proto `metrics/v1/metrics.proto`.

use std::borrow::Cow;

use serde_json::Value;
use series::BUCKETS_MAX;

use super::model::{
    ATTRIBUTES_MAX, Attributes, Body, EXEMPLARS_MAX, Explicit, Exponential, Head, Point, PointExemplar, QUANTILES_MAX,
    Scope, Shape, Side, Temporality,
};
use super::translate::Translator;
use super::value::{self, DEPTH_MAX, NESTED_BYTES_MAX};
use crate::error::IngestError;
use crate::limits::Limits;
use crate::wire::{Payload, Reader, WireError};

const NO_RECORDED_VALUE: u64 = 1;

/// Hands every point of `message` to `out`.
pub(crate) fn read(message: &[u8], limits: &Limits, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let found = count_points(message)?;
    if found > limits.samples {
        return Err(IngestError::TooMany { what: "data points", found, limit: limits.samples });
    }
    let mut request = Reader::new(message);
    while let Some((number, resource_metrics)) = request.bytes_field()? {
        if number == 1 {
            read_resource(&resource_metrics, out)?;
        }
    }
    Ok(())
}

fn count_points(message: &[u8]) -> Result<u64, WireError> {
    let mut n_points = 0;
    each(&Reader::new(message), 1, &mut |resource| {
        each(resource, 2, &mut |scope| {
            each(scope, 2, &mut |metric| {
                let mut fields = metric.clone();
                while let Some((number, data)) = fields.bytes_field()? {
                    if matches!(number, 5 | 7 | 9 | 10 | 11) {
                        each(&data, 1, &mut |_| {
                            n_points += 1;
                            Ok(())
                        })?;
                    }
                }
                Ok(())
            })
        })
    })?;
    Ok(n_points)
}

/// Calls `take` with every message in field `wanted`.
fn each(
    message: &Reader<'_>,
    wanted: u32,
    take: &mut dyn FnMut(&Reader<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut fields = message.clone();
    while let Some((number, inner)) = fields.bytes_field()? {
        if number == wanted {
            take(&inner)?;
        }
    }
    Ok(())
}

fn read_resource(message: &Reader<'_>, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let mut attributes = Vec::new();
    let mut fields = message.clone();
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 1 {
            attributes = read_attributes(&field, 1)?;
        }
    }
    out.begin_resource(&attributes);
    let mut fields = message.clone();
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 2 {
            read_scope(&field, out)?;
        }
    }
    out.end_resource()
}

fn read_scope(message: &Reader<'_>, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let mut scope = Scope::default();
    let mut fields = message.clone();
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 1 {
            let mut inner = field.clone();
            while let Some((number, text)) = inner.bytes_field()? {
                match number {
                    1 => scope.name = read_text(&text)?,
                    2 => scope.version = read_text(&text)?,
                    _ => {}
                }
            }
            scope.attributes = read_attributes(&field, 3)?;
        }
    }
    out.begin_scope(&scope);
    let mut fields = message.clone();
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 2 {
            read_metric(&field, out)?;
        }
    }
    Ok(())
}

fn read_metric(message: &Reader<'_>, out: &mut Translator<'_>) -> Result<(), IngestError> {
    let (mut head, mut points) = (Head::default(), None);
    let mut fields = message.clone();
    while let Some((number, field)) = fields.bytes_field()? {
        match number {
            1 => head.name = read_text(&field)?,
            2 => head.description = read_text(&field)?,
            3 => head.unit = read_text(&field)?,
            5 | 7 | 9 | 10 | 11 => {
                head.shape = read_shape(number, &field)?;
                points = Some(field);
            }
            _ => {}
        }
    }
    let shape = head.shape;
    out.begin_metric(&head);
    let Some(mut points) = points else { return Ok(()) };
    while let Some((number, point)) = points.bytes_field()? {
        if number == 1 {
            out.point(read_point(shape, point)?)?;
        }
    }
    Ok(())
}

fn read_shape(number: u32, data: &Reader<'_>) -> Result<Shape, WireError> {
    let (mut temporality, mut monotonic) = (Temporality::default(), false);
    let mut fields = data.clone();
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Varint(number)) => temporality = Temporality::of_number(number),
            (3, Payload::Varint(flag)) => monotonic = flag != 0,
            _ => {}
        }
    }
    Ok(match number {
        5 => Shape::Gauge,
        7 => Shape::Sum { temporality, monotonic },
        9 => Shape::Histogram { temporality },
        10 => Shape::Exponential { temporality },
        _ => Shape::Summary,
    })
}

fn read_point<'a>(shape: Shape, message: Reader<'a>) -> Result<Point<'a>, WireError> {
    match shape {
        Shape::Histogram { .. } => read_histogram(message),
        Shape::Exponential { .. } => read_exponential(message),
        Shape::Summary => read_summary(message),
        Shape::Unknown | Shape::Gauge | Shape::Sum { .. } => read_number(message),
    }
}

fn read_number<'a>(message: Reader<'a>) -> Result<Point<'a>, WireError> {
    let (mut point, mut value, mut fields) = (Point::default(), None, message.clone());
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Fixed64(ns)) => point.start_ns = ns,
            (3, Payload::Fixed64(ns)) => point.time_ns = ns,
            (4, Payload::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (5, Payload::Bytes(exemplar)) => push_exemplar(&mut point, exemplar)?,
            (6, Payload::Fixed64(bits)) => value = Some(bits as i64 as f64),
            (8, Payload::Varint(flags)) => point.is_stale = flags & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    point.attributes = read_attributes(&message, 7)?;
    point.body = Body::Number(value);
    Ok(point)
}

fn read_histogram<'a>(message: Reader<'a>) -> Result<Point<'a>, WireError> {
    let (mut point, mut histogram, mut fields) = (Point::default(), Explicit::default(), message.clone());
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Fixed64(ns)) => point.start_ns = ns,
            (3, Payload::Fixed64(ns)) => point.time_ns = ns,
            (4, Payload::Fixed64(count)) => histogram.count = count,
            (5, Payload::Fixed64(bits)) => histogram.sum = Some(f64::from_bits(bits)),
            // One by one they are longer than the numbers they become, so they need no bound of their own.
            (6, Payload::Fixed64(count)) => histogram.counts.push(count),
            (6, Payload::Bytes(packed)) => histogram.counts.extend(fixed64s(&packed)?),
            (7, Payload::Fixed64(bits)) => histogram.bounds.push(f64::from_bits(bits)),
            (7, Payload::Bytes(packed)) => histogram.bounds.extend(fixed64s(&packed)?.map(f64::from_bits)),
            (8, Payload::Bytes(exemplar)) => push_exemplar(&mut point, exemplar)?,
            (10, Payload::Varint(flags)) => point.is_stale = flags & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    point.attributes = read_attributes(&message, 9)?;
    point.body = Body::Histogram(histogram);
    Ok(point)
}

fn read_exponential<'a>(message: Reader<'a>) -> Result<Point<'a>, WireError> {
    let (mut point, mut histogram, mut fields) = (Point::default(), Exponential::default(), message.clone());
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Fixed64(ns)) => point.start_ns = ns,
            (3, Payload::Fixed64(ns)) => point.time_ns = ns,
            (4, Payload::Fixed64(count)) => histogram.count = count,
            (5, Payload::Fixed64(bits)) => histogram.sum = Some(f64::from_bits(bits)),
            (6, Payload::Varint(bits)) => histogram.scale = zigzag(bits),
            (7, Payload::Fixed64(count)) => histogram.zero_count = count,
            (8, Payload::Bytes(side)) => histogram.positive = read_side(side)?,
            (9, Payload::Bytes(side)) => histogram.negative = read_side(side)?,
            (10, Payload::Varint(flags)) => point.is_stale = flags & NO_RECORDED_VALUE != 0,
            (11, Payload::Bytes(exemplar)) => push_exemplar(&mut point, exemplar)?,
            (14, Payload::Fixed64(bits)) => histogram.zero_threshold = f64::from_bits(bits),
            _ => {}
        }
    }
    point.attributes = read_attributes(&message, 1)?;
    point.body = Body::Exponential(Box::new(histogram));
    Ok(point)
}

fn read_side(mut message: Reader<'_>) -> Result<Side, WireError> {
    let mut side = Side::default();
    while let Some((number, payload)) = message.field()? {
        match (number, payload) {
            (1, Payload::Varint(bits)) => side.offset = zigzag(bits),
            (2, Payload::Varint(count)) => side.counts.push(count),
            (2, Payload::Bytes(packed)) => read_varints(&packed, &mut side.counts)?,
            _ => {}
        }
        if side.counts.len() > BUCKETS_MAX {
            return Err(message.fault("an exponential histogram has more than 10000 buckets on a side"));
        }
    }
    Ok(side)
}

fn read_summary<'a>(message: Reader<'a>) -> Result<Point<'a>, WireError> {
    let (mut point, mut count, mut sum, mut quantiles) = (Point::default(), 0, 0.0, Vec::new());
    let mut fields = message.clone();
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Fixed64(ns)) => point.start_ns = ns,
            (3, Payload::Fixed64(ns)) => point.time_ns = ns,
            (4, Payload::Fixed64(n)) => count = n,
            (5, Payload::Fixed64(bits)) => sum = f64::from_bits(bits),
            (6, Payload::Bytes(mut quantile)) => {
                let (mut level, mut value) = (0.0, 0.0);
                while let Some((number, payload)) = quantile.field()? {
                    match (number, payload) {
                        (1, Payload::Fixed64(bits)) => level = f64::from_bits(bits),
                        (2, Payload::Fixed64(bits)) => value = f64::from_bits(bits),
                        _ => {}
                    }
                }
                if quantiles.len() == QUANTILES_MAX {
                    return Err(quantile.fault("a summary has more than 1024 quantiles"));
                }
                quantiles.push((level, value));
            }
            (8, Payload::Varint(flags)) => point.is_stale = flags & NO_RECORDED_VALUE != 0,
            _ => {}
        }
    }
    point.attributes = read_attributes(&message, 7)?;
    point.body = Body::Summary { count, sum, quantiles };
    Ok(point)
}

/// Adds an exemplar; those beyond the bound are hints too many.
fn push_exemplar<'a>(point: &mut Point<'a>, message: Reader<'a>) -> Result<(), WireError> {
    if point.exemplars.len() < EXEMPLARS_MAX {
        point.exemplars.push(read_exemplar(message)?);
    }
    Ok(())
}

fn read_exemplar<'a>(message: Reader<'a>) -> Result<PointExemplar<'a>, WireError> {
    let (mut exemplar, mut fields) = (PointExemplar::default(), message.clone());
    while let Some((number, payload)) = fields.field()? {
        match (number, payload) {
            (2, Payload::Fixed64(ns)) => exemplar.time_ns = ns,
            (3, Payload::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (4, Payload::Bytes(id)) => exemplar.span_id = value::hex(id.bytes()),
            (5, Payload::Bytes(id)) => exemplar.trace_id = value::hex(id.bytes()),
            (6, Payload::Fixed64(bits)) => exemplar.value = bits as i64 as f64,
            _ => {}
        }
    }
    exemplar.attributes = read_attributes(&message, 7)?;
    Ok(exemplar)
}

/// All `KeyValue`s in field `wanted`.
fn read_attributes<'a>(message: &Reader<'a>, wanted: u32) -> Result<Attributes<'a>, WireError> {
    let (mut attributes, mut fields) = (Vec::new(), message.clone());
    while let Some((number, mut pair)) = fields.bytes_field()? {
        if number != wanted {
            continue;
        }
        let (mut key, mut text) = (Cow::default(), Cow::default());
        while let Some((number, half)) = pair.bytes_field()? {
            match number {
                1 => key = read_text(&half)?,
                2 => text = read_value_text(half)?,
                _ => {}
            }
        }
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(pair.fault("more than 1024 attributes"));
        }
        attributes.push((key, text));
    }
    Ok(attributes)
}

/// An `AnyValue` as a label's text; the common one, a text, is not copied.
fn read_value_text<'a>(message: Reader<'a>) -> Result<Cow<'a, str>, WireError> {
    let mut fields = message.clone();
    if let Some((1, text)) = fields.bytes_field()?
        && fields.is_at_end()
    {
        return read_text(&text);
    }
    if message.bytes().len() > NESTED_BYTES_MAX {
        return Err(message.fault("an attribute's list or map has more than 64 KiB"));
    }
    Ok(value::text(read_value(message, 0)?).into())
}

fn read_value(mut message: Reader<'_>, depth: usize) -> Result<Value, WireError> {
    if depth > DEPTH_MAX {
        return Err(message.fault("attribute values are nested too deeply"));
    }
    let mut value = Value::Null;
    while let Some((number, payload)) = message.field()? {
        match (number, payload) {
            (1, Payload::Bytes(text)) => value = Value::String(read_text(&text)?.into_owned()),
            (2, Payload::Varint(flag)) => value = Value::Bool(flag != 0),
            (3, Payload::Varint(bits)) => value = Value::from(bits as i64),
            (4, Payload::Fixed64(bits)) => value = value::double(f64::from_bits(bits)),
            (5, Payload::Bytes(mut list)) => {
                let mut values = Vec::new();
                while let Some((number, item)) = list.bytes_field()? {
                    if number == 1 {
                        values.push(read_value(item, depth + 1)?);
                    }
                }
                value = Value::Array(values);
            }
            (6, Payload::Bytes(mut list)) => {
                let mut object = serde_json::Map::new();
                while let Some((_, mut pair)) = list.bytes_field()? {
                    let (mut key, mut inner) = (Cow::default(), Value::Null);
                    while let Some((number, half)) = pair.bytes_field()? {
                        match number {
                            1 => key = read_text(&half)?,
                            2 => inner = read_value(half, depth + 1)?,
                            _ => {}
                        }
                    }
                    object.insert(key.into_owned(), inner);
                }
                value = Value::Object(object);
            }
            (7, Payload::Bytes(bytes)) => value = Value::String(value::base64(bytes.bytes())),
            _ => {}
        }
    }
    Ok(value)
}

fn read_text<'a>(field: &Reader<'a>) -> Result<Cow<'a, str>, WireError> {
    std::str::from_utf8(field.bytes()).map(Cow::Borrowed).map_err(|_| field.fault("a text is not UTF-8"))
}

fn fixed64s<'a>(packed: &Reader<'a>) -> Result<impl Iterator<Item = u64> + use<'a>, WireError> {
    let (numbers, rest) = packed.bytes().as_chunks::<8>();
    if !rest.is_empty() {
        return Err(packed.fault("packed 8-byte numbers are cut off"));
    }
    Ok(numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)))
}

fn read_varints(packed: &Reader<'_>, out: &mut Vec<u64>) -> Result<(), WireError> {
    let (mut value, mut shift) = (0_u64, 0);
    for &byte in packed.bytes() {
        if shift > 63 {
            return Err(packed.fault("varint is longer than 64 bits"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            if out.len() > BUCKETS_MAX {
                return Ok(()); // The caller refuses so many.
            }
            out.push(value);
            (value, shift) = (0, 0);
        }
    }
    if shift > 0 { Err(packed.fault("varint is cut off")) } else { Ok(()) }
}

fn zigzag(bits: u64) -> i32 {
    let bits = bits as u32;
    (bits >> 1) as i32 ^ -((bits & 1) as i32)
}
