//! Claims of permits whose owner has the semaphore's `Arc`, for checks on several threads.

use crate::Semaphore;
use crate::semaphore::Epoch;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

/// A [`Claim`](crate::semaphore::Claim) that owns its semaphore. `None` if its permit has lapsed, or if there can be none.
pub(crate) struct OwnedClaim(Pin<Box<dyn Future<Output = Option<Claimed>> + Send>>);

impl OwnedClaim {
    pub(crate) fn new(semaphore: Arc<Semaphore>) -> Self {
        Self(Box::pin(async move {
            let mut claim = semaphore.claim();
            poll_fn(|cx| claim.poll(cx)).await?.keep();
            Some(Claimed(Arc::clone(&semaphore)))
        }))
    }
}

impl Future for OwnedClaim {
    type Output = Option<Claimed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// A permit that was claimed. It is returned when this is dropped.
pub(crate) struct Claimed(Arc<Semaphore>);

impl Drop for Claimed {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

/// A look for a permit that nobody has claimed since `seen`.
pub(crate) fn claim_lapsed(
    semaphore: &Arc<Semaphore>,
    seen: &mut Option<Epoch>,
) -> Option<Claimed> {
    semaphore.claim_lapsed(seen)?.keep();
    Some(Claimed(Arc::clone(semaphore)))
}
