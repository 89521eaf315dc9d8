//! The load of `foretide bench`, in memory.

use foretide::bench::load::{LoadSpec, STEP, generate};
use series::{Millis, Timestamp};

const START: Timestamp = Timestamp(1_795_200_000_000);

/// Compressed requests, in the order of sending.
pub(crate) struct Load {
    /// By group of hosts.
    groups: Vec<Vec<Vec<u8>>>,
    n_series: u64,
    n_samples: u64,
    end: Timestamp,
}

impl Load {
    pub(crate) fn new(series: usize, scrapes: usize) -> Self {
        let end = START + Millis(STEP.0 * scrapes as i64);
        let mut load = Self { groups: Vec::new(), n_series: series as u64, n_samples: 0, end };
        let spec = LoadSpec { series, scrapes, start: START };
        let made = generate(&spec, |request| {
            load.groups.resize_with(request.group + 1, Vec::new);
            load.groups[request.group].push(request.body);
            load.n_samples += request.samples;
            Ok::<_, std::convert::Infallible>(())
        });
        made.expect("nothing stops it");
        load
    }

    pub(crate) fn n_series(&self) -> u64 {
        self.n_series
    }

    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// After the last sample.
    pub(crate) fn end(&self) -> Timestamp {
        self.end
    }

    /// The requests of one of `of` senders, oldest first.
    pub(crate) fn bodies(&self, sender: usize, of: usize) -> impl Iterator<Item = &[u8]> {
        let own: Vec<_> = self.groups.iter().skip(sender).step_by(of).collect();
        let steps = own.first().map_or(0, |group| group.len());
        (0..steps).flat_map(move |step| own.clone().into_iter().map(move |group| group[step].as_slice()))
    }
}
