//! Sending samples by remote write 1.0.

use std::io;

use ingest::encode_write_request;
use series::{Batch, Labels, Timestamp};

use crate::http::{self, Answer, Connection};

/// Where samples are sent to.
pub const PATH: &str = "/api/v1/write";

/// The headers of remote write 1.0.
pub const HEADERS: [(&str, &str); 3] = [
    ("Content-Type", ingest::CONTENT_TYPE),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", ingest::VERSION),
];

/// Sends a batch on an open connection.
pub fn send(connection: &mut Connection, batch: &Batch) -> io::Result<Answer> {
    let body = encode_write_request(batch).map_err(io::Error::other)?;
    connection.send("POST", PATH, &HEADERS, &body)
}

/// Sends a batch on a connection of its own.
pub fn send_once(address: &str, batch: &Batch) -> Answer {
    let body = encode_write_request(batch).expect("the batch fits");
    http::send(address, "POST", PATH, &HEADERS, &body)
}

/// Sends a batch that must be taken as a whole.
pub fn send_all(address: &str, batch: &Batch) {
    let answer = send_once(address, batch);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// Adds a series with its samples (milliseconds, value) to a batch.
pub fn put(batch: &mut Batch, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
    let labels = Labels::from_pairs(labels.iter().copied()).expect("the labels are valid");
    batch.begin_labels(&labels).expect("the batch fits");
    for &(at, value) in samples {
        batch.push(Timestamp(at), value);
    }
}
