//! Forms of an answer: JSON, JSON lines, CSV, Arrow stream, Parquet, Markdown; written batch by batch.

use std::time::Instant;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::cells::Cells;
use crate::error::SqlError;

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `{columns, rows, stats}`.
    #[default]
    Json,
    /// One object a line.
    Jsonl,
    /// RFC 4180 with a header; texts that a spreadsheet would run are defused.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    /// Apache Parquet.
    Parquet,
    /// A GitHub table.
    Markdown,
}

impl Format {
    /// From the word used in `format=` and `--format`.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "arrow" => Self::Arrow,
            "parquet" => Self::Parquet,
            "md" | "markdown" => Self::Markdown,
            _ => return None,
        })
    }

    /// Media type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }
}

/// Turns batches into bytes of one format.
pub(crate) enum Writer {
    Text(Text),
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

/// State of the text formats.
pub(crate) struct Text {
    format: Format,
    names: Vec<String>,
    rows: u64,
    started: Instant,
    /// Written before the first row.
    head: Option<String>,
}

impl Writer {
    pub(crate) fn new(format: Format, schema: &SchemaRef, started: Instant) -> Result<Self, SqlError> {
        let fault = |err: &dyn std::fmt::Display| SqlError::Execution(format!("encode the answer: {err}"));
        match format {
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), schema).map_err(|err| fault(&err))?;
                Ok(Self::Arrow(Box::new(writer)))
            }
            Format::Parquet => {
                let level = ZstdLevel::try_new(1).map_err(|err| fault(&err))?;
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
                let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties));
                Ok(Self::Parquet(Box::new(writer.map_err(|err| fault(&err))?)))
            }
            _ => Ok(Self::Text(Text::new(format, schema, started))),
        }
    }

    /// The bytes that this batch adds; may be empty while a writer gathers.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, SqlError> {
        match self {
            Self::Text(text) => text.batch(batch),
            Self::Arrow(writer) => {
                writer.write(batch).map_err(|err| SqlError::Execution(format!("encode as Arrow: {err}")))?;
                Ok(std::mem::take(writer.get_mut()).into())
            }
            Self::Parquet(writer) => {
                writer.write(batch).map_err(|err| SqlError::Execution(format!("encode as Parquet: {err}")))?;
                Ok(std::mem::take(writer.inner_mut()).into())
            }
        }
    }

    /// The closing bytes.
    pub(crate) fn finish(self) -> Result<Bytes, SqlError> {
        match self {
            Self::Text(text) => Ok(text.finish()),
            Self::Arrow(writer) => {
                let rest = writer.into_inner();
                rest.map(Bytes::from).map_err(|err| SqlError::Execution(format!("encode as Arrow: {err}")))
            }
            Self::Parquet(writer) => {
                let rest = writer.into_inner();
                rest.map(Bytes::from).map_err(|err| SqlError::Execution(format!("encode as Parquet: {err}")))
            }
        }
    }
}

impl Text {
    fn new(format: Format, schema: &Schema, started: Instant) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let head = match format {
            Format::Json => Some(json_head(schema)),
            Format::Csv => Some(csv_line(names.iter().map(String::as_str))),
            Format::Markdown => Some(markdown_head(&names)),
            _ => None,
        };
        Self { format, names, rows: 0, started, head }
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Bytes, SqlError> {
        let mut out = self.head.take().unwrap_or_default();
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            match self.format {
                Format::Json => {
                    out.push_str(if self.rows == 0 { "" } else { "," });
                    let values: Vec<_> = (0..self.names.len()).map(|column| cells.json(column, row)).collect();
                    out.push_str(&serde_json::Value::Array(values).to_string());
                }
                Format::Jsonl => {
                    let pairs = self.names.iter().enumerate().map(|(i, name)| (name.clone(), cells.json(i, row)));
                    out.push_str(&serde_json::Value::Object(pairs.collect()).to_string());
                    out.push('\n');
                }
                Format::Csv => {
                    let texts: Vec<String> = (0..self.names.len()).map(|column| cells.csv(column, row)).collect();
                    out.push_str(&csv_line(texts.iter().map(String::as_str)));
                }
                _ => {
                    let texts: Vec<_> = (0..self.names.len())
                        .map(|i| cells.text(i, row).replace('|', "\\|").replace('\n', " "))
                        .collect();
                    out.push_str(&format!("| {} |\n", texts.join(" | ")));
                }
            }
            self.rows += 1;
        }
        Ok(out.into())
    }

    fn finish(mut self) -> Bytes {
        let mut out = self.head.take().unwrap_or_default();
        if self.format == Format::Json {
            let elapsed_ms = self.started.elapsed().as_millis();
            out.push_str(&format!("],\"stats\":{{\"rows\":{},\"elapsed_ms\":{elapsed_ms}}}}}", self.rows));
        }
        out.into()
    }
}

fn json_head(schema: &Schema) -> String {
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| serde_json::json!({"name": field.name(), "type": crate::cells::type_name(field.data_type())}))
        .collect();
    format!("{{\"columns\":{},\"rows\":[", serde_json::Value::Array(columns))
}

fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

fn markdown_head(names: &[String]) -> String {
    let rule = vec!["---"; names.len()].join(" | ");
    format!("| {} |\n| {rule} |\n", names.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use std::sync::Arc;

    fn written(format: Format) -> String {
        let fields = vec![Field::new("job", DataType::Utf8, true), Field::new("v", DataType::Float64, true)];
        let schema = Arc::new(Schema::new(fields));
        let jobs = StringArray::from(vec![Some("a,\"b\""), None, Some("=cmd()")]);
        let values = Float64Array::from(vec![1.5, f64::NAN, -2.0]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(jobs), Arc::new(values)]).expect("fits");
        let mut writer = Writer::new(format, &schema, Instant::now()).expect("writer");
        let mut bytes = writer.batch(&batch).expect("encodes").to_vec();
        bytes.extend_from_slice(&writer.finish().expect("ends"));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn json_names_columns_and_keeps_what_is_not_a_number_as_text() {
        let answer: serde_json::Value = serde_json::from_str(&written(Format::Json)).expect("valid JSON");
        assert_eq!(answer["columns"][1], serde_json::json!({"name": "v", "type": "double"}));
        assert_eq!(answer["rows"], serde_json::json!([["a,\"b\"", 1.5], [null, "NaN"], ["=cmd()", -2.0]]));
        assert_eq!(answer["stats"]["rows"], 3);
    }

    #[test]
    fn csv_quotes_and_defuses_texts_but_not_numbers() {
        assert_eq!(written(Format::Csv), "job,v\r\n\"a,\"\"b\"\"\",1.5\r\n,NaN\r\n'=cmd(),-2.0\r\n");
    }

    #[test]
    fn lines_and_tables_have_a_row_each() {
        assert_eq!(written(Format::Jsonl).lines().count(), 3);
        assert_eq!(written(Format::Markdown).lines().nth(2), Some("| a,\"b\" | 1.5 |"));
    }

    #[test]
    fn words_name_formats() {
        assert_eq!(Format::from_word("parquet"), Some(Format::Parquet));
        assert_eq!(Format::from_word("xml"), None);
    }
}
