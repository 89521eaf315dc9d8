//! One line of a commit, in Delta's JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::entry::FileEntry;

/// An action; serialized as `{"add":{…}}` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    Protocol(Protocol),
    MetaData(MetaData),
    Txn(Txn),
    Add(Add),
    Remove(Remove),
    CommitInfo(CommitInfo),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: u32,
    pub(crate) min_writer_version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaData {
    pub(crate) id: String,
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    #[serde(default)]
    pub(crate) partition_columns: Vec<String>,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    pub(crate) size: u64,
    pub(crate) modification_time: i64,
    pub(crate) data_change: bool,
    pub(crate) stats: String,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    pub(crate) deletion_timestamp: i64,
    pub(crate) data_change: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitInfo {
    pub(crate) timestamp: i64,
    pub(crate) operation: String,
    #[serde(rename = "engineInfo")]
    pub(crate) engine_info: String,
    pub(crate) ft_commit: String,
    pub(crate) ft_version: u64,
}

/// What Delta's own fields have no room for; texts all, as Delta's tags are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tags {
    lvl: String,
    lsn_lo: String,
    lsn_hi: String,
    samples: String,
    min_ts: String,
    max_ts: String,
    data_len: String,
    crc_footer: String,
    crc_chunks: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cleaned: Option<String>,
}

/// Delta's statistics, a JSON text inside JSON: what prunes files, here and in other engines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    num_records: u64,
    min_values: Bounds,
    max_values: Bounds,
}

/// The columns that files can be pruned by. Series files have no time columns, so theirs name the metric only; our own
/// reading takes the times from the tags.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Bounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_ts: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_ts: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
}

impl Add {
    pub(crate) fn from_entry(entry: &FileEntry, data_change: bool) -> Result<Self, serde_json::Error> {
        // Files with samples have `min_ts` and `max_ts`, roll-ups (no samples, but days) have `ts`.
        let has_spans = entry.date.is_some() && entry.samples > 0;
        let has_buckets = entry.date.is_some() && entry.samples == 0;
        let stats = Stats {
            num_records: entry.rows,
            min_values: Bounds {
                metric: Some(entry.metric_min.clone()),
                min_ts: has_spans.then_some(entry.min_ts),
                max_ts: None,
                ts: has_buckets.then_some(entry.min_ts),
            },
            max_values: Bounds {
                metric: Some(entry.metric_max.clone()),
                min_ts: None,
                max_ts: has_spans.then_some(entry.max_ts),
                ts: has_buckets.then_some(entry.max_ts),
            },
        };
        Ok(Self {
            path: entry.path.clone(),
            partition_values: entry.date.iter().map(|date| ("date".to_owned(), Some(date.clone()))).collect(),
            size: entry.size,
            modification_time: entry.committed_at,
            data_change,
            stats: serde_json::to_string(&stats)?,
            tags: Tags {
                lvl: entry.level.to_string(),
                lsn_lo: entry.lsn_lo.to_string(),
                lsn_hi: entry.lsn_hi.to_string(),
                samples: entry.samples.to_string(),
                min_ts: entry.min_ts.to_string(),
                max_ts: entry.max_ts.to_string(),
                data_len: entry.data_len.to_string(),
                crc_footer: checksum::to_hex(&[entry.crc_footer]),
                crc_chunks: checksum::to_hex(&entry.crc_chunks),
                cleaned: (entry.cleaned > 0).then(|| entry.cleaned.to_string()),
            },
        })
    }

    /// The entry this action describes, or which field is wrong.
    pub(crate) fn into_entry(self, root: &Arc<str>) -> Result<FileEntry, &'static str> {
        let stats: Stats = serde_json::from_str(&self.stats).map_err(|_| "stats")?;
        let tags = self.tags;
        let crc_footer = checksum::from_hex(&tags.crc_footer).filter(|list| list.len() == 1).ok_or("tag crc_footer")?;
        Ok(FileEntry {
            root: Arc::clone(root),
            path: self.path,
            size: self.size,
            date: self.partition_values.into_values().next().flatten(),
            min_ts: tags.min_ts.parse().map_err(|_| "tag min_ts")?,
            max_ts: tags.max_ts.parse().map_err(|_| "tag max_ts")?,
            rows: stats.num_records,
            samples: tags.samples.parse().map_err(|_| "tag samples")?,
            level: tags.lvl.parse().map_err(|_| "tag lvl")?,
            lsn_lo: tags.lsn_lo.parse().map_err(|_| "tag lsn_lo")?,
            lsn_hi: tags.lsn_hi.parse().map_err(|_| "tag lsn_hi")?,
            metric_min: stats.min_values.metric.ok_or("stats.metric")?,
            metric_max: stats.max_values.metric.ok_or("stats.metric")?,
            data_len: tags.data_len.parse().map_err(|_| "tag data_len")?,
            crc_footer: crc_footer[0],
            crc_chunks: checksum::from_hex(&tags.crc_chunks).ok_or("tag crc_chunks")?,
            cleaned: tags.cleaned.map_or(Ok(0), |text| text.parse()).map_err(|_| "tag cleaned")?,
            committed_at: self.modification_time,
        })
    }
}
