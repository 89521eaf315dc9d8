//! Accuracy once the future has arrived: the last forecast against what was measured since.

use forecast::QuantilePath;
use series::{Batch, Columns, Grid, GridFill, Step, TimeRange, Timestamp};

use crate::engine::forecasts::Tracked;
use crate::engine::{Core, EngineError, ForecastRecord};

/// Compares `before` with `columns`, notes it in `record` and writes it as series.
pub(super) fn track(
    core: &Core,
    before: &ForecastRecord,
    record: &mut ForecastRecord,
    columns: &Columns,
    step: Step,
) -> Result<(), EngineError> {
    record.earlier = Some((before.origin_ms, before.median().to_vec()));
    record.tracked = before.tracked;
    // After a gap longer than the forecast, what it reached is still judged.
    let end = Timestamp(record.origin_ms + 1).min(before.time(before.mean.len()));
    let start = before.time(0);
    if before.step_ms != record.step_ms || start >= end {
        // The same origin again (a second run within one step): the forecast before that one is still the earlier one.
        record.earlier = before.earlier.clone();
        return Ok(());
    }
    let actual = Grid::from_columns(columns, TimeRange::new(start, end), step, GridFill::Last, before.mean.len());
    let path = |(level, values): &(f64, Vec<f64>)| QuantilePath { level: *level, values: values.clone() };
    let paths: Vec<QuantilePath> = before.quantiles.iter().map(path).collect();
    let accuracy = forecast::track(&before.mean, &paths, &actual.values);
    if accuracy.cells == 0 {
        return Ok(());
    }
    let coverage = accuracy.coverage.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0)).map(|pair| pair.1);
    let coverage = coverage.filter(|share| share.is_finite());
    let tracked = Tracked { cells: accuracy.cells, mae: accuracy.mae, bias: accuracy.bias, coverage };
    record.tracked = Some(tracked);
    core.write(as_batch(record, tracked, Timestamp(record.origin_ms)))
}

fn as_batch(record: &ForecastRecord, tracked: Tracked, at: Timestamp) -> Batch {
    let mut batch = Batch::default();
    let figures = [
        ("foretide_forecast_mae", Some(tracked.mae)),
        ("foretide_forecast_bias", Some(tracked.bias)),
        ("foretide_forecast_coverage_ratio", tracked.coverage),
    ];
    for (name, value) in figures {
        let pairs = [("__name__", name), ("job", record.job.as_str()), ("id", record.id.as_str())];
        let (Some(value), Ok(labels)) = (value, series::Labels::from_pairs(pairs)) else { continue };
        if batch.begin_labels(&labels).is_ok() {
            batch.push(at, value);
        }
    }
    batch
}
