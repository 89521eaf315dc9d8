//! An answer as series: what jobs over SQL work on.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use series::{Columns, Labels};

use crate::cells::Cells;
use crate::engine::SqlEngine;
use crate::error::SqlError;
use crate::pushdown::{TIME_COLUMN, VALUE_COLUMN};
use crate::scan::time_type;

impl SqlEngine {
    /// Runs a statement whose columns are `ts`, `value` and any number of others, which become labels. Series are sorted
    /// by labels, samples by time; of equal times the last row stays, rows without time or value are left out.
    ///
    /// # Errors
    /// [`SqlError::Plan`] when `ts` or `value` is missing or of another type.
    pub async fn series(&self, sql: &str) -> Result<Vec<(Labels, Columns)>, SqlError> {
        let (schema, batches) = self.collect(sql).await?;
        let (time, value) = (position(&schema, TIME_COLUMN)?, position(&schema, VALUE_COLUMN)?);
        let mut found: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        for batch in &batches {
            add(batch, time, value, &mut found)?;
        }
        let columns = |samples: BTreeMap<i64, f64>| Columns {
            timestamps: samples.keys().copied().collect(),
            values: samples.values().copied().collect(),
        };
        Ok(found.into_iter().map(|(labels, samples)| (labels, columns(samples))).collect())
    }
}

fn position(schema: &Schema, name: &str) -> Result<usize, SqlError> {
    schema.index_of(name).map_err(|_| {
        SqlError::plan(format!(
            "the answer has no column `{name}`; a job's SQL answers columns ts, value and, as labels, any others"
        ))
    })
}

fn add(
    batch: &RecordBatch,
    time: usize,
    value: usize,
    found: &mut BTreeMap<Labels, BTreeMap<i64, f64>>,
) -> Result<(), SqlError> {
    let typed = |column: usize, wanted: &DataType| {
        cast(batch.column(column), wanted).map_err(|err| SqlError::plan(err.to_string()))
    };
    let (times, values) = (typed(time, &time_type())?, typed(value, &DataType::Float64)?);
    let cells = Cells::new(batch)?;
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    for row in (0..batch.num_rows()).filter(|&row| times.is_valid(row) && values.is_valid(row)) {
        let others = names.iter().enumerate().filter(|(i, _)| *i != time && *i != value);
        let labels = Labels::from_pairs(others.map(|(i, name)| (name.as_str(), cells.text(i, row))));
        let labels = labels.map_err(|err| SqlError::plan(err.to_string()))?;
        let at = times.as_primitive::<TimestampMillisecondType>().value(row);
        found.entry(labels).or_default().insert(at, values.as_primitive::<Float64Type>().value(row));
    }
    Ok(())
}
