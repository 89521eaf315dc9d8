//! Standing queries as YAML files: the shipped starters and the user's own.

use promql::Expr;
use rust_embed::RustEmbed;
use serde::Deserialize;
use series::{Matcher, Millis};
use stream::{Operator, Sensitivity, StreamLimits, StreamSpec, Streams, ValueKind};

use crate::engine::EngineError;
use crate::settings::{Span, StreamSettings};

/// The starters, inside the binary.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/queries/streams"]
struct Starters;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    streams: Vec<Definition>,
}

/// One standing query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    /// In words; for people.
    #[serde(default)]
    #[expect(dead_code, reason = "part of the format, shown by editors and the documentation only")]
    question: String,
    selector: String,
    #[serde(default)]
    by: Vec<String>,
    value: Value,
    window: Span,
    slide: Span,
    #[serde(default = "no_lateness")]
    lateness: Lateness,
    operators: Vec<OperatorText>,
}

/// As [`Span`], but zero is allowed.
#[derive(Deserialize)]
struct Lateness(String);

fn no_lateness() -> Lateness {
    Lateness("0s".into())
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Gauge,
    Rate,
    HistogramBuckets,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OperatorText {
    Percentiles(Vec<f64>),
    Trend {
        #[serde(default)]
        limit: Option<f64>,
        #[serde(default)]
        within: Option<Span>,
    },
    Anomaly {
        #[serde(default)]
        sensitivity: SensitivityText,
        #[serde(default)]
        season: Option<Span>,
    },
    Rate,
    Count,
    Mean,
    Ewma {
        half_life: Span,
    },
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum SensitivityText {
    Low,
    #[default]
    Normal,
    High,
    Sigma(f64),
}

/// Bounds of all standing queries together.
pub(super) fn limits(settings: &StreamSettings) -> StreamLimits {
    StreamLimits { groups_max: settings.groups_max, bytes_max: settings.memory_mib << 20 }
}

/// Whether the standing queries of the settings can run.
pub(crate) fn check(settings: &StreamSettings) -> Result<(), EngineError> {
    let fault = |err: stream::StreamError| EngineError::Stream { place: "definitions".into(), why: err.to_string() };
    Streams::new(load(settings)?, limits(settings)).map(drop).map_err(fault)
}

/// What the standing queries of the settings select.
pub(crate) fn selectors(settings: &StreamSettings) -> Result<Vec<Vec<Matcher>>, EngineError> {
    Ok(load(settings)?.into_iter().map(|spec| spec.matchers).collect())
}

/// All standing queries of the settings.
pub(super) fn load(settings: &StreamSettings) -> Result<Vec<StreamSpec>, EngineError> {
    let mut specs = Vec::new();
    if settings.starters {
        for name in Starters::iter().filter(|name| name.ends_with(".yaml")) {
            let file = Starters::get(&name).map(|file| file.data.into_owned()).unwrap_or_default();
            specs.extend(parse(&String::from_utf8_lossy(&file), &format!("queries/streams/{name}"))?);
        }
    }
    for path in &settings.files {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|err| EngineError::Stream { place: place.clone(), why: err.to_string() })?;
        specs.extend(parse(&text, &place)?);
    }
    Ok(specs)
}

fn parse(text: &str, place: &str) -> Result<Vec<StreamSpec>, EngineError> {
    let fault = |why: String| EngineError::Stream { place: place.to_owned(), why };
    let file: File = serde_saphyr::from_str(text).map_err(|err| fault(err.without_snippet().to_string()))?;
    file.streams.into_iter().map(|definition| spec_of(definition).map_err(&fault)).collect()
}

fn spec_of(definition: Definition) -> Result<StreamSpec, String> {
    let name = definition.name.clone();
    let fault = |why: String| format!("{name}: {why}");
    let spec = StreamSpec {
        matchers: matchers_of(&definition.selector).map_err(fault)?,
        name: definition.name,
        by: definition.by,
        value: match definition.value {
            Value::Gauge => ValueKind::Gauge,
            Value::Rate => ValueKind::Rate,
            Value::HistogramBuckets => ValueKind::HistogramBuckets,
        },
        window: definition.window.0,
        slide: definition.slide.0,
        lateness: Millis::parse(&definition.lateness.0).map_err(|err| fault(format!("lateness: {err}")))?,
        operators: definition.operators.into_iter().map(operator).collect(),
    };
    spec.check().map_err(|err| fault(err.to_string()))?;
    Ok(spec)
}

fn operator(text: OperatorText) -> Operator {
    match text {
        OperatorText::Percentiles(levels) => Operator::Percentiles(levels),
        OperatorText::Trend { limit, within } => Operator::Trend { limit, within: within.map(|span| span.0) },
        OperatorText::Anomaly { sensitivity, season } => Operator::Anomaly {
            sensitivity: match sensitivity {
                SensitivityText::Low => Sensitivity::Low,
                SensitivityText::Normal => Sensitivity::Normal,
                SensitivityText::High => Sensitivity::High,
                SensitivityText::Sigma(sigma) => Sensitivity::Sigma(sigma),
            },
            season: season.map(|span| span.0),
        },
        OperatorText::Rate => Operator::Rate,
        OperatorText::Count => Operator::Count,
        OperatorText::Mean => Operator::Mean,
        OperatorText::Ewma { half_life } => Operator::Ewma { half_life: half_life.0 },
    }
}

/// The matchers of a PromQL selector such as `http_requests_total{job="api"}`.
fn matchers_of(selector: &str) -> Result<Vec<Matcher>, String> {
    let expr: Expr = promql::parse(selector).map_err(|err| format!("selector: {err}"))?;
    match promql::selectors(&expr).as_slice() {
        [one] => Ok(one.to_vec()),
        found => Err(format!("selector `{selector}` has {} selectors, exactly one is needed", found.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_starter_is_a_valid_standing_query() {
        let specs = load(&StreamSettings::default()).expect("starters are valid");
        assert!(specs.len() >= 3, "{}", specs.len());
    }

    #[test]
    fn faults_name_file_and_place() {
        let text = "streams: [{name: a, selector: 'up{', value: gauge, window: 1m, slide: 1m, operators: [mean]}]\n";
        let err = parse(text, "x.yaml");
        let message = err.expect_err("unclosed selector").to_string();
        assert!(message.starts_with("stream x.yaml: a: selector: "), "{message}");
        let err = parse("streams: [{name: a, selctor: up}]\n", "x.yaml").expect_err("unknown key").to_string();
        assert!(err.contains("selctor"), "{err}");
    }
}
