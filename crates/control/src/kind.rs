//! What the control plane keeps, and how much of it.

/// The kinds of entries. The numbers are on disk and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Scaling policies.
    Policy = 1,
    /// Forecast jobs.
    Job = 2,
    /// Runs of jobs.
    JobRun = 3,
    /// Recommendations.
    Recommendation = 4,
    /// Decisions with their reasons.
    Decision = 5,
    /// Anomalies found.
    Anomaly = 6,
    /// Messages to actuators.
    Outbox = 7,
    /// The audit trail.
    Audit = 8,
    /// Positions of readers and consumers.
    Checkpoint = 9,
    /// Descriptions of forecasts (their values are series).
    Forecast = 10,
    /// Alerts.
    Alert = 11,
    /// Settings changed at run time.
    Setting = 12,
}

/// What happens when a kind is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retention {
    /// New keys are refused above this many.
    Refuse(u64),
    /// The smallest keys go first, so keys must sort by time; a tenth more may be held for a moment.
    Newest(u64),
    /// Its owner trims it.
    Owner,
}

impl Kind {
    /// All kinds, by number.
    pub const ALL: [Self; 12] = [
        Self::Policy,
        Self::Job,
        Self::JobRun,
        Self::Recommendation,
        Self::Decision,
        Self::Anomaly,
        Self::Outbox,
        Self::Audit,
        Self::Checkpoint,
        Self::Forecast,
        Self::Alert,
        Self::Setting,
    ];

    /// The number on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Lower-case name for messages and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Job => "job",
            Self::JobRun => "job run",
            Self::Recommendation => "recommendation",
            Self::Decision => "decision",
            Self::Anomaly => "anomaly",
            Self::Outbox => "outbox message",
            Self::Audit => "audit record",
            Self::Checkpoint => "checkpoint",
            Self::Forecast => "forecast",
            Self::Alert => "alert",
            Self::Setting => "setting",
        }
    }

    /// How many entries are kept: job runs, anomalies, forecasts and alerts 50,000, decisions 200,000, always the newest
    /// by key; policies, jobs, checkpoints and settings up to 100,000, then new ones are refused. The outbox keeps its
    /// last 50,000 finished messages, the audit trail 400 days. Keys of recommendations say nothing of their age, so
    /// whoever writes them removes them.
    pub(crate) const fn retention(self) -> Retention {
        match self {
            Self::JobRun | Self::Anomaly | Self::Forecast | Self::Alert => Retention::Newest(50_000),
            Self::Decision => Retention::Newest(200_000),
            Self::Policy | Self::Job | Self::Checkpoint | Self::Setting => Retention::Refuse(100_000),
            Self::Outbox | Self::Audit | Self::Recommendation => Retention::Owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_round_trip() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), index + 1);
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
        }
        assert_eq!((Kind::from_number(0), Kind::from_number(13)), (None, None));
    }
}
