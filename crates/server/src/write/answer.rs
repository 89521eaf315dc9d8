//! What a sender is told: one line of text with counts and reasons, and for 2.0 the three count headers.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use series::{Appended, Rejection, RejectionReason};

use crate::fault::{Fault, set_retry_after};

/// A 2xx without these makes a 2.0 sender believe that we are a broken 1.0 receiver.
const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];
/// Seconds until a sender may offer new series again.
const SERIES_LIMIT_RETRY_S: u32 = 60;
/// Reasons spelled out in the message; senders log only its beginning.
const REASONS_SHOWN: usize = 8;

/// One reason for samples that were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    pub(crate) example: String,
}

/// Everything of a request that was not written: by the decoder and by the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals {
    list: Vec<Refusal>,
    series_limit: bool,
}

impl Refusals {
    pub(crate) fn new(mut list: Vec<Refusal>, rejected: Vec<Rejection>) -> Self {
        let series_limit = rejected.iter().any(|item| matches!(item.reason, RejectionReason::SeriesLimit { .. }));
        list.extend(rejected.into_iter().map(|item| Refusal {
            reason: item.reason.to_string(),
            series: 0,
            samples: item.samples,
            example: item.example,
        }));
        Self { list, series_limit }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.list.iter().map(|item| item.samples).sum()
    }

    /// `12 samples refused, 500 written: 10 older than … (e.g. up{job="a"}); 2 …`.
    fn message(&self, written: u64) -> String {
        let mut text = format!("{} samples refused, {written} written: ", self.samples());
        for (i, item) in self.list.iter().take(REASONS_SHOWN).enumerate() {
            let _ = write!(text, "{}{} {}", if i > 0 { "; " } else { "" }, item.samples, item.reason);
            if item.series > 0 {
                let _ = write!(text, " in {} series", item.series);
            }
            if !item.example.is_empty() {
                let _ = write!(text, " (e.g. {})", one_line(&item.example));
            }
        }
        if self.list.len() > REASONS_SHOWN {
            let _ = write!(text, "; and {} more reasons", self.list.len() - REASONS_SHOWN);
        }
        text
    }
}

/// The answer after the store has taken what it could.
pub(crate) fn finished(appended: &Appended, refusals: &Refusals, with_counts: bool) -> Response {
    let mut answer = if refusals.list.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let status = if refusals.series_limit { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
        let mut answer = (status, refusals.message(appended.samples)).into_response();
        set_retry_after(&mut answer, refusals.series_limit.then_some(SERIES_LIMIT_RETRY_S));
        answer
    };
    set_counts(&mut answer, appended, with_counts);
    answer
}

/// The answer when nothing was written.
pub(crate) fn failed(fault: Fault, with_counts: bool) -> Response {
    let mut answer = fault.into_text();
    set_counts(&mut answer, &Appended::default(), with_counts);
    answer
}

/// Whether the sender speaks 2.0, by either of its two signs.
pub(crate) fn wants_counts(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    text(header::CONTENT_TYPE).contains("io.prometheus.write.v2.Request")
        || text(HeaderName::from_static("x-prometheus-remote-write-version")).starts_with('2')
}

fn set_counts(answer: &mut Response, appended: &Appended, with_counts: bool) {
    if with_counts {
        let counts = [appended.samples, appended.histograms, appended.exemplars];
        for (name, count) in WRITTEN.into_iter().zip(counts) {
            answer.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
}

/// A series' name may hold line breaks; a log line must not.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut line: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::Millis;

    #[test]
    fn the_message_counts_and_names_one_series_on_one_line() {
        let window = RejectionReason::TooOld { window: Millis::from_hours(2) };
        let rejected = vec![Rejection { reason: window, samples: 10, example: "up{a=\"x\ny\"}".into() }];
        let refused =
            vec![Refusal { reason: "label value too long".into(), series: 1, samples: 2, example: String::new() }];
        let refusals = Refusals::new(refused, rejected);
        assert_eq!(refusals.samples(), 12);
        assert_eq!(
            refusals.message(500),
            "12 samples refused, 500 written: 2 label value too long in 1 series; \
             10 older than the out-of-order window of 2h (e.g. up{a=\"x y\"})"
        );
    }
}
