//! Planted incidents are found, clean series stay quiet, the state survives a restart.

use super::*;
use crate::emission::EventKind;
use sketch::wire::mix;

const STEP: i64 = 300_000;

/// Normal deviates of a fixed sequence.
fn normal(seed: u64, i: i64) -> f64 {
    let uniform = |salt: u64| (mix(mix(seed ^ salt) ^ i as u64) >> 11) as f64 / (1_u64 << 53) as f64;
    (-2.0 * uniform(1).max(1e-15).ln()).sqrt() * (std::f64::consts::TAU * uniform(2)).cos()
}

/// Daily wave, half of them with a weekly one, and noise: ten different ones.
fn clean(seed: u64, i: i64) -> f64 {
    let day = i as f64 * STEP as f64 / DAY as f64;
    let base = 100.0 * (seed + 1) as f64;
    let wave = (std::f64::consts::TAU * (day + 0.1 * seed as f64)).sin();
    let sharp = if seed.is_multiple_of(3) { wave.abs() * wave } else { wave };
    let week = if seed.is_multiple_of(2) { 1.0 + 0.08 * (std::f64::consts::TAU * day / 7.0).sin() } else { 1.0 };
    base * week * (1.0 + 0.3 * sharp) + 0.02 * base * normal(seed, i)
}

fn run(values: impl Iterator<Item = f64>, sensitivity: Sensitivity) -> Vec<(i64, Report)> {
    let mut watch = Watch::new(Millis(STEP), None, sensitivity);
    let mut reports = Vec::new();
    for (i, value) in values.enumerate() {
        let at = Timestamp(i as i64 * STEP);
        let (judged, report) = watch.push(at, value);
        assert!((0.0..1.0).contains(&judged.score), "{judged:?}");
        reports.extend(report.map(|report| (i as i64, report)));
    }
    reports
}

const WEEKS_3: i64 = 21 * 288;

#[test]
fn ten_clean_seasonal_series_raise_no_alarm_in_three_weeks() {
    for seed in 0..10 {
        let reports = run((0..WEEKS_3).map(|i| clean(seed, i)), Sensitivity::Normal);
        assert!(reports.is_empty(), "series {seed}: {reports:?}");
    }
}

fn planted(change: impl Fn(u64, i64, f64) -> f64) -> Vec<Vec<(i64, Report)>> {
    (0..10).map(|seed| run((0..WEEKS_3).map(|i| change(seed, i, clean(seed, i))), Sensitivity::Normal)).collect()
}

const START: i64 = 14 * 288 + 100;

#[test]
fn a_spike_is_found_at_once_and_closed() {
    for (seed, reports) in
        planted(|seed, i, v| if i == START { v + 40.0 * (seed + 1) as f64 } else { v }).iter().enumerate()
    {
        let first = reports.first().unwrap_or_else(|| panic!("series {seed}: not found"));
        assert_eq!((first.0, first.1.kind), (START, EventKind::Spike), "series {seed}: {reports:?}");
        assert!(reports.iter().all(|r| r.1.start == first.1.start), "series {seed}: {reports:?}");
        assert!(
            reports.last().is_some_and(|r| r.1.end == Some(Timestamp((START + 1) * STEP))),
            "series {seed}: {reports:?}"
        );
    }
}

#[test]
fn a_drop_and_a_burst_are_named() {
    let length = 8;
    for (sign, kind) in [(1.0, EventKind::Burst), (-1.0, EventKind::Drop)] {
        let change = |seed: u64, i: i64, v: f64| {
            if (START..START + length).contains(&i) { v + sign * 40.0 * (seed + 1) as f64 } else { v }
        };
        for (seed, reports) in planted(change).iter().enumerate() {
            assert!(reports.first().is_some_and(|r| r.0 - START <= 2), "{kind:?} series {seed}: {reports:?}");
            assert!(reports.iter().any(|r| r.1.kind == kind), "{kind:?} series {seed}: {reports:?}");
            assert!(reports.iter().all(|r| r.1.kind != EventKind::LevelShiftUp), "{kind:?} series {seed}: {reports:?}");
        }
    }
}

#[test]
fn a_shift_is_found_named_dated_and_then_normal() {
    for sign in [1.0, -1.0] {
        let change = |seed: u64, i: i64, v: f64| if i >= START { v + sign * 30.0 * (seed + 1) as f64 } else { v };
        for (seed, reports) in planted(change).iter().enumerate() {
            let shift = if sign > 0.0 { EventKind::LevelShiftUp } else { EventKind::LevelShiftDown };
            let named = reports.iter().find(|r| r.1.kind == shift);
            let (at, report) = named.unwrap_or_else(|| panic!("series {seed}: {reports:?}"));
            assert!(reports[0].0 - START <= 3 && at - START <= 30, "series {seed}: {reports:?}");
            let dated = report.change_point.expect("dated").0 / STEP;
            assert!((START - 6..=START + 1).contains(&dated), "series {seed}: {dated}");
            assert!(reports.iter().all(|r| r.0 - START < 3 * 288), "series {seed} goes on: {reports:?}");
        }
    }
}

#[test]
fn a_gap_is_no_anomaly() {
    for seed in 0..10 {
        let mut detector = Detector::new(Some(Millis(STEP)), None, Sensitivity::Normal);
        for i in (0..WEEKS_3).filter(|i| !(START..START + 200).contains(i)) {
            let judged = detector.push(Timestamp(i * STEP), clean(seed, i));
            assert!(judged.score < 0.5, "series {seed} at {i}: {judged:?}");
        }
    }
}

#[test]
fn a_constant_series_that_changes_once_is_said_once() {
    let reports = run((0..3000).map(|i| if i < 2000 { 45.0 } else { 50.0 }), Sensitivity::Normal);
    assert_eq!(reports.first().map(|r| r.0), Some(2000));
    assert!(reports.iter().all(|r| r.1.start == Timestamp(2000 * STEP)), "{reports:?}");
}

#[test]
fn the_simple_rule_fires_beyond_its_sigmas() {
    let mut detector = Detector::new(Some(Millis(STEP)), None, Sensitivity::Sigma(2.5));
    let mut beyond = 0;
    for i in 0..5000 {
        beyond += u32::from(detector.push(Timestamp(i * STEP), 10.0 + normal(3, i)).score >= 0.5);
    }
    assert!((30..=100).contains(&beyond), "1.2 % of a normal law are expected, {beyond} of 5000 fired");
    assert!(detector.push(Timestamp(5001 * STEP), 20.0).score > 0.99);
}

#[test]
fn what_cannot_be_judged_is_ordinary() {
    let mut detector = Detector::new(None, None, Sensitivity::High);
    for (at, value) in [(0, f64::NAN), (60_000, 1.0), (60_000, 5.0), (i64::MAX, 1e300), (i64::MIN, 3.0)] {
        assert_eq!(detector.push(Timestamp(at), value).score, 0.0);
    }
}

#[test]
fn a_restored_detector_goes_on_bit_for_bit() {
    for sensitivity in [Sensitivity::Low, Sensitivity::High, Sensitivity::Sigma(3.0)] {
        let mut one = Detector::new(Some(Millis(STEP)), Some(Millis::from_hours(12)), sensitivity);
        for i in 0..700 {
            one.push(Timestamp(i * STEP), clean(1, i));
            if i % 97 == 0 {
                let mut bytes = Vec::new();
                one.encode(&mut bytes);
                let mut other = Detector::decode(&mut Reader::new(&bytes)).expect("own bytes");
                for k in i + 1..i + 60 {
                    let at = Timestamp(k * STEP);
                    assert_eq!(
                        format!("{:?}", one.clone().push(at, 9.0)),
                        format!("{:?}", other.clone().push(at, 9.0))
                    );
                    assert!(Detector::decode(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
                    one.push(at, clean(1, k));
                    other.push(at, clean(1, k));
                }
                let mut again = Vec::new();
                other.encode(&mut again);
                let mut expected = Vec::new();
                one.encode(&mut expected);
                assert_eq!(again, expected);
            }
        }
    }
}

#[test]
fn the_state_of_a_series_fits_a_kibibyte() {
    let bytes = Detector::new(None, None, Sensitivity::Normal).bytes();
    assert!(bytes <= 1024, "{bytes} bytes");
}
