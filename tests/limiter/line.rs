//! Calls in line.

use crate::common::poll_once;
use ringgate::{Limiter, LimiterAcquire};
use std::pin::Pin;
#[cfg(feature = "tokio")]
use {ringgate::Semaphore, std::sync::Arc};

type Call<'a> = Pin<Box<LimiterAcquire<'a>>>;

/// A call that waits.
pub(crate) fn queued(limiter: &Limiter) -> Call<'_> {
    let mut call = Box::pin(limiter.acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    call
}

/// A call that has been polled once, and never again.
#[cfg(feature = "tokio")]
pub(crate) fn leak<F: Future + 'static>(call: F) {
    let mut call = Box::pin(call);
    assert!(poll_once(call.as_mut()).is_pending());
    std::mem::forget(call);
}

/// A limiter by the permits of this semaphore alone.
#[cfg(feature = "tokio")]
pub(crate) fn sharing(semaphore: &Arc<Semaphore>) -> Limiter {
    Limiter::builder().semaphore(Arc::clone(semaphore)).build()
}
