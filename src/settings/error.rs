//! Faults of a configuration, with file, line and the nearest valid key.

use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The YAML does not fit.
    #[error("{file}:{line}:{column}: {}{why}{hint}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Invalid {
        /// The file.
        file: String,
        /// Line, from 1 (0: not known).
        line: u64,
        /// Column, from 1.
        column: u64,
        /// The key whose value does not fit, where it can be told.
        key: Option<String>,
        /// What is wrong.
        why: String,
        /// The nearest valid key, with a leading `; `.
        hint: String,
    },
    /// Keys contradict each other.
    #[error("{file}: {key}: {why}")]
    Rule {
        /// The file.
        file: String,
        /// Which key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A variable of the environment does not fit.
    #[error("environment {variable}: {why}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong.
        why: String,
    },
    /// The settings cannot be written as YAML.
    #[error("write the configuration as YAML: {0}")]
    Write(String),
}

impl SettingsError {
    pub(super) fn invalid(file: &str, text: &str, err: &serde_saphyr::Error) -> Self {
        let err = err.without_snippet();
        let (line, column) = err.location().map_or((0, 0), |at| (at.line(), at.column()));
        let said = err.to_string();
        let why = strip_place(&said);
        let hint = nearest(why).map(|key| format!("; did you mean `{key}`?")).unwrap_or_default();
        // An unknown key is named by the sentence itself, and where it stands there is no value yet.
        let key = if why.contains("unknown field") { None } else { super::place::key_at(text, line, column) };
        Self::Invalid { file: file.to_owned(), line, column, key, why: in_words(why), hint }
    }
}

/// `invalid u64` and the like in words for people.
fn in_words(why: &str) -> String {
    let expected = match why.strip_prefix("invalid ").unwrap_or_default() {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" | "floating point" => "a number",
        "bool" | "boolean" => "true or false",
        _ => return why.to_owned(),
    };
    format!("it is not {expected}")
}

/// The parser repeats the place in its sentence; it is shown in front already.
fn strip_place(text: &str) -> &str {
    let text = text.lines().next().unwrap_or(text);
    match text.rfind(" at line ") {
        Some(end) => &text[..end],
        None => text,
    }
}

/// Of ``unknown field `lisen`, expected one of listen, data`` the listed name nearest to the unknown one.
pub(super) fn nearest(why: &str) -> Option<String> {
    let (said, listed) = why.split_once(", expected ")?;
    if !said.contains("unknown field") && !said.contains("unknown variant") {
        return None;
    }
    let unknown = said.split('`').nth(1)?;
    let names = listed.split([',', ' ', '`']).filter(|word| !word.is_empty() && !matches!(*word, "one" | "of" | "or"));
    let near = names.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min()?;
    (near.0 <= 3.max(unknown.len() / 3)).then(|| near.1.to_owned())
}
