//! Counters of the intake by protocol.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Protocol;
use crate::parts::{MetricFamily, MetricKind, MetricSample};

/// Counters since start. Protocols and reasons are words of ours, so their number is fixed.
#[derive(Default)]
pub(crate) struct IntakeMetrics(Mutex<Counts>);

#[derive(Default, Clone)]
struct Counts {
    written: BTreeMap<Protocol, u64>,
    refused: BTreeMap<Protocol, u64>,
    requests: BTreeMap<(Protocol, &'static str), u64>,
}

impl IntakeMetrics {
    /// Counts samples of a request.
    pub(crate) fn wrote(&self, protocol: Protocol, written: u64, refused: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.written.entry(protocol).or_default() += written;
        *counts.refused.entry(protocol).or_default() += refused;
    }

    /// Counts a request of which nothing was taken.
    pub(crate) fn refused_request(&self, protocol: Protocol, reason: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((protocol, reason)).or_default() += 1;
    }

    /// All families; none before the first request.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let samples =
            |map: &BTreeMap<Protocol, u64>| map.iter().map(|(protocol, n)| sample(*protocol, None, *n)).collect();
        let requests =
            counts.requests.iter().map(|((protocol, reason), n)| sample(*protocol, Some(reason), *n)).collect();
        let families = [
            ("foretide_intake_samples_total", "Samples made durable, by protocol.", samples(&counts.written)),
            ("foretide_intake_refused_samples_total", "Samples not written, by protocol.", samples(&counts.refused)),
            ("foretide_intake_refused_requests_total", "Requests of which nothing was taken.", requests),
        ];
        let family = |(name, help, samples): (&str, &str, Vec<MetricSample>)| MetricFamily {
            name: name.to_owned(),
            help: help.to_owned(),
            kind: MetricKind::Counter,
            samples,
        };
        families.into_iter().map(family).filter(|family| !family.samples.is_empty()).collect()
    }
}

fn sample(protocol: Protocol, reason: Option<&str>, value: u64) -> MetricSample {
    let mut labels = vec![("protocol".to_owned(), protocol.as_str().to_owned())];
    labels.extend(reason.map(|reason| ("reason".to_owned(), reason.to_owned())));
    MetricSample { suffix: "", labels, value: value as f64 }
}
