//! What goes wrong for users: each fault has its own sentence with place, numbers and next step, its exit code or status.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use series::{Batch, Clock, SystemClock};

use crate::folder;
use crate::http::{self, Answer};
use crate::program::{self, Outcome};
use crate::remote_write::{self, HEADERS, put, send_once};
use crate::server::{QUIET, Server, free_address};

/// Runs `serve` where it must fail at once.
fn serve(data: &Path, address: &str) -> Outcome {
    let data = data.to_str().expect("test folders have plain names");
    program::run(&["serve", "--listen", address, "--data", data])
}

#[track_caller]
fn says(outcome: &Outcome, code: i32, words: &[&str]) {
    let Outcome { stdout, stderr, .. } = outcome;
    assert_eq!(outcome.code, code, "{stderr}");
    assert!(stdout.is_empty(), "stdout is for data: {}", outcome.text());
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    assert!(stderr.lines().count() < 8, "a sentence, not a dump: {stderr}");
}

#[track_caller]
fn answers(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text());
    for word in words {
        assert!(answer.text().contains(word), "`{word}` is not in: {}", answer.text());
    }
}

#[test]
fn a_taken_port() {
    let folder = folder::fresh();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = folder.path().join("data");
    says(&serve(&data, &address), 1, &[&address, "the port is taken", "--listen"]);
    assert!(!data.exists(), "a taken port leaves no folder behind");
    says(&serve(&data, "nonsense"), 1, &["nonsense", "HOST:PORT"]);
    says(&serve(&data, "0.0.0.0:0"), 1, &["0.0.0.0:0", "loopback"]);
}

#[test]
fn a_folder_that_cannot_be_used() {
    let folder = folder::fresh();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("written");
    for data in [file.clone(), file.join("below"), "/proc/foretide-data".into()] {
        let name = data.display().to_string();
        says(&serve(&data, &free_address()), 1, &[&name, "--data"]);
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "not a folder");
    let missing = folder.path().join("typo");
    let outcome = program::run(&["sql", "SELECT 1", "--data", missing.to_str().expect("plain")]);
    says(&outcome, 2, &["there is no folder", "typo", "--url"]);
    assert!(!missing.exists(), "a query makes no folder");
}

/// The superuser may read everything, so this holds only for others.
#[cfg(unix)]
#[test]
fn a_folder_without_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = folder::fresh();
    if fs::metadata(folder.path()).expect("it exists").uid() == 0 {
        return program::skip("a_folder_without_permission", "this runs as root, whom no permission stops");
    }
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o000)).expect("closed");
    says(&serve(&data, &free_address()), 1, &["data", "ermission denied", "--data"]);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("opened");
}

#[test]
fn a_folder_that_another_server_has() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let holder = server.pid().to_string();
    says(&serve(&data, &free_address()), 1, &["is in use", &holder, "--data"]);
    let name = data.to_str().expect("plain");
    says(&program::run(&["sql", "SELECT 1", "--data", name]), 1, &["is in use", &holder]);
    // The same question to the server that has it.
    let outcome = program::run(&["sql", "SELECT 41 + 1", "--url", &server.url(), "--format", "csv"]).success();
    assert_eq!(outcome.text().lines().nth(1), Some("42"));
    server.kill();
    Server::start(&data).stop();
}

/// A service manager may change its mind at any moment after the first answer.
#[test]
fn a_server_that_is_stopped_at_once_ends_well() {
    let folder = folder::fresh();
    for _ in 0..8 {
        Server::start(&folder.path().join("data")).stop();
    }
}

#[test]
fn a_folder_of_a_newer_program() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::write(data.join("FORMAT"), "foretide data folder, format 99\n").expect("written");
    says(&serve(&data, &free_address()), 1, &["format 99", "up to 1", "newer program"]);
    let left: Vec<_> = folder::names_in(&data).into_iter().filter(|name| name != "LOCK").collect();
    assert_eq!(left, ["FORMAT"], "left untouched");
    fs::write(data.join("FORMAT"), "shopping list\n").expect("written");
    says(&serve(&data, &free_address()), 1, &["shopping list", "something else"]);
    assert_eq!(fs::read_to_string(data.join("FORMAT")).expect("still there"), "shopping list\n");
}

#[test]
fn a_configuration_that_is_invalid() {
    let folder = folder::fresh();
    let file = folder.path().join("foretide.yaml");
    let name = file.to_str().expect("plain");
    for (text, words) in [
        ("listen: 127.0.0.1:1\nscalling:\n  mode: observe\n", ["foretide.yaml:2:1", "did you mean `scaling`?"]),
        ("store:\n  series_mx: 5\n", ["foretide.yaml:2:", "`series_max`"]),
        ("store:\n  series_max: many\n", ["foretide.yaml:2:", "store.series_max: it is not a whole number"]),
        ("forecast:\n  jobs: [{name: a, promql: up, schedule: evry 5m}]\n", ["jobs.a.schedule", "`every 5m`"]),
        ("host:\n  every: 5 minutes\n", ["foretide.yaml:2:", "not a duration"]),
        ("scaling:\n  mode: obsrve\n", ["foretide.yaml:2:", "did you mean `observe`?"]),
        ("forecast:\n  jobs:\n    - {name: a}\n", ["forecast.jobs.a", "exactly one of promql and sql"]),
        ("listen: [\n", ["foretide.yaml:", "error:"]),
    ] {
        fs::write(&file, text).expect("written");
        says(&program::run(&["config", "check", "--config", name]), 4, &words);
        let data = folder.path().join("data");
        let data = data.to_str().expect("plain");
        says(&program::run(&["serve", "--listen", &free_address(), "--config", name, "--data", data]), 4, &words);
    }
    let missing = folder.path().join("missing.yaml");
    let missing = missing.to_str().expect("plain");
    says(&program::run(&["config", "check", "--config", missing]), 4, &["missing.yaml", "No such file"]);
    let mut command = program::foretide(&["config", "show"]);
    let outcome = program::finish(command.env("FORETIDE__STORE__SERIES_MX", "7"));
    says(&outcome, 4, &["FORETIDE__STORE__SERIES_MX", "SERIES_MAX"]);
}

/// What is in the environment is not ours to judge, unless it bears our name.
#[cfg(unix)]
#[test]
fn an_environment_that_is_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff");
    program::finish(program::foretide(&["config", "show"]).env("SOMETHING", bytes)).success();
    let outcome = program::finish(program::foretide(&["config", "show"]).env("FORETIDE__LISTEN", bytes));
    says(&outcome, 4, &["FORETIDE__LISTEN", "not UTF-8"]);
}

#[test]
fn a_folder_with_too_little_in_it() {
    let folder = folder::fresh();
    let (data, file) = (folder.path().join("data"), folder.path().join("foretide.yaml"));
    fs::write(&file, "forecast: {jobs: [{name: a, promql: up}]}\n").expect("written");
    fs::create_dir(&data).expect("made");
    let (data, file) = (data.to_str().expect("plain"), file.to_str().expect("plain"));
    let run = |words: &[&str]| program::run(&[words, &["--data", data, "--config", file]].concat());
    says(&run(&["jobs", "run", "a"]), 6, &["job `a`", "answers no series", "wait for data"]);
    says(&run(&["jobs", "run", "b"]), 2, &["no such job"]);
    let runs = run(&["sql", "SELECT id, state FROM job_runs", "--format", "csv"]).success().text();
    assert_eq!(runs.lines().nth(1), Some("a,failed"), "{runs}");
    let audit = run(&["audit", "verify"]).success().text();
    assert!(audit.starts_with("audit trail is whole: 0 records"), "{audit}");
    assert_eq!(run(&["outbox", "list"]).success().text(), "no messages are failed\n");
    says(&run(&["outbox", "retry", "7"]), 1, &["no outbox message `7`"]);
    says(&program::run(&["audit", "verify", "--url", "http://127.0.0.1:1"]), 2, &["--url", "--data"]);
}

#[test]
fn the_starter_configuration_is_valid_and_shown_again() {
    let folder = folder::fresh();
    let file = folder.path().join("foretide.yaml");
    let name = file.to_str().expect("plain");
    fs::write(&file, program::run(&["config", "init"]).success().stdout).expect("written");
    program::run(&["config", "check", "--config", name]).success();
    let shown = program::run(&["config", "show", "--config", name]).success().text();
    fs::write(&file, &shown).expect("written");
    assert_eq!(program::run(&["config", "show", "--config", name]).success().text(), shown);
}

#[test]
fn words_that_are_no_command() {
    for arguments in [
        &["demmo"][..],
        &["serve", "--lisen", "x"],
        &["sql"],
        &["sql", "SELECT 1", "--format", "xml"],
        &["recommend", "everything"],
        &["promql", "1", "--step", "1m"],
        &["promql", "1", "--at", "yesterday", "--url", "http://127.0.0.1:1"],
        &["generate"],
        &["config", "check"],
    ] {
        let outcome = program::run(arguments);
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there() {
    let address = free_address();
    let url = format!("http://{address}");
    for arguments in [
        &["sql", "SELECT 1", "--url", &url][..],
        &["promql", "1", "--url", &url],
        &["recommend", "--url", &url],
        &["jobs", "list", "--url", &url],
        &["generate", "--to", &url, "--days", "1"],
    ] {
        says(&program::run(arguments), 5, &[&address, "is `foretide serve` running there?"]);
    }
}

#[test]
fn sql_that_cannot_be_answered() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    for (statement, code, words) in [
        ("SELEC 1", "sql_parse", &["SELEC"][..]),
        ("SELECT 1 FROM\n  samples WHERE )", "sql_parse", &["\"line\":2", "\"column\":17"]),
        ("SELECT nonsense FROM samples", "sql_plan", &["nonsense"]),
        ("SELECT * FROM metrics.nothing_of_that_name", "sql_plan", &["nothing_of_that_name", "SHOW TABLES"]),
        ("DROP TABLE samples", "sql_plan", &["DROP is not allowed", "read-only"]),
        ("COPY (SELECT 1) TO 'x.csv'", "sql_plan", &["COPY is not allowed"]),
        ("SELECT 1; SELECT 2", "sql_parse", &["one statement", "one by one"]),
    ] {
        let answer = server.ask("/api/sql", &[("q", statement)]);
        answers(&answer, 400, words);
        assert_eq!(answer.json()["error"]["code"], json!(code), "{statement}: {}", answer.text());
    }
    answers(&server.ask("/api/sql", &[("q", "")]), 400, &["`q` is missing", "SELECT"]);
    answers(&server.ask("/api/sql", &[("q", "SELECT 1"), ("format", "xml")]), 400, &["xml", "parquet"]);
    let url = server.url();
    says(&program::run(&["sql", "SELEC 1", "--url", &url]), 1, &["answered 400", "SELEC"]);
    server.stop();
    let data = data.to_str().expect("plain");
    says(&program::run(&["sql", "SELEC 1", "--data", data]), 1, &["SELEC"]);
    says(&program::run(&["sql", "SELECT * FROM metrics.none", "--data", data]), 1, &["none", "hint:", "SHOW TABLES"]);
}

#[test]
fn promql_that_cannot_be_answered() {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    for (query, words) in [
        ("rat(x[5m])", &["rat", "did you mean rate?"][..]),
        ("sum(rate(x[5m])", &["query"]),
        ("x[5m", &["query"]),
        ("rate(x)", &["rate", "range vector"]),
        ("{}", &["query"]),
    ] {
        let answer = server.ask("/api/v1/query", &[("query", query)]);
        answers(&answer, 400, words);
        assert_eq!((&answer.json()["status"], &answer.json()["errorType"]), (&json!("error"), &json!("bad_data")));
        let says_place = answer.text().contains("column") || answer.text().contains("1:");
        assert!(says_place, "{query}: where? {}", answer.text());
    }
    answers(&server.get("/api/v1/query"), 400, &["`query` is missing"]);
    let range = |step: &str| {
        server.ask("/api/v1/query_range", &[("query", "1"), ("start", "0"), ("end", "1000000"), ("step", step)])
    };
    answers(&range("1"), 400, &["1000000 steps", "11000", "larger step"]);
    answers(&range("0"), 400, &["`step`", "not positive"]);
    answers(&range("often"), 400, &["`step`", "often"]);
    let url = server.url();
    says(&program::run(&["promql", "rat(x[5m])", "--url", &url]), 1, &["did you mean rate?"]);
    server.stop();
    let data = data.to_str().expect("plain");
    says(&program::run(&["promql", "rat(x[5m])", "--data", data]), 1, &["did you mean rate?"]);
}

#[test]
fn write_requests_that_are_not_taken() {
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    let post =
        |headers: &[(&str, &str)], body: &[u8]| http::send(server.address(), "POST", remote_write::PATH, headers, body);
    let good = {
        let mut batch = Batch::default();
        put(&mut batch, &[("__name__", "fault_up")], &[(SystemClock.now().0, 1.0)]);
        ingest::encode_write_request(&batch).expect("small")
    };
    answers(&post(&HEADERS, b""), 400, &["body is empty"]);
    answers(&post(&HEADERS, b"\x0cnot snappy at all"), 400, &["not a snappy block"]);
    answers(&post(&HEADERS, b"\xff\xff\xff\xff\x0f"), 413, &["unpacks to 4294967295 bytes", "smaller batches"]);
    answers(&post(&HEADERS, &[3, 8, 0x0a, 0xff, 0x01]), 400, &["malformed at byte"]);
    answers(&post(&[("Content-Encoding", "gzip"), HEADERS[0]], &good), 415, &["gzip", "snappy"]);
    answers(&post(&[("Content-Type", "text/plain")], &good), 415, &["text/plain", "application/x-protobuf"]);
    let second = [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), HEADERS[1]];
    answers(&post(&second, &good), 400, &["looks like remote write 1.0", "prometheus.WriteRequest"]);
    let ninth = [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v9.Request"), HEADERS[1]];
    answers(&post(&ninth, &good), 415, &["v9.Request"]);
    let huge = server.connect().send_head("POST", remote_write::PATH, &[("Content-Length", "17000000")]);
    answers(&huge.expect("answered before the body"), 413, &["larger than 16777216 bytes", "smaller batches"]);
    answers(&server.get(remote_write::PATH), 405, &["does not take GET"]);
    let foreign = [("Origin", "http://example.com"), HEADERS[0], HEADERS[1]];
    answers(&post(&foreign, &good), 403, &["another origin"]);
    answers(&server.get("/api/v1/qery"), 404, &["page not found", "did you mean"]);
    answers(&post(&HEADERS, &good), 204, &[]);
    let count = server.sql("SELECT count(*) FROM samples WHERE metric = 'fault_up'", "json").json();
    assert_eq!(count["rows"], json!([[1]]), "only the good request left a sample");
}

#[test]
fn samples_that_are_refused_alone() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let limit = [("FORETIDE__STORE__SERIES_MAX", "3")];
    let server = Server::start_with(&folder.path().join("data"), &[&QUIET[..], &limit].concat());
    let send = |name: &str, samples: &[(i64, f64)]| {
        let mut batch = Batch::default();
        put(&mut batch, &[("__name__", "fault_a")], &[(now, 1.0)]);
        put(&mut batch, &[("__name__", name)], samples);
        send_once(server.address(), &batch)
    };
    let hours = 3_600_000;
    answers(&send("fault_a", &[(now + 1, 2.0)]), 204, &[]);
    let old = send("fault_a", &[(now - 25 * hours, 3.0)]);
    answers(&old, 400, &["1 samples refused", "older than the out-of-order window of 1d", "fault_a"]);
    answers(&send("fault_a", &[(now + hours, 4.0)]), 400, &["1 samples refused", "more than 10m in the future"]);
    answers(&send("fault_b", &[(now, 5.0)]), 204, &[]);
    answers(&send("fault_c", &[(now, 6.0)]), 204, &[]);
    let full = send("fault_d", &[(now, 7.0)]);
    answers(&full, 429, &["1 samples refused", "limit of 3 active series", "fault_d"]);
    assert!(!full.header("retry-after").is_empty(), "a sender is told when to come back");
    let long = "x".repeat(5000);
    answers(&send(&long, &[(now, 8.0)]), 400, &["refused"]);
    let kept = server.sql("SELECT metric, value FROM samples ORDER BY 1, 2", "json").json();
    assert_eq!(kept["rows"], json!([["fault_a", 1.0], ["fault_a", 2.0], ["fault_b", 5.0], ["fault_c", 6.0]]));
    let limited = server.get("/metrics").ok().text();
    let refused = limited.lines().find_map(|line| line.strip_prefix("foretide_write_refused_samples_total "));
    assert_eq!(refused, Some("4"), "refusals are counted");
}

#[test]
fn errors_of_our_own_api_have_code_message_and_hint() {
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    for (path, status) in [
        ("/api/recommendations/none", 404),
        ("/api/anomalies/none", 404),
        ("/api/forecasts/none", 404),
        ("/api/sql", 400),
        ("/api/nothing", 404),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let error = &answer.json()["error"];
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(is_text(&error["code"]) && is_text(&error["message"]), "{path}: {error}");
    }
    let wrong = http::send(server.address(), "DELETE", "/api/sql", &[], &[]);
    answers(&wrong, 405, &["does not take DELETE"]);
    assert!(wrong.header("allow").contains("POST"), "what it takes: {}", wrong.header("allow"));
    answers(&server.get("/api//sql"), 400, &["empty segment"]);
}
