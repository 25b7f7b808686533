//! Futures that are given up on their way.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// What `future` gives, or nothing if it was polled so often and is not done; then it is dropped.
pub(crate) async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
