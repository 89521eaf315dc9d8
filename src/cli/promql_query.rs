//! `foretide promql`.

use serde_json::Value;
use series::{Clock, Millis, Step, SystemClock, Timestamp};

use super::args::{Common, PromqlArgs, PromqlFormat};
use super::client::Client;
use super::local::Local;
use super::{CliError, output};

pub(super) fn run(common: &Common, args: &PromqlArgs) -> Result<(), CliError> {
    let end = match &args.at {
        Some(text) => parse_time(text).ok_or_else(|| usage("--at", &format!("`{text}` is not a time")))?,
        None => SystemClock.now(),
    };
    let over = args.range.as_deref().map(|text| span("--range", text)).transpose()?;
    let result = match &common.url {
        Some(url) => remote(&Client::new(url), args, end, over)?,
        None => local(common, args, end, over)?,
    };
    if args.format == PromqlFormat::Json {
        return output::line(&result.to_string());
    }
    output::put(as_lines(&result).as_bytes(), None)
}

fn local(common: &Common, args: &PromqlArgs, end: Timestamp, over: Option<Millis>) -> Result<Value, CliError> {
    let local = Local::open(common)?;
    let core = local.engine.core();
    let value = match over {
        None => promql::Value::Vector(core.instant(&args.expr, end)?),
        Some(over) => promql::Value::Matrix(core.range(&args.expr, end - over, end, step_of(args, over)?)?),
    };
    serde_json::from_slice(&server::promql_value(&value))
        .map_err(|err| CliError::Failed(format!("read the answer: {err}")))
}

fn remote(client: &Client, args: &PromqlArgs, end: Timestamp, over: Option<Millis>) -> Result<Value, CliError> {
    let seconds = |at: Timestamp| format!("{:.3}", at.as_secs_f64());
    let body = match over {
        None => client.form("/api/v1/query", &[("query", &args.expr), ("time", &seconds(end))])?,
        Some(over) => {
            let step = format!("{}", step_of(args, over)?.millis() as f64 / 1000.0);
            let (start, end) = (seconds(end - over), seconds(end));
            let fields = [("query", args.expr.as_str()), ("start", &start), ("end", &end), ("step", &step)];
            client.form("/api/v1/query_range", &fields)?
        }
    };
    let envelope: Value =
        serde_json::from_slice(&body).map_err(|err| CliError::Failed(format!("read the answer: {err}")))?;
    Ok(envelope["data"].clone())
}

/// As asked, or so that about 250 points come out.
fn step_of(args: &PromqlArgs, over: Millis) -> Result<Step, CliError> {
    let millis = match &args.step {
        Some(text) => span("--step", text)?.0,
        None => (over.0 / 250).max(1000),
    };
    Step::new(millis).ok_or_else(|| usage("--step", "must be longer than 0s"))
}

fn as_lines(result: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if matches!(result["resultType"].as_str(), Some("scalar" | "string")) {
        return format!("{}\n", result["result"][1].as_str().unwrap_or_default());
    }
    let mut lines = String::new();
    for item in list(&result["result"]) {
        let pairs = item["metric"].as_object().cloned().unwrap_or_default();
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let labels = series::Labels::from_pairs(pairs).unwrap_or_else(|_| series::Labels::empty());
        let mut points: Vec<Value> = ["values", "histograms"].iter().flat_map(|name| list(&item[*name])).collect();
        points.extend(["value", "histogram"].iter().map(|name| item[*name].clone()).filter(Value::is_array));
        points.sort_by(|a, b| a[0].as_f64().unwrap_or(0.0).total_cmp(&b[0].as_f64().unwrap_or(0.0)));
        for point in points {
            let at = Timestamp((point[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64);
            lines.push_str(&format!("{labels}  {}  @{at}\n", shown(&point[1])));
        }
    }
    if lines.is_empty() { "no series\n".into() } else { lines }
}

/// A number, or a native histogram as `{count: 6, sum: 2.5, [-0.001,0.001]: 1, (1,2]: 5}`.
fn shown(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if value.is_string() {
        return text(value);
    }
    let mut line = format!("{{count: {}, sum: {}", text(&value["count"]), text(&value["sum"]));
    for bucket in value["buckets"].as_array().into_iter().flatten() {
        let (open, close) = match bucket[0].as_u64() {
            Some(0) => ('(', ']'),
            Some(1) => ('[', ')'),
            Some(2) => ('(', ')'),
            _ => ('[', ']'),
        };
        let [lower, upper, count] = [1, 2, 3].map(|i| text(&bucket[i]));
        line.push_str(&format!(", {open}{lower},{upper}{close}: {count}"));
    }
    line + "}"
}

/// RFC 3339 or unix seconds.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some(Timestamp((seconds * 1000.0) as i64));
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp(time.timestamp_millis()))
}

pub(super) fn span(argument: &str, text: &str) -> Result<Millis, CliError> {
    Millis::parse(text).map_err(|err| usage(argument, &err.to_string()))
}

fn usage(argument: &str, why: &str) -> CliError {
    CliError::Usage { argument: argument.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_one_line() {
        let result = serde_json::json!({"resultType": "matrix", "result": [{
            "metric": {"__name__": "latency"},
            "values": [[2, "7"]],
            "histograms": [[1, {"count": "3", "sum": "4", "buckets": [[0, "1", "2", "3"]]}]],
        }]});
        let wanted = "latency  {count: 3, sum: 4, (1,2]: 3}  @1970-01-01T00:00:01.000Z\n\
                      latency  7  @1970-01-01T00:00:02.000Z\n";
        assert_eq!(as_lines(&result), wanted);
    }

    #[test]
    fn times_are_rfc3339_or_seconds() {
        assert_eq!(parse_time("1.5"), Some(Timestamp(1500)));
        assert_eq!(parse_time("1970-01-01T00:00:02Z"), Some(Timestamp(2000)));
        assert_eq!(parse_time("yesterday"), None);
    }
}
