//! `foretide sql`.

use std::io::Read;

use futures::StreamExt;
use serde_json::Value;
use sql::SqlRequest;

use super::args::{Common, Format, QueryArgs};
use super::client::Client;
use super::local::Local;
use super::{CliError, output};

pub(super) fn run(common: &Common, args: &QueryArgs) -> Result<(), CliError> {
    let mut text = args.query.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(|err| CliError::Failed(format!("read stdin: {err}")))?;
    }
    let asked = if args.format == Format::Table { Format::Json } else { args.format };
    let bytes = answer(common, &text, asked)?;
    if args.format == Format::Table {
        return output::put(as_table(&bytes)?.as_bytes(), args.output.as_deref());
    }
    output::put(&bytes, args.output.as_deref())
}

/// The answer of a running server or of the opened folder.
pub(super) fn answer(common: &Common, text: &str, format: Format) -> Result<Vec<u8>, CliError> {
    let word = format!("{format:?}").to_lowercase();
    match &common.url {
        Some(url) => Client::new(url).form("/api/sql", &[("q", text), ("format", &word)]),
        None => ask(&Local::open(common)?, text, format),
    }
}

/// The answer of an opened folder.
pub(super) fn ask(local: &Local, text: &str, format: Format) -> Result<Vec<u8>, CliError> {
    let word = format!("{format:?}").to_lowercase();
    let format = sql::Format::from_word(&word).unwrap_or_default();
    let engine = local.engine.core().sql.clone();
    local.runtime.block_on(async move {
        let request = SqlRequest { sql: text.to_owned(), format, rows_max: None, truncate: false, timeout: None };
        let mut chunks = engine.query(request).await?.chunks;
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    })
}

/// `{columns, rows}` as a table for people.
fn as_table(json: &[u8]) -> Result<String, CliError> {
    let answer: Value =
        serde_json::from_slice(json).map_err(|err| CliError::Failed(format!("read the answer: {err}")))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let header: Vec<String> = list(&answer["columns"]).iter().map(|column| text(&column["name"])).collect();
    let rows: Vec<Vec<String>> = list(&answer["rows"]).iter().map(|row| list(row).iter().map(text).collect()).collect();
    let plural = if rows.len() == 1 { "row" } else { "rows" };
    Ok(format!("{}({} {plural})\n", output::table(&header, &rows), rows.len()))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
