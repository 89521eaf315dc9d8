//! What happens around a running server: damaged files, a full disk, a folder that is taken away or cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};
use torture::machine::{self, Mount};

use crate::http::{self, Answer};
use crate::remote_write::{put, send_all, send_once};
use crate::server::{QUIET, Server};
use crate::{folder, program};

/// Longest wait for the guard, which looks once a second.
const PATIENCE: Duration = Duration::from_secs(20);

fn one(metric: &str, at: i64, value: f64) -> Batch {
    let mut batch = Batch::default();
    put(&mut batch, &[("__name__", metric)], &[(at, value)]);
    batch
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn alarms(server: &Server) -> String {
    server.get("/api/pulse").ok().json()["now"]["alarms"].to_string()
}

fn figure(server: &Server, name: &str) -> String {
    let text = server.get("/metrics").ok().text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    value.unwrap_or_else(|| panic!("no {name}"))
}

fn chunk_files(data: &Path) -> Vec<PathBuf> {
    let days = fs::read_dir(data.join("default/chunks")).expect("listed").flatten().map(|entry| entry.path());
    let days = days.filter(|path| !path.ends_with("_delta_log"));
    let mut files: Vec<_> =
        days.flat_map(|day| fs::read_dir(day).expect("listed").flatten().map(|entry| entry.path())).collect();
    files.sort();
    files
}

#[test]
fn a_damaged_file_is_put_aside_named_everywhere_and_left_out_when_asked() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let data = folder.path().join("data");
    let server = Server::start(&data);
    send_all(server.address(), &one("guard_a", now - 1000, 1.0));
    server.flush(false);
    send_all(server.address(), &one("guard_a", now, 2.0));
    server.stop();
    let victim = chunk_files(&data).remove(0);
    let mut bytes = fs::read(&victim).expect("read");
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs::write(&victim, &bytes).expect("damaged");
    let name = victim.file_name().expect("a name").to_string_lossy().into_owned();

    let server = Server::start(&data);
    assert!(server.log().contains(&name), "the log names it");
    assert_eq!(figure(&server, "foretide_store_damaged_files"), "1");
    wait_for("the alarm names it", || alarms(&server).contains(&name));
    let refused = server.ask("/api/v1/query", &[("query", "count_over_time(guard_a[1h])")]);
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(refused.text().contains(&name) && refused.text().contains("partial_ok"), "{}", refused.text());
    let partial = [("query", "count_over_time(guard_a[1h])"), ("partial_ok", "true")];
    let partial = server.ask("/api/v1/query", &partial).ok().json();
    assert_eq!(partial["data"]["result"][0]["value"][1], "1", "{partial}");
    assert!(partial["warnings"][0].as_str().is_some_and(|text| text.contains(&name)), "{partial}");
    let statement = ("q", "SELECT count(*) FROM samples WHERE metric = 'guard_a'");
    assert!(server.ask("/api/sql", &[statement]).status >= 400);
    let partial = server.ask("/api/sql", &[statement, ("partial_ok", "true")]).ok();
    assert!(partial.header("x-foretide-warning").contains(&name), "{}", partial.header("x-foretide-warning"));
    assert_eq!(partial.json()["rows"], serde_json::json!([[1]]));
    let url = server.url();
    let told = program::run(&["doctor", "--url", &url]);
    assert!(told.code == 1 && told.text().contains(&name), "{}", told.text());
    server.stop();

    let place = data.to_str().expect("plain");
    let told = program::run(&["doctor", "--data", place]);
    assert!(told.code == 1 && told.text().contains("quarantine/default/chunks"), "{}", told.text());
    let told = program::run(&["verify", place]);
    assert!(told.code == 1 && told.stderr.contains(&name), "{}", told.stderr);
    // Its cure: back into its place from a backup (here: mended).
    bytes[last] ^= 1;
    fs::write(&victim, &bytes).expect("mended");
    fs::remove_dir_all(data.join("quarantine")).expect("cleared");
    program::run(&["verify", place]).success();
    program::run(&["doctor", "--data", place, "--verify"]).success();
}

#[test]
fn a_disk_with_little_room_sheds_samples_and_takes_them_again() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let data = folder.path().join("data");
    let full = [("FORETIDE__DISK__SHED_PERCENT", "100")];
    let server = Server::start_with(&data, &[&QUIET[..], &full].concat());
    let send = || send_once(server.address(), &one("guard_b", now, 1.0));
    wait_for("samples are refused", || send().status == 503);
    let answer: Answer = send();
    assert_eq!(answer.header("retry-after"), "30");
    assert!(answer.text().contains("nearly full"), "{}", answer.text());
    wait_for("the level is shown", || figure(&server, "foretide_disk_level") == "2");
    wait_for("the alarm is raised", || alarms(&server).contains("disk_nearly_full"));
    server.ask("/api/v1/query", &[("query", "guard_b")]).ok();
    server.stop();
    let server = Server::start(&data);
    assert_eq!(send_once(server.address(), &one("guard_b", now, 1.0)).status, 204);
    wait_for("room is measured", || server.get("/metrics").text().contains("foretide_disk_free_bytes"));
    server.stop();
}

#[test]
fn a_log_that_is_removed_under_the_server_is_noticed_and_memory_saved() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let data = folder.path().join("data");
    let server = Server::start(&data);
    send_all(server.address(), &one("guard_c", now, 7.0));
    wait_for("the guard has looked", || server.get("/metrics").text().contains("foretide_disk_free_bytes"));
    fs::remove_dir_all(data.join("wal")).expect("removed");
    wait_for("the guard has noticed", || alarms(&server).contains("folder_gone"));
    let answer = send_once(server.address(), &one("guard_c", now + 1, 8.0));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("wal") && answer.text().contains("restart"), "{}", answer.text());
    assert_eq!(figure(&server, "foretide_data_folder_gone"), "1");
    server.kill();
    let server = Server::start(&data);
    let kept = server.sql("SELECT value FROM samples WHERE metric = 'guard_c' ORDER BY ts", "json").json();
    assert_eq!(kept["rows"][0], serde_json::json!([7.0]), "what was in memory was written to files");
    server.stop();
}

#[test]
fn a_folder_that_cannot_be_written_answers_queries_and_is_not_served() {
    if !machine::is_root() {
        return program::skip("a_folder_that_cannot_be_written", "only root may mount it read-only");
    }
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let disk = match Mount::memory(&folder.path().join("disk"), 64) {
        Ok(disk) => disk,
        Err(why) => return program::skip("a_folder_that_cannot_be_written", &why),
    };
    let data = disk.path().join("data");
    let server = Server::start(&data);
    send_all(server.address(), &one("guard_d", now - 1000, 1.0));
    server.flush(false);
    send_all(server.address(), &one("guard_d", now, 2.0));
    server.stop();
    disk.change("ro").expect("read-only");
    let place = data.to_str().expect("plain");
    let statement = "SELECT count(*) AS n FROM samples WHERE metric = 'guard_d'";
    let asked = program::run(&["sql", statement, "--data", place, "--format", "csv"]).success();
    assert_eq!(asked.text().split_whitespace().collect::<Vec<_>>(), ["n", "2"]);
    let asked = program::run(&["promql", "count_over_time(guard_d[1h])", "--data", place]).success();
    assert!(asked.text().contains(" 2 "), "{}", asked.text());
    let refused = program::run(&["serve", "--data", place, "--listen", &crate::server::free_address()]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    for word in ["cannot be written", place, "foretide sql --data"] {
        assert!(refused.stderr.contains(word), "`{word}` is not in: {}", refused.stderr);
    }
    program::run(&["verify", place]).success();
    disk.change("rw").expect("writable");
    Server::start(&data).stop();
}

#[test]
fn a_backup_of_a_running_server_is_restored_and_answers_the_same() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let (data, target, to) = (folder.path().join("data"), folder.path().join("backup"), folder.path().join("restored"));
    let [place, target_name, to_name] = [&data, &target, &to].map(|path| path.to_str().expect("plain"));
    let server = Server::start(&data);
    send_all(server.address(), &one("guard_e", now - 1000, 1.0));
    server.flush(false);
    send_all(server.address(), &one("guard_e", now, 2.0));
    let url = server.url();
    let told = program::run(&["backup", target_name, "--url", &url]).success().text();
    assert!(told.contains("files"), "{told}");
    send_all(server.address(), &one("guard_e", now + 1, 3.0));
    server.stop();
    assert!(program::run(&["verify", target_name]).success().text().contains("sound backup"));
    program::run(&["restore", target_name, "--data", to_name]).success();
    let statement = "SELECT value FROM samples WHERE metric = 'guard_e' ORDER BY ts";
    let asked = program::run(&["sql", statement, "--data", to_name, "--format", "csv"]).success();
    let rows = asked.text();
    assert_eq!(rows.split_whitespace().collect::<Vec<_>>(), ["value", "1.0", "2.0"], "as at the time of the backup");
    let refused = program::run(&["restore", target_name, "--data", to_name]);
    assert!(refused.code == 1 && refused.stderr.contains("not empty"), "{}", refused.stderr);
    // The folder at rest, into the same backup: only what is new.
    let told = program::run(&["backup", &format!("file://{target_name}"), "--data", place]).success().text();
    assert!(!told.contains("0 kept"), "{told}");
    let refused = program::run(&["backup", place, "--data", place]);
    assert!(refused.code != 0 && refused.stderr.contains("data folder"), "{}", refused.stderr);
    assert_eq!(program::run(&["backup", "s3://bucket/x", "--data", place]).code, 2);
    let refused = http::send(Server::start(&data).address(), "POST", "/-/backup?to=relative", &[], &[]);
    assert_eq!(refused.status, 422, "{}", refused.text());
}
