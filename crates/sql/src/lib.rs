//! SQL over metrics: DataFusion on the store's own scan.
//!
//! ```text
//!   text ─▶ gate (one reading statement) ─▶ plan ─▶ gate (nodes, widths) ─▶ MetricTable ─▶ Select ─▶ batches ─▶ format
//!                                                        WHERE on labels ─▶ matchers, on ts ─▶ range
//! ```
//!
//! Tables: `metrics."name"` with a column per label, `samples`, `histograms`, `series`, `forecasts`, `rollup_5m`, `rollup_1h`, and what the application adds
//! through [`SystemRows`]. Nothing of the file system or the network can be named. This room never writes.

mod catalog;
mod cells;
mod cells_file;
mod columns;
mod engine;
mod error;
mod format;
mod functions;
mod gate;
mod histogram_table;
mod metric_table;
mod pushdown;
mod rollup_table;
mod samples_file;
mod scan;
mod series_table;
mod sketches;
mod system;
mod tables;
mod width;

pub use cells_file::{CellsFileError, FileCell, read_cells};
pub use engine::{SqlAnswer, SqlEngine, SqlLimits, SqlRequest};
pub use error::SqlError;
pub use format::Format;
pub use samples_file::{SamplesFileError, read_samples};
pub use system::{ColumnKind, Page, PageRequest, SystemColumn, SystemRows, SystemTable};
pub use tables::TableSummary;
