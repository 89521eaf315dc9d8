//! Where old files go: `tiers: {cold: file:///mnt/slow/metrics, after: 7d}`.

use serde::{Deserialize, Serialize};

use super::Span;
use super::check::Fault;

/// A second object store for old files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSettings {
    /// Its address: `file://` and an absolute path.
    pub cold: String,
    /// Age of a day at which its files move there.
    #[serde(default = "a_week")]
    pub after: Span,
    /// Queries within an hour that bring a file back; 0 never does.
    #[serde(default = "twenty")]
    pub promote_reads: u64,
    /// How long a file that was brought back stays.
    #[serde(default = "a_day")]
    pub stay: Span,
}

impl TierSettings {
    pub(super) fn faults(&self) -> Result<(), Fault> {
        let is_known = self.cold.strip_prefix("file://").is_some_and(|path| path.starts_with('/'));
        let why = format!("`{}` is not `file://` and an absolute path, as in file:///mnt/slow/metrics", self.cold);
        if is_known { Ok(()) } else { Err(("tiers.cold".into(), why)) }
    }

    /// As the store takes it.
    pub fn options(&self) -> store::TierOptions {
        let (after, stay) = (self.after.0, self.stay.0);
        store::TierOptions { url: self.cold.clone(), after, promote_reads: self.promote_reads, stay }
    }
}

fn a_week() -> Span {
    Span::hours(7 * 24)
}

fn a_day() -> Span {
    Span::hours(24)
}

fn twenty() -> u64 {
    20
}

#[cfg(test)]
mod tests {
    use crate::settings::{Settings, Span};

    #[test]
    fn only_the_address_has_to_be_given() {
        let settings = Settings::parse("tiers: {cold: 'file:///mnt/slow'}\n", "test").expect("valid");
        let tiers = settings.tiers.clone().expect("given");
        assert_eq!((tiers.after, tiers.promote_reads), (Span::hours(7 * 24), 20));
        let yaml = settings.to_yaml().expect("writes");
        assert_eq!(Settings::parse(&yaml, "again").expect("valid"), settings);
        assert!(Settings::parse("", "test").expect("valid").tiers.is_none());
        let other = Settings::parse("tiers: {cold: 's3://bucket/metrics'}\n", "test").expect("a text");
        let (key, why) = other.faults().expect_err("another kind of store");
        assert!(key == "tiers.cold" && why.starts_with("`s3://bucket/metrics` is not `file://`"), "{key} {why}");
    }
}
