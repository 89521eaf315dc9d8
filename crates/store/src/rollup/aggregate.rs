//! One series' samples of a day into bucket rows.

use std::sync::Arc;

use lake::{ChunkAggregates, RollupRow};
use series::{Columns, Resolution};
use sketch::QuantileSketch;

/// Appends a row for every bucket of `width` that has samples. `columns` are the samples of one UTC day, sorted.
pub(crate) fn roll(metric: &Arc<str>, series_id: u64, columns: &Columns, width: Resolution, out: &mut Vec<RollupRow>) {
    let width = width.millis();
    let mut sketch = QuantileSketch::default();
    let mut before: Option<f64> = None;
    let mut start = 0;
    while start < columns.len() {
        let ts = columns.timestamps[start].div_euclid(width) * width;
        let end = start + columns.timestamps[start..].partition_point(|&at| at.saturating_sub(ts) < width);
        let values = &columns.values[start..end];
        let all = ChunkAggregates::of(values);
        // The rise from the bucket before belongs to this one, so that the buckets of a day add up to the day's rise.
        let step = match before {
            Some(before) if all.numbers > 0 => rise(before, all.first),
            _ => 0.0,
        };
        if all.numbers > 0 {
            before = Some(all.last);
        }
        out.push(RollupRow {
            metric: Arc::clone(metric),
            series_id,
            ts,
            count: all.count,
            numbers: all.numbers,
            sum: all.sum,
            min: all.min,
            max: all.max,
            first: all.first,
            last: all.last,
            increase: step + all.increase,
            sketch: encoded(&mut sketch, values).into(),
        });
        start = end;
    }
}

fn rise(before: f64, after: f64) -> f64 {
    if after < before { after } else { after - before }
}

fn encoded(sketch: &mut QuantileSketch, values: &[f64]) -> Vec<u8> {
    sketch.clear();
    sketch.insert_all(values);
    let mut bytes = Vec::new();
    if sketch.count() > 0 {
        sketch.encode(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIVE: i64 = 300_000;

    fn rolled(samples: &[(i64, f64)], width: Resolution) -> Vec<RollupRow> {
        let columns = Columns {
            timestamps: samples.iter().map(|s| s.0).collect(),
            values: samples.iter().map(|s| s.1).collect(),
        };
        let mut out = Vec::new();
        roll(&Arc::from("m"), 1, &columns, width, &mut out);
        out
    }

    #[test]
    fn buckets_hold_what_falls_into_them_and_rises_add_up() {
        let rows = rolled(&[(0, 1.0), (FIVE - 1, 5.0), (FIVE, 7.0), (3 * FIVE, 2.0)], Resolution::FiveMinutes);
        let seen: Vec<_> =
            rows.iter().map(|row| (row.ts / FIVE, row.count, row.first, row.last, row.increase)).collect();
        assert_eq!(seen, [(0, 2, 1.0, 5.0, 4.0), (1, 1, 7.0, 7.0, 2.0), (3, 1, 2.0, 2.0, 2.0)]);
        let hour = rolled(&[(0, 1.0), (FIVE - 1, 5.0), (FIVE, 7.0), (3 * FIVE, 2.0)], Resolution::Hour);
        assert_eq!((hour.len(), hour[0].increase, hour[0].sum), (1, 8.0, 15.0));
    }

    #[test]
    fn a_bucket_of_stale_markers_counts_and_has_no_numbers() {
        let rows = rolled(&[(0, 3.0), (FIVE, series::STALE_NAN), (2 * FIVE, 4.0)], Resolution::FiveMinutes);
        assert_eq!((rows[1].count, rows[1].numbers, rows[1].sketch.len()), (1, 0, 0));
        assert!(rows[1].min.is_nan() && rows[1].last.is_nan());
        assert_eq!(rows[2].increase, 1.0, "counted across the gap");
    }

    proptest! {
        #[test]
        fn sketches_of_small_buckets_merge_to_those_of_large_ones(
            samples in proptest::collection::btree_map(0_i64..86_400_000, -1e9..1e9, 1..300)
        ) {
            let samples: Vec<_> = samples.into_iter().collect();
            let (small, large) = (rolled(&samples, Resolution::FiveMinutes), rolled(&samples, Resolution::Hour));
            for hour in &large {
                let mut merged = QuantileSketch::default();
                let inside = small.iter().filter(|row| row.ts.div_euclid(3_600_000) * 3_600_000 == hour.ts);
                let mut count = 0;
                for row in inside {
                    merged.merge_encoded(&row.sketch).expect("same shape");
                    count += row.count;
                }
                let mut bytes = Vec::new();
                merged.encode(&mut bytes);
                prop_assert_eq!(&bytes[..], &hour.sketch[..]);
                prop_assert_eq!(count, hour.count);
            }
            let rise = |rows: &[RollupRow]| rows.iter().map(|row| row.increase).sum::<f64>();
            prop_assert!((rise(&small) - rise(&large)).abs() <= 1e-3);
        }
    }
}
