//! A histogram in one line, as `count_values` shows it: `{count:4, sum:2.5, [-0.001,0.001]:1, (1,2]:3}`.

use std::fmt::Write;

use series::Histogram;

use super::layout::buckets;
use crate::number::format_short;

/// The line; empty buckets are left out.
pub(crate) fn describe(histogram: &Histogram) -> String {
    let mut line = format!("{{count:{}, sum:{}", format_short(histogram.count), format_short(histogram.sum));
    for bucket in buckets(histogram).iter().filter(|bucket| bucket.count != 0.0) {
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_short);
        // Writing to a text cannot fail.
        let _ = write!(line, ", {open}{lower},{upper}{close}:{count}");
    }
    line.push('}');
    line
}
