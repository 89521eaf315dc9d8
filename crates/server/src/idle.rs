//! Time limits between and within the heads of HTTP/1 requests.
//!
//! hyper has one limit for waiting and reading together. It gets the longer one, the time a connection may idle; the
//! shorter one is kept here: a head begins with the first byte that is read while no request is under way, and must lead
//! to a request in time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Requests of one connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request under way; it ends with the value.
#[derive(Debug)]
pub(crate) struct UnderWay(Requests);

impl Requests {
    /// Counts a request.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.clone())
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Acquire)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// A connection on which a head that has begun must end within a time.
pub(crate) struct HeadLimit<I> {
    inner: I,
    requests: Requests,
    /// Requests when `head` was set.
    known: u64,
    /// Runs while a head is incomplete.
    head: Option<Pin<Box<Sleep>>>,
    limit: Duration,
}

impl<I> HeadLimit<I> {
    pub(crate) fn new(inner: I, requests: Requests, limit: Duration) -> Self {
        Self { inner, requests, known: 0, head: None, limit }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HeadLimit<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        let begun = this.requests.begun();
        if begun != this.known {
            (this.known, this.head) = (begun, None);
        }
        if begun != this.requests.0.ended.load(Ordering::Acquire) {
            // Bytes of a body, whose time is limited where it is read.
            return read;
        }
        if read.is_ready() {
            if this.head.is_none() && buf.filled().len() > before {
                this.head = Some(Box::pin(tokio::time::sleep(this.limit)));
            }
        } else if let Some(head) = &mut this.head
            && head.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HeadLimit<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A body during which its request is under way.
pub(crate) struct Tracked {
    body: Body,
    _under_way: UnderWay,
}

impl Tracked {
    pub(crate) fn new(body: Body, under_way: UnderWay) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
