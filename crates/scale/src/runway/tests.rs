//! Runways of made-up disks.

use super::*;

const NOW: Timestamp = Timestamp(1_795_244_400_000);
const GIB: f64 = 1_073_741_824.0;

/// Hourly use; `value` gets days before now.
fn disk(days: i64, limit: f64, value: impl Fn(f64) -> f64) -> ResourceHistory {
    let used =
        (0..=days * 24).map(|ago| Reading { at: NOW - Millis::from_hours(ago), value: value(-(ago as f64) / 24.0) });
    ResourceHistory {
        resource: "db-0 disk".into(),
        used: used.collect(),
        limit,
        in_bytes: true,
        evidence_query: "node_filesystem_avail_bytes".into(),
    }
}

fn look(history: &ResourceHistory) -> Runway {
    runway(NOW, history, &RunwayPolicy::default(), &Prices::default()).expect("enough history")
}

fn noise(day: f64) -> f64 {
    let mut random = SplitMix64::new((day * 24.0).round().abs() as u64);
    random.below(1000) as f64 / 500.0 - 1.0
}

#[test]
fn a_straight_line_is_met_on_the_day() {
    // 60 GiB now, 1 GiB a day, 90 of 100 count as full: thirty days.
    let found = look(&disk(40, 100.0 * GIB, |day| (60.0 + day) * GIB));
    assert!((found.growth_per_day / GIB - 1.0).abs() < 0.02, "{found:?}");
    for days in [found.days_p10, found.days_p50, found.days_p90] {
        assert!(days.is_some_and(|days| (days - 30.0).abs() <= 1.5), "{found:?}");
    }
    assert_eq!(found.confidence, Confidence::High);
    assert_eq!(found.add, Some(128.0 * GIB));
    assert!(found.add_before.is_some_and(|at| at < NOW + Millis::from_days(30)));
    assert!((found.cost_monthly - 128.0 * 0.08).abs() < 1e-9);
}

#[test]
fn noise_widens_the_range_around_the_truth() {
    let found = look(&disk(30, 100.0 * GIB, |day| {
        (60.0 + day + 4.0 * noise(day) + 2.0 * (day * std::f64::consts::TAU).sin()) * GIB
    }));
    let (early, late) = (found.days_p10.expect("early"), found.days_p90.expect("late"));
    assert!(early < late && early > 15.0 && late < 40.0, "{found:?}");
    assert_eq!(
        found,
        look(&disk(30, 100.0 * GIB, |day| (60.0 + day + 4.0 * noise(day) + 2.0 * (day * std::f64::consts::TAU).sin())
            * GIB))
    );
}

#[test]
fn a_clean_up_moves_the_day_not_the_growth() {
    let found = look(&disk(40, 100.0 * GIB, |day| if day < -3.0 { 70.0 + day } else { 40.0 + day } * GIB));
    assert!((found.growth_per_day / GIB - 1.0).abs() < 0.35, "{found:?}");
    assert!(found.days_p50.is_some_and(|days| days > 38.0), "{found:?}");
}

#[test]
fn flat_and_falling_disks_are_never_full() {
    for slope in [0.0, -0.5] {
        let found = look(&disk(30, 100.0 * GIB, |day| (50.0 + slope * day) * GIB));
        assert_eq!((found.days_p50, found.add), (None, None), "{found:?}");
        assert_eq!(found.summary, "never at this trend");
    }
}

#[test]
fn a_full_disk_is_full_now() {
    let found = look(&disk(30, 100.0 * GIB, |day| (95.0 + day * 0.1) * GIB));
    assert_eq!(
        (found.days_p10, found.days_p90, found.summary.as_str()),
        (Some(0.0), Some(0.0), "over the threshold now")
    );
    assert_eq!(found.add_before, Some(NOW));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let policy = RunwayPolicy::default();
    let fault = |history: &ResourceHistory| {
        runway(NOW, history, &policy, &Prices::default()).expect_err("no answer").to_string()
    };
    assert_eq!(fault(&disk(1, 1.0, |_| 0.5)), "runway of `db-0 disk`: 1.0 days of history, 3.0 needed");
    assert_eq!(fault(&disk(30, 0.0, |_| 0.5)), "runway of `db-0 disk`: the limit is 0, it must be positive");
    let empty = ResourceHistory { used: Vec::new(), ..disk(30, 1.0, |_| 0.5) };
    assert!(fault(&empty).contains("0.0 days"));
    let hostile = ResourceHistory { used: vec![Reading { at: NOW, value: f64::NAN }; 5000], ..empty };
    assert!(fault(&hostile).contains("0.0 days"));
}

#[test]
fn sizes_can_be_bought() {
    let size = |missing: f64, in_bytes| {
        let history = ResourceHistory { limit: 1.0, in_bytes, ..disk(0, 1.0, |_| 0.0) };
        sensible((1.0 + missing) * 0.9, &RunwayPolicy::default(), &history)
    };
    assert_eq!((size(37.0, false), size(0.3, false), size(-2.0, false)), (50.0, 0.5, 0.0));
    assert_eq!(size(700.0 * GIB, true), 1024.0 * GIB);
}

#[test]
fn noise_adds_nothing_on_average() {
    // A sawtooth: seven days up, one steep fall; its median step is far from its mean.
    let sawtooth: Vec<f64> = (0..56).map(|day| f64::from(day % 7) * 2.0 - 6.0).collect();
    let shocks = shocks(&sawtooth, 0.25);
    assert!((shocks.iter().sum::<f64>() / shocks.len() as f64).abs() < 1e-9);
}
