//! Schedules in zones, their errors, and timers across pauses and clock steps.

use super::*;

/// 2026-11-21T07:07:26Z, a Saturday.
const NOW: Timestamp = Timestamp(1_795_244_846_000);

fn next(text: &str, zone: &str, at: Timestamp) -> String {
    Schedule::parse(text, zone).unwrap().next_after(at).unwrap().to_string()
}

#[test]
fn the_next_time_follows_the_expression_and_the_zone() {
    assert_eq!(next("every 5m", "UTC", NOW), "2026-11-21T07:10:00.000Z");
    assert_eq!(next("@every 90s", "UTC", Timestamp(0)), "1970-01-01T00:01:30.000Z");
    assert_eq!(next("@hourly", "UTC", NOW), "2026-11-21T08:00:00.000Z");
    assert_eq!(next("@daily", "UTC", NOW), "2026-11-22T00:00:00.000Z");
    assert_eq!(next("30 9 * * MON-FRI", "Europe/Berlin", NOW), "2026-11-23T08:30:00.000Z");
    assert_eq!(next("15 30 9 * * 6", "UTC", NOW), "2026-11-21T09:30:15.000Z");
    assert_eq!(next("0 0 29 2 *", "UTC", NOW), "2028-02-29T00:00:00.000Z");
    assert_eq!(next("@hourly", "UTC", Timestamp(1_795_248_000_000)), "2026-11-21T09:00:00.000Z", "strictly after");
}

#[test]
fn a_fault_is_named_by_its_field() {
    let cases = [
        ("61 * * * *", "minute"),
        ("0 25 * * *", "hour"),
        ("0 0 32 * *", "day of month"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * FOO", "day of week"),
        ("99 0 0 * * *", "second"),
    ];
    for (text, expected) in cases {
        match Schedule::parse(text, "UTC") {
            Err(ScheduleError::Field { field, .. }) => assert_eq!(field, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["", "* * *", "* * * * * * *", "every", "every 0s", "every 500d", "every x", "@often", "0 0 30 2 *"] {
        assert!(matches!(Schedule::parse(text, "UTC"), Err(ScheduleError::Form { .. })), "{text}");
    }
    assert!(matches!(Schedule::parse("@daily", "Mars/Base"), Err(ScheduleError::Zone { .. })));
}

#[test]
fn clock_changes_skip_or_repeat_no_day() {
    // Berlin springs forward on 2026-03-29 at 02:00 and falls back on 2026-10-25 at 03:00.
    let daily = Schedule::parse("30 2 * * *", "Europe/Berlin").unwrap();
    for start in [1_774_569_600_000, 1_792_713_600_000_i64] {
        let mut at = Timestamp(start);
        let mut runs = Vec::new();
        for _ in 0..5 {
            at = daily.next_after(at).unwrap();
            runs.push(at);
        }
        for pair in runs.windows(2) {
            let hours = (pair[1] - pair[0]).0 / 3_600_000;
            assert!((22..=26).contains(&hours), "{} then {}", pair[0], pair[1]);
        }
    }
}

#[test]
fn missed_runs_collapse_into_one() {
    let schedule = Schedule::parse("@hourly", "UTC").unwrap();
    let mut timer = Timer::new(schedule.clone(), Some(NOW - Millis::from_hours(5)), NOW);
    let due = timer.poll(NOW).unwrap();
    assert_eq!((due.scheduled.to_string().as_str(), due.missed), ("2026-11-21T07:00:00.000Z", 4));
    assert_eq!(timer.poll(NOW), None);
    assert_eq!(timer.poll(NOW + Millis::from_hours(1)).map(|due| due.missed), Some(0));
    let mut fresh = Timer::new(schedule, None, NOW);
    assert_eq!(fresh.poll(NOW), None, "without a last run it waits for the next time");
}

#[test]
fn a_clock_that_steps_back_stops_no_timer() {
    let schedule = Schedule::parse("every 10m", "UTC").unwrap();
    let mut timer = Timer::new(schedule.clone(), None, NOW);
    assert!(timer.poll(NOW + Millis::from_mins(10)).is_some());
    let yesterday = NOW - Millis::from_days(1);
    assert_eq!(timer.poll(yesterday), None);
    assert!(timer.poll(yesterday + Millis::from_mins(10)).is_some());
    assert_eq!(timer.poll(NOW).map(|due| due.missed > 100), Some(true), "and forward again");
    let restarted = Timer::new(schedule, Some(NOW), yesterday);
    assert!(restarted.next().unwrap() <= yesterday + Millis::from_mins(10));
}

#[test]
fn last_and_next_enclose_every_moment() {
    for text in ["every 7m", "*/13 * * * *", "0 3 * * 1", "@monthly"] {
        let schedule = Schedule::parse(text, "America/New_York").unwrap();
        for step in 0..200 {
            let at = NOW + Millis(step * 7_777_777);
            let (last, next) = (schedule.last_at(at).unwrap(), schedule.next_after(at).unwrap());
            assert!(last <= at && at < next, "{text} at {at}: {last} {next}");
            assert_eq!(schedule.next_after(last), Some(next), "{text} at {at}");
        }
    }
}
