//! Limits of the HTTP surface. Each has a default that a server at rest never meets; zero is not "off".

use std::time::Duration;

/// What the server allows and what it tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Version of the product.
    pub version: String,
    /// Commit it was built from; may be empty.
    pub revision: String,
    /// Host names (without port) accepted in `Host`; empty accepts all. On loopback this stops DNS rebinding.
    pub hosts: Vec<String>,
    /// Open connections.
    pub connections_max: usize,
    /// Time for a request's head.
    pub header_timeout: Duration,
    /// Time that an HTTP/1 connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Time for a request's body; the body must also keep up 1 KiB/s after its first five seconds.
    pub body_timeout: Duration,
    /// Time a stop waits for requests under way.
    pub drain_timeout: Duration,
    /// Largest body of a write request, as sent.
    pub write_bytes_max: usize,
    /// Bytes of all write requests under way (admission before the body is read).
    pub write_budget_bytes: usize,
    /// Queries that run at once.
    pub queries_max: usize,
    /// Queries that wait for their turn.
    pub query_queue_max: usize,
    /// Longest time of a query, and the default.
    pub query_timeout: Duration,
    /// Window in which an instant query looks back for a sample.
    pub lookback: Duration,
    /// Samples a query may read.
    pub query_samples_max: usize,
    /// Series a query may touch.
    pub query_series_max: usize,
    /// Points a series of a range query.
    pub query_points_max: usize,
    /// Rows of a SQL answer.
    pub sql_rows_max: usize,
    /// Items of a discovery answer (series, labels, values) when the caller gives no limit.
    pub discovery_max: usize,
    /// Listeners of `/api/live`.
    pub live_max: usize,
    /// How OpenTelemetry metrics become series.
    pub otlp: ingest::OtlpOptions,
    /// Streams of OpenTelemetry deltas that are added up; further ones are refused.
    pub otlp_delta_streams_max: usize,
    /// Bounds of a write request and of the series in it.
    pub limits: ingest::Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
            hosts: Vec::new(),
            connections_max: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            write_bytes_max: 16 << 20,
            write_budget_bytes: 256 << 20,
            queries_max: 8,
            query_queue_max: 64,
            query_timeout: Duration::from_secs(60),
            lookback: Duration::from_secs(300),
            query_samples_max: 100_000_000,
            query_series_max: 500_000,
            query_points_max: 11_000,
            sql_rows_max: 1_000_000,
            discovery_max: 1_000_000,
            live_max: 256,
            otlp: ingest::OtlpOptions::default(),
            otlp_delta_streams_max: 100_000,
            limits: ingest::Limits::default(),
        }
    }
}
