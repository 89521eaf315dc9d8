//! When a metric's name goes: functions mark it, the end of the query removes it, and equal label sets meet only then.

use crate::script::run;

const DATA: &str = "load 5m
  in_total{host=\"a\"} 0 60 120
  out_total{host=\"a\"} 60 120 180
";

fn holds(evals: &str) {
    if let Err(why) = run("names", &format!("{DATA}{evals}")) {
        panic!("{why}");
    }
}

#[test]
fn selectors_comparisons_and_last_samples_keep_names() {
    holds("eval instant at 10m in_total\n  in_total{host=\"a\"} 120\n");
    holds("eval instant at 10m in_total <= out_total\n  in_total{host=\"a\"} 120\n");
    holds("eval instant at 10m last_over_time(in_total[10m])\n  in_total{host=\"a\"} 120\n");
    holds("eval instant at 10m sum by (__name__, host) (in_total)\n  in_total{host=\"a\"} 120\n");
    holds("eval instant at 10m topk(1, in_total)\n  in_total{host=\"a\"} 120\n");
}

#[test]
fn everything_that_changes_values_drops_names() {
    holds("eval instant at 10m -in_total\n  {host=\"a\"} -120\n");
    holds("eval instant at 10m in_total + out_total\n  {host=\"a\"} 300\n");
    holds("eval instant at 10m in_total <= bool out_total\n  {host=\"a\"} 1\n");
    holds("eval instant at 10m clamp(in_total, 0, 100)\n  {host=\"a\"} 100\n");
    holds("eval instant at 10m timestamp(in_total)\n  {host=\"a\"} 600\n");
    holds("eval instant at 10m rate(in_total[10m])\n  {host=\"a\"} 0.2\n");
    holds("eval instant at 10m topk(9, sum by (__name__, host) (rate(in_total[10m])))\n  {host=\"a\"} 0.2\n");
}

#[test]
fn marked_names_can_still_be_used_and_saved() {
    let both = "rate({host=\"a\"}[10m])";
    holds(&format!("eval_fail instant at 10m {both}\n"));
    holds(&format!("eval_fail instant at 10m sum by (__name__) ({both})\n"));
    holds(&format!("eval instant at 10m sum by (host) ({both})\n  {{host=\"a\"}} 0.4\n"));
    holds(&format!(
        "eval instant at 10m label_replace({both}, \"of\", \"$1\", \"__name__\", \"(.+)_total\")\n  {{of=\"in\", host=\"a\"}} 0.2\n  {{of=\"out\", host=\"a\"}} 0.2\n"
    ));
    holds(&format!(
        "eval instant at 10m label_replace({both}, \"__name__\", \"rate_$1\", \"__name__\", \"(.+)\")\n  rate_in_total{{host=\"a\"}} 0.2\n  rate_out_total{{host=\"a\"}} 0.2\n"
    ));
}

#[test]
fn series_that_never_meet_are_joined() {
    let data = "load 10m\n  metric_a 1 _\n  metric_b 3 4\n";
    let evals = "eval range from 0 to 10m step 10m -metric_a or -metric_b\n  {} -1 -4\n";
    assert_eq!(run("joined", &format!("{data}{evals}")), Ok(1));
}

#[test]
fn info_adds_labels_of_the_same_target() {
    let data = "load 1m
  up{instance=\"a\", job=\"x\"} 1x5
  up{instance=\"b\", job=\"x\"} 1x5
  target_info{instance=\"a\", job=\"x\", version=\"2\", zone=\"n\"} 1x5
";
    let evals = "eval instant at 5m info(up)
  up{instance=\"a\", job=\"x\", version=\"2\", zone=\"n\"} 1
  up{instance=\"b\", job=\"x\"} 1
eval instant at 5m info(up, {version=~\".+\"})
  up{instance=\"a\", job=\"x\", version=\"2\"} 1
";
    assert_eq!(run("info", &format!("{data}{evals}")), Ok(2));
}

#[test]
fn fill_values_stand_for_missing_partners() {
    let data = "load 1m\n  a{x=\"1\"} 5\n  a{x=\"2\"} 6\n  b{x=\"2\"} 1\n  b{x=\"3\"} 2\n";
    let evals = "eval instant at 0 a - fill_right(0) b\n  {x=\"1\"} 5\n  {x=\"2\"} 5
eval instant at 0 a - fill(0) b\n  {x=\"1\"} 5\n  {x=\"2\"} 5\n  {x=\"3\"} -2\n";
    assert_eq!(run("fill", &format!("{data}{evals}")), Ok(2));
}

#[test]
fn matches_must_be_unique() {
    let data = "load 1m\n  a{x=\"1\", y=\"1\"} 5\n  a{x=\"1\", y=\"2\"} 6\n  b{x=\"1\"} 1\n";
    let evals = "eval_fail instant at 0 a - on(x) b\neval_fail instant at 0 b - on(x) a
eval_fail instant at 0 b - on(x) group_left a
eval instant at 0 a - on(x) group_left b\n  {x=\"1\", y=\"1\"} 4\n  {x=\"1\", y=\"2\"} 5\n";
    assert_eq!(run("unique", &format!("{data}{evals}")), Ok(4));
}

#[test]
fn of_two_info_series_of_a_metric_the_newer_wins() {
    let data = "load 1m
  up{instance=\"a\", job=\"x\"} 1x9
  target_info{instance=\"a\", job=\"x\", version=\"1\"} 1x3
  target_info{instance=\"a\", job=\"x\", version=\"2\"} _x4 1x5
  up{instance=\"b\", job=\"x\"} 1x9
  target_info{instance=\"b\", job=\"x\", version=\"1\"} 1x9
  target_info{instance=\"b\", job=\"x\", version=\"2\"} 1x9
  lone 1x9
  target_info{version=\"9\"} 1x9
";
    let evals = "eval instant at 5m info(up{instance=\"a\"})\n  up{instance=\"a\", job=\"x\", version=\"2\"} 1
eval_fail instant at 5m info(up{instance=\"b\"})
eval instant at 5m info(lone)\n  lone 1
";
    assert_eq!(run("newer", &format!("{data}{evals}")), Ok(3));
}

#[test]
fn fill_values_work_with_groups() {
    let data = "load 1m\n  a{x=\"1\", y=\"1\"} 5\n  a{x=\"2\", y=\"2\"} 6\n  b{x=\"1\"} 1\n  b{x=\"3\"} 2\n";
    let evals = "eval instant at 0 a - on(x) group_left fill_right(10) b
  {x=\"1\", y=\"1\"} 4\n  {x=\"2\", y=\"2\"} -4
eval instant at 0 b - on(x) group_right fill(10) a
  {x=\"1\", y=\"1\"} -4\n  {x=\"2\", y=\"2\"} 4\n  {x=\"3\"} -8\n";
    assert_eq!(run("fill groups", &format!("{data}{evals}")), Ok(2));
}

#[test]
fn absent_series_have_the_labels_that_are_pinned() {
    let evals =
        "eval instant at 0 absent(x{a=\"1\", b!=\"2\", b=\"3\", c=\"4\", c=\"5\", d=~\".+\"})\n  {a=\"1\", b=\"3\"} 1
eval instant at 0 count_values without (host) (\"host\", vector(1))\n  {} 1
eval_fail instant at 0 topk(NaN, x)\neval instant at 0 topk(0, x)\n";
    assert_eq!(run("absent", &format!("load 1m\n  other 1\n{evals}")), Ok(4));
}
