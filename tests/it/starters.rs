//! The queries that ship: each runs on the demo's folder and gives the rows it states (notation in queries/README.md).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::demo;
use crate::folder;
use crate::program;

/// A file of `queries/sql`.
struct Starter {
    name: String,
    text: String,
    expected: Expected,
}

enum Expected {
    Rows(Vec<String>),
    Any,
    AnyOrNone,
}

fn starters() -> Vec<Starter> {
    let folder = folder::source_root().join("queries/sql");
    let mut paths: Vec<_> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Starter {
    let name = path.file_name().expect("named").to_string_lossy().into_owned();
    let text = fs::read_to_string(path).expect("readable");
    let question = text.lines().next().unwrap_or_default();
    assert!(question.starts_with("-- ") && question.ends_with('?'), "{name} begins with a question, not {question:?}");
    let (_, after) = text.split_once("\n----\n").unwrap_or_else(|| panic!("{name} has no line ----"));
    let lines: Vec<String> = after.lines().map(|line| line.trim_start_matches("-- ").to_owned()).collect();
    let expected = match lines.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["any"] => Expected::Any,
        ["any or none"] => Expected::AnyOrNone,
        [] => panic!("{name} says nothing of what must come"),
        _ => Expected::Rows(lines),
    };
    Starter { name, text, expected }
}

/// Rows of the statement as CSV, without the header.
fn ask(data: &str, statement: &str) -> Vec<String> {
    let mut command = program::foretide(&["sql", "-", "--format", "csv", "--data", data]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(statement.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{statement}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn every_shipped_sql_query_answers_its_question() {
    let own = folder::fresh();
    let data = own.path().join("data");
    folder::copy_all(&demo::filled().folder, &data);
    let data = data.to_str().expect("plain");
    let starters = starters();
    assert!(starters.len() >= 6);
    for starter in starters {
        let rows = ask(data, &starter.text);
        match starter.expected {
            Expected::Rows(expected) => assert_eq!(rows, expected, "{}", starter.name),
            Expected::Any => assert!(!rows.is_empty(), "{} gives no rows", starter.name),
            Expected::AnyOrNone => {}
        }
    }
}
