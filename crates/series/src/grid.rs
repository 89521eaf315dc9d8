//! Resampling onto a regular grid: what forecasting models see.

use crate::select::Columns;
use crate::time::{Step, TimeRange, Timestamp};
use crate::value::is_stale;

/// Values at `start, start + step, …`; a cell without a sample is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Time of the first cell.
    pub start: Timestamp,
    /// Distance of cells.
    pub step: Step,
    /// One value a cell.
    pub values: Vec<f64>,
}

/// How several samples of one cell become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridFill {
    /// The last sample of the cell.
    Last,
    /// The arithmetic mean of the cell.
    Mean,
}

impl Grid {
    /// Puts samples of `columns` inside `range` into cells `[t, t + step)`. Stale markers and NaN leave a gap. The grid
    /// starts at `range.start` floored to the step and has at most `cells_max` cells (the newest are kept).
    pub fn from_columns(columns: &Columns, range: TimeRange, step: Step, fill: GridFill, cells_max: usize) -> Self {
        let last = Timestamp(range.end.0.saturating_sub(1)).floor(step);
        let floor = last.0.saturating_sub((cells_max.max(1) as i64 - 1).saturating_mul(step.millis()));
        let start = Timestamp(range.start.floor(step).0.max(floor));
        let n_cells = if range.is_empty() { 0 } else { ((last.0 - start.0) / step.millis() + 1) as usize };
        let (mut sums, mut counts) = (vec![0.0; n_cells], vec![0_u32; n_cells]);
        for (at, value) in columns.iter() {
            if at < start || at >= range.end || value.is_nan() || is_stale(value) {
                continue;
            }
            let cell = ((at.0 - start.0) / step.millis()) as usize;
            match fill {
                GridFill::Last => (sums[cell], counts[cell]) = (value, 1),
                GridFill::Mean => (sums[cell], counts[cell]) = (sums[cell] + value, counts[cell] + 1),
            }
        }
        let values =
            sums.iter().zip(&counts).map(|(&sum, &n)| if n == 0 { f64::NAN } else { sum / f64::from(n) }).collect();
        Self { start, step, values }
    }

    /// Time of cell `i`.
    pub fn time(&self, i: usize) -> Timestamp {
        Timestamp(self.start.0 + i as i64 * self.step.millis())
    }

    /// Time just after the last cell: where a forecast begins.
    pub fn end(&self) -> Timestamp {
        self.time(self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::STALE_NAN;

    fn columns(samples: &[(i64, f64)]) -> Columns {
        Columns { timestamps: samples.iter().map(|s| s.0).collect(), values: samples.iter().map(|s| s.1).collect() }
    }

    #[test]
    fn cells_take_the_last_or_the_mean_and_gaps_are_nan() {
        let samples = columns(&[(0, 1.0), (500, 3.0), (2100, 5.0), (2200, STALE_NAN)]);
        let range = TimeRange::new(Timestamp(0), Timestamp(3000));
        let step = Step::from_secs(1);
        let last = Grid::from_columns(&samples, range, step, GridFill::Last, 100);
        assert_eq!(last.values[0], 3.0);
        assert!(last.values[1].is_nan());
        assert_eq!(last.values[2], 5.0);
        let mean = Grid::from_columns(&samples, range, step, GridFill::Mean, 100);
        assert_eq!(mean.values[0], 2.0);
        assert_eq!(mean.end(), Timestamp(3000));
    }

    #[test]
    fn the_newest_cells_are_kept() {
        let samples = columns(&[(0, 1.0), (9000, 9.0)]);
        let range = TimeRange::new(Timestamp(0), Timestamp(10_000));
        let grid = Grid::from_columns(&samples, range, Step::from_secs(1), GridFill::Last, 2);
        assert_eq!(grid.start, Timestamp(8000));
        assert_eq!(grid.values.len(), 2);
        assert_eq!(grid.values[1], 9.0);
    }
}
