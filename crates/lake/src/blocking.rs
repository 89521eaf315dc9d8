//! Waits for a future on the calling thread.
//!
//! Own ten lines instead of an executor's `block_on`, because that one panics when it is entered twice on a thread, and a
//! caller of this room may sit inside one. Within a tokio runtime the local store moves its work to the blocking pool and
//! wakes this thread; without one it works on this thread. Stores that need a reactor (S3 and the like) must bring one.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` to its end.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
