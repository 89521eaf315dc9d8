//! What standing queries say: samples of result series, and events.

use series::{Labels, LabelsRef, METRIC_NAME, Timestamp};
use sketch::wire::{hash_bytes, put_bytes};

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub enum Emission {
    /// A sample of a result series, to be stored like any other.
    Sample {
        /// Metric name, `stream`, the group's labels and what the metric needs (`quantile`).
        labels: Labels,
        /// End of the window.
        at: Timestamp,
        /// The value; `+Inf` days to a limit means never at this trend.
        value: f64,
    },
    /// Something happened; the newest event of an `id` replaces earlier ones.
    Event(Event),
}

/// A stretch of time that deserves a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The same for the same stream, group and start, on every machine and after every restart.
    pub id: String,
    /// Name of the stream.
    pub stream: String,
    /// What it is, as far as seen; an open event may grow from a spike to a burst to a shift.
    pub kind: EventKind,
    /// The group's labels.
    pub labels: Labels,
    /// First slide that belongs to it.
    pub start: Timestamp,
    /// First slide that no longer does; open while `None`. It is said again when it closes or becomes worse.
    pub end: Option<Timestamp>,
    /// Highest score in it, 0 to 1; events begin at 0.5.
    pub score: f64,
    /// What was expected where the score was highest.
    pub expected: f64,
    /// What was there.
    pub seen: f64,
    /// When the level began to move, if it did.
    pub change_point: Option<Timestamp>,
    /// One sentence with the numbers.
    pub message: String,
    /// PromQL that shows the values.
    pub query: String,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// One or two slides far above what was expected.
    Spike,
    /// Far below what was expected, not (yet) for good.
    Drop,
    /// Above what was expected for three slides or more, not (yet) for good.
    Burst,
    /// A new, higher level that stays.
    LevelShiftUp,
    /// A new, lower level that stays.
    LevelShiftDown,
    /// A trend that meets its limit soon.
    Trend,
}

impl EventKind {
    /// The word used in messages and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
            Self::Burst => "burst",
            Self::LevelShiftUp => "level shift up",
            Self::LevelShiftDown => "level shift down",
            Self::Trend => "trend",
        }
    }
}

/// Id of an event: twelve hex digits of a hash.
pub(crate) fn event_id(stream: &str, labels: &Labels, family: &str, start: Timestamp) -> String {
    let mut key = stream.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(labels.canonical());
    key.push(0);
    key.extend_from_slice(family.as_bytes());
    key.extend_from_slice(&start.0.to_le_bytes());
    format!("{:012x}", hash_bytes(&key) >> 16)
}

/// Labels of a result series. Written straight into canonical bytes: results are many, and a builder would allocate twice a
/// label.
pub(crate) fn result_labels(metric: &str, stream: &str, group: &Labels, quantile: Option<&str>) -> Labels {
    let own = [(METRIC_NAME, metric), ("quantile", quantile.unwrap_or("")), ("stream", stream)];
    let mut own = own.into_iter().filter(|(_, value)| !value.is_empty()).peekable();
    let mut bytes = Vec::with_capacity(group.canonical().len() + metric.len() + stream.len() + 48);
    // Both sides are sorted and share no name: grouping by the results' own labels is refused.
    for (name, value) in group.iter() {
        while let Some((own_name, own_value)) = own.next_if(|(own_name, _)| *own_name < name) {
            put_pair(&mut bytes, own_name, own_value);
        }
        put_pair(&mut bytes, name, value);
    }
    own.for_each(|(name, value)| put_pair(&mut bytes, name, value));
    LabelsRef::trusted(&bytes).to_owned()
}

fn put_pair(bytes: &mut Vec<u8>, name: &str, value: &str) {
    put_bytes(bytes, name.as_bytes());
    put_bytes(bytes, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_labels_are_canonical() {
        let group =
            Labels::from_pairs([("zone", "z"), ("a", "b"), ("region", &"é".repeat(80)), ("Z", "up")]).expect("valid");
        for quantile in [None, Some("0.99")] {
            let labels = result_labels("foretide_x", "s", &group, quantile);
            assert_eq!(Labels::from_canonical(labels.canonical()).as_ref(), Ok(&labels));
            let mut builder = group.to_builder();
            builder.set(METRIC_NAME, "foretide_x").set("stream", "s").set("quantile", quantile.unwrap_or(""));
            assert_eq!(labels, builder.build());
        }
    }

    #[test]
    fn ids_differ_by_stream_group_family_and_start() {
        let (group, none) = (Labels::from_pairs([("a", "b")]).expect("valid"), Labels::empty());
        let id = event_id("s", &group, "trend", Timestamp(1));
        assert_eq!((id.len(), &id), (12, &event_id("s", &group, "trend", Timestamp(1))));
        for other in [
            event_id("t", &group, "trend", Timestamp(1)),
            event_id("s", &none, "trend", Timestamp(1)),
            event_id("s", &group, "anomaly", Timestamp(1)),
            event_id("s", &group, "trend", Timestamp(2)),
        ] {
            assert_ne!(id, other);
        }
    }
}
