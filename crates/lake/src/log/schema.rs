//! What the kinds of tables tell Delta readers about themselves.

use std::collections::BTreeMap;

use serde_json::json;

use super::action::{Format, MetaData, Protocol};
use crate::chunk_file::column;
use crate::rollup_file;
use crate::table::TableKind;

/// Highest Delta versions that we write and read.
pub(crate) const PROTOCOL: Protocol = Protocol { min_reader_version: 1, min_writer_version: 2 };

const FORMAT_KEY: &str = "foretide.format";
const KIND_KEY: &str = "foretide.kind";
const FORMAT: u32 = 1;

/// The metadata of a new table. Its id is made from kind and folder, so that two processes that create the same table at
/// once write the same bytes.
pub(crate) fn metadata(kind: TableKind, root: &str) -> MetaData {
    let (schema, partition_columns) = match kind {
        TableKind::Chunks => (chunks(), vec!["date".to_owned()]),
        TableKind::Series => (series(), vec![]),
        TableKind::Rollup => (rollup(), vec!["date".to_owned()]),
    };
    MetaData {
        id: table_id(kind, root),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string: schema.to_string(),
        partition_columns,
        configuration: BTreeMap::from([
            (FORMAT_KEY.to_owned(), FORMAT.to_string()),
            (KIND_KEY.to_owned(), kind.name().to_owned()),
        ]),
    }
}

/// Why a table with this protocol and metadata is not one of `kind` that this release can use.
pub(crate) fn refusal(kind: TableKind, protocol: &Protocol, metadata: &MetaData) -> Option<String> {
    let Protocol { min_reader_version: reader, min_writer_version: writer } = *protocol;
    if reader > PROTOCOL.min_reader_version || writer > PROTOCOL.min_writer_version {
        return Some(format!("it needs Delta reader {reader} and writer {writer}, this release knows 1 and 2"));
    }
    let found = metadata.configuration.get(KIND_KEY).map(String::as_str);
    if found != Some(kind.name()) {
        return Some(format!("it is a table of {}, not of {}", found.unwrap_or("another product"), kind.name()));
    }
    match metadata.configuration.get(FORMAT_KEY).and_then(|format| format.parse::<u32>().ok()) {
        Some(format) if (1..=FORMAT).contains(&format) => None,
        Some(format) => Some(format!("it has format {format}, this release knows up to {FORMAT}; use a newer release")),
        None => Some("its format is not said".to_owned()),
    }
}

fn table_id(kind: TableKind, root: &str) -> String {
    // Four checksums with different beginnings make 128 well-mixed bits; version 8 of RFC 9562 leaves them to us.
    let part = |salt: u8| {
        u128::from(crc32c::crc32c_append(crc32c::crc32c(&[salt, kind.name().as_bytes()[0]]), root.as_bytes()))
    };
    let bits = (0..4).fold(0_u128, |bits, salt| bits << 32 | part(salt));
    let bits = bits & !(0xf << 76) | 0x8 << 76;
    let bits = bits & !(0x3 << 62) | 0x2 << 62;
    super::uuid_text(bits)
}

fn field(name: &str, kind: impl Into<serde_json::Value>) -> serde_json::Value {
    json!({"name": name, "type": kind.into(), "nullable": true, "metadata": {}})
}

fn chunks() -> serde_json::Value {
    json!({"type": "struct", "fields": [
        field("date", "string"),
        field(column::METRIC, "string"),
        field(column::SERIES_ID, "long"),
        field(column::MIN_TS, "long"),
        field(column::MAX_TS, "long"),
        field(column::COUNT, "integer"),
        field(column::NUMBERS, "integer"),
        field(column::SUM, "double"),
        field(column::MIN, "double"),
        field(column::MAX, "double"),
        field(column::FIRST, "double"),
        field(column::LAST, "double"),
        field(column::INCREASE, "double"),
        field(column::TS_CHUNK, "binary"),
        field(column::VALUE_CHUNK, "binary"),
    ]})
}

fn rollup() -> serde_json::Value {
    let columns = rollup_file::COLUMNS.iter().map(|(name, kind)| field(name, *kind));
    let fields: Vec<_> = std::iter::once(field("date", "string")).chain(columns).collect();
    json!({"type": "struct", "fields": fields})
}

fn series() -> serde_json::Value {
    let labels = json!({"type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": true});
    json!({"type": "struct", "fields": [
        field("series_id", "long"),
        field("metric", "string"),
        field("labels", labels),
        field("first_day", "date"),
        field("last_day", "date"),
        field("type", "string"),
        field("unit", "string"),
        field("help", "string"),
    ]})
}
