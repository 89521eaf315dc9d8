//! House rules as tests: walls between rooms, sizes of files, module docs, the front door.

mod blanked;
mod readme;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::folder::source_root;
use blanked::{blank, without_tests};

/// The product's package, as the tables below name it.
const ROOT: &str = "foretide";

/// Every room with the rooms it may import; the root may import all of them.
const ROOMS: [(&str, &[&str]); 18] = [
    ("series", &[]),
    ("codec", &[]),
    ("sketch", &[]),
    ("wal", &[]),
    ("lake", &["codec"]),
    ("store", &["series", "codec", "sketch", "wal", "lake"]),
    ("ingest", &["series"]),
    ("promql", &["series"]),
    ("stream", &["series", "sketch"]),
    ("forecast", &["series"]),
    ("scale", &["series", "forecast"]),
    ("control", &["series", "wal"]),
    ("backup", &["wal", "lake", "control"]),
    ("actuate", &["series", "scale"]),
    ("sql", &["series", "sketch", "forecast"]),
    ("server", &["series", "ingest", "promql"]),
    ("synth", &["series"]),
    ("torture", &["series", "wal", "store", "ingest", "sql", "backup"]),
];

/// Crates with the only packages that may name them, in any kind of dependency. A trailing `*` takes all with the prefix.
const WALLS: [(&[&str], &[&str]); 11] = [
    (&["arrow", "arrow-*", "parquet"], &["sql", "lake"]),
    (&["datafusion", "datafusion-*"], &["sql"]),
    (&["axum", "axum-*"], &["server"]),
    (&["polars", "polars-*"], &["backtest"]),
    (&["linfa", "linfa-*", "ndarray"], &["forecast", "scale", "stream"]),
    (&["ureq"], &["actuate", ROOT]),
    (&["sled"], &["control"]),
    (&["object_store"], &["lake", "store"]),
    (&["tokio", "tokio-*"], &["sql", "server", ROOT]),
    (&["pco"], &["codec"]),
    (&["tonic", "tonic-*"], &["server"]),
];

const TOP_FOLDERS: [&str; 9] =
    [".ci", "benches", "crates", "datasets", "models", "notebooks", "queries", "src", "tests"];
const TOP_FILES: [&str; 9] = [
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "rustfmt.toml",
];

const LINES_AIM: usize = 400;
const LINES_MAX: usize = 700;

const VAGUE_MODULES: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "manager", "misc", "shared"];

/// A file of the tree with its path from the root, `/` between names.
struct SourceFile {
    path: String,
    text: String,
}

/// A package's manifest.
struct Manifest {
    package: String,
    table: toml::Table,
}

#[test]
fn walls_hold_in_every_manifest() {
    let mut faults = Vec::new();
    for manifest in manifests() {
        for crate_name in dependencies(&manifest.table, &["dependencies", "dev-dependencies", "build-dependencies"]) {
            for (names, packages) in WALLS {
                let walled = names.iter().any(|name| matches(name, &crate_name));
                if walled && !packages.contains(&manifest.package.as_str()) {
                    faults.push(format!("{} names {crate_name}; only {} may", manifest.package, packages.join(", ")));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rooms_import_only_what_the_layout_allows() {
    let known: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    let mut faults = Vec::new();
    for manifest in manifests().iter().filter(|manifest| manifest.package != ROOT) {
        let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| *room == manifest.package) else {
            faults.push(format!("{} is not in the table of rooms; say there what it may import", manifest.package));
            continue;
        };
        for import in dependencies(&manifest.table, &["dependencies", "build-dependencies"]) {
            if known.contains(&import.as_str()) && !allowed.contains(&import.as_str()) {
                faults.push(format!("{room} imports {import}; it may import {allowed:?}"));
            }
        }
    }
    let found: BTreeSet<String> = manifests().into_iter().map(|manifest| manifest.package).collect();
    faults.extend(known.iter().filter(|room| !found.contains(**room)).map(|room| format!("room {room} is gone")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_package_inherits_the_lints_and_rooms_have_no_doctests() {
    for Manifest { package, table } in manifests() {
        let lints = table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(lints, Some(true), "{package}: [lints] workspace = true");
        let doctest = table.get("lib").and_then(|lib| lib.get("doctest")).and_then(toml::Value::as_bool);
        assert!(package == ROOT || doctest == Some(false), "{package}: [lib] doctest = false");
    }
}

#[test]
fn the_top_level_holds_what_the_layout_lists() {
    let paths = tracked_paths();
    let folders: BTreeSet<&str> = paths.iter().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect();
    let files: BTreeSet<&str> = paths.iter().filter(|path| !path.contains('/')).map(String::as_str).collect();
    assert_eq!(folders, BTreeSet::from(TOP_FOLDERS), "folders");
    assert_eq!(files, BTreeSet::from(TOP_FILES), "files");
}

#[test]
fn source_files_say_what_they_are_and_stay_short() {
    let (mut faults, mut long) = (Vec::new(), Vec::new());
    for SourceFile { path, text } in rust_files() {
        let n_lines = text.lines().count();
        if !text.starts_with("//!") {
            faults.push(format!("{path} does not begin with `//!`"));
        }
        if n_lines > LINES_MAX {
            faults.push(format!("{path} has {n_lines} lines; at most {LINES_MAX}, aim for half of it"));
        } else if n_lines > LINES_AIM {
            long.push(format!("{path} ({n_lines})"));
        }
    }
    if !long.is_empty() {
        eprintln!("over {LINES_AIM} lines, worth a split: {}", long.join(", "));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn modules_have_names_that_say_something() {
    for SourceFile { path, text } in rust_files() {
        assert!(!path.ends_with("/mod.rs"), "{path}: name the file after the module");
        let vague = path.trim_end_matches(".rs").split('/').find(|part| VAGUE_MODULES.contains(part));
        assert!(vague.is_none(), "{path}: `{}` could hold anything; name the idea", vague.unwrap_or_default());
        let code = blank(&text);
        let inline = VAGUE_MODULES.iter().find(|name| code.contains(&format!("mod {name} {{")));
        assert!(inline.is_none(), "{path}: inline module {inline:?}");
    }
}

#[test]
fn nothing_unfinished_or_ignored_is_left() {
    let mut faults = Vec::new();
    for SourceFile { path, text } in rust_files() {
        for (line, code) in blank(&text).lines().enumerate() {
            for word in ["todo!", "unimplemented!", "dbg!", "#[ignore", "#[should_panic"] {
                if code.contains(word) {
                    faults.push(format!("{path}:{}: {word}", line + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_unwraps_outside_tests() {
    let files: Vec<_> = rust_files().into_iter().filter(|file| !is_test_path(&file.path)).collect();
    let split: Vec<_> = files.iter().map(|file| (file, without_tests(&blank(&file.text)))).collect();
    let test_modules: BTreeSet<String> = split
        .iter()
        .flat_map(|(file, (_, modules))| modules.iter().map(|name| module_path(&file.path, name)))
        .collect();
    let mut faults = Vec::new();
    for (file, (code, _)) in &split {
        let stem = file.path.trim_end_matches(".rs");
        let is_test = test_modules.iter().any(|module| stem == module || stem.starts_with(&format!("{module}/")));
        let lines = code.lines().enumerate().filter(|(_, line)| !is_test && line.contains(".unwrap()"));
        faults.extend(lines.map(|(at, line)| format!("{}:{}: {}", file.path, at + 1, line.trim())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(source_root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    for Manifest { package, .. } in manifests().iter().filter(|manifest| manifest.package != ROOT) {
        let named = [format!("`{package}`"), format!("crates/{package}"), format!("**{package}**")];
        assert!(named.iter().any(|name| map.contains(name)), "ARCHITECTURE.md does not name the room {package}");
    }
}

#[test]
fn no_file_names_a_place_on_the_machine_it_was_made_on() {
    // Put together here, so that this file does not name them either.
    let places = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    for path in tracked_paths() {
        let Ok(text) = fs::read_to_string(source_root().join(&path)) else { continue };
        for (line, content) in text.lines().enumerate() {
            let found = places.iter().find(|place| begins_with_place(content, place));
            assert!(found.is_none(), "{path}:{}: {}", line + 1, found.map_or("", |place| place.as_str()));
        }
    }
}

/// Whether `place` stands in `line` as the beginning of a path, not inside one.
fn begins_with_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !before.is_alphanumeric() && !"-_.~}/".contains(before)
    })
}

/// Test, bench and example files, where the lints allow `unwrap`.
fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples"))
}

/// Path without `.rs` of module `name` declared in the file `path`.
fn module_path(path: &str, name: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main")) => folder,
        _ => stem,
    };
    format!("{folder}/{name}")
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn manifests() -> Vec<Manifest> {
    let root = source_root();
    let rooms = fs::read_dir(root.join("crates")).expect("crates").map(|entry| entry.expect("entry").path());
    let mut folders: Vec<_> = rooms.filter(|path| path.is_dir()).collect();
    folders.push(root);
    folders.iter().map(|folder| manifest(&folder.join("Cargo.toml"))).collect()
}

fn manifest(path: &Path) -> Manifest {
    let text = fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let table: toml::Table = text.parse().unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let name = table["package"]["name"].as_str().expect("a package has a name");
    Manifest { package: name.to_owned(), table }
}

/// Real names of the crates in the given sections, also those for single platforms.
fn dependencies(table: &toml::Table, sections: &[&str]) -> Vec<String> {
    let platforms = table.get("target").and_then(toml::Value::as_table);
    let tables = platforms.into_iter().flat_map(|all| all.values().filter_map(toml::Value::as_table));
    let mut names = Vec::new();
    for table in std::iter::once(table).chain(tables) {
        let sections = sections.iter().filter_map(|section| table.get(*section)?.as_table());
        for (name, value) in sections.flatten() {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            names.push(renamed.unwrap_or(name).to_owned());
        }
    }
    names
}

fn rust_files() -> Vec<SourceFile> {
    let paths = tracked_paths().into_iter().filter(|path| path.ends_with(".rs"));
    paths.map(|path| SourceFile { text: fs::read_to_string(source_root().join(&path)).expect("UTF-8"), path }).collect()
}

/// Files of the tree that belong to it: what git tracks or would track; without git, all but what builds leave behind.
fn tracked_paths() -> Vec<String> {
    let root = source_root();
    let git = Command::new("git").args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(&root).output();
    let listed = git.ok().filter(|output| output.status.success()).map(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split('\0').filter(|path| root.join(path).is_file()).map(str::to_owned).collect::<Vec<_>>()
    });
    let mut paths = listed.filter(|paths| !paths.is_empty()).unwrap_or_else(|| {
        let mut paths = Vec::new();
        walk(&root, "", &mut paths);
        paths
    });
    paths.sort();
    paths
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let entry = entry.expect("the entry can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if entry.path().is_file() {
            paths.push(path);
        } else if ![".git", "target", "data", "__pycache__", ".ipynb_checkpoints"].contains(&name.as_str()) {
            walk(&entry.path(), &path, paths);
        }
    }
}
