//! R15: data folders of every released format open and answer as they did. `tests/golden/NAME` is such a folder,
//! `NAME.csv` the answer. A folder is made by `FORETIDE_GOLDEN=NAME cargo test golden` and never changed afterwards.

use std::fs;
use std::path::PathBuf;

use series::Batch;

use crate::remote_write::{put, send_all};
use crate::server::{QUIET, Server};
use crate::{folder, program};

const STATEMENT: &str =
    "SELECT metric, labels, ts, value FROM samples WHERE metric IN ('golden_0', 'golden_1') ORDER BY 1, 2, 3";
/// 2026-11-20, in the morning.
const START: i64 = 1_795_156_200_000;

fn goldens() -> PathBuf {
    folder::source_root().join("tests/golden")
}

fn answer(data: &str) -> String {
    program::run(&["sql", STATEMENT, "--data", data, "--format", "csv"]).success().text()
}

#[test]
fn golden_folders_of_every_format_open_and_answer_as_they_did() {
    if let Ok(name) = std::env::var("FORETIDE_GOLDEN") {
        make(&name);
    }
    let names: Vec<_> = folder::names_in(&goldens()).into_iter().filter(|name| !name.ends_with(".csv")).collect();
    assert!(!names.is_empty(), "there is no golden folder");
    for name in names {
        let temporary = folder::fresh();
        let copy = temporary.path().join("data");
        folder::copy_all(&goldens().join(&name), &copy);
        let place = copy.to_str().expect("plain");
        program::run(&["verify", place]).success();
        let expected = fs::read_to_string(goldens().join(format!("{name}.csv"))).expect("its answer");
        assert_eq!(answer(place), expected, "{name}");
        // Merged and written by this version it still answers the same.
        let server = Server::start(&copy);
        server.flush(true);
        server.stop();
        assert_eq!(answer(place), expected, "{name}, merged");
        program::run(&["verify", place]).success();
    }
}

/// A folder with two days of chunk files, two series files, a log that goes on, and something in the control log.
fn make(name: &str) {
    let data = goldens().join(name);
    assert!(!data.exists(), "{name} is there already; golden folders never change");
    let old = [("FORETIDE__STORE__OOO_WINDOW", "3650d")];
    let server = Server::start_with(&data, &[&QUIET[..], &old].concat());
    for round in 0..3_i64 {
        let mut batch = Batch::default();
        for series in 0..4 {
            let values = [1.5, -0.0, 1e300, f64::from(series) + round as f64 / 8.0];
            let samples: Vec<_> = (0..20_i64)
                .map(|i| (START + round * 40_000_000 + i * 15_000, values[(i % 4) as usize] * (1 + i) as f64))
                .collect();
            let labels = [("__name__", format!("golden_{}", series % 2)), ("s", format!("{}", series + round as i32))];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            put(&mut batch, &labels, &samples);
        }
        send_all(server.address(), &batch);
        if round < 2 {
            server.flush(false);
        }
    }
    server.stop();
    for left in ["LOCK", "reserve.bin"] {
        // Of the process that made it, not of the format.
        drop(fs::remove_file(data.join(left)));
    }
    for left in [".staging", "control/index"] {
        drop(fs::remove_dir_all(data.join(left)));
    }
    drop(fs::remove_file(goldens().join("serve.log")));
    let place = data.to_str().expect("plain");
    let text = answer(place);
    for left in ["LOCK", "reserve.bin"] {
        drop(fs::remove_file(data.join(left)));
    }
    for left in [".staging", "control/index"] {
        drop(fs::remove_dir_all(data.join(left)));
    }
    fs::write(goldens().join(format!("{name}.csv")), text).expect("written");
}
