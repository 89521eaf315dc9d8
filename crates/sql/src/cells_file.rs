//! Parquet files of any columns, row by row as plain cells, for imports.
//!
//! Numbers, booleans, times and texts of all widths become five kinds of cells; columns of nested types are left out.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use series::Timestamp;

/// Rows decoded at a time.
const ROWS: usize = 8192;

/// A cell of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FileCell<'a> {
    /// Nothing.
    Null,
    /// A text.
    Text(&'a str),
    /// A number with a fraction, or one beyond 64-bit integers.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Flag(bool),
    /// A time or date.
    Time(Timestamp),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CellsFileError {
    /// Not Parquet, or damaged.
    #[error("not a readable Parquet file: {0}")]
    Parquet(String),
    /// The receiver asked to stop.
    #[error("{0}")]
    Stopped(String),
}

/// A column in the form its cells are read from.
enum Column {
    Text(ArrayRef),
    Number(ArrayRef),
    Integer(ArrayRef),
    Flag(ArrayRef),
    Time(ArrayRef),
}

/// Reads a file; `take` gets the names of the columns and the cells of each row, in the file's order, and may stop the
/// reading. Gives the number of rows.
///
/// # Errors
/// [`CellsFileError`].
pub fn read_cells(
    file: File,
    mut take: impl FnMut(&[String], &[FileCell<'_>]) -> Result<(), String>,
) -> Result<u64, CellsFileError> {
    let fault = |err: &dyn std::fmt::Display| CellsFileError::Parquet(err.to_string());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|err| fault(&err))?;
    let reader = builder.with_batch_size(ROWS).build().map_err(|err| fault(&err))?;
    let mut n_rows = 0;
    for rows in reader {
        let rows = rows.map_err(|err| fault(&err))?;
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            if let Some(column) = Column::of(array).map_err(|err| fault(&err))? {
                names.push(field.name().clone());
                columns.push(column);
            }
        }
        let mut cells = Vec::with_capacity(columns.len());
        for row in 0..rows.num_rows() {
            cells.clear();
            cells.extend(columns.iter().map(|column| column.cell(row)));
            take(&names, &cells).map_err(CellsFileError::Stopped)?;
            n_rows += 1;
        }
    }
    Ok(n_rows)
}

impl Column {
    /// `None` for a nested type.
    fn of(array: &ArrayRef) -> Result<Option<Self>, arrow::error::ArrowError> {
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
        Ok(Some(match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text(cast(array, &DataType::Utf8)?),
            DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8 | DataType::LargeUtf8) => {
                Self::Text(cast(array, &DataType::Utf8)?)
            }
            DataType::Boolean => Self::Flag(Arc::clone(array)),
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                Self::Time(cast(&cast(array, &milliseconds)?, &DataType::Int64)?)
            }
            // Beyond 64 bits they are still numbers, if not exact ones.
            DataType::UInt64 => Self::Number(cast(array, &DataType::Float64)?),
            kind if kind.is_integer() => Self::Integer(cast(array, &DataType::Int64)?),
            kind if kind.is_numeric() => Self::Number(cast(array, &DataType::Float64)?),
            _ => return Ok(None),
        }))
    }

    fn cell(&self, row: usize) -> FileCell<'_> {
        let (Self::Text(array) | Self::Number(array) | Self::Integer(array) | Self::Flag(array) | Self::Time(array)) =
            self;
        if array.is_null(row) {
            return FileCell::Null;
        }
        match self {
            Self::Text(array) => FileCell::Text(array.as_string::<i32>().value(row)),
            Self::Number(array) => FileCell::Number(array.as_primitive::<Float64Type>().value(row)),
            Self::Integer(array) => FileCell::Integer(array.as_primitive::<Int64Type>().value(row)),
            Self::Flag(array) => FileCell::Flag(array.as_boolean().value(row)),
            Self::Time(array) => FileCell::Time(Timestamp(array.as_primitive::<Int64Type>().value(row))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow::array::{BooleanArray, Date32Array, Float32Array, Int32Array, ListArray, RecordBatch, StringArray};
    use arrow::array::{TimestampMicrosecondArray, UInt64Array};
    use parquet::arrow::ArrowWriter;

    #[test]
    fn columns_of_all_kinds_become_cells() {
        let list = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![Some(vec![Some(1)]); 2]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(5_000), None]).with_timezone("UTC"))),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
            ("name", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("nested", Arc::new(list)),
            ("small", Arc::new(Int32Array::from(vec![-1, 7]))),
            ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
            ("half", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
            ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).expect("equal lengths");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("all.parquet");
        let file = File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
        writer.write(&rows).expect("written");
        writer.close().expect("closed");
        let mut shown = Vec::new();
        let n_rows = read_cells(File::open(&path).expect("the file"), |names, cells| {
            shown.push(format!("{} {cells:?}", names.join(",")));
            Ok(())
        });
        assert_eq!(n_rows.expect("read"), 2);
        let first = "at,day,name,small,large,half,ok [Time(Timestamp(5)), Time(Timestamp(86400000)), Text(\"a\"), \
                     Integer(-1), Number(1.8446744073709552e19), Number(0.5), Flag(true)]";
        assert_eq!(shown[0], first);
        assert!(shown[1].contains("[Null, Time"), "{}", shown[1]);
        let stopped = read_cells(File::open(&path).expect("the file"), |_, _| Err("enough".into()));
        assert_eq!(stopped.expect_err("stopped").to_string(), "enough");
    }
}
