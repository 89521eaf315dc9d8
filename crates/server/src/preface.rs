//! The first bytes of a connection: HTTP/1 or HTTP/2, decided within a time limit.
//!
//! hyper-util's detection waits for these bytes without a limit, so a client that sends one letter would hold a
//! connection for ever. Here they are read with a time-out and then put in front of the rest.

use std::io::{self, Cursor};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which protocol a client opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The protocol, and the connection as if nothing had been read of it.
pub(crate) async fn detect(
    stream: TcpStream,
    limit: Duration,
) -> io::Result<(Protocol, impl AsyncRead + AsyncWrite + Send + Unpin + use<>)> {
    let (mut read, write) = stream.into_split();
    let (protocol, bytes) = timeout(limit, first_bytes(&mut read)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok((protocol, tokio::io::join(Cursor::new(bytes).chain(read), write)))
}

async fn first_bytes(read: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let shown = bytes.len().min(HTTP2_PREFACE.len());
        if bytes[..shown] != HTTP2_PREFACE[..shown] {
            return Ok((Protocol::Http1, bytes));
        }
        if shown == HTTP2_PREFACE.len() {
            return Ok((Protocol::Http2, bytes));
        }
        if read.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first(bytes: &[u8]) -> Option<Protocol> {
        first_bytes(&mut &bytes[..]).await.ok().map(|found| found.0)
    }

    #[tokio::test]
    async fn the_preface_decides() {
        assert_eq!(first(HTTP2_PREFACE).await, Some(Protocol::Http2));
        assert_eq!(first(b"GET / HTTP/1.1\r\n").await, Some(Protocol::Http1));
        assert_eq!(first(b"PUT / HTTP/1.1\r\n").await, Some(Protocol::Http1));
        assert_eq!(first(b"PRI * HTTP").await, None);
        assert_eq!(first(b"").await, None);
    }
}
