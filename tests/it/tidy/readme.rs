//! The front door: commands of the README exist with all their options, links lead somewhere, the gate is the README's.

use std::fs;
use std::process::Command;

use crate::folder::source_root;
use crate::program;

/// The README's test command, which the gate runs as it stands.
const TEST_COMMAND: &str = "cargo test --workspace";
/// How the README may call our binary.
const CALLS: [&str; 3] = ["foretide ", "cargo run --release -- ", "./target/release/foretide "];

fn read(path: &str) -> String {
    fs::read_to_string(source_root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

#[test]
fn the_gate_runs_exactly_the_readme_s_test_command() {
    let commands = code_lines(&read("README.md"));
    assert!(
        commands.iter().any(|line| line == TEST_COMMAND),
        "README.md does not show `{TEST_COMMAND}`: {commands:#?}"
    );
    let gate = read(".ci/run");
    let lines: Vec<&str> = gate.lines().map(str::trim).collect();
    let wanted = [
        TEST_COMMAND,
        "cargo fmt --all --check",
        "cargo clippy --workspace --all-targets -- -D warnings",
        "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps",
    ];
    let places = wanted.map(|line| lines.iter().position(|found| *found == line));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{wanted:?} stand at {places:?} of .ci/run");
}

#[cfg(unix)]
#[test]
fn the_gate_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(source_root().join(".ci/run")).expect(".ci/run").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "mode {mode:o}");
    let checked = Command::new("bash").args(["-n", ".ci/run"]).current_dir(source_root()).status();
    assert!(checked.is_ok_and(|status| status.success()), "bash cannot read .ci/run");
}

#[test]
fn commands_of_the_readme_exist_with_all_their_options() {
    let mut n_commands = 0;
    for path in ["README.md", "benches/README.md", "queries/README.md", "models/README.md"] {
        let Ok(text) = fs::read_to_string(source_root().join(path)) else { continue };
        for line in code_lines(&text) {
            let call = CALLS.iter().find_map(|call| line.strip_prefix(call));
            if let Some(arguments) = call {
                check_command(path, &words(arguments));
                n_commands += 1;
            }
        }
    }
    assert!(n_commands > 2, "the README shows how to use the product");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "benches/README.md"] {
        let folder = source_root().join(path);
        let folder = folder.parent().expect("a file lies in a folder");
        for link in read(path).split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let is_local = !link.is_empty() && !link.contains("://");
            assert!(!is_local || folder.join(link).exists(), "{path} links to {link}, which does not exist");
        }
    }
}

/// Checks a call's subcommands and `--options` against the binary's own help.
fn check_command(path: &str, words: &[String]) {
    let mut asked: Vec<&str> = Vec::new();
    let mut help = help_of(path, &asked);
    for word in words.iter().take_while(|word| !word.starts_with('-')) {
        let Some(listed) = help.split("Commands:\n").nth(1) else { break };
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let known = listed.filter_map(|line| line.split_whitespace().next()).any(|name| name == word);
        assert!(known, "{path}: `foretide {}` has no command `{word}`", asked.join(" "));
        asked.push(word);
        help = help_of(path, &asked);
    }
    for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
        let name = option.split('=').next().unwrap_or(option);
        let known = help.split([' ', ',', '\n', '=']).any(|word| word == name);
        assert!(known, "{path}: `foretide {}` has no option {name}", asked.join(" "));
    }
}

fn help_of(path: &str, words: &[&str]) -> String {
    let outcome = program::run(&[words, &["--help"]].concat());
    assert_eq!(outcome.code, 0, "{path}: `foretide {} --help`: {}", words.join(" "), outcome.stderr);
    outcome.text()
}

/// Lines inside fenced code, without prompt and comment.
fn code_lines(markdown: &str) -> Vec<String> {
    let (mut inside, mut lines) = (false, Vec::new());
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.trim().trim_start_matches("$ ");
            lines.push(line.split(" # ").next().unwrap_or(line).trim().to_owned());
        }
    }
    lines
}

/// Words as a shell splits them, up to the first operator.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '<' | ';' | '&' | '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn shell_words_keep_quoted_operators() {
    assert_eq!(words("sql 'SELECT a > 1' --format md | head"), ["sql", "SELECT a > 1", "--format", "md"]);
    assert_eq!(words("demo"), ["demo"]);
}
