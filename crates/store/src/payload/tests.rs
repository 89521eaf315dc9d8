//! Records of the log: what is written is read, whatever the values and the order of segments.

use super::*;
use proptest::prelude::*;
use wal::Payload as _;

type Runs = Vec<(u8, Vec<(i64, u64)>)>;

/// Series `n` is the metric `mn`.
struct Names;

impl Recall for Names {
    fn seed(&self) -> u64 {
        0
    }

    fn recall(&self, _: &[series::Spelling], _: &mut Vec<Option<series::KnownSeries>>) {}

    fn labels_of(&self, number: u32) -> Option<series::Labels> {
        series::Labels::from_pairs([("__name__", format!("m{number}"))]).ok()
    }
}

fn batch_of(runs: &Runs) -> LogBatch {
    let mut logged = LogBatch { batch: Batch::default(), numbers: Vec::new(), ids: Vec::new(), names: Arc::new(Names) };
    for (number, samples) in runs {
        let labels = series::Labels::from_pairs([("__name__", format!("m{number}"))]).expect("valid");
        let id = logged.batch.begin_labels(&labels).expect("small");
        for &(at, bits) in samples {
            logged.batch.push(Timestamp(at), f64::from_bits(bits));
        }
        logged.numbers.push(SeriesNumber::from(*number));
        logged.ids.push(id);
    }
    logged
}

fn samples_of(logged: &LogBatch, segment: &SegmentSeries) -> Vec<(u64, i64, u64)> {
    let mut bytes = Vec::new();
    logged.put_samples(segment, &mut bytes);
    let mut found = Vec::new();
    read_samples_dense(&bytes, |local, at, value| found.push((local, at, value.to_bits()))).expect("our own bytes");
    for cut in 0..bytes.len() {
        assert!(read_samples_dense(&bytes[..cut], |_, _, _| {}).is_none(), "cut at {cut}");
    }
    found
}

#[test]
fn scrapes_in_the_same_order_cost_one_byte_beside_the_value() {
    let runs: Runs = (0..200).map(|i| (i, vec![(1_795_000_000_000, f64::from(i).to_bits())])).collect();
    let (logged, mut segment) = (batch_of(&runs), SegmentSeries::default());
    assert!(runs.iter().all(|(number, _)| segment.describe(SeriesNumber::from(*number))));
    let mut bytes = Vec::new();
    logged.put_samples(&segment, &mut bytes);
    assert!(bytes.len() < 200 * 4 + 12, "{}", bytes.len());
}

#[test]
fn new_series_are_described_once_a_segment() {
    let runs: Runs = vec![(3, vec![(1, 0)]), (1, vec![(1, 0)])];
    let (logged, mut segment) = (batch_of(&runs), SegmentSeries::default());
    assert!(segment.describe(3) && segment.describe(1) && !segment.describe(3));
    let mut bytes = Vec::new();
    logged.put_series(0, &[0, 1], &mut bytes);
    let mut found = Vec::new();
    read_series_frame(&bytes, |local, id, labels| found.push((local, id, labels.to_owned()))).expect("our own bytes");
    let expected: Vec<_> =
        (0..2).map(|i| (i as u64, logged.ids[i], logged.batch.series(i).labels.to_owned())).collect();
    assert_eq!(found, expected);
    for cut in 0..bytes.len() {
        assert!(read_series_frame(&bytes[..cut], |_, _, _| {}).is_none(), "cut at {cut}");
    }
    assert!(logged.bytes() > 0);
}

#[test]
fn records_of_earlier_releases_are_read() {
    let mut bytes = Vec::new();
    varint::put_u64(1, &mut bytes);
    varint::put_i64(1000, &mut bytes);
    for n in [7, 2] {
        varint::put_u64(n, &mut bytes);
    }
    for (since, value) in [(0, 1.5_f64), (15, 0.0)] {
        varint::put_i64(since, &mut bytes);
        let n = 8 - (value.to_bits().trailing_zeros() as usize / 8).min(8);
        bytes.push(n as u8);
        bytes.extend_from_slice(&value.to_bits().to_be_bytes()[..n]);
    }
    let mut found = Vec::new();
    read_samples(&bytes, |local, at, value| found.push((local, at, value))).expect("the format of then");
    assert_eq!(found, [(7, 1000, 1.5), (7, 1015, 0.0)]);
}

proptest! {
    #[test]
    fn every_sample_comes_back(
        runs in proptest::collection::vec(
            (0_u8..9, proptest::collection::vec((prop_oneof![any::<i64>(), 0_i64..99_999], any::<u64>()), 1..6)), 1..30),
        known in proptest::collection::vec(0_u32..9, 0..9),
    ) {
        let (logged, mut segment) = (batch_of(&runs), SegmentSeries::default());
        for number in known.into_iter().chain(logged.numbers.iter().copied()) {
            segment.describe(number);
        }
        let expected: Vec<_> = runs.iter().flat_map(|(number, samples)| {
            let local = u64::from(segment.local[usize::from(*number)] - 1);
            samples.iter().map(move |&(at, bits)| (local, at, bits))
        }).collect();
        prop_assert_eq!(samples_of(&logged, &segment), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = read_samples_dense(&bytes, |_, _, _| {});
        let _ = read_samples(&bytes, |_, _, _| {});
        let _ = read_series_frame(&bytes, |_, _, _| {});
        let _ = read_histograms(&bytes, |_, _| {});
        let _ = read_exemplars(&bytes, |_, _| {});
    }
}
