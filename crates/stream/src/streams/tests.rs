//! The promises of standing queries: equal to a batch, whatever the order and the cuts; bounded; resumable.

use proptest::collection::vec;
use proptest::prelude::*;
use series::{Batch, Labels, METRIC_NAME, Matcher, Millis, STALE_NAN, Timestamp};

use super::naive::{self, Results, Samples};
use crate::{Emission, EventKind, Operator, Sensitivity, StreamLimits, StreamSpec, Streams, ValueKind};

const FAR: Timestamp = Timestamp(1 << 50);

fn spec(value: ValueKind) -> StreamSpec {
    StreamSpec {
        name: "test".into(),
        matchers: vec![Matcher::equal(METRIC_NAME, "m")],
        by: vec!["job".into()],
        value,
        window: Millis::from_secs(60),
        slide: Millis::from_secs(20),
        lateness: Millis::from_secs(30),
        operators: vec![Operator::Percentiles(vec![0.0, 0.5, 0.99]), Operator::Count],
    }
}

fn labels(job: u8, instance: u8, le: Option<&str>) -> Labels {
    let mut builder = Labels::empty().to_builder();
    builder.set(METRIC_NAME, "m").set("job", &format!("j{job}")).set("instance", &format!("i{instance}"));
    builder.set("le", le.unwrap_or("")).build()
}

fn batch(rows: &[(Labels, i64, f64)]) -> Batch {
    let mut batch = Batch::default();
    for (labels, at, value) in rows {
        batch.begin_labels(labels).expect("small");
        batch.push(Timestamp(*at), *value);
    }
    batch
}

fn streams(specs: &[StreamSpec]) -> Streams {
    Streams::new(specs.to_vec(), StreamLimits::default()).expect("valid")
}

/// Rows of a few series with an order that is wrong by less than the lateness, some of them twice.
fn rows(value: ValueKind) -> impl Strategy<Value = Vec<(Labels, i64, f64)>> {
    let row = (0..3_u8, 0..2_u8, 0..3_usize, 0..300_i64, 0.0..1000.0_f64, 0..29_000_i64, 0..20_u8);
    vec(row, 1..160).prop_map(move |rows| {
        let mut keyed: Vec<(i64, (Labels, i64, f64))> = Vec::new();
        for (job, instance, bucket, second, x, shift, extra) in rows {
            let le = (value == ValueKind::HistogramBuckets).then(|| ["0.1", "1", "+Inf"][bucket]);
            let at = second * 1000;
            // One value a time and series, so that which repeat arrives last does not matter.
            let x = if extra == 1 { STALE_NAN } else { (x + second as f64).round() };
            let x = if extra == 2 { f64::NAN } else { x };
            let row = (labels(job, instance, le), at, x);
            if keyed.iter().any(|(_, other)| other.0 == row.0 && other.1 == at) {
                continue;
            }
            keyed.push((at + shift, row.clone()));
            if extra < 5 {
                keyed.push((at + (shift * 7919) % 29_000, row));
            }
        }
        keyed.sort_by_key(|(order, _)| *order);
        keyed.into_iter().map(|(_, row)| row).collect()
    })
}

fn samples_of(rows: &[(Labels, i64, f64)]) -> Samples {
    let mut samples = Samples::new();
    for (labels, at, value) in rows {
        samples.entry(labels.clone()).or_default().insert(*at, *value);
    }
    samples
}

/// Pushes rows in chunks of the given sizes and closes everything.
fn push_all(streams: &mut Streams, rows: &[(Labels, i64, f64)], sizes: &[usize]) -> Vec<Emission> {
    let (mut out, mut at, mut k) = (Vec::new(), 0, 0);
    while at < rows.len() {
        let end = (at + sizes[k % sizes.len()]).min(rows.len());
        streams.push(FAR, &batch(&rows[at..end]), &mut out);
        (at, k) = (end, k + 1);
    }
    streams.tick(FAR, &mut out);
    out
}

fn bits(results: &Results) -> Vec<String> {
    results.iter().map(|(key, value)| format!("{key:?} {:x}", value.to_bits())).collect()
}

fn check_against_batch(value: ValueKind, rows: &[(Labels, i64, f64)], sizes: &[usize]) {
    let spec = spec(value);
    let mut one = streams(std::slice::from_ref(&spec));
    let said = naive::said(&push_all(&mut one, rows, sizes), &spec);
    let expected = naive::results(&spec, &samples_of(rows), (0..30).map(|i| i * spec.slide.0));
    assert_eq!(said.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, truth) in &expected {
        let within = if value != ValueKind::HistogramBuckets && key.0.ends_with("quantile") { 0.01 } else { 1e-9 };
        assert!((said[key] - truth).abs() <= within * truth.abs() + 1e-9, "{key:?}: {} for {truth}", said[key]);
    }
    assert_eq!(one.stats().late, 0);
    // In order and all at once: the same bits.
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let again = naive::said(&push_all(&mut streams(std::slice::from_ref(&spec)), &sorted, &[usize::MAX / 2]), &spec);
    assert_eq!(bits(&said), bits(&again));
}

proptest! {
    #[test]
    fn gauges_equal_a_batch(rows in rows(ValueKind::Gauge), sizes in vec(1..40_usize, 1..5)) {
        check_against_batch(ValueKind::Gauge, &rows, &sizes);
    }

    #[test]
    fn counters_with_resets_equal_a_batch(rows in rows(ValueKind::Rate), sizes in vec(1..40_usize, 1..5)) {
        check_against_batch(ValueKind::Rate, &rows, &sizes);
    }

    #[test]
    fn histograms_equal_a_batch(rows in rows(ValueKind::HistogramBuckets), sizes in vec(1..40_usize, 1..5)) {
        check_against_batch(ValueKind::HistogramBuckets, &rows, &sizes);
    }

    #[test]
    fn a_restored_state_goes_on_bit_for_bit(rows in rows(ValueKind::Gauge), cut in 0..100_usize, sizes in vec(1..20_usize, 1..4)) {
        let specs = every_operator();
        let cut = rows.len() * cut / 100;
        let mut one = streams(&specs);
        let (mut out, mut rest) = (Vec::new(), Vec::new());
        rows[..cut].chunks(sizes[0]).for_each(|part| one.push(FAR, &batch(part), &mut out));
        let bytes = one.checkpoint();
        let mut other = Streams::restore(specs.clone(), StreamLimits::default(), &bytes).expect("own bytes");
        prop_assert!(other.restarted().is_empty());
        prop_assert_eq!(&other.checkpoint(), &bytes);
        let said = push_all(&mut one, &rows[cut..], &sizes);
        // What was pushed before the checkpoint may come again: it changes nothing.
        other.push(FAR, &batch(&rows[cut.saturating_sub(30)..cut]), &mut rest);
        prop_assert!(rest.is_empty());
        prop_assert_eq!(format!("{said:?}"), format!("{:?}", push_all(&mut other, &rows[cut..], &sizes)));
    }

    #[test]
    fn what_a_store_holds_makes_up_for_what_a_checkpoint_lacks(
        rows in rows(ValueKind::Gauge), kept in 0..100_usize, lost in 0..100_usize, size in 1..20_usize, slice in 1..90_i64,
    ) {
        let specs = every_operator();
        let (mut one, mut other) = (streams(&specs), streams(&specs));
        let whole = push_all(&mut one, &rows, &[size]);
        // Kept after so many rows, ended after some more that the state has not seen.
        let kept = rows.len() * kept / 100;
        let ended = kept + (rows.len() - kept) * lost / 100;
        let mut said = Vec::new();
        rows[..kept].chunks(size).for_each(|part| other.push(FAR, &batch(part), &mut said));
        let mut again = Streams::restore(specs.clone(), StreamLimits::default(), &other.checkpoint()).expect("own bytes");
        let from = again.needs().map(|(_, after)| after.map_or(i64::MIN, |after| after.0)).min().expect("three streams");
        let mut stored: Vec<_> = rows[..ended].iter().filter(|row| row.1 > from).cloned().collect();
        stored.sort_by_key(|row| row.1);
        for slice in stored.chunk_by(|a, b| a.1 / (slice * 1000) == b.1 / (slice * 1000)) {
            again.push_again(FAR, &batch(slice), &mut said);
        }
        said.extend(push_all(&mut again, &rows[ended..], &[size]));
        prop_assert_eq!(last_said(&said), last_said(&whole));
        prop_assert_eq!(again.stats().late, 0);
    }

    #[test]
    fn damaged_checkpoints_are_refused(cut in 0..1000_usize, flip in 1..=255_u8) {
        let mut one = streams(&every_operator());
        one.push(FAR, &batch(&[(labels(1, 1, None), 5, 1.0), (labels(1, 2, None), 90_000, 2.0)]), &mut Vec::new());
        let mut bytes = one.checkpoint();
        let at = cut % bytes.len();
        prop_assert!(Streams::restore(every_operator(), StreamLimits::default(), &bytes[..at]).is_err());
        bytes[at] ^= flip;
        prop_assert!(Streams::restore(every_operator(), StreamLimits::default(), &bytes).is_err());
    }
}

/// The last that was said of each result and event.
fn last_said(said: &[Emission]) -> std::collections::BTreeMap<String, String> {
    let key = |emission: &Emission| match emission {
        Emission::Sample { labels, at, value } => (format!("{labels} {at:?}"), format!("{:x}", value.to_bits())),
        Emission::Event(event) => (event.id.clone(), format!("{event:?}")),
    };
    said.iter().map(key).collect()
}

/// Three streams over the same series with all operators.
fn every_operator() -> Vec<StreamSpec> {
    let mut gauge = spec(ValueKind::Gauge);
    gauge.operators.extend([
        Operator::Trend { limit: Some(5000.0), within: None },
        Operator::Anomaly { sensitivity: Sensitivity::High, season: None },
        Operator::Ewma { half_life: Millis::from_mins(1) },
        Operator::Mean,
    ]);
    let mut rate = spec(ValueKind::Rate);
    rate.name = "rate".into();
    rate.operators = vec![Operator::Rate, Operator::Anomaly { sensitivity: Sensitivity::Sigma(2.5), season: None }];
    let mut whole = spec(ValueKind::Gauge);
    (whole.name, whole.by) = ("whole".into(), vec![]);
    vec![gauge, rate, whole]
}

#[test]
fn late_ahead_and_repeated_samples_are_counted() {
    let mut one = streams(&[spec(ValueKind::Gauge)]);
    let mut out = Vec::new();
    let series = labels(0, 0, None);
    let row = |at: i64, value: f64| batch(&[(series.clone(), at, value)]);
    one.push(Timestamp(200_000), &row(10_000, 1.0), &mut out);
    one.push(Timestamp(200_000), &row(10_000, 3.0), &mut out);
    one.push(Timestamp(200_000), &row(100_000, 2.0), &mut out);
    assert!(!out.is_empty(), "the first panes are closed by a later sample");
    one.push(Timestamp(200_000), &row(11_000, 9.0), &mut out);
    one.push(Timestamp(200_000), &row(900_000, 9.0), &mut out);
    let stats = one.stats();
    assert_eq!((stats.rows, stats.late, stats.ahead, stats.repeats), (5, 1, 1, 1));
    let median = out.iter().find_map(|e| match e {
        Emission::Sample { labels, at, value } if labels.get("quantile") == Some("0.5") => Some((*at, *value)),
        _ => None,
    });
    assert_eq!(median, Some((Timestamp(20_000), 3.0)), "the repeat that came last counts");
}

#[test]
fn a_clock_that_runs_ahead_does_not_close_the_present() {
    let mut one = streams(&[spec(ValueKind::Gauge)]);
    let mut out = Vec::new();
    let now = Timestamp(1_000_000);
    one.push(now, &batch(&[(labels(0, 0, None), 1_500_000, 1.0), (labels(0, 1, None), 980_000, 1.0)]), &mut out);
    one.push(now, &batch(&[(labels(0, 1, None), 975_000, 1.0)]), &mut out);
    assert_eq!(one.stats().late, 0);
}

#[test]
fn ticks_close_windows_of_silent_sources_and_a_year_of_silence_is_cheap() {
    let mut one = streams(&[spec(ValueKind::Gauge)]);
    let mut out = Vec::new();
    one.tick(Timestamp(5_000_000), &mut out);
    one.push(Timestamp(1000), &batch(&[(labels(0, 0, None), 1000, 4.0)]), &mut out);
    assert!(out.is_empty());
    one.tick(Timestamp(50_001), &mut out);
    let said = naive::said(&out, &spec(ValueKind::Gauge));
    assert_eq!(said.keys().map(|key| key.3).max(), Some(20_000));
    one.tick(Timestamp(365 * 86_400_000), &mut out);
    let ends: std::collections::BTreeSet<i64> =
        naive::said(&out, &spec(ValueKind::Gauge)).keys().map(|key| key.3).collect();
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [20_000, 40_000, 60_000]);
    assert_eq!(one.stats().series, 0, "silent series are forgotten");
}

#[test]
fn groups_beyond_the_limit_are_refused_and_tried_again_when_there_is_room() {
    let limits = StreamLimits { groups_max: 2, bytes_max: 1 << 20 };
    let mut one = Streams::new(vec![spec(ValueKind::Gauge)], limits).expect("valid");
    let mut out = Vec::new();
    let rows: Vec<_> = (0..5).map(|job| (labels(job, 0, None), 1000, 1.0)).collect();
    one.push(Timestamp(1000), &batch(&rows), &mut out);
    one.push(Timestamp(1000), &batch(&rows), &mut out);
    assert_eq!((one.stats().groups, one.stats().refused_series), (2, 3));
    one.tick(Timestamp(1_000_000), &mut out);
    let later = 9 * 86_400_000;
    one.push(Timestamp(later), &batch(&[(labels(0, 0, None), later, 1.0)]), &mut out);
    one.tick(Timestamp(later + 100_000), &mut out);
    one.push(Timestamp(later), &batch(&[(labels(4, 0, None), later + 90_000, 1.0)]), &mut out);
    assert_eq!((one.stats().groups, one.stats().refused_series), (2, 3), "{:?}", one.stats());
}

#[test]
fn samples_beyond_the_bytes_are_refused() {
    let limits = StreamLimits { groups_max: 100, bytes_max: 20_000 };
    let mut one = Streams::new(vec![spec(ValueKind::Gauge)], limits).expect("valid");
    for i in 0..5000 {
        one.push(Timestamp(5000), &batch(&[(labels(0, 0, None), i, 1.0)]), &mut Vec::new());
    }
    let stats = one.stats();
    assert!(stats.refused_rows > 1000 && stats.bytes < 40_000, "{stats:?}");
}

#[test]
fn a_changed_definition_begins_empty_and_says_so() {
    let mut one = streams(&every_operator());
    one.push(FAR, &batch(&[(labels(0, 0, None), 5000, 1.0)]), &mut Vec::new());
    let mut changed = every_operator();
    changed[2].slide = Millis::from_secs(30);
    let other = Streams::restore(changed, StreamLimits::default(), &one.checkpoint()).expect("readable");
    assert_eq!(other.restarted(), ["whole"]);
    assert_eq!(other.stats().series, 2);
}

#[test]
fn values_of_any_size_leave_a_checkpoint_that_can_be_read() {
    let mut one = streams(&every_operator());
    let sizes = [1e308, -1e308, 1e-320, 0.0, 1e29, -1e29, f64::MAX, 1e150, f64::INFINITY, -0.0, 1e38];
    for i in 0..600_i64 {
        let at = i * 20_000;
        let value = sizes[(sketch::wire::mix(i as u64) % 11) as usize];
        one.push(FAR, &batch(&[(labels(0, 0, None), at, value)]), &mut Vec::new());
        if i % 20 == 0 {
            let bytes = one.checkpoint();
            let other = Streams::restore(every_operator(), StreamLimits::default(), &bytes).expect("own bytes");
            assert_eq!(other.checkpoint(), bytes);
        }
    }
}

#[test]
fn a_filling_disk_has_days_left_and_an_event() {
    let mut disk = spec(ValueKind::Gauge);
    disk.operators = vec![Operator::Trend { limit: Some(0.0), within: None }];
    (disk.window, disk.slide) = (Millis::from_hours(6), Millis::from_mins(15));
    let mut one = streams(&[disk]);
    let mut out = Vec::new();
    for minute in 0..900_i64 {
        let free = 100e9 - 100e9 / (5.0 * 1440.0) * minute as f64;
        let at = minute * 60_000;
        one.push(Timestamp(at), &batch(&[(labels(0, 0, None), at, free)]), &mut out);
    }
    let days = out.iter().rev().find_map(|e| match e {
        Emission::Sample { labels, value, .. } if labels.metric() == "foretide_stream_days_to_limit" => Some(*value),
        _ => None,
    });
    assert!((days.expect("said") - 4.4).abs() < 0.1, "{days:?}");
    let events: Vec<_> =
        out.iter().filter_map(|e| if let Emission::Event(event) = e { Some(event) } else { None }).collect();
    assert!(events.iter().all(|e| e.kind == EventKind::Trend && e.end.is_none() && e.id == events[0].id));
    assert!(!events.is_empty() && events[0].query == "avg by (job) (m{job=\"j0\"})", "{events:?}");
}

#[test]
fn names_and_numbers_of_streams_are_bounded() {
    assert!(Streams::new(vec![spec(ValueKind::Gauge); 2], StreamLimits::default()).is_err());
    assert!(Streams::new(vec![spec(ValueKind::Gauge); 1001], StreamLimits::default()).is_err());
}
