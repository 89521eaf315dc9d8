//! Tests of the product from outside: the built binary, its HTTP API, its files and its source tree.
//!
//! ```text
//!   tidy         walls between rooms, file sizes, module docs, README
//!   pipeline     write ▶ flush ▶ restart ▶ merge: the same answers, in SQL and PromQL
//!   faults       wrong ports, folders, files and requests: each its own sentence and exit code
//!   ledger       kill -9 again and again: nothing acknowledged is lost, doubled or altered
//!   streams      standing queries through a kill: the same results
//!   deliver      advice through the outbox to a file and a webhook, once
//!   starters     the shipped SQL queries, each on the demo's data
//!   demo, page   the first run, held to the generator's truth; the page in a real browser
//!   prometheus   a real Prometheus as sender
//!   senders      OpenTelemetry's SDK, InfluxDB's client, node_exporter as a target
//!   imports      files of all formats, into a folder and a server, of any age
//! ```
//!
//! Pages and peers need programs that may be missing; then they print `SKIPPED` with the reason.

mod browser;
mod deliver;
mod demo;
mod faults;
mod folder;
mod http;
mod imports;
mod ledger;
mod life;
mod page;
mod pipeline;
mod program;
mod prometheus;
mod remote_write;
mod senders;
mod server;
mod starters;
mod stored;
mod streams;
mod tidy;
