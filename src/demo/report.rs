//! The demo's report: what was loaded and learned, the forecast with its proof, anomalies, advice.

use std::time::Duration;

use scale::{Details, Kind, Recommendation};
use serde_json::{Value, json};
use series::Timestamp;
use server::{Anomaly, Filter};

use super::load::{Loaded, Timing};
use crate::cli::CliError;
use crate::engine::{Engine, ForecastRecord};

/// Everything the demo found.
pub(super) struct Report {
    url: String,
    load: Timing,
    learn: Timing,
    took: Duration,
    series: u64,
    samples: u64,
    forecast: Option<ForecastRecord>,
    anomalies: Vec<Anomaly>,
    advice: Vec<Recommendation>,
    truth: synth::Truth,
}

impl Report {
    pub(super) fn gather(
        engine: &Engine,
        url: &str,
        loaded: &Loaded,
        learn: Timing,
        took: Duration,
    ) -> Result<Self, CliError> {
        let core = engine.core();
        let forecast = core.control.get::<ForecastRecord>(control::Kind::Forecast, "checkout");
        let open = Filter { state: Some("open".into()), ..Filter::default() };
        let mut advice = crate::engine::recommendations(core)?;
        advice.retain(|advice| advice.status == scale::Status::Open && advice.changes());
        Ok(Self {
            url: url.to_owned(),
            load: loaded.timing.clone(),
            learn,
            took,
            series: loaded.series,
            samples: loaded.samples,
            forecast: forecast.map_err(|err| CliError::Failed(format!("read the forecast: {err}")))?,
            anomalies: engine.insight().anomalies(&open),
            advice,
            truth: loaded.truth.clone(),
        })
    }

    /// One document with everything, and the planted truth to check it against.
    pub(super) fn to_json(&self) -> Value {
        let of = |kind: Kind| self.advice.iter().filter(|advice| advice.kind == kind).collect::<Vec<_>>();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "url": self.url,
            "elapsed_ms": self.took.as_millis() as u64,
            "load": {"series": self.series, "samples": self.samples, "elapsed_ms": self.load.took.as_millis() as u64},
            "learn": {"elapsed_ms": self.learn.took.as_millis() as u64},
            "forecast": self.forecast,
            "anomalies": self.anomalies,
            "scale": of(Kind::Scale),
            "rightsize": of(Kind::Rightsize),
            "capacity": of(Kind::Capacity),
            "truth": self.truth,
        })
    }

    /// For people.
    pub(super) fn to_text(&self, folder: &str) -> String {
        let mut text = format!("foretide {} · demo · {folder}\n", env!("CARGO_PKG_VERSION"));
        for (name, timing) in [("load", &self.load), ("learn", &self.learn)] {
            text.push_str(&format!("  {name:9} {}   {:.1} s\n", timing.what, timing.took.as_secs_f64()));
        }
        self.forecast.iter().for_each(|forecast| text.push_str(&forecast_lines(forecast)));
        text.push_str(&anomaly_lines(&self.anomalies));
        text.push_str(&self.advice_lines());
        text.push_str(&format!("  web  {}     after {:.0} s\n", self.url, self.took.as_secs_f64()));
        text.push_str(&format!(
            "Next:  foretide promql --url {} 'topk(3, rate(http_requests_total[5m]))'   ·   Ctrl-C stops\n",
            self.url
        ));
        text
    }

    fn advice_lines(&self) -> String {
        let mut text = String::new();
        for advice in self.advice.iter().filter(|advice| advice.kind == Kind::Scale) {
            text.push_str(&format!("  SCALE     {}\n            {}\n", advice.title, advice.reason));
        }
        let sizes: Vec<_> = self.advice.iter().filter(|advice| advice.kind == Kind::Rightsize).cloned().collect();
        if let Some(footer) = scale::table(Kind::Rightsize, &sizes).footer {
            text.push_str(&format!("  RIGHTSIZE {footer}\n"));
        }
        for advice in sizes.iter().take(3) {
            text.push_str(&format!("            {}: {}\n", advice.title, advice.reason));
        }
        for advice in self.advice.iter().filter(|advice| matches!(&advice.details, Details::Capacity(_))) {
            text.push_str(&format!("  CAPACITY  {}\n            {}\n", advice.title, advice.reason));
        }
        text
    }
}

fn forecast_lines(forecast: &ForecastRecord) -> String {
    let median = forecast.median();
    let peak = median.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (at, value) = peak.map_or((0, f64::NAN), |(i, value)| (i, *value));
    let upper = forecast.quantile(0.9).and_then(|path| path.get(at)).copied();
    let upper = upper.map(|upper| format!(" (p90 {upper:.0})")).unwrap_or_default();
    let hours = forecast.step_ms * median.len() as i64 / 3_600_000;
    let mut text = format!(
        "  FORECAST  {}, next {hours} h   {}   peak {value:.0} at {}{upper}\n",
        forecast.title,
        sparkline(median, 20),
        clock(forecast.time(at)),
    );
    let error = forecast.relative_error.map(|error| format!("error {error:.2} of seasonal-naive"));
    let coverage = forecast
        .widest_coverage()
        .map(|(nominal, seen)| format!("{:.0} % band held {:.0} % of the time", nominal * 100.0, seen * 100.0));
    let proof: Vec<_> = [error, coverage, Some(format!("model {}", forecast.model))].into_iter().flatten().collect();
    text.push_str(&format!("            {}\n", proof.join(" · ")));
    text
}

fn anomaly_lines(anomalies: &[Anomaly]) -> String {
    let Some(worst) = anomalies.first() else { return "  ANOMALY   none open\n".into() };
    format!(
        "  ANOMALY   {} open   worst: {}, since {}\n            {}\n",
        anomalies.len(),
        worst.title,
        clock(worst.start),
        worst.explanation
    )
}

/// `19:40` UTC.
fn clock(at: Timestamp) -> String {
    at.to_string().get(11..16).unwrap_or("").to_owned()
}

/// Eight heights, one a group of neighbours.
fn sparkline(values: &[f64], width: usize) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if values.is_empty() {
        return String::new();
    }
    let group = values.len().div_ceil(width);
    let means: Vec<f64> = values.chunks(group).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64).collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let height = |value: f64| if high > low { ((value - low) / (high - low) * 7.0).round() as usize } else { 0 };
    means.iter().map(|value| HEIGHTS[height(*value).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_span_all_heights() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[1.0, 1.0], 8), "▁▁");
        assert_eq!(sparkline(&[], 8), "");
    }
}
