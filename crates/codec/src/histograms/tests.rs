//! Every bit of every histogram survives, layouts cost once, and hostile bytes are refused in bounded memory.

use proptest::prelude::*;

use super::*;

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Everything of the runs that a comparison of floats would not tell apart, as bits.
fn bits(runs: &[HistogramRun]) -> Vec<Vec<u64>> {
    let run_bits = |run: &HistogramRun| {
        let layout = &run.layout;
        let spans = layout.negative.iter().chain(&layout.positive).flat_map(|&(o, l)| [o as u64, u64::from(l)]);
        let sizes = [layout.negative.len(), layout.positive.len(), layout.bounds.len(), run.len()];
        let floats = layout.bounds.iter().chain(&run.sums).chain(&run.columns).chain([&layout.zero_threshold]);
        let mut all: Vec<u64> = sizes.map(|size| size as u64).into_iter().chain(spans).collect();
        all.push(layout.schema as u64);
        all.extend(run.hints.iter().map(|&hint| u64::from(hint)));
        all.extend(floats.map(|float| float.to_bits()));
        all
    };
    runs.iter().map(run_bits).collect()
}

fn round_trip(runs: &[HistogramRun]) -> usize {
    let mut bytes = vec![9];
    encode_histograms(runs, &mut bytes);
    assert!(is_histograms(&bytes[1..]));
    assert_eq!(bits(&decode_histograms(&bytes[1..]).expect("own blob")), bits(runs));
    bytes.len() - 1
}

/// `n` scrapes of a histogram of request durations: `buckets` of them, the middle ones busy.
fn scraped(n: usize, buckets: usize) -> HistogramRun {
    let mut run = HistogramRun {
        layout: HistogramLayout {
            schema: 3,
            zero_threshold: 2.0_f64.powi(-128),
            positive: vec![(-12, buckets as u32 / 2), (3, (buckets - buckets / 2) as u32)],
            ..HistogramLayout::default()
        },
        hints: vec![0; n],
        ..HistogramRun::default()
    };
    let per_bucket = |b: usize, i: usize| {
        let busy = 40_usize.saturating_sub(b.abs_diff(buckets / 2) * 6);
        (0..i).map(|k| busy + (k * 7919 + b * 31) % (busy / 4 + 1)).sum::<usize>() as f64
    };
    let column = |b: usize| (0..n).map(move |i| per_bucket(b, i));
    run.sums = (0..n).map(|i| (0..buckets).map(|b| per_bucket(b, i)).sum::<f64>() / 128.0).collect();
    run.columns = (0..n).map(|i| (0..buckets).map(|b| per_bucket(b, i)).sum()).collect();
    run.columns.extend(std::iter::repeat_n(0.0, n));
    (0..buckets).for_each(|b| run.columns.extend(column(b)));
    run
}

#[test]
fn a_scraped_histogram_costs_a_byte_a_bucket_that_moves() {
    // 40 buckets, 13 of which move: 120 scrapes.
    let bytes = round_trip(&[scraped(120, 40)]);
    assert!(bytes < 120 * 16, "{bytes} bytes");
    let still = HistogramRun { columns: vec![7.0; 120 * 42], ..scraped(120, 40) };
    assert!(round_trip(&[still]) < 450);
    assert!(round_trip(&[scraped(1, 40)]) < 120);
}

#[test]
fn floats_stale_markers_and_hints_are_exact() {
    let stale = HistogramRun { hints: vec![0], sums: vec![STALE], columns: vec![0.0, 0.0], ..HistogramRun::default() };
    let mut odd = scraped(5, 4);
    odd.hints = vec![0, 1, 2, 3, 0];
    odd.sums = vec![f64::NAN, -0.0, f64::INFINITY, STALE, 0.1];
    odd.columns[3] = 0.1;
    odd.columns[4] = -0.0;
    odd.columns[5] = f64::from_bits(0x7ff8_dead_beef_0001);
    let custom = HistogramRun {
        layout: HistogramLayout {
            schema: -53,
            bounds: vec![0.1, 0.5, 1.0],
            positive: vec![(0, 4)],
            ..HistogramLayout::default()
        },
        hints: vec![3],
        sums: vec![9.0],
        columns: vec![18.0, 0.0, 2.0, 3.0, 5.0, 8.0],
    };
    let huge = HistogramRun { columns: vec![WHOLE_MAX, -WHOLE_MAX], ..stale.clone() };
    assert!(round_trip(std::slice::from_ref(&stale)) < 32);
    round_trip(&[scraped(3, 8), stale, odd, custom, huge]);
}

#[test]
fn runs_longer_than_a_values_blob_are_cut() {
    let mut floats = scraped(2000, 40);
    floats.columns.iter_mut().for_each(|number| *number += 0.5);
    assert!(floats.columns.len() > MAX_SAMPLES);
    round_trip(&[floats]);
}

#[test]
fn promises_beyond_the_bounds_are_refused_before_memory_is_taken() {
    let run = |n: u64, length: u64, spans: u64| {
        let mut bytes = vec![PLAIN, 1];
        varint::put_u64(n, &mut bytes);
        bytes.push(INTEGRAL);
        varint::put_i64(0, &mut bytes);
        bytes.extend_from_slice(&[0; 8]);
        bytes.push(0);
        varint::put_u64(spans, &mut bytes);
        for _ in 0..spans.min(3) {
            varint::put_i64(0, &mut bytes);
            varint::put_u64(length, &mut bytes);
        }
        bytes
    };
    for bytes in [
        run(1, u64::from(u32::MAX), 1),
        run(1, 9_000, 2),
        run(1, 1, 1 << 40),
        run(60_000, 9_000, 1),
        run(1 << 40, 1, 1),
        run(0, 1, 1),
        vec![PLAIN, 0],
        vec![PLAIN],
        vec![ZSTD, 0xff, 0xff, 0xff, 0xff, 0x7f, 1],
        vec![6, 1],
        vec![],
    ] {
        assert!(decode_histograms(&bytes).is_err(), "{bytes:?}");
    }
    // 60,000 histograms of two buckets are allowed, but not promised by 40 bytes.
    assert!(matches!(
        decode_histograms(&run(60_000, 2, 1)),
        Err(CodecError::Truncated { .. } | CodecError::Malformed { .. })
    ));
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0_u32..100_000).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(STALE), Just(-0.0), Just(f64::INFINITY), Just(WHOLE_MAX), Just(WHOLE_MAX + 2.0)],
    ]
}

fn spans() -> impl Strategy<Value = Vec<(i32, u32)>> {
    proptest::collection::vec((any::<i32>(), 0_u32..5), 0..4)
}

prop_compose! {
    fn a_run()(
        schema in any::<i32>(),
        zero_threshold in number(),
        negative in spans(),
        positive in spans(),
        bounds in proptest::collection::vec(number(), 0..5),
        n in 1_usize..12,
    )(
        hints in proptest::collection::vec(0_u8..4, n),
        sums in proptest::collection::vec(number(), n),
        columns in {
            let layout = HistogramLayout { negative: negative.clone(), positive: positive.clone(), ..Default::default() };
            proptest::collection::vec(number(), n * layout.n_columns())
        },
        layout in Just(HistogramLayout { schema, zero_threshold, negative, positive, bounds }),
    ) -> HistogramRun {
        HistogramRun { layout, hints, sums, columns }
    }
}

proptest! {
    #[test]
    fn any_runs_round_trip(runs in proptest::collection::vec(a_run(), 1..5)) {
        round_trip(&runs);
    }

    #[test]
    fn whole_numbers_round_trip(columns in proptest::collection::vec(-WHOLE_MAX as i64..WHOLE_MAX as i64, 1..40)) {
        let n = columns.len();
        let mut columns: Vec<f64> = columns.into_iter().map(|number| number as f64).collect();
        columns.extend(vec![0.0; n]);
        round_trip(&[HistogramRun { hints: vec![1; n], sums: vec![0.5; n], columns, ..HistogramRun::default() }]);
    }

    #[test]
    fn random_bytes_are_refused_or_decoded_in_bounds(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        tag in PLAIN..=ZSTD,
    ) {
        let mut tagged = bytes;
        tagged.insert(0, tag);
        if let Ok(runs) = decode_histograms(&tagged) {
            prop_assert!(runs.iter().map(HistogramRun::numbers).sum::<usize>() <= HISTOGRAM_NUMBERS_MAX);
        }
    }

    #[test]
    fn damaged_blobs_never_panic(
        runs in proptest::collection::vec(a_run(), 1..3),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode_histograms(&runs, &mut bytes);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(runs) = decode_histograms(bytes) {
                prop_assert!(runs.iter().all(|run| run.columns.len() == run.len() * run.layout.n_columns()));
            }
        }
    }
}
