//! What goes into chunks comes back bit for bit, and of one time only the latest is kept, whatever its kind.

use std::collections::BTreeMap;

use proptest::prelude::*;
use series::{BUCKETS_MAX, STALE_NAN};

use super::*;
use crate::rows::RowsByDay;

fn side(spans: Vec<(u8, u8)>, seed: u64) -> Buckets {
    let spans: Vec<Span> = spans
        .into_iter()
        .map(|(offset, length)| Span { offset: i32::from(offset), length: u32::from(length % 4) })
        .collect();
    let n_buckets: u32 = spans.iter().map(|span| span.length).sum();
    let counts =
        (0..n_buckets).map(|i| ((seed >> (i % 48)) & 0xff) as f64 / if seed.is_multiple_of(7) { 3.0 } else { 1.0 });
    Buckets { counts: counts.collect(), spans }
}

prop_compose! {
    fn a_sample()(
        at in -40_i64..40,
        layout in 0_u8..3,
        spans in proptest::collection::vec((0_u8..9, any::<u8>()), 0..3),
        seed: u64,
        sum in prop_oneof![any::<u64>(), Just(STALE_NAN.to_bits())],
        reset in 0_u64..4,
    ) -> HistogramSample {
        let histogram = Histogram {
            reset: ResetHint::from_number(reset),
            schema: i32::from(layout),
            zero_threshold: f64::from(layout),
            zero_count: (seed % 5) as f64,
            count: (seed % 1000) as f64,
            sum: f64::from_bits(sum),
            positive: side(if layout == 2 { spans.clone() } else { vec![(1, 3), (2, 2)] }, seed),
            negative: side(if layout == 2 { spans } else { Vec::new() }, seed / 3),
            custom_bounds: if layout == 1 { vec![0.5, 1.0] } else { Vec::new() },
        };
        HistogramSample { at: Timestamp(at * 3_600_000), histogram }
    }
}

fn bits(samples: &[HistogramSample]) -> Vec<(u64, String)> {
    let show = |sample: &HistogramSample| {
        let plain = Histogram { sum: 0.0, ..sample.histogram.clone() };
        (sample.histogram.sum.to_bits(), format!("{:?} {plain:?}", sample.at))
    };
    samples.iter().map(show).collect()
}

fn rows_of(samples: &[HistogramSample]) -> RowsByDay {
    let mut rows = RowsByDay::default();
    let both = Samples { floats: Columns::default(), histograms: samples.to_vec() };
    rows.add_samples(&Arc::from("h"), SeriesId(1), &both, ChunkSamples::FRESH);
    rows
}

fn read(rows: &RowsByDay) -> Vec<HistogramSample> {
    let mut back = Vec::new();
    for row in rows.0.values().flatten() {
        let chunk = ChunkBytes { ts: row.ts_chunk.clone(), values: row.value_chunk.clone() };
        assert!(holds_histograms(&chunk));
        let before = back.len();
        decode_chunk(&chunk, &mut back).expect("own chunk");
        assert_eq!(back.len() - before, row.count as usize);
        assert_eq!((back[before].at.0, back[back.len() - 1].at.0), (row.min_ts, row.max_ts));
    }
    back
}

#[test]
fn chunks_of_large_histograms_are_cut_within_the_bounds_of_a_blob() {
    let largest = Histogram {
        positive: Buckets {
            spans: vec![Span { offset: 0, length: BUCKETS_MAX as u32 }],
            counts: vec![1.0; BUCKETS_MAX],
        },
        count: BUCKETS_MAX as f64,
        ..Histogram::default()
    };
    let at = |i: i64| HistogramSample { at: Timestamp(i), histogram: largest.clone() };
    let samples: Vec<_> = (0..20).map(at).collect();
    let rows = rows_of(&samples);
    assert_eq!(rows.0[&0].iter().map(|row| row.count).collect::<Vec<_>>(), [6, 6, 6, 2]);
    assert_eq!(read(&rows), samples);
}

#[test]
fn blobs_that_do_not_fit_each_other_are_refused() {
    let (ts, values) = encode(&[HistogramSample { at: Timestamp(1), histogram: Histogram::stale() }]);
    let mut two = Vec::new();
    codec::encode_timestamps(&[1, 2], &mut two);
    assert!(decode(&ts, &values, &mut Vec::new()).is_ok());
    assert_eq!(decode(&two, &values, &mut Vec::new()), Err("2 timestamps but 1 histograms".to_owned()));
    assert!(decode(&values, &ts, &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn samples_survive_chunks(mut samples in proptest::collection::vec(a_sample(), 1..40)) {
        normalise(&mut samples);
        prop_assert_eq!(bits(&read(&rows_of(&samples))), bits(&samples));
    }

    #[test]
    fn of_one_time_the_latest_is_kept_whatever_its_kind(
        layers in proptest::collection::vec(
            (proptest::collection::vec(a_sample(), 0..12), proptest::collection::btree_map(-40_i64..40, 0_u8..9, 0..12)),
            0..5,
        ),
    ) {
        let mut naive: BTreeMap<i64, Option<HistogramSample>> = BTreeMap::new();
        let mut runs = Vec::new();
        for (mut histograms, floats) in layers {
            normalise(&mut histograms);
            let mut samples = Samples { floats: Columns::default(), histograms };
            for (slot, value) in floats {
                samples.floats.push(Timestamp(slot * 3_600_000), f64::from(value));
                naive.insert(slot * 3_600_000, None);
            }
            // Inside a layer a time has one kind: here the histogram.
            let Samples { floats, histograms } = &mut samples;
            drop_floats(floats, |at| has_histogram(histograms, at));
            naive.extend(samples.histograms.iter().map(|sample| (sample.at.0, Some(sample.clone()))));
            runs.push(samples);
        }
        let merged = merge_samples(runs);
        let floats: Vec<i64> = naive.iter().filter(|(_, kind)| kind.is_none()).map(|(at, _)| *at).collect();
        prop_assert_eq!(merged.floats.timestamps, floats);
        let histograms: Vec<HistogramSample> = naive.into_values().flatten().collect();
        prop_assert_eq!(bits(&merged.histograms), bits(&histograms));
    }
}
