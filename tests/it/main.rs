//! Tests of the product from outside: the built binary, its HTTP API, its files and its source tree.
//!
//! ```text
//!   tidy         walls between rooms, file sizes, module docs, README
//!   pipeline     write ▶ flush ▶ restart ▶ merge: the same answers, in SQL and PromQL
//!   faults       wrong ports, folders, files and requests: each its own sentence and exit code
//!   golden       data folders of earlier formats open and answer as they did
//!   guard        damaged files, full and read-only disks, a folder taken away, backups
//!   ledger       the rounds of `torture` at small figures: kill -9, power cuts, full disks, failing calls, damage
//!   streams      standing queries through a kill: the same results
//!   deliver      advice through the outbox to a file and a webhook, once
//!   starters     the shipped SQL queries, each on the demo's data
//!   demo, page   the first run, held to the generator's truth; the page in a real browser
//!   prometheus   a real Prometheus as sender
//!   senders      OpenTelemetry's SDK, InfluxDB's client, node_exporter as a target
//!   starts       counters that say when they began
//!   bench        `foretide bench`, small
//!   imports      files of all formats, into a folder and a server, of any age
//! ```
//!
//! Pages and peers need programs that may be missing; then they print `SKIPPED` with the reason.

mod bench;
mod browser;
mod deliver;
mod demo;
mod faults;
mod folder;
mod golden;
mod guard;
mod imports;
mod ledger;
mod life;
mod page;
mod pipeline;
mod program;
mod prometheus;
mod senders;
mod server;
mod starters;
mod starts;
mod streams;
mod tidy;

pub(crate) use torture::{http, remote_write, stored};
