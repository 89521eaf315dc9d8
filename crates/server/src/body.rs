//! Reading a request's body within bounds of size, time and pace.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::fault::Fault;

/// Pace below which a sender counts as stalled, after a grace of five seconds.
const PACE_BYTES_PER_S: f64 = 1024.0;
const GRACE: Duration = Duration::from_secs(5);

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

/// The whole body. `expected` (from `Content-Length`) only sizes the buffer.
pub(crate) async fn read(mut body: Body, expected: usize, limit: BodyLimit) -> Result<Bytes, Fault> {
    let start = Instant::now();
    let (mut first, mut rest, mut n_bytes) = (None::<Bytes>, BytesMut::new(), 0);
    loop {
        let pace = GRACE + Duration::from_secs_f64(n_bytes as f64 / PACE_BYTES_PER_S);
        let frame = timeout_at(start + pace.min(limit.timeout), body.frame()).await.map_err(|_| too_slow(n_bytes))?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|err| Fault::bad_request(format!("body ended early after {n_bytes} bytes: {err}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        n_bytes += chunk.len();
        if n_bytes > limit.bytes_max {
            return Err(too_large(limit.bytes_max));
        }
        // A body that came in one piece is passed on without a copy.
        match first.take() {
            None if rest.is_empty() => first = Some(chunk),
            None => rest.extend_from_slice(&chunk),
            Some(head) => {
                rest.reserve(expected.min(limit.bytes_max).max(head.len() + chunk.len()));
                rest.extend_from_slice(&head);
                rest.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// The answer to a body beyond its bound.
pub(crate) fn too_large(bytes_max: usize) -> Fault {
    let message = format!("body is larger than {bytes_max} bytes; send smaller batches");
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

fn too_slow(n_bytes: usize) -> Fault {
    let message = format!("body stalled after {n_bytes} bytes; at least 1 KiB/s is expected");
    Fault::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    const LIMIT: BodyLimit = BodyLimit { bytes_max: 8, timeout: Duration::from_secs(30) };

    fn chunks(list: &[&'static str]) -> Body {
        let list: Vec<Result<_, std::io::Error>> =
            list.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
        Body::from_stream(stream::iter(list))
    }

    #[tokio::test]
    async fn pieces_are_joined_and_the_bound_is_exact() {
        assert_eq!(read(chunks(&["ab", "cd", "ef"]), 6, LIMIT).await, Ok(Bytes::from_static(b"abcdef")));
        assert_eq!(read(chunks(&["abcdefgh"]), 0, LIMIT).await, Ok(Bytes::from_static(b"abcdefgh")));
        assert_eq!(read(Body::empty(), 0, LIMIT).await, Ok(Bytes::new()));
        let fault = read(chunks(&["abcdefgh", "i"]), 0, LIMIT).await.expect_err("nine bytes");
        assert_eq!(fault.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_sender_is_timed_out() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(body, 0, LIMIT).await.expect_err("no data").status, StatusCode::REQUEST_TIMEOUT);
    }
}
