//! Scores series in CSV files: `cargo run --release -p stream --example score_files -- IN OUT`.
//!
//! Reads every `*.csv` under IN (columns `timestamp,value,…`; Unix seconds or `YYYY-MM-DD HH:MM:SS`) and writes
//! `timestamp,value,anomaly_score` under the same name below OUT. Each score comes from the rows before it alone.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, io};

use series::Timestamp;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: score_files IN OUT"));
    };
    let mut files = Vec::new();
    find(Path::new(&input), &mut files)?;
    files.sort();
    let (mut rows, mut seconds) = (0_usize, 0.0);
    for file in &files {
        let name = file.strip_prefix(&input).map_err(io::Error::other)?;
        let text = fs::read_to_string(file)?;
        let lines: Vec<(&str, &str)> = text.lines().skip(1).filter_map(columns).collect();
        let values: Vec<(Timestamp, f64)> =
            lines.iter().map(|(at, value)| (parse_time(at), value.trim().parse().unwrap_or(f64::NAN))).collect();
        let start = Instant::now();
        let scores = stream::score_series(&values);
        seconds += start.elapsed().as_secs_f64();
        rows += values.len();
        write(&Path::new(&output).join(name), &lines, &scores)?;
    }
    writeln!(io::stdout(), "{} files, {rows} rows, {:.2} M rows/s", files.len(), rows as f64 / seconds / 1e6)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    Ok(())
}

fn columns(line: &str) -> Option<(&str, &str)> {
    let (at, rest) = line.split_once(',')?;
    Some((at, rest.split(',').next().unwrap_or("")))
}

fn write(path: &Path, lines: &[(&str, &str)], scores: &[f64]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = String::from("timestamp,value,anomaly_score\n");
    for ((at, value), score) in lines.iter().zip(scores) {
        text.push_str(&format!("{at},{value},{score}\n"));
    }
    fs::write(path, text)
}

/// Unix seconds or a civil time in UTC; the epoch when it is neither.
fn parse_time(text: &str) -> Timestamp {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Timestamp((seconds * 1000.0) as i64);
    }
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<i64>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let (year, month, day) = (next(), next(), next());
    let (hour, minute, second) = (next(), next(), next());
    // Days before a civil date, counting years from March (Hinnant).
    let (shifted, months) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * months + 2) / 5 + day - 1 - 719_468;
    Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}
