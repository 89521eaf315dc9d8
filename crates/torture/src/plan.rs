//! What a round is told, and what it answers.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a round is told.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `foretide` binary.
    pub binary: PathBuf,
    /// Same seed, same choices.
    pub seed: u64,
    /// How much: cycles, cuts, flips, faults or cases, whatever the round counts.
    pub count: u64,
    /// Times that are promised are held to this many times as long: a machine that does other things is no judge.
    pub patience: u32,
}

/// What a round found. A fault found is a panic: the rounds assert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and found nothing wrong.
    Passed(String),
    /// It cannot run here.
    Skipped(String),
}

impl Plan {
    /// A plan for `count` of whatever the round counts, which holds times to what is promised.
    pub fn new(binary: &Path, seed: u64, count: u64) -> Self {
        Self { binary: binary.to_owned(), seed, count, patience: 1 }
    }

    /// The same, for a machine of which nobody knows what else it does.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patience: 12, ..self }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(figures) => write!(f, "passed   {figures}"),
            Self::Skipped(why) => write!(f, "SKIPPED  {why}"),
        }
    }
}
