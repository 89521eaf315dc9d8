//! What the doctor looks at.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use series::{Clock, SystemClock, Timestamp};
use store::{DataFolder, StoreError};

use super::{Finding, settings_of};
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::{CliError, verify};
use crate::engine::health::{room, size};
use crate::engine::memory;
use crate::settings::Settings;

/// Open files that a busy server needs: connections, segments, tables.
const OPEN_FILES_MIN: u64 = 4096;
/// A file written this far in the future means that the clock went back.
const FUTURE_MAX: Duration = Duration::from_secs(60);
/// Files named one by one.
const NAMED_MAX: usize = 20;

pub(super) fn configuration(common: &Common) -> (Settings, Finding) {
    let place = common.config.as_ref().map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
    match settings_of(common) {
        Ok(settings) => (settings, Finding::ok("configuration", place)),
        Err(err) => {
            let cure = "`foretide config check` points at the line; the other checks use the defaults";
            (Settings::default(), Finding::fail("configuration", err.to_string(), cure))
        }
    }
}

pub(super) fn folder(data: &Path) -> Vec<Finding> {
    let name = data.display();
    if !data.is_dir() {
        let cure = "name another with --data, or let `foretide serve` make it";
        return vec![Finding::fail("folder", format!("there is no folder {name}"), cure)];
    }
    if !data.join("FORMAT").is_file() {
        let cure = "an empty folder is fine for a first start; any other is not ours, choose another with --data";
        return vec![Finding::warn("folder", format!("{name} holds no data yet"), cure)];
    }
    let mut findings = Vec::new();
    match DataFolder::open(data) {
        Ok(folder) => {
            findings.push(Finding::ok("folder", format!("{} is free and can be written", folder.root().display())))
        }
        Err(StoreError::Locked { holder, .. }) => {
            findings.push(Finding::ok("folder", format!("{name} is in use by a process ({holder})")));
        }
        Err(err @ StoreError::ReadOnly { .. }) => {
            findings.push(Finding::fail("folder", err.to_string(), "mount it read-write or mend its permissions"));
        }
        Err(err) => findings.push(Finding::fail("folder", err.to_string(), "mend what is named, then run this again")),
    }
    let cure = "restore it from a backup: `foretide restore DIR --data NEW`";
    for part in ["default/chunks/_delta_log", "default/series/_delta_log", "wal", "control/log"] {
        if !data.join(part).is_dir() {
            findings.push(Finding::fail("folder", format!("{name}/{part} is missing"), cure));
        }
    }
    findings
}

pub(super) fn disk(data: &Path, settings: &Settings) -> Vec<Finding> {
    let place = if data.is_dir() { data } else { Path::new(".") };
    let space = match wal::disk_space(place) {
        Ok(space) => space,
        Err(err) => return vec![Finding::warn("disk", format!("free room is not known: {err}"), "look with `df`")],
    };
    let share = space.free_bytes as f64 * 100.0 / (space.total_bytes.max(1)) as f64;
    let shed = settings.disk.shed_mib << 20;
    let found = format!("{} ({share:.0} %)", room(space));
    let cure = "free some; retention and other programs' files are the usual places";
    let mut findings =
        vec![if share < settings.disk.shed_percent || space.free_bytes < shed.min(space.total_bytes / 8) {
            Finding::fail("disk", format!("{found}: samples are refused"), cure)
        } else if share < settings.disk.warn_percent {
            Finding::warn("disk", found, cure)
        } else {
            Finding::ok("disk", found)
        }];
    if let Ok(log) = folder_bytes(&data.join("wal"))
        && log > LOG_BYTES_MAX
    {
        let cure =
            "POST /-/flush on the running server writes it to files; if it stays, the server's log has the reason";
        findings.push(Finding::warn("log", format!("{} wait in the log", size(log)), cure));
    }
    findings
}

/// More log than two full memtables means that flushing does not keep up.
const LOG_BYTES_MAX: u64 = 2 << 30;

fn folder_bytes(path: &Path) -> std::io::Result<u64> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// The clock against what was written by it.
pub(super) fn clock(data: &Path) -> Vec<Finding> {
    let now = SystemClock.now();
    let newest =
        ["wal", "control/log", "default/chunks/_delta_log"].iter().filter_map(|part| newest_in(&data.join(part))).max();
    let Some(newest) = newest else { return vec![Finding::ok("clock", format!("{now}"))] };
    let ahead = newest - now;
    if ahead.0 > FUTURE_MAX.as_millis() as i64 {
        let found = format!("it is {now}, but files were written at {newest}");
        return vec![Finding::fail("clock", found, "set the clock (NTP); samples of the future are refused meanwhile")];
    }
    vec![Finding::ok("clock", format!("{now}; newest file written {newest}"))]
}

fn newest_in(path: &Path) -> Option<Timestamp> {
    let written = |entry: fs::DirEntry| entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok();
    let newest = fs::read_dir(path).ok()?.flatten().filter_map(written).max()?;
    Some(Timestamp(i64::try_from(newest.as_millis()).unwrap_or(i64::MAX)))
}

pub(super) fn limits(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(soft) = open_files.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()) {
        findings.push(if soft < OPEN_FILES_MIN {
            Finding::warn(
                "open files",
                format!("{soft} at most"),
                format!("raise it to {OPEN_FILES_MIN}: `ulimit -n` or LimitNOFILE="),
            )
        } else {
            Finding::ok("open files", format!("{soft} at most"))
        });
    }
    if let Some(bytes) = memory::known_bytes() {
        let wanted = (settings.query.memory_mib as u64) << 20;
        findings.push(if wanted > bytes / 2 {
            let cure = "lower query.memory_mib to at most half of it";
            Finding::warn("memory", format!("{}, of which queries may use {}", size(bytes), size(wanted)), cure)
        } else {
            Finding::ok("memory", size(bytes))
        });
    }
    findings
}

/// Files that were put aside.
pub(super) fn quarantine(data: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, cure) in [
        (
            "quarantine",
            "take it from a backup: copy it to its place without `quarantine/` and restart; until then queries over its time are refused, or answer without it by partial_ok=true",
        ),
        (
            "wal/quarantine",
            "records of the log were damaged and are gone; senders repeat what was not acknowledged, the rest is in a backup",
        ),
        (
            "control/log/quarantine",
            "records of the control log were damaged and are gone; compare advice and jobs with a backup",
        ),
    ] {
        let mut files = Vec::new();
        list(&data.join(folder), &mut files);
        files.sort();
        for file in files.iter().take(NAMED_MAX) {
            let name = file.strip_prefix(data).unwrap_or(file).display().to_string();
            findings.push(Finding::fail("damaged", name, cure));
        }
        if files.len() > NAMED_MAX {
            findings.push(Finding::fail("damaged", format!("{} more in {folder}", files.len() - NAMED_MAX), cure));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("damaged", "nothing was put aside"));
    }
    findings
}

fn list(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => list(&path, files),
            path => files.push(path),
        }
    }
}

pub(super) fn every_byte(data: &Path) -> Finding {
    match verify::report(data) {
        Ok(found) => Finding::ok("every byte", found),
        Err(err) => Finding::fail(
            "every byte",
            err.to_string(),
            "restart the server, which puts damaged files aside; then see above",
        ),
    }
}

/// What a running server says of itself.
pub(super) fn server(client: &Client) -> Result<Vec<Finding>, CliError> {
    let pulse: Value = serde_json::from_slice(&client.get("/api/pulse")?)
        .map_err(|err| CliError::Failed(format!("read the answer: {err}")))?;
    let now = &pulse["now"];
    let mut findings = Vec::new();
    for alarm in now["alarms"].as_array().into_iter().flatten() {
        let text = |key: &str| alarm[key].as_str().unwrap_or_default().to_owned();
        findings.push(Finding::fail("alarm", format!("{}: {}", text("code"), text("message")), "as it says"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("alarms", "none"));
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let ingest = &now["ingest"];
    findings.push(Finding::ok("series", format!("{} active", number(&ingest["series"]))));
    let (samples, rejected) = (number(&ingest["samples"]), number(&ingest["rejected"]));
    findings.push(if rejected > 0 {
        let cure = "the senders' logs name the series and the reason: too old, too new, or the limit of series";
        Finding::warn("senders", format!("{rejected} samples refused, {samples} taken"), cure)
    } else {
        Finding::ok("senders", format!("{samples} samples taken, none refused"))
    });
    let theirs =
        now["at"].as_str().and_then(crate::cli::promql_query::parse_time).or_else(|| now["at"].as_i64().map(Timestamp));
    if let Some(theirs) = theirs {
        let apart = (theirs - SystemClock.now()).0.abs();
        findings.push(if apart > FUTURE_MAX.as_millis() as i64 {
            Finding::warn("clock", format!("the server's is {} s from ours", apart / 1000), "set both by NTP")
        } else {
            Finding::ok("clock", "the server's agrees with ours")
        });
    }
    Ok(findings)
}
