//! The objects of OTLP's JSON, field by field. Long lists stay slices of the text; short ones have a length.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use series::BUCKETS_MAX;

use super::model::{ATTRIBUTES_MAX, EXEMPLARS_MAX, QUANTILES_MAX, Temporality};

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(borrow)]
    pub(crate) resource_metrics: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resources<'a> {
    #[serde(borrow)]
    pub(crate) resource: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) scope_metrics: Option<&'a RawValue>,
}

#[derive(serde::Deserialize, Default)]
pub(crate) struct Resource<'a> {
    #[serde(borrow, default)]
    pub(crate) attributes: List<Pair<'a>, ATTRIBUTES_MAX>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Scopes<'a> {
    #[serde(borrow)]
    pub(crate) scope: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) metrics: Option<&'a RawValue>,
}

#[derive(serde::Deserialize, Default)]
pub(crate) struct Scope<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) version: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) attributes: List<Pair<'a>, ATTRIBUTES_MAX>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metric<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) description: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) unit: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) gauge: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) sum: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) histogram: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) exponential_histogram: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) summary: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Data<'a> {
    #[serde(borrow)]
    pub(crate) data_points: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) aggregation_temporality: TemporalityField,
    pub(crate) is_monotonic: Option<bool>,
}

/// A point of any kind: their names do not clash.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Number<'a> {
    #[serde(borrow, default)]
    pub(crate) attributes: List<Pair<'a>, ATTRIBUTES_MAX>,
    #[serde(default)]
    pub(crate) start_time_unix_nano: Whole<u64>,
    #[serde(default)]
    pub(crate) time_unix_nano: Whole<u64>,
    pub(crate) as_double: Option<Double>,
    pub(crate) as_int: Option<Whole<i64>>,
    pub(crate) flags: Option<u32>,
    #[serde(default)]
    pub(crate) count: Whole<u64>,
    pub(crate) sum: Option<Double>,
    #[serde(default)]
    pub(crate) bucket_counts: List<Whole<u64>, BUCKETS_MAX>,
    #[serde(default)]
    pub(crate) explicit_bounds: List<Double, BUCKETS_MAX>,
    pub(crate) scale: Option<i32>,
    #[serde(default)]
    pub(crate) zero_count: Whole<u64>,
    #[serde(default)]
    pub(crate) zero_threshold: Double,
    pub(crate) positive: Option<Buckets>,
    pub(crate) negative: Option<Buckets>,
    #[serde(default)]
    pub(crate) quantile_values: List<Quantile, QUANTILES_MAX>,
    #[serde(borrow, default)]
    pub(crate) exemplars: List<ExemplarFields<'a>, EXEMPLARS_MAX>,
}

#[derive(serde::Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Buckets {
    pub(crate) offset: Option<i32>,
    #[serde(default)]
    pub(crate) bucket_counts: List<Whole<u64>, BUCKETS_MAX>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Quantile {
    #[serde(default)]
    pub(crate) quantile: Double,
    #[serde(default)]
    pub(crate) value: Double,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExemplarFields<'a> {
    #[serde(borrow, default)]
    pub(crate) filtered_attributes: List<Pair<'a>, ATTRIBUTES_MAX>,
    #[serde(default)]
    pub(crate) time_unix_nano: Whole<u64>,
    pub(crate) as_double: Option<Double>,
    pub(crate) as_int: Option<Whole<i64>>,
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Pair<'a> {
    #[serde(borrow)]
    pub(crate) key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) value: Option<AnyValue<'a>>,
}

/// An attribute's value, one of these.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnyValue<'a> {
    #[serde(borrow)]
    pub(crate) string_value: Option<Text<'a>>,
    pub(crate) bool_value: Option<bool>,
    pub(crate) int_value: Option<Whole<i64>>,
    pub(crate) double_value: Option<Double>,
    #[serde(borrow)]
    pub(crate) array_value: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) kvlist_value: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) bytes_value: Option<Text<'a>>,
}

/// A text, borrowed where it has no escapes.
#[derive(serde::Deserialize, Default)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A list of at most `MAX` elements; `null` is the empty one.
pub(crate) struct List<T, const MAX: usize>(pub(crate) Vec<T>);

/// A 64-bit integer, as a number or a text.
#[derive(Default, Clone, Copy)]
pub(crate) struct Whole<T>(pub(crate) T);

/// A number, or one of the texts for those that JSON lacks.
#[derive(Default, Clone, Copy)]
pub(crate) struct Double(pub(crate) f64);

/// The temporality, by number or by the name of the enumeration.
#[derive(Default, Clone, Copy)]
pub(crate) struct TemporalityField(pub(crate) Temporality);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} elements")
            }

            fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == MAX {
                        return Err(A::Error::custom(format_args!("a list has more than {MAX} elements")));
                    }
                    elements.push(element);
                }
                Ok(elements)
            }
        }

        input.deserialize_any(Elements::<T, MAX>(PhantomData)).map(Self)
    }
}

/// A number or a text that `parse` takes.
struct Either<T> {
    what: &'static str,
    of_u64: fn(u64) -> Option<T>,
    of_i64: fn(i64) -> Option<T>,
    of_f64: fn(f64) -> Option<T>,
    of_text: fn(&str) -> Option<T>,
}

impl<T> Either<T> {
    fn or_fault<E: Error>(&self, value: Option<T>) -> Result<T, E> {
        value.ok_or_else(|| E::custom(format_args!("a field is not {}", self.what)))
    }
}

impl<T> Visitor<'_> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.or_fault((self.of_u64)(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.or_fault((self.of_i64)(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.or_fault((self.of_f64)(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.or_fault((self.of_text)(text))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.or_fault((self.of_u64)(0))
    }
}

impl<'de> Deserialize<'de> for Whole<u64> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let whole = Either {
            what: "an unsigned 64-bit integer",
            of_u64: Some,
            of_i64: |n| u64::try_from(n).ok(),
            of_f64: |_| None,
            of_text: |text| text.parse().ok(),
        };
        input.deserialize_any(whole).map(Self)
    }
}

impl<'de> Deserialize<'de> for Whole<i64> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let whole = Either {
            what: "a 64-bit integer",
            of_u64: |n| i64::try_from(n).ok(),
            of_i64: Some,
            of_f64: |_| None,
            of_text: |text| text.parse().ok(),
        };
        input.deserialize_any(whole).map(Self)
    }
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let double = Either {
            what: "a number",
            of_u64: |n| Some(n as f64),
            of_i64: |n| Some(n as f64),
            of_f64: Some,
            // "NaN", "Infinity" and "-Infinity" among them.
            of_text: |text| text.parse().ok(),
        };
        input.deserialize_any(double).map(Self)
    }
}

impl<'de> Deserialize<'de> for TemporalityField {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let field = Either {
            what: "an aggregation temporality",
            of_u64: |n| Some(Temporality::of_number(n)),
            of_i64: |_| None,
            of_f64: |_| None,
            of_text: |text| match text {
                "AGGREGATION_TEMPORALITY_DELTA" => Some(Temporality::Delta),
                "AGGREGATION_TEMPORALITY_CUMULATIVE" => Some(Temporality::Cumulative),
                _ => None,
            },
        };
        input.deserialize_any(field).map(Self)
    }
}
