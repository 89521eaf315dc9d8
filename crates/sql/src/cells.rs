//! One cell of a batch as JSON or text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use crate::error::SqlError;

/// The cells of a batch, with types widened once a column.
pub(crate) struct Cells {
    columns: Vec<Column>,
}

enum Column {
    Float(ArrayRef),
    Integer(ArrayRef),
    Unsigned(ArrayRef),
    Flag(ArrayRef),
    Text(Vec<Option<String>>),
}

impl Cells {
    pub(crate) fn new(batch: &RecordBatch) -> Result<Self, SqlError> {
        let columns = batch.columns().iter().map(widen).collect::<Result<_, _>>();
        Ok(Self { columns: columns.map_err(|err| SqlError::Execution(format!("show the answer: {err}")))? })
    }

    /// A number, text, flag or null; numbers that JSON does not know are texts, as in the Prometheus API.
    pub(crate) fn json(&self, column: usize, row: usize) -> Value {
        match &self.columns[column] {
            Column::Float(array) if array.is_valid(row) => {
                let value = array.as_primitive::<Float64Type>().value(row);
                serde_json::Number::from_f64(value).map_or_else(|| Value::String(float_text(value)), Value::Number)
            }
            Column::Integer(array) if array.is_valid(row) => array.as_primitive::<Int64Type>().value(row).into(),
            Column::Unsigned(array) if array.is_valid(row) => array.as_primitive::<UInt64Type>().value(row).into(),
            Column::Flag(array) if array.is_valid(row) => array.as_boolean().value(row).into(),
            Column::Text(texts) => texts[row].clone().map_or(Value::Null, Value::String),
            _ => Value::Null,
        }
    }

    /// Plain text; empty for null.
    pub(crate) fn text(&self, column: usize, row: usize) -> String {
        match (&self.columns[column], self.json(column, row)) {
            (Column::Float(array), Value::Number(_)) => float_text(array.as_primitive::<Float64Type>().value(row)),
            (_, Value::Null) => String::new(),
            (_, Value::String(text)) => text,
            (_, other) => other.to_string(),
        }
    }

    /// As [`Cells::text`]; a text that a spreadsheet would take for a formula gets a quote in front.
    pub(crate) fn csv(&self, column: usize, row: usize) -> String {
        let text = self.text(column, row);
        let risky =
            matches!(self.columns[column], Column::Text(_)) && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if risky { format!("'{text}") } else { text }
    }
}

/// The SQL name of a type.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Float64 => "double".into(),
        DataType::Float32 => "real".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "ubigint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Map(..) => "map".into(),
        other => other.to_string().to_lowercase(),
    }
}

fn widen(array: &ArrayRef) -> Result<Column, arrow::error::ArrowError> {
    Ok(match array.data_type() {
        DataType::Float64 | DataType::Float32 | DataType::Float16 => Column::Float(cast(array, &DataType::Float64)?),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            Column::Integer(cast(array, &DataType::Int64)?)
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            Column::Unsigned(cast(array, &DataType::UInt64)?)
        }
        DataType::Boolean => Column::Flag(ArrayRef::clone(array)),
        DataType::Null => Column::Text(vec![None; array.len()]),
        DataType::Dictionary(_, value) => widen(&cast(array, value)?)?,
        _ => Column::Text(texts(array)?),
    })
}

fn texts(array: &ArrayRef) -> Result<Vec<Option<String>>, arrow::error::ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let cell = |row| if array.is_valid(row) { Some(formatter.value(row).to_string()) } else { None };
    Ok((0..array.len()).map(cell).collect())
}

/// As the Prometheus API writes them: `NaN`, `+Inf`, `-Inf`; other numbers so that they read back exactly.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value:?}")
    }
}
