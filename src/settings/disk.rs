//! How much room the data folder's disk keeps.

use serde::{Deserialize, Serialize};

/// Levels of free space. On small disks the sizes count less: never more than an eighth (shedding) or a sixty-fourth
/// (reserve) of the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskSettings {
    /// Below this share of the disk, in per cent, a warning is shown.
    pub warn_percent: f64,
    /// Below this share of the disk, in per cent, samples are refused with 503 until there is room again.
    pub shed_percent: f64,
    /// The same as a size, MiB; the larger of both counts.
    pub shed_mib: u64,
    /// Room taken in advance, so that a flush can end on a full disk, MiB.
    pub reserve_mib: u64,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self { warn_percent: 10.0, shed_percent: 5.0, shed_mib: 512, reserve_mib: 64 }
    }
}
