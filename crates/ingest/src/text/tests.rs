//! The text formats by example, and arbitrary texts without a panic.

use super::*;
use proptest::prelude::*;

fn parse(text: &str, format: TextFormat) -> (Decoded, Batch) {
    let options = TextOptions { format, default_at: Timestamp(99), extra_labels: &[] };
    let mut batch = Batch::default();
    let decoded = parse_text(text, &options, &Limits::default(), &mut batch).expect("within the limits");
    (decoded, batch)
}

fn shown(batch: &Batch) -> Vec<String> {
    let show = |s: series::BatchSeries<'_>| format!("{} {:?} {:?}", s.labels, s.timestamps, s.values);
    batch.iter().map(show).collect()
}

#[test]
fn the_prometheus_format_is_read() {
    let text = "# HELP http_requests_total Requests,\\nall of them.\n# TYPE http_requests_total counter\n\
                http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
                http_requests_total{method=\"post\",code=\"200\",} 1028 1395066364000\n\n  # a comment\n\
                path{p=\"C:\\\\DIR\\\"x\\n\"} 1.458255915e9\nplain 12.47\nweird +Inf -3982045\nnan NaN\r\n";
    let (decoded, batch) = parse(text, TextFormat::Prometheus);
    assert_eq!((decoded.series, decoded.samples, decoded.metadata), (5, 6, 1), "{decoded}");
    let rows = shown(&batch);
    let first = "http_requests_total{code=\"200\", method=\"post\"} [1395066363000, 1395066364000] [1027.0, 1028.0]";
    assert_eq!(rows[0], first);
    assert_eq!(batch.series(1).labels.get("p"), Some("C:\\DIR\"x\n"));
    assert_eq!(rows[2], "plain [99] [12.47]");
    assert_eq!(rows[3], "weird [-3982045] [inf]");
    assert!(batch.series(4).values[0].is_nan());
    let family = &batch.metadata()[0];
    assert_eq!((family.kind, family.help.as_str()), (MetricType::Counter, "Requests,\nall of them."));
}

#[test]
fn open_metrics_has_seconds_exemplars_units_and_an_end() {
    let text = "# TYPE lat_seconds histogram\n# UNIT lat_seconds seconds\n\
                lat_seconds_bucket{le=\"0.1\"} 8 1520879607.789 # {trace_id=\"KOO#1\"} 0.67 1520879607\n\
                {\"odd name\",\"odd label\"=\"x\"} 1 2\n# EOF\nbehind 1\n";
    let (decoded, batch) = parse(text, TextFormat::OpenMetrics);
    assert_eq!((decoded.series, decoded.exemplars_skipped), (2, 1), "{decoded}");
    assert_eq!(batch.series(0).timestamps, [1_520_879_607_789]);
    assert_eq!(batch.series(1).labels.get(METRIC_NAME), Some("odd name"));
    assert_eq!(batch.series(1).labels.get("odd label"), Some("x"));
    assert_eq!((batch.metadata()[0].unit.as_str(), batch.metadata()[0].kind), ("seconds", MetricType::Histogram));
}

#[test]
fn a_bad_line_is_refused_alone_with_its_number() {
    for (line, why) in [
        ("up", "there is no value"),
        ("up one", "the value is not a number"),
        ("up 1 2 3", "there is text after the time"),
        ("up 1 2.5", "the time is not whole milliseconds"),
        ("up{job=a} 1", "a label value is not quoted"),
        ("up{job=\"a} 1", "a quote is not closed"),
        ("up{job=\"a\" zone=\"b\"} 1", "labels are not separated by a comma or closed by a brace"),
        ("up{=\"a\"} 1", "a label has no name or no value"),
        ("up{job} 1", "a label has no name or no value"),
    ] {
        let (decoded, batch) = parse(&format!("good 1\n{line}\nfine 2\n"), TextFormat::Prometheus);
        assert_eq!(batch.n_samples(), 2, "{line}");
        assert_eq!(decoded.refused.len(), 1, "{line}");
        assert!(decoded.refused[0].example.starts_with(&format!("line 2: {why}")), "{}", decoded.refused[0].example);
    }
    let (decoded, _) = parse("up{a=\"1\",a=\"2\"} 1\n{a=\"1\"} 1", TextFormat::Prometheus);
    let reasons: Vec<_> = decoded.refused.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(reasons, [RefusalReason::RepeatedLabelName, RefusalReason::NoMetricName]);
}

#[test]
fn extra_labels_are_added_and_replace() {
    let extra = [("job".to_owned(), "push".to_owned()), ("zone".to_owned(), "a".to_owned())];
    let options = TextOptions { format: TextFormat::Prometheus, default_at: Timestamp(0), extra_labels: &extra };
    let mut batch = Batch::default();
    parse_text("up{job=\"own\"} 1", &options, &Limits::default(), &mut batch).expect("small");
    assert_eq!(batch.series(0).labels.to_string(), "up{job=\"push\", zone=\"a\"}");
}

#[test]
fn limits_hold_for_texts_too() {
    let options = TextOptions { format: TextFormat::Prometheus, default_at: Timestamp(0), extra_labels: &[] };
    let (mut batch, limits) = (Batch::default(), Limits { series: 1, decoded_bytes: 20, ..Limits::default() });
    let error = parse_text("a 1\nb 2\n", &options, &limits, &mut batch).expect_err("two series");
    assert_eq!(error, IngestError::TooMany { what: "series", found: 2, limit: 1 });
    assert!(batch.is_empty() && batch.n_series() == 0);
    assert_eq!(parse_text(&"x".repeat(21), &options, &limits, &mut batch).expect_err("long").status(), 413);
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "(?s)[a-z{}\"=,\\\\# \n0-9é.+-]{0,200}", open: bool) {
        let format = if open { TextFormat::OpenMetrics } else { TextFormat::Prometheus };
        let (decoded, batch) = parse(&text, format);
        prop_assert_eq!(decoded.samples as usize, batch.n_samples());
    }

    #[test]
    fn written_lines_are_read_back(name in "[a-z_]{1,20}", value in any::<f64>(), label in "[^\\r\\n]{1,30}", at: i32) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
        let (_, batch) = parse(&format!("{name}{{l=\"{escaped}\"}} {value} {at}\n"), TextFormat::Prometheus);
        prop_assert_eq!(batch.n_samples(), 1);
        prop_assert_eq!(batch.series(0).labels.get("l"), Some(label.as_str()));
        prop_assert_eq!(batch.series(0).timestamps, [i64::from(at)]);
        let back = batch.series(0).values[0];
        prop_assert!(back == value || back.is_nan() && value.is_nan());
    }
}
