//! Compaction: few files instead of many, repeats dropped, chunks long, deleted and expired samples gone, roll-ups made.
//!
//! ```text
//!   L0  one flush ──▶ L1  runs of like size, or an hour's ──▶ L2  a closed day, whole: with its roll-ups
//! ```
//!
//! - `plan` decides, from sizes and times alone; `pass` does it, series by series in bounded memory; `sink` writes.
//! - A pass can end anywhere: what it wrote is not named by a commit until its last step, and is deleted or collected as an
//!   orphan. Doing it again gives the same files.
//! - Flushes go on meanwhile: they only add files of later log positions, which no running pass has as input.

mod pass;
mod plan;
mod sink;

pub(crate) use pass::{DayPass, End, drop_day};
pub(crate) use plan::{Merge, Run, Shape, choose, days, merge_all};
pub(crate) use sink::commit;
