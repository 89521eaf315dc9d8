//! The line protocol by example, against a naive reader, and arbitrary bytes without a panic.

use super::*;
use proptest::prelude::*;

const OPTIONS: InfluxOptions = InfluxOptions { precision: Precision::Milliseconds, default_at: Timestamp(99) };

fn read(text: &str) -> (InfluxOutcome, Batch) {
    let mut batch = Batch::default();
    let outcome = parse_lines(text.as_bytes(), OPTIONS, &Limits::default(), &mut batch).expect("within the limits");
    (outcome, batch)
}

fn shown(text: &str) -> Vec<String> {
    let (outcome, batch) = read(text);
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    batch.iter().map(|s| format!("{} {:?} {:?}", s.labels, s.timestamps, s.values)).collect()
}

#[test]
fn fields_become_series_and_tags_labels() {
    let text = "# a comment\n\ncpu,host=a,region=eu usage=1.5,idle=98i,up=t,name=\"x, y=z\" 1000\r\n\
                cpu,host=a,region=eu usage=2.5,idle=97i 2000\nmem value=3u\n  mem value=4 5\n";
    assert_eq!(
        shown(text),
        [
            "cpu_usage{host=\"a\", region=\"eu\"} [1000, 2000] [1.5, 2.5]",
            "cpu_idle{host=\"a\", region=\"eu\"} [1000, 2000] [98.0, 97.0]",
            "cpu_up{host=\"a\", region=\"eu\"} [1000] [1.0]",
            "mem [99, 5] [3.0, 4.0]",
        ]
    );
    let (outcome, _) = read(text);
    assert_eq!((outcome.lines, outcome.texts_skipped, outcome.decoded.samples), (4, 1, 7));
}

#[test]
fn escapes_and_quotes_are_read_as_written() {
    let text = "my\\ disk\\,1,path=C:\\\\x,tag\\ key=a\\=b\\,c used\\ space=1,note=\"say \\\"hi\\\"\nnext line\" 7\nup value=1 8\n";
    let (outcome, batch) = read(text);
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    let labels = batch.series(0).labels;
    assert_eq!(labels.get(METRIC_NAME), Some("my disk,1_used space"));
    assert_eq!((labels.get("tag key"), labels.get("path")), (Some("a=b,c"), Some("C:\\\\x")));
    assert_eq!(batch.series(1).labels.to_string(), "up");
    assert_eq!(outcome.texts_skipped, 1);
}

#[test]
fn all_kinds_of_values_are_numbers() {
    for (text, value) in [
        ("1", 1.0),
        ("-1.5e-3", -0.0015),
        (".5", 0.5),
        ("9007199254740993i", 9_007_199_254_740_992.0),
        ("-5i", -5.0),
        ("18446744073709551615u", 18_446_744_073_709_551_615.0),
        ("True", 1.0),
        ("F", 0.0),
    ] {
        let (outcome, batch) = read(&format!("m f={text}"));
        assert!(outcome.faults.is_empty(), "{text}: {:?}", outcome.faults);
        assert_eq!(batch.series(0).values, [value], "{text}");
    }
}

#[test]
fn a_bad_line_is_refused_alone_with_number_and_reason() {
    for (line, why) in [
        ("m", "there are no fields"),
        ("m,a=b", "there are no fields"),
        ("m ", "a field has no value"),
        ("m f", "a field has no value"),
        ("m f=", "a field has no value"),
        ("m f=1,", "a field has no value"),
        ("m =1", "a field has no key"),
        (",a=b f=1", "there is no measurement"),
        ("m,a f=1", "a tag has no value"),
        ("m,a= f=1", "a tag has no value"),
        ("m,=b f=1", "a tag has no key"),
        ("m,a=b=c f=1", "a tag value holds an unescaped `=`"),
        ("m f=\"x\"y", "there is text behind a closing quote"),
        ("m f=1x", "a field value is neither a number, a boolean nor a quoted text"),
        ("m f=inf", "a field value is neither a number, a boolean nor a quoted text"),
        ("m f=1e999", "a field value is neither a number, a boolean nor a quoted text"),
        ("m f=99999999999999999999i", "an integer is beyond the range of 64 bits"),
        ("m f=1 soon", "the time is not a whole number"),
        ("m f=1 2 3", "there is text after the time"),
        ("m,a=1,a=2 f=1", "a label name appears twice"),
    ] {
        let (outcome, batch) = read(&format!("good value=1\n{line}\nfine value=2\n"));
        assert_eq!(batch.n_samples(), 2, "{line}");
        let fault = LineFault { line: 2, why: why.into(), text: line.trim_end().into() };
        let found: Vec<_> =
            outcome.faults.iter().map(|f| LineFault { text: f.text.trim_end().into(), ..f.clone() }).collect();
        assert_eq!(found, [fault], "{line}");
        assert_eq!((outcome.lines, outcome.lines_refused), (3, 1), "{line}");
    }
}

#[test]
fn an_open_quote_costs_only_its_line() {
    let (outcome, batch) = read("a value=1\nb value=\"open\nc value=3\n");
    assert_eq!((outcome.faults[0].line, outcome.faults[0].why.as_str()), (2, "a quote is not closed"));
    assert_eq!(batch.n_samples(), 2);
}

#[test]
fn units_of_time_are_rounded_down() {
    let at = |word: &str, time: i64| Precision::of(word).expect("known").millis(time);
    for word in ["", "ns", "n", "nanosecond"] {
        assert_eq!(at(word, 1_500_000_000_123_999_999), Some(1_500_000_000_123), "{word}");
    }
    assert_eq!((at("us", -1), at("ms", 7), at("s", 7)), (Some(-1), Some(7), Some(7000)));
    assert_eq!((at("m", 2), at("h", 2), at("h", i64::MAX)), (Some(120_000), Some(7_200_000), None));
    for time in [1_795_271_520, 1_795_271_520_000, 1_795_271_520_000_000, 1_795_271_520_000_000_000] {
        assert_eq!(at("auto", time), Some(1_795_271_520_000), "{time}");
    }
    assert_eq!(Precision::of("fortnight"), None);
}

#[test]
fn limits_are_the_requests() {
    let limits = Limits { samples: 1, decoded_bytes: 30, ..Limits::default() };
    let mut batch = Batch::default();
    let error = parse_lines(b"m a=1,b=2", OPTIONS, &limits, &mut batch).expect_err("two");
    assert_eq!((error, batch.is_empty()), (IngestError::TooMany { what: "samples", found: 2, limit: 1 }, true));
    assert_eq!(parse_lines(&[b'x'; 31], OPTIONS, &limits, &mut batch).expect_err("long").status(), 413);
    assert_eq!(parse_lines(b"m \xff=1", OPTIONS, &limits, &mut batch), Err(IngestError::NotUtf8 { offset: 2 }));
}

/// Escapes what a tag key, tag value or field key needs.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, ',' | '=' | ' ').then_some('\\').into_iter().chain([c])).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut batch = Batch::default();
        if let Ok(outcome) = parse_lines(&text, OPTIONS, &Limits::default(), &mut batch) {
            prop_assert_eq!(outcome.decoded.samples as usize, batch.n_samples());
        }
    }

    #[test]
    fn almost_lines_are_read_without_a_panic(text in "[a-c,= \\\\\"\n\r#0-9iu.t]{0,60}") {
        let (outcome, batch) = read(&text);
        prop_assert_eq!(outcome.decoded.samples as usize, batch.n_samples());
        prop_assert!(outcome.lines_refused <= outcome.lines);
    }

    #[test]
    fn written_points_are_read_back(
        name in "[a-zé ,]{1,8}",
        tags in prop::collection::btree_map("[a-z ,=]{1,6}", "[a-zA-Z0-9 ,=é]{1,8}", 0..4),
        field in "[a-z ,=]{1,6}",
        values in prop::collection::vec((any::<i32>(), -1e9..1e9_f64), 1..5),
    ) {
        prop_assume!(field != "value" && !name.starts_with(' '));
        let set: String = tags.iter().map(|(k, v)| format!(",{}={}", escaped(k), escaped(v))).collect();
        let head = format!("{}{set} {}", name.replace(',', "\\,").replace(' ', "\\ "), escaped(&field));
        let text: String = values.iter().map(|(at, value)| format!("{head}={value:?} {at}\n")).collect();
        let (outcome, batch) = read(&text);
        prop_assert!(outcome.faults.is_empty(), "{}: {:?}", text, outcome.faults);
        let series = batch.series(0);
        prop_assert_eq!(series.labels.get(METRIC_NAME).map(str::to_owned), Some(format!("{name}_{field}")));
        for (key, value) in &tags {
            prop_assert_eq!(series.labels.get(key), Some(value.as_str()));
        }
        let wanted: Vec<_> = values.iter().map(|(at, _)| i64::from(*at)).collect();
        prop_assert_eq!(series.timestamps, wanted);
        let wanted: Vec<_> = values.iter().map(|(_, value)| *value).collect();
        prop_assert_eq!(series.values, wanted);
    }
}
