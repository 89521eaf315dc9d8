//! Roll-ups: what the samples of a series come to in every five minutes and every hour, as rows of plain Delta tables.
//!
//! They are made in the pass that writes a closed day, from all of the day's samples, and made again whenever the day is
//! written again: late samples and deletions reach them. A reader takes the rows of a day from its roll-up file when
//! nothing newer touches the day, and makes them from the samples otherwise, so answers are the same either way.

mod aggregate;
mod read;

pub(crate) use aggregate::roll;
pub(crate) use read::{OpenRollup, is_deleted, select};

/// Folders of the two tables, by [`series::Resolution`] number.
pub(crate) const FOLDERS: [&str; 2] = ["default/rollup_5m", "default/rollup_1h"];
