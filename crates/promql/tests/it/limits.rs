//! Every limit is met by a test, and threads change nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use promql::{Answer, ErrorKind, EvalError, Options, instant, parse, range};
use series::{Labels, SelectError, Step, Timestamp};

use crate::memory::Memory;

fn fleet(n: usize) -> Memory {
    let mut memory = Memory::default();
    for i in 0..n {
        let labels = Labels::from_pairs([("__name__", "load"), ("host", &format!("h{i:04}"))]).expect("valid");
        (0..100).for_each(|k| memory.push(&labels, k * 15_000, (i * k as usize % 17) as f64));
    }
    memory
}

fn ask(query: &str, options: &Options) -> Result<Answer, EvalError> {
    let expr = parse(query).expect("parses");
    range(&fleet(300), &expr, Timestamp(0), Timestamp(1_500_000), Step::from_secs(5), options)
}

#[test]
fn limits_are_named_with_their_numbers() {
    let defaults = Options::default();
    let fault = |options: &Options| ask("sum(load)", options).expect_err("a limit is met");
    let why = fault(&Options { samples_max: 1000, ..defaults.clone() });
    assert!(matches!(why, EvalError::TooManySamples { limit: 1000, .. }), "{why}");
    assert_eq!(why.kind(), ErrorKind::Execution);
    let why = fault(&Options { series_max: 10, ..defaults.clone() });
    assert_eq!(why, EvalError::Storage(SelectError::TooManySeries { found: 300, limit: 10 }));
    let why = fault(&Options { points_max: 100, ..defaults.clone() });
    assert_eq!(why, EvalError::TooManyPoints { points: 301, limit: 100 });
    assert_eq!(why.kind(), ErrorKind::BadData);
    let why = fault(&Options { deadline: Some(Instant::now()), ..defaults.clone() });
    assert_eq!(why.kind(), ErrorKind::Timeout);
    let why = fault(&Options { cancel: Some(Arc::new(AtomicBool::new(true))), threads: 4, ..defaults.clone() });
    assert_eq!(why, EvalError::Canceled);
    let why = ask("max_over_time(load[1y:1ms])", &defaults).expect_err("too many inner steps");
    assert!(matches!(why, EvalError::TooManyPoints { .. }), "{why}");
}

#[test]
fn types_that_a_range_query_cannot_answer() {
    let why = ask("\"text\"", &Options::default()).expect_err("a text");
    assert_eq!(why.to_string(), "a range query needs a scalar or an instant vector, not a string");
    assert!(ask("load[5m]", &Options::default()).is_err());
    let expr = parse("load").expect("parses");
    let back = range(&fleet(1), &expr, Timestamp(9), Timestamp(0), Step::from_secs(5), &Options::default());
    assert_eq!(back, Err(EvalError::EndBeforeStart));
}

#[test]
fn threads_do_not_change_the_answer() {
    for query in ["sum by (host) (rate(load[1m]))", "load * 2", "topk(3, max_over_time(load[2m:10s]))"] {
        let alone = ask(query, &Options::default()).expect("evaluates");
        let together = ask(query, &Options { threads: 4, ..Options::default() }).expect("evaluates");
        assert_eq!(alone, together, "{query}");
        assert_eq!(alone.stats.series, 300);
    }
}

#[test]
fn doubts_are_told() {
    let at = |query: &str| {
        let expr = parse(query).expect("parses");
        instant(&fleet(1), &expr, Timestamp(60_000), &Options::default()).expect("evaluates")
    };
    let text = "2 *\n  rate(load[1m])";
    let options = Options { text: Some(text.into()), ..Options::default() };
    let placed = instant(&fleet(1), &parse(text).expect("parses"), Timestamp(60_000), &options).expect("evaluates");
    assert!(placed.infos[0].ends_with("_total/_sum/_count/_bucket: \"load\" (2:8)"), "{}", placed.infos[0]);
    assert!(at("rate(load[1m])").infos[0].contains("metric might not be a counter"));
    assert!(at("quantile(2, load)").warnings[0].contains("quantile value should be between 0 and 1, got 2"));
    assert!(at("histogram_quantile(0.5, load)").warnings[0].contains("bucket label \"le\" is missing"));
}
