//! The text formats by example, and arbitrary texts without a panic.

use super::*;
use proptest::prelude::*;

fn parse(text: &str, format: TextFormat) -> (Decoded, Batch) {
    let options = TextOptions::new(format, Timestamp(99), &[]);
    let mut batch = Batch::default();
    let decoded = parse_text(text, &options, &Limits::default(), &mut batch).expect("within the limits");
    (decoded, batch)
}

fn with_conflict(conflict: LabelConflict, text: &str) -> String {
    let extra = [("job".to_owned(), "node".to_owned()), ("instance".to_owned(), "h:1".to_owned())];
    let options = TextOptions { conflict, ..TextOptions::new(TextFormat::Prometheus, Timestamp(0), &extra) };
    let mut batch = Batch::default();
    parse_text(text, &options, &Limits::default(), &mut batch).expect("small");
    batch.series(0).labels.to_string()
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
    assert_eq!((decoded.series, decoded.samples, decoded.metadata), (6, 6, 1), "{decoded}");
    let rows = shown(&batch);
    // The second line's comma makes it another spelling, and so a run of its own.
    let labels = "http_requests_total{code=\"200\", method=\"post\"}";
    assert_eq!(rows[0], format!("{labels} [1395066363000] [1027.0]"));
    assert_eq!(rows[1], format!("{labels} [1395066364000] [1028.0]"));
    assert_eq!(batch.series(2).labels.get("p"), Some("C:\\DIR\"x\n"));
    assert_eq!(rows[3], "plain [99] [12.47]");
    assert_eq!(rows[4], "weird [-3982045] [inf]");
    assert!(batch.series(5).values[0].is_nan());
    let family = &batch.metadata()[0];
    assert_eq!((family.kind, family.help.as_str()), (MetricType::Counter, "Requests,\nall of them."));
}

#[test]
fn open_metrics_has_seconds_exemplars_units_and_an_end() {
    let text = "# TYPE lat_seconds histogram\n# UNIT lat_seconds seconds\n\
                lat_seconds_bucket{le=\"0.1\"} 8 1520879607.789 # {trace_id=\"KOO#1\"} 0.67 1520879607\n\
                {\"odd name\",\"odd label\"=\"x\"} 1 2\n# EOF\nbehind 1\n";
    let (decoded, batch) = parse(text, TextFormat::OpenMetrics);
    assert_eq!((decoded.series, decoded.exemplars_skipped), (2, 0), "{decoded}");
    let exemplar = &batch.series(0).exemplars[0];
    assert_eq!((exemplar.labels.to_string(), exemplar.value), ("{trace_id=\"KOO#1\"}".to_owned(), 0.67));
    assert_eq!(exemplar.at, Timestamp(1_520_879_607_000));
    assert_eq!(batch.series(0).timestamps, [1_520_879_607_789]);
    assert_eq!(batch.series(1).labels.get(METRIC_NAME), Some("odd name"));
    assert_eq!(batch.series(1).labels.get("odd label"), Some("x"));
    assert_eq!((batch.metadata()[0].unit.as_str(), batch.metadata()[0].kind), ("seconds", MetricType::Histogram));
}

#[test]
fn exemplars_take_the_samples_time_and_have_a_length() {
    let text = format!("a_total 1 5 # {{trace=\"x\"}} 2\nb_total 1 # {{t=\"{}\"}} 2\n# EOF", "x".repeat(200));
    let (decoded, batch) = parse(&text, TextFormat::OpenMetrics);
    assert_eq!((decoded.samples, decoded.exemplars_skipped, batch.n_exemplars()), (2, 1, 1), "{decoded}");
    assert_eq!(batch.series(0).exemplars[0].at, Timestamp(5000));
    for exemplar in ["x 1", "{a=\"b\"}", "{a=\"b\"} one", "{a=\"b\"} 1 # {c=\"d\"} 2"] {
        let (decoded, batch) = parse(&format!("a 1 # {exemplar}\n# EOF\n"), TextFormat::OpenMetrics);
        assert_eq!((decoded.refused.len(), batch.n_samples()), (1, 0), "{exemplar}");
    }
}

#[test]
fn a_cut_open_metrics_text_is_refused_as_a_whole() {
    let options = TextOptions::new(TextFormat::OpenMetrics, Timestamp(0), &[]);
    let mut batch = Batch::default();
    let error = parse_text("a 1\n", &options, &Limits::default(), &mut batch).expect_err("no end");
    assert_eq!((error, batch.is_empty()), (IngestError::NoEof, true));
}

#[test]
fn created_lines_are_series_of_their_own() {
    let (_, batch) = parse("# TYPE a counter\na_total 3\na_created 1520430000.123\n# EOF\n", TextFormat::OpenMetrics);
    let shown: Vec<_> = batch.iter().map(|s| (s.labels.to_string(), s.values[0])).collect();
    assert_eq!(shown, [("a_total".to_owned(), 3.0), ("a_created".to_owned(), 1_520_430_000.123)]);
}

#[test]
fn created_lines_tell_when_their_counters_began() {
    let text = "# TYPE a counter\na_total{x=\"1\"} 3 20\na_created{x=\"1\"} 5.5 20\na_total{x=\"2\"} 4 20\n\
                a_total{x=\"1\"} 1 40\na_created{x=\"1\"} 35 40\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1 20\nh_bucket{le=\"+Inf\"} 1 20\nh_count 1 20\nh_sum 2 20\n\
                h_created 7 20\n# TYPE g gauge\ng_total 1 20\ng_created 7 20\n# EOF\n";
    let starts = |format| {
        let (_, batch) = parse(text, format);
        let began = batch.iter().filter(|series| !series.starts.is_empty());
        let shown = |at: &series::StartTime| (at.at.0, at.start.0);
        began.map(|s| (s.labels.to_string(), s.starts.iter().map(shown).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    let histogram = ["h_bucket{le=\"1\"}", "h_bucket{le=\"+Inf\"}", "h_count", "h_sum"];
    let mut expected = vec![("a_total{x=\"1\"}".to_owned(), vec![(20_000, 5_500), (40_000, 35_000)])];
    expected.extend(histogram.map(|labels| (labels.to_owned(), vec![(20_000, 7_000)])));
    assert_eq!(starts(TextFormat::OpenMetrics), expected);
    assert!(starts(TextFormat::Prometheus).is_empty(), "only OpenMetrics says what `_created` means");
}

#[test]
fn texts_in_order_of_time_become_one_run_a_series() {
    let text = "a{x=\"1\"} 1 10\nb 1 10\na{x=\"1\"} 2 20\nb 2 20\n";
    let (decoded, batch) = parse(text, TextFormat::Prometheus);
    assert_eq!((decoded.series, decoded.samples, batch.n_series()), (2, 4, 2));
    assert_eq!((batch.series(0).timestamps, batch.series(1).values), (&[10, 20][..], &[1.0, 2.0][..]));
}

#[test]
fn labels_that_meet_are_replaced_renamed_or_kept() {
    let text = "up{job=\"own\",exported_job=\"old\"} 1";
    let shown = |conflict| with_conflict(conflict, text);
    assert_eq!(shown(LabelConflict::Replace), "up{exported_job=\"old\", instance=\"h:1\", job=\"node\"}");
    let renamed = "up{exported_exported_job=\"own\", exported_job=\"old\", instance=\"h:1\", job=\"node\"}";
    assert_eq!(shown(LabelConflict::Rename), renamed);
    assert_eq!(shown(LabelConflict::Keep), "up{exported_job=\"old\", instance=\"h:1\", job=\"own\"}");
    assert_eq!(with_conflict(LabelConflict::Rename, "up{job=\"\"} 1"), "up{instance=\"h:1\", job=\"node\"}");
}

#[test]
fn times_can_be_ignored() {
    let options = TextOptions { honor_times: false, ..TextOptions::new(TextFormat::Prometheus, Timestamp(7), &[]) };
    let mut batch = Batch::default();
    parse_text("a 1 5", &options, &Limits::default(), &mut batch).expect("small");
    assert_eq!(batch.series(0).timestamps, [7]);
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
    let options = TextOptions::new(TextFormat::Prometheus, Timestamp(0), &extra);
    let mut batch = Batch::default();
    parse_text("up{job=\"own\"} 1", &options, &Limits::default(), &mut batch).expect("small");
    assert_eq!(batch.series(0).labels.to_string(), "up{job=\"push\", zone=\"a\"}");
}

#[test]
fn limits_hold_for_texts_too() {
    let options = TextOptions::new(TextFormat::Prometheus, Timestamp(0), &[]);
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
        let (decoded, batch) = parse(&format!("{text}\n# EOF"), format);
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
