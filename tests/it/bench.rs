//! `foretide bench`, small: it runs to its end, its figures are there, and nothing is left behind.

use serde_json::Value;

use crate::folder;
use crate::program;

#[test]
fn a_small_ingest_bench_gives_all_its_figures() {
    let folder = folder::fresh();
    let below = folder.path().to_str().expect("UTF-8");
    let size = ["--series", "2150", "--scrapes", "8", "--connections", "2"];
    let call = [&["bench", "ingest", "--format", "json", "--data", below, "--rate", "200000"][..], &size[..]].concat();
    let mut command = program::foretide(&call);
    command.env("FORETIDE__DISK__SHED_PERCENT", "0").env("FORETIDE__DISK__WARN_PERCENT", "0");
    let report = program::finish(&mut command).success().text();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|err| panic!("{err}: {report}"));

    assert_eq!((report["samples"].as_u64(), report["requests"].as_u64()), (Some(17_200), Some(16)), "{report}");
    let figure =
        |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {report}"));
    for path in ["/samples_per_second", "/peak_rss_mib", "/ack_ms/p50", "/bytes_per_sample/before_merge/log"] {
        assert!(figure(path) > 0.0, "{path}: {report}");
    }
    let cpu = ["last_ack", "settled", "merged"].map(|when| figure(&format!("/cpu_seconds_per_million/{when}")));
    assert!(cpu[0] > 0.0 && cpu.is_sorted(), "{report}");
    let after =
        ["chunks", "series", "rollups", "total"].map(|part| figure(&format!("/bytes_per_sample/after_merge/{part}")));
    assert!(
        after.iter().all(|&bytes| bytes > 0.0),
        "the load lies in days that have ended, so it is rolled up: {report}"
    );
    assert!(figure("/ack_ms/p50") <= figure("/ack_ms/p99") && figure("/ack_ms/p99") <= figure("/ack_ms/max"));
    assert!(folder::names_in(folder.path()).is_empty(), "the run's folder is gone");
}

#[test]
fn a_bench_says_what_it_cannot_do() {
    let asked = |args: &[&str]| program::run(&[&["bench", "ingest"], args].concat());
    for (args, why) in [
        (&["--url", "http://127.0.0.1:1"][..], "a server of its own"),
        (&["--series", "0"], "a whole number from 1"),
        (&["--rate", "nan"], "samples a second"),
    ] {
        let outcome = asked(args);
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(why), "{args:?}: {}", outcome.stderr);
    }
}
