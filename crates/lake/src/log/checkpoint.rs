//! Checkpoints: a whole snapshot as one Parquet file, and the pointer to the newest one.
//!
//! Actions travel through arrow's JSON reader and writer, so the Parquet columns are Delta's JSON names by construction.

use std::io::Cursor;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::action::Action;
use crate::checksum;
use crate::error::LakeError;
use crate::parquet_io;

const CLOSING: &str = "}";
const BATCH_ACTIONS: usize = 8192;

/// What identifies a checkpoint: Delta's fields, then ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckpointId {
    pub(crate) version: u64,
    /// Number of actions.
    pub(crate) size: u64,
    pub(crate) size_in_bytes: u64,
    pub(crate) num_of_add_files: u64,
    /// Time of the newest commit inside, milliseconds.
    pub(crate) ft_committed_at: i64,
    /// crc32c of the checkpoint file.
    pub(crate) ft_crc_file: u32,
}

/// Content of `_last_checkpoint`: the newest checkpoint, and the one before in case the newest is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastCheckpoint {
    #[serde(flatten)]
    pub(crate) newest: CheckpointId,
    pub(crate) ft_previous: Option<CheckpointId>,
}

impl LastCheckpoint {
    pub(crate) fn encode(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_string(self)?;
        json.pop();
        json.push(',');
        Ok(checksum::seal(json, CLOSING))
    }

    pub(crate) fn decode(key: &str, bytes: &[u8]) -> Result<Self, LakeError> {
        if !checksum::is_sealed(bytes, CLOSING) {
            return Err(LakeError::damaged(key, "it fails its checksum"));
        }
        serde_json::from_slice(bytes).map_err(|why| LakeError::damaged(key, why))
    }
}

/// The checkpoint of `snapshot` and its identity. `key` names it in errors.
pub(crate) fn encode(key: &str, snapshot: &Snapshot) -> Result<(Bytes, CheckpointId), LakeError> {
    let invalid = |why: &dyn std::fmt::Display| LakeError::invalid(key, why);
    let actions = snapshot.actions().map_err(|why| invalid(&why))?;
    let mut lines = Vec::new();
    for action in &actions {
        serde_json::to_writer(&mut lines, action).map_err(|why| invalid(&why))?;
        lines.push(b'\n');
    }
    let schema = schema();
    let reader = ReaderBuilder::new(Arc::clone(&schema))
        .with_batch_size(BATCH_ACTIONS)
        .with_strict_mode(true)
        .build(Cursor::new(lines))
        .map_err(|why| invalid(&why))?;
    let level = ZstdLevel::try_new(1).map_err(|why| invalid(&why))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let batches = reader.map(|batch| batch.map_err(|why| invalid(&why)));
    let written = parquet_io::write(key, schema, properties, batches)?;
    let id = CheckpointId {
        version: snapshot.version,
        size: actions.len() as u64,
        size_in_bytes: written.bytes.len() as u64,
        num_of_add_files: snapshot.files.len() as u64,
        ft_committed_at: snapshot.committed_at,
        ft_crc_file: crc32c::crc32c(&written.bytes),
    };
    Ok((written.bytes, id))
}

/// The snapshot in `bytes`, which are checked against `last` from the pointer first.
pub(crate) fn decode(root: &Arc<str>, key: &str, last: &CheckpointId, bytes: Bytes) -> Result<Snapshot, LakeError> {
    let crc = crc32c::crc32c(&bytes);
    if crc != last.ft_crc_file {
        let why = format!("it has crc32c {crc:08x}, _last_checkpoint says {:08x}", last.ft_crc_file);
        return Err(LakeError::damaged(key, why));
    }
    let actions = parquet_io::guard(key, || read_actions(key, bytes))?;
    if actions.len() as u64 != last.size {
        return Err(LakeError::damaged(key, format!("{} actions instead of {}", actions.len(), last.size)));
    }
    Snapshot::from_checkpoint(root, key, last.version, last.ft_committed_at, actions)
}

fn read_actions(key: &str, bytes: Bytes) -> Result<Vec<Action>, LakeError> {
    let damaged = |why: &dyn std::fmt::Display| LakeError::damaged(key, why);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.with_batch_size(BATCH_ACTIONS).build())
        .map_err(|why| damaged(&why))?;
    let mut actions = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|why| damaged(&why))?;
        let mut lines = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut lines);
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|why| damaged(&why))?;
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            actions.push(serde_json::from_slice(line).map_err(|why| damaged(&why))?);
        }
    }
    Ok(actions)
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let group = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(Fields::from(fields)), true);
    Arc::new(Schema::new(vec![
        group("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        group(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
                map("tags"),
            ],
        ),
        group(
            "remove",
            vec![text("path"), long("deletionTimestamp"), flag("dataChange"), map("partitionValues"), long("size")],
        ),
        group(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                group("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                Field::new("partitionColumns", DataType::List(Arc::new(text("element"))), true),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        group("protocol", vec![int("minReaderVersion"), int("minWriterVersion")]),
    ]))
}

fn map(name: &str) -> Field {
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let entry = Field::new("key_value", DataType::Struct(Fields::from(pair)), false);
    Field::new(name, DataType::Map(Arc::new(entry), false), true)
}
