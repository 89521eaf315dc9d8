//! `foretide import` and the import endpoint: files of all formats, into a folder and a running server, of any age.

use std::fs;
use std::path::Path;

use crate::folder;
use crate::http;
use crate::program;
use crate::server::Server;

/// A day long past, far behind any out-of-order window.
const OLD: i64 = 1_600_000_000;
/// Keeps everything, whatever the environment of the tests says.
const KEEP: (&str, &str) = ("FORETIDE__RETENTION__RAW", "unlimited");

fn import(data: &Path, args: &[&str]) -> program::Outcome {
    let mut command = program::foretide(&["import"]);
    command.args(args).arg("--data").arg(data).env(KEEP.0, KEEP.1);
    program::finish(&mut command)
}

fn rows(data: &Path, statement: &str) -> String {
    let data = data.to_str().expect("a path that is text");
    let mut command = program::foretide(&["sql", statement, "--format", "csv", "--data", data]);
    program::finish(command.env(KEEP.0, KEEP.1)).success().text()
}

#[test]
fn files_of_all_formats_become_series_of_a_folder() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the file can be written");
        path.to_str().expect("a path that is text").to_owned()
    };
    let csv = write("long.csv", &format!("ts,metric,value,job\n{OLD},up,1,a\n{},up,0,a\n", OLD + 60));
    let wide = write("wide.tsv", "date\tcpu\tmem\n2020-09-13T12:26:40Z\t0.5\t7\n");
    let jsonl = write(
        "rows.jsonl",
        &format!(
            "{{\"ts\": {OLD}, \"metric\": \"temp\", \"value\": 21.5, \"labels\": {{\"room\": \"a\"}}}}\n\
             {{\"metric\": {{\"__name__\": \"export\", \"k\": \"v\"}}, \"values\": [1, 2], \"timestamps\": [{OLD}000, {OLD}001]}}\n"
        ),
    );
    let prom = write("a.prom", &format!("prom_total{{x=\"1\"}} 5 {OLD}000\n"));
    let om = write("b.om", &format!("om_total 6 {OLD}.5\n# EOF\n"));
    let lp = write("c.lp", &format!("disk,path=/ used=5i {OLD}\n"));
    let outcome = import(&data, &[&csv, &wide, &jsonl, &prom, &om, &lp]).success();
    assert!(outcome.stderr.contains("10 samples imported"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("time = ts, metric = metric, value = value, labels = job"), "{}", outcome.stderr);
    let found =
        rows(&data, "SELECT metric, count(*) AS n, sum(value) AS s FROM samples GROUP BY metric ORDER BY metric");
    let wanted = "metric,n,s\ncpu,1,0.5\ndisk_used,1,5.0\nexport,2,3.0\nmem,1,7.0\nom_total,1,6.0\nprom_total,1,5.0\n\
                  temp,1,21.5\nup,2,1.0\n";
    assert_eq!(found.replace("\r\n", "\n"), wanted);
    // Once more: repeats replace, and nothing is there twice.
    import(&data, &[&csv, &prom]).success();
    assert_eq!(rows(&data, "SELECT count(*) AS n FROM samples"), rows(&data, "SELECT 10 AS n"));
}

#[test]
fn parquet_is_imported_and_a_mapping_names_the_columns() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let recording = folder::source_root().join("datasets/host-metrics.parquet");
    let outcome = import(&data, &[recording.to_str().expect("a path that is text"), "--extra-label", "origin=file"]);
    let outcome = outcome.success();
    assert!(outcome.stderr.contains("labels = labels"), "{}", outcome.stderr);
    let found = rows(&data, "SELECT count(*) > 10000 AS many, count(DISTINCT metric) > 10 AS kinds FROM samples");
    assert!(found.contains("true,true"), "{found}");
    let labels = rows(&data, "SELECT count(*) > 0 AS labelled FROM metrics.\"node_load1\" WHERE origin = 'file'");
    assert!(labels.contains("true"), "{labels}");
}

#[test]
fn what_cannot_be_imported_is_told_with_its_place() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let file = folder.path().join("a.csv");
    fs::write(&file, format!("ts,metric,value\n{OLD},up,1\nsoon,up,1\n")).expect("written");
    let path = file.to_str().expect("a path that is text");
    let outcome = import(&data, &[path]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("row 2: column `ts`: `soon` is not a time"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("1 samples imported"), "{}", outcome.stderr);
    let dry = import(&folder.path().join("none"), &[path, "--dry-run"]);
    assert!(
        dry.stderr.contains("1 samples would be imported") && !folder.path().join("none").exists(),
        "{}",
        dry.stderr
    );
    for (args, part) in [
        (vec!["nowhere.csv"], "nowhere.csv"),
        (vec![path, "--time", "when"], "there is no column `when`; the columns are ts, metric, value"),
        (vec![path, "--format", "parquet"], "not a readable Parquet file"),
        (vec!["file.unknown"], "--format"),
    ] {
        let outcome = import(&data, &args);
        assert_ne!(outcome.code, 0, "{args:?}");
        assert!(outcome.stderr.contains(part), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_running_server_takes_the_past_of_series_it_has() {
    let folder = folder::fresh();
    let server = Server::start_with(
        &folder.path().join("data"),
        &[("FORETIDE__HOST__ENABLED", "false"), ("FORETIDE__STREAMS__STARTERS", "false"), KEEP],
    );
    let now = server.ask("/api/v1/query", &[("query", "time()")]).ok().json()["data"]["result"][0].as_f64();
    let now = now.expect("a time") as i64;
    let push = |text: &str| http::send(server.address(), "POST", "/api/v1/import/prometheus", &[], text.as_bytes());
    assert_eq!(push("up{job=\"a\"} 1\n").status, 204);
    // Remote write would refuse it: a year behind the newest sample of its series.
    let old = format!("up{{job=\"a\"}} 0 {}000\n", now - 365 * 86_400);
    assert_eq!(push(&old).status, 204, "by HTTP");
    let file = folder.path().join("old.csv");
    fs::write(&file, format!("ts,metric,value,job\n{},up,0.5,a\n{OLD},up,0.25,a\n", now - 30 * 86_400))
        .expect("written");
    let url = server.url();
    program::run(&["import", file.to_str().expect("text"), "--url", &url]).success();
    server.flush(true);
    let found = server.sql("SELECT value FROM samples WHERE metric = 'up' ORDER BY ts", "csv").text();
    assert_eq!(found.lines().skip(1).collect::<Vec<_>>(), ["0.25", "0.0", "0.5", "1.0"], "{found}");
    let ahead = push(&format!("up 1 {}000\n", now + 7200));
    assert_eq!((ahead.status, ahead.text().contains("in the future")), (400, true), "{}", ahead.text());
    server.stop();
}
