//! The series dictionary: who a series id is, in plain Parquet that any engine reads.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::entry::{EncodedFile, FileEntry};
use crate::error::LakeError;
use crate::parquet_io::{self, Checked, CheckedFile};

const PLACE: &str = "a series file";
const GROUP_ROWS: usize = 65_536;
const DAY_MILLIS: i64 = 86_400_000;

/// One series on the days it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesRow {
    /// xxh3-64 of the canonical labels.
    pub series_id: u64,
    /// Metric name, beside the labels so that other engines can filter by it.
    pub metric: String,
    /// All labels, `__name__` included, in rising order of names.
    pub labels: Vec<(String, String)>,
    /// First day with samples, in days since the epoch.
    pub first_day: i32,
    /// Last day with samples known when the row was written.
    pub last_day: i32,
    /// Metric type in the words of the Prometheus API (`counter`, `gauge`, …).
    pub kind: String,
    /// Unit, or empty.
    pub unit: String,
    /// Help text, or empty.
    pub help: String,
}

/// Encodes dictionary rows, in any order (sorted by metric they are smallest).
///
/// # Errors
/// [`LakeError::Invalid`] without rows.
pub fn encode_series_file(rows: &[SeriesRow]) -> Result<EncodedFile, LakeError> {
    if rows.is_empty() {
        return Err(LakeError::invalid(PLACE, "0 rows"));
    }
    let schema = schema();
    let batches = rows.chunks(GROUP_ROWS).map(|rows| batch(&schema, rows));
    let written = parquet_io::write(PLACE, Arc::clone(&schema), properties()?, batches)?;
    let first = rows.iter().map(|row| row.first_day).min().unwrap_or(0);
    let last = rows.iter().map(|row| row.last_day).max().unwrap_or(0);
    Ok(EncodedFile {
        min_ts: i64::from(first) * DAY_MILLIS,
        max_ts: i64::from(last) * DAY_MILLIS + (DAY_MILLIS - 1),
        rows: rows.len() as u64,
        samples: 0,
        metric_min: rows.iter().map(|row| &row.metric).min().cloned().unwrap_or_default(),
        metric_max: rows.iter().map(|row| &row.metric).max().cloned().unwrap_or_default(),
        bytes: written.bytes,
        data_len: written.data_len,
        crc_footer: written.crc_footer,
        crc_chunks: written.crc_chunks,
    })
}

/// All rows of a series file, in file order, every byte checked.
///
/// # Errors
/// [`LakeError::Missing`], [`LakeError::Damaged`] or [`LakeError::Io`].
pub fn read_series_file(store: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<Vec<SeriesRow>, LakeError> {
    let file = CheckedFile::open(Arc::clone(store), entry)?;
    let pieces = file.read(std::iter::once(0..entry.data_len))?;
    let mut rows = Vec::new();
    file.decode(|| {
        let fault = |why: &dyn std::fmt::Display| LakeError::damaged(file.key(), why);
        let source = Checked { pieces, size: entry.size };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, file.metadata().clone())
            .build()
            .map_err(|why| fault(&why))?;
        for batch in reader {
            decode(&batch.map_err(|why| fault(&why))?, &mut rows);
        }
        Ok(())
    })?;
    if rows.len() as u64 != entry.rows {
        return Err(LakeError::damaged(file.key(), format!("{} rows, the commit says {}", rows.len(), entry.rows)));
    }
    Ok(rows)
}

fn label_names() -> MapFieldNames {
    MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() }
}

fn schema() -> SchemaRef {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    let names = label_names();
    let pair = DataType::Struct(
        vec![Field::new(names.key, DataType::Utf8, false), Field::new(names.value, DataType::Utf8, true)].into(),
    );
    let labels = DataType::Map(Arc::new(Field::new(names.entry, pair, false)), false);
    Arc::new(Schema::new(vec![
        field("series_id", DataType::Int64),
        field("metric", DataType::Utf8),
        field("labels", labels),
        field("first_day", DataType::Date32),
        field("last_day", DataType::Date32),
        field("type", DataType::Utf8),
        field("unit", DataType::Utf8),
        field("help", DataType::Utf8),
    ]))
}

fn batch(schema: &SchemaRef, rows: &[SeriesRow]) -> Result<RecordBatch, LakeError> {
    let text = |of: fn(&SeriesRow) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let day = |of: fn(&SeriesRow) -> i32| Arc::new(Date32Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let mut labels = MapBuilder::new(Some(label_names()), StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (name, value) in &row.labels {
            labels.keys().append_value(name);
            labels.values().append_value(value);
        }
        labels.append(true).map_err(|why| LakeError::invalid(PLACE, why))?;
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.series_id as i64))),
        text(|row| &row.metric),
        Arc::new(labels.finish()),
        day(|row| row.first_day),
        day(|row| row.last_day),
        text(|row| &row.kind),
        text(|row| &row.unit),
        text(|row| &row.help),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|why| LakeError::invalid(PLACE, why))
}

fn properties() -> Result<WriterProperties, LakeError> {
    let level = ZstdLevel::try_new(1).map_err(|why| LakeError::invalid(PLACE, why))?;
    Ok(WriterProperties::builder()
        .set_created_by("foretide".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_compression(Compression::ZSTD(level))
        .build())
}

fn decode(batch: &RecordBatch, rows: &mut Vec<SeriesRow>) {
    let text = |at: usize, i: usize| batch.column(at).as_string::<i32>().value(i).to_owned();
    let labels = batch.column(2).as_map();
    let (names, values) = (labels.keys().as_string::<i32>(), labels.values().as_string::<i32>());
    let offsets = labels.value_offsets();
    rows.extend((0..batch.num_rows()).map(|i| {
        SeriesRow {
            series_id: batch.column(0).as_primitive::<Int64Type>().value(i) as u64,
            metric: text(1, i),
            labels: (offsets[i] as usize..offsets[i + 1] as usize)
                .map(|at| (names.value(at).to_owned(), values.value(at).to_owned()))
                .collect(),
            first_day: batch.column(3).as_primitive::<Date32Type>().value(i),
            last_day: batch.column(4).as_primitive::<Date32Type>().value(i),
            kind: text(5, i),
            unit: text(6, i),
            help: text(7, i),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::wait;
    use crate::{Table, TableKind};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    fn rows() -> Vec<SeriesRow> {
        (0..300_u64)
            .map(|i| SeriesRow {
                series_id: u64::MAX - i,
                metric: format!("metric_{}", i / 100),
                labels: (0..i % 5).map(|l| (format!("l{l}"), format!("é\"{i}"))).collect(),
                first_day: 20_778 - i as i32,
                last_day: 20_778,
                kind: "counter".to_owned(),
                unit: String::new(),
                help: "Seconds. \u{1f680}".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_dictionary_comes_back_and_damage_is_found() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let table = Table::open_or_create(Arc::clone(&store), "t/series", TableKind::Series).expect("created");
        let file = encode_series_file(&rows()).expect("encodes");
        let entry = table.put_file(None, 0, file.min_ts, 5, file, 1, 2).expect("written");
        assert_eq!(read_series_file(&store, &entry).expect("read"), rows());
        assert_eq!(entry.max_ts, 20_779 * DAY_MILLIS - 1);

        let path = Path::from(entry.key());
        let sound = wait(async { store.get(&path).await?.bytes().await }).expect("is there");
        for bit in (0..sound.len() * 8).step_by(97) {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            wait(store.put(&path, PutPayload::from(bytes))).expect("written");
            let result = read_series_file(&store, &entry);
            assert!(matches!(result, Err(LakeError::Damaged { .. })), "bit {bit}");
        }
    }

    #[test]
    fn an_empty_dictionary_file_is_refused() {
        assert!(matches!(encode_series_file(&[]), Err(LakeError::Invalid { .. })));
    }
}
