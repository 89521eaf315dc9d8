//! The series dictionary: who a series id is, in plain Parquet that any engine reads.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, AsArray, Date32Builder, Int64Builder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::entry::{EncodedFile, FileEntry};
use crate::error::LakeError;
use crate::parquet_io::{Checked, CheckedFile, FileWriter};

const PLACE: &str = "a series file";
const GROUP_ROWS: usize = 65_536;
/// Rows that are gathered before they are handed on.
const BATCH_ROWS: usize = 8192;
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

/// One series as it is written and read, its texts borrowed. Fields as in [`SeriesRow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesRef<'a> {
    /// The series' identity.
    pub series_id: u64,
    /// Metric name.
    pub metric: &'a str,
    /// First day with samples.
    pub first_day: i32,
    /// Last day with samples.
    pub last_day: i32,
    /// Metric type.
    pub kind: &'a str,
    /// Unit, or empty.
    pub unit: &'a str,
    /// Help text, or empty.
    pub help: &'a str,
}

/// Pairs of a series, in rising order of names.
pub type SeriesLabels<'a> = dyn Iterator<Item = (&'a str, &'a str)> + 'a;

/// Encodes dictionary rows, in any order (neighbours that share labels are smallest).
///
/// # Errors
/// [`LakeError::Invalid`] without rows.
pub fn encode_series_file(rows: &[SeriesRow]) -> Result<EncodedFile, LakeError> {
    let mut file = SeriesFileWriter::new()?;
    for row in rows {
        file.push(row.borrowed(), row.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    }
    file.finish()
}

impl SeriesRow {
    fn borrowed(&self) -> SeriesRef<'_> {
        SeriesRef {
            series_id: self.series_id,
            metric: &self.metric,
            first_day: self.first_day,
            last_day: self.last_day,
            kind: &self.kind,
            unit: &self.unit,
            help: &self.help,
        }
    }
}

/// A series file that grows row by row: what is held is the encoded file and one batch of rows.
pub struct SeriesFileWriter {
    file: FileWriter,
    batch: Batch,
    rows: u64,
    days: Option<(i32, i32)>,
    metrics: Option<(String, String)>,
}

impl SeriesFileWriter {
    /// An empty file.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] when Parquet refuses our schema, which would be a fault of the program.
    pub fn new() -> Result<Self, LakeError> {
        let file = FileWriter::new(PLACE, schema(), properties()?)?;
        Ok(Self { file, batch: Batch::default(), rows: 0, days: None, metrics: None })
    }

    /// Adds a series with its labels, `__name__` included, in rising order of names.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] when Parquet refuses a row.
    pub fn push<'l>(
        &mut self,
        row: SeriesRef<'_>,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<(), LakeError> {
        self.rows += 1;
        let (first, last) = self.days.unwrap_or((row.first_day, row.last_day));
        self.days = Some((first.min(row.first_day), last.max(row.last_day)));
        match &mut self.metrics {
            None => self.metrics = Some((row.metric.to_owned(), row.metric.to_owned())),
            Some((least, _)) if row.metric < least.as_str() => row.metric.clone_into(least),
            Some((_, most)) if row.metric > most.as_str() => row.metric.clone_into(most),
            Some(_) => {}
        }
        self.batch.push(row, labels)?;
        if self.batch.ids.len() >= BATCH_ROWS { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), LakeError> {
        let batch = self.batch.finish()?;
        self.file.write(&batch)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] without rows.
    pub fn finish(mut self) -> Result<EncodedFile, LakeError> {
        let (Some((first, last)), Some((metric_min, metric_max))) = (self.days, self.metrics.take()) else {
            return Err(LakeError::invalid(PLACE, "0 rows"));
        };
        if !self.batch.ids.is_empty() {
            self.hand_on()?;
        }
        let written = self.file.finish()?;
        Ok(EncodedFile {
            min_ts: i64::from(first) * DAY_MILLIS,
            max_ts: i64::from(last) * DAY_MILLIS + (DAY_MILLIS - 1),
            rows: self.rows,
            samples: 0,
            metric_min,
            metric_max,
            bytes: written.bytes,
            data_len: written.data_len,
            crc_footer: written.crc_footer,
            crc_chunks: written.crc_chunks,
        })
    }
}

/// All rows of a series file, in file order, every byte checked.
///
/// # Errors
/// As [`scan_series_file`].
pub fn read_series_file(store: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<Vec<SeriesRow>, LakeError> {
    let mut rows = Vec::new();
    scan_series_file(store, entry, |row, labels| {
        rows.push(SeriesRow {
            series_id: row.series_id,
            metric: row.metric.to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            first_day: row.first_day,
            last_day: row.last_day,
            kind: row.kind.to_owned(),
            unit: row.unit.to_owned(),
            help: row.help.to_owned(),
        });
        Ok(())
    })?;
    Ok(rows)
}

/// Hands all rows of a series file to `each`, in file order, every byte checked; one batch of them is in memory at a
/// time. An error of `each` ends the scan.
///
/// # Errors
/// [`LakeError::Missing`], [`LakeError::Damaged`] or [`LakeError::Io`], and those of `each`.
pub fn scan_series_file(
    store: &Arc<dyn ObjectStore>,
    entry: &FileEntry,
    mut each: impl FnMut(SeriesRef<'_>, &mut SeriesLabels<'_>) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let file = CheckedFile::open(Arc::clone(store), entry)?;
    let pieces = file.read(std::iter::once(0..entry.data_len))?;
    let mut rows = 0;
    file.decode(|| {
        let fault = |why: &dyn std::fmt::Display| LakeError::damaged(file.key(), why);
        let source = Checked { pieces, size: entry.size };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, file.metadata().clone())
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|why| fault(&why))?;
        for batch in reader {
            let batch = batch.map_err(|why| fault(&why))?;
            rows += batch.num_rows() as u64;
            decode(&batch, &mut each)?;
        }
        Ok(())
    })?;
    if rows != entry.rows {
        return Err(LakeError::damaged(file.key(), format!("{rows} rows, the commit says {}", entry.rows)));
    }
    Ok(())
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

/// Rows on their way into the file, column by column.
struct Batch {
    ids: Int64Builder,
    metrics: StringBuilder,
    labels: MapBuilder<StringBuilder, StringBuilder>,
    first_days: Date32Builder,
    last_days: Date32Builder,
    /// Type, unit, help.
    metadata: [StringBuilder; 3],
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            ids: Int64Builder::new(),
            metrics: StringBuilder::new(),
            labels: MapBuilder::new(Some(label_names()), StringBuilder::new(), StringBuilder::new()),
            first_days: Date32Builder::new(),
            last_days: Date32Builder::new(),
            metadata: std::array::from_fn(|_| StringBuilder::new()),
        }
    }
}

impl Batch {
    fn push<'l>(
        &mut self,
        row: SeriesRef<'_>,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<(), LakeError> {
        self.ids.append_value(row.series_id as i64);
        self.metrics.append_value(row.metric);
        for (name, value) in labels {
            self.labels.keys().append_value(name);
            self.labels.values().append_value(value);
        }
        self.labels.append(true).map_err(|why| LakeError::invalid(PLACE, why))?;
        self.first_days.append_value(row.first_day);
        self.last_days.append_value(row.last_day);
        for (column, text) in self.metadata.iter_mut().zip([row.kind, row.unit, row.help]) {
            column.append_value(text);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch, LakeError> {
        let [kind, unit, help] = &mut self.metadata;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.metrics.finish()),
            Arc::new(self.labels.finish()),
            Arc::new(self.first_days.finish()),
            Arc::new(self.last_days.finish()),
            Arc::new(kind.finish()),
            Arc::new(unit.finish()),
            Arc::new(help.finish()),
        ];
        RecordBatch::try_new(schema(), columns).map_err(|why| LakeError::invalid(PLACE, why))
    }
}

fn properties() -> Result<WriterProperties, LakeError> {
    let level = ZstdLevel::try_new(3).map_err(|why| LakeError::invalid(PLACE, why))?;
    // Series come in the order of their first arrival, a target's together, so label values repeat those of the series
    // before. Plain, the compressor sees that as one long match; numbers into a dictionary hide it in shifted bits.
    let values = ColumnPath::from(["labels", "key_value", "value"].map(str::to_owned).to_vec());
    Ok(WriterProperties::builder()
        .set_created_by("foretide".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(values.clone(), EnabledStatistics::None)
        .set_column_dictionary_enabled(values, false)
        .set_column_dictionary_enabled(ColumnPath::from("series_id"), false)
        .build())
}

fn decode(
    batch: &RecordBatch,
    each: &mut impl FnMut(SeriesRef<'_>, &mut SeriesLabels<'_>) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let text = |at: usize| batch.column(at).as_string::<i32>();
    let labels = batch.column(2).as_map();
    let (names, values) = (labels.keys().as_string::<i32>(), labels.values().as_string::<i32>());
    let offsets = labels.value_offsets();
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let (first_days, last_days) =
        (batch.column(3).as_primitive::<Date32Type>(), batch.column(4).as_primitive::<Date32Type>());
    let (metrics, kinds, units, helps) = (text(1), text(5), text(6), text(7));
    for i in 0..batch.num_rows() {
        let row = SeriesRef {
            series_id: ids.value(i) as u64,
            metric: metrics.value(i),
            first_day: first_days.value(i),
            last_day: last_days.value(i),
            kind: kinds.value(i),
            unit: units.value(i),
            help: helps.value(i),
        };
        let pairs = offsets[i] as usize..offsets[i + 1] as usize;
        each(row, &mut pairs.map(|at| (names.value(at), values.value(at))))?;
    }
    Ok(())
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
