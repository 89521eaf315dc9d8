//! Recommendations as metrics, so that dashboards and alerts can read them.

use super::{Details, Recommendation, Status};
use crate::rightsize::Resources;

/// One sample without a time: it holds now.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLine {
    /// Metric name, `foretide_recommendation_…`.
    pub name: &'static str,
    /// Label names and values, sorted by name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The samples of all open recommendations:
///
/// | metric | labels besides `kind`, `target`, `container` | value |
/// |---|---|---|
/// | `foretide_recommendation_info` | `id`, `severity`, `confidence` | 1 |
/// | `foretide_recommendation_confidence` | | 0 to 1 |
/// | `foretide_recommendation_saving_monthly` | `currency` | never negative |
/// | `foretide_recommendation_cost_delta_monthly` | `currency` | positive is dearer |
/// | `foretide_recommendation_replicas` | `state` = `current`, `proposed`, `reactive` | replicas |
/// | `foretide_recommendation_demand` | `quantile` | unit of the demand |
/// | `foretide_recommendation_cpu_request_cores` | `state` | cores |
/// | `foretide_recommendation_memory_request_bytes` | `state` | bytes |
/// | `foretide_recommendation_full_in_seconds` | `quantile` | seconds; `+Inf` when not in sight |
/// | `foretide_recommendation_growth_per_second` | | unit of the resource |
pub fn to_metrics(recommendations: &[Recommendation]) -> Vec<MetricLine> {
    recommendations.iter().filter(|one| one.status == Status::Open).flat_map(lines).collect()
}

/// The same in the Prometheus text format, one line a sample.
pub fn to_exposition(recommendations: &[Recommendation]) -> String {
    let mut lines = to_metrics(recommendations);
    // The format wants the samples of one metric together; the sort is stable.
    lines.sort_by_key(|line| line.name);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at == 0 || lines[at - 1].name != line.name {
            out.push_str(&format!("# TYPE {} gauge\n", line.name));
        }
        let labels: Vec<String> =
            line.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let value = if line.value == f64::INFINITY { "+Inf".into() } else { line.value.to_string() };
        out.push_str(&format!("{}{{{}}} {value}\n", line.name, labels.join(",")));
    }
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn lines(one: &Recommendation) -> Vec<MetricLine> {
    let container = match &one.details {
        Details::Rightsize(sizing) => Some(sizing.container.clone()),
        _ => None,
    };
    let line = |name, extra: &[(&'static str, &str)], value| {
        let mut labels = vec![("kind", one.kind.word().to_owned()), ("target", one.target.clone())];
        labels.extend(container.clone().map(|container| ("container", container)));
        labels.extend(extra.iter().map(|&(name, value)| (name, value.to_owned())));
        labels.sort_unstable_by_key(|label| label.0);
        MetricLine { name, labels, value }
    };
    let (word, severity) = (one.confidence_word.word(), one.severity.word());
    let currency = [("currency", one.currency.as_str())];
    let mut out = vec![
        line("foretide_recommendation_info", &[("id", &one.id), ("severity", severity), ("confidence", word)], 1.0),
        line("foretide_recommendation_confidence", &[], one.confidence),
        line("foretide_recommendation_saving_monthly", &currency, one.saving_monthly),
        line("foretide_recommendation_cost_delta_monthly", &currency, one.cost_delta_monthly),
    ];
    match &one.details {
        Details::Scale(decision) => {
            let proposed =
                decision.upcoming.filter(|_| decision.from == decision.to).map_or(decision.to, |next| next.to);
            for (state, value) in
                [("current", decision.from), ("proposed", proposed), ("reactive", decision.counterfactual.to)]
            {
                out.push(line("foretide_recommendation_replicas", &[("state", state)], f64::from(value)));
            }
            if let Some(band) = decision.band {
                for (quantile, value) in [("0.1", band.p10), ("0.5", band.p50), ("0.9", band.p90)] {
                    out.push(line("foretide_recommendation_demand", &[("quantile", quantile)], value));
                }
            }
        }
        Details::Rightsize(sizing) => {
            for (state, resources) in [("current", &sizing.current), ("proposed", &sizing.proposed)] {
                let Resources { cpu_request_cores, memory_request_bytes, .. } = resources;
                let (cpu, memory) =
                    ("foretide_recommendation_cpu_request_cores", "foretide_recommendation_memory_request_bytes");
                out.extend(cpu_request_cores.map(|value| line(cpu, &[("state", state)], value)));
                out.extend(memory_request_bytes.map(|value| line(memory, &[("state", state)], value)));
            }
        }
        Details::Capacity(runway) => {
            for (quantile, days) in [("0.1", runway.days_p10), ("0.5", runway.days_p50), ("0.9", runway.days_p90)] {
                let seconds = days.map_or(f64::INFINITY, |days| days * 86_400.0);
                out.push(line("foretide_recommendation_full_in_seconds", &[("quantile", quantile)], seconds));
            }
            out.push(line("foretide_recommendation_growth_per_second", &[], runway.growth_per_day / 86_400.0));
        }
    }
    out
}
