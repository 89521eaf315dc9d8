//! PromQL text that shows what an event speaks of.

use series::{Labels, METRIC_NAME, MatchOp, Matcher, Millis};

use crate::spec::{StreamSpec, ValueKind};

/// The query of one group: the stream's selection narrowed to the group, at the resolution of a slide.
pub(crate) fn group_query(spec: &StreamSpec, group: &Labels) -> String {
    let selector = selector(&spec.matchers, &spec.by, group);
    let by = spec.by.join(", ");
    // A rate needs two samples in its range, so a slide of one scrape is not enough.
    let range = Millis(spec.slide.0.max(spec.window.0).max(60_000));
    match spec.value {
        ValueKind::Gauge => format!("avg by ({by}) ({selector})"),
        ValueKind::Rate => format!("sum by ({by}) (rate({selector}[{range}]))"),
        ValueKind::HistogramBuckets => {
            let le = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
            let q = spec.headline_quantile();
            format!("histogram_quantile({q}, sum by ({le}) (rate({selector}[{range}])))")
        }
    }
}

fn selector(matchers: &[Matcher], by: &[String], group: &Labels) -> String {
    let mut name = "";
    let mut conditions = Vec::new();
    for matcher in matchers {
        match matcher.op {
            MatchOp::Equal if matcher.name == METRIC_NAME && name.is_empty() && plain(&matcher.value) => {
                name = &matcher.value
            }
            // The group's own condition below says it exactly.
            MatchOp::Regex | MatchOp::Equal if group.get(&matcher.name).is_some() => {}
            _ => conditions.push(matcher.to_string()),
        }
    }
    for label in by {
        conditions.push(format!("{label}={:?}", group.get(label).unwrap_or("")));
    }
    if conditions.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", conditions.join(","))
    }
}

fn plain(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_selects_the_group() {
        let group = Labels::from_pairs([("service", "cart")]).expect("valid");
        let mut spec = StreamSpec {
            name: "s".into(),
            matchers: vec![
                Matcher::equal(METRIC_NAME, "http_requests_total"),
                Matcher::new("code", MatchOp::Regex, "5..").expect("valid"),
                Matcher::new("service", MatchOp::Regex, "c.*").expect("valid"),
            ],
            by: vec!["service".into()],
            value: ValueKind::Rate,
            window: Millis::from_mins(5),
            slide: Millis::from_mins(1),
            lateness: Millis(0),
            operators: vec![],
        };
        assert_eq!(
            group_query(&spec, &group),
            "sum by (service) (rate(http_requests_total{code=~\"5..\",service=\"cart\"}[5m]))"
        );
        spec.value = ValueKind::HistogramBuckets;
        assert!(group_query(&spec, &group).starts_with("histogram_quantile(0.99, sum by (le, service) (rate("));
        (spec.value, spec.by) = (ValueKind::Gauge, vec![]);
        spec.matchers.truncate(1);
        assert_eq!(group_query(&spec, &Labels::empty()), "avg by () (http_requests_total)");
    }
}
