//! A future that holds a permit.

use super::closures::Closures;
use super::guard::{Admitted, Guard};
use super::holding::{Holding, Then};
use crate::limiter::{LimiterPermit, OwnedLimiterPermit};
use crate::semaphore::OwnedSemaphorePermit;
use crate::tokens::Usage;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::future::FusedFuture;
use pin_project_lite::pin_project;

pin_project! {
    /// A future that holds a permit until it completes, panics or is dropped. From
    /// [`OwnedLimiterPermit::hold_future`](crate::OwnedLimiterPermit::hold_future).
    ///
    /// The future is dropped before the slot is free. Polling it again after completion returns `Pending`.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct HeldFuture<F: Future, P: Guard = OwnedLimiterPermit> {
        #[pin]
        holding: Holding<F, P, Closures<F::Output>>,
    }
}

impl OwnedLimiterPermit {
    /// The future with this permit, which is released when the future completes, panics or is dropped.
    ///
    /// It counts as reserved, unless it is [settled](HeldFuture::settle_with). If the future only sends a request, and its answer
    /// comes as a stream, [hold](Self::hold) that one instead: the slot would be free at the answer's headers.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let permit = limiter.acquire_owned().await?;
    /// let call = permit.hold_future(async { "hello" });
    /// assert_eq!(limiter.available_permits(), 3);
    /// assert_eq!(call.await, "hello");
    /// assert_eq!(limiter.available_permits(), 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_future<F: Future>(self, future: F) -> HeldFuture<F> {
        HeldFuture::new(future, self)
    }
}

impl<'a> LimiterPermit<'a> {
    /// As [`OwnedLimiterPermit::hold_future`].
    pub fn hold_future<F: Future>(self, future: F) -> HeldFuture<F, LimiterPermit<'a>> {
        HeldFuture::new(future, self)
    }
}

impl OwnedSemaphorePermit {
    /// As [`OwnedLimiterPermit::hold_future`].
    pub fn hold_future<F: Future>(self, future: F) -> HeldFuture<F, OwnedSemaphorePermit> {
        HeldFuture::new(future, self)
    }
}

impl<F: Future, P: Guard> HeldFuture<F, P> {
    fn new(future: F, permit: P) -> Self {
        Self { holding: Holding::new(future, permit, Closures::none()) }
    }
}

impl<F: Future, P: Admitted> HeldFuture<F, P> {
    /// Settles the call at what `usage` says of the output. If it says nothing, the call counts as reserved.
    ///
    /// ```
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let call = permit.hold_future(async { ("hello", Usage::new(90, 30)) });
    /// let (answer, _) = call.settle_with(|(_, used)| Some(*used)).await;
    /// assert_eq!((answer, limiter.remaining_tokens()), ("hello", 880));
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle_with(
        mut self,
        usage: impl FnMut(&F::Output) -> Option<Usage> + Send + 'static,
    ) -> Self {
        if let Some(reader) = self.holding.reader() {
            reader.set_usage(usage);
        }
        self
    }
}

impl<F: Future, P: Guard> Future for HeldFuture<F, P> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.project().holding.step(|future, call| match future.poll(cx) {
            Poll::Ready(output) => {
                call.note(&output);
                (Poll::Ready(output), Then::End)
            }
            Poll::Pending => (Poll::Pending, Then::GoOn),
        });
        polled.unwrap_or(Poll::Pending)
    }
}

impl<F: Future, P: Guard> FusedFuture for HeldFuture<F, P> {
    fn is_terminated(&self) -> bool {
        self.holding.inner().is_none()
    }
}

impl<F: Future, P: Guard> fmt::Debug for HeldFuture<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.holding.inner().is_none();
        f.debug_struct("HeldFuture").field("ended", &ended).finish_non_exhaustive()
    }
}
