//! Waiting for a limiter.

use super::Limiter;
use super::permit::{LimiterPermit, OwnedLimiterPermit};
use super::wait::Wait;
use crate::blocking::block_on;
use crate::error::Refused;
use crate::limiter_core::{Admission, Ask, Core, Reserved, Stamp};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

impl Limiter {
    /// Waits for both limits, in line.
    ///
    /// The future tells its [position](LimiterAcquire::position) and its
    /// [estimated wait](LimiterAcquire::estimated_wait).
    ///
    /// # Errors
    ///
    /// [`Refused`] if a limit is zero, if the limiter or a shared semaphore is [closed](Self::close) (calls in
    /// line fail immediately, too), or if [the line is full](crate::LimiterBuilder::max_waiters).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line; nothing is counted.
    #[inline]
    pub fn acquire(&self) -> LimiterAcquire<'_> {
        LimiterAcquire::new(&self.core, Ask::default())
    }

    /// Waits in line, for at most `timeout` from the first poll on.
    ///
    /// # Errors
    ///
    /// [`Refused`] immediately if the calls now in line, or a [pause](Self::pause), make the deadline unreachable, by the
    /// [estimated wait](LimiterAcquire::estimated_wait) behind them, otherwise at the deadline. Also as
    /// [`acquire`](Self::acquire).
    ///
    /// ```
    /// use ringgate::{Limit, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = Limiter::new(Rate::per_minute(1), 4);
    /// let first = limiter.acquire_timeout(Duration::from_secs(5)).await;
    /// assert!(first.is_ok());
    /// let refused = limiter.acquire_timeout(Duration::from_secs(5)).await.unwrap_err();
    /// assert_eq!(refused.limit(), Limit::Rate);
    /// # }
    /// ```
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> LimiterAcquire<'_> {
        LimiterAcquire::new(&self.core, Ask::within(timeout))
    }

    /// [`acquire`](Self::acquire) with a future and a permit that borrow nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(&self) -> LimiterAcquireOwned {
        LimiterAcquireOwned::new(Arc::clone(&self.core), Ask::default())
    }

    /// [`acquire_timeout`](Self::acquire_timeout) with a future and a permit that borrow nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_timeout_owned(&self, timeout: Duration) -> LimiterAcquireOwned {
        LimiterAcquireOwned::new(Arc::clone(&self.core), Ask::within(timeout))
    }

    /// [`acquire`](Self::acquire) for a thread: it waits in the same line as tasks do.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`Semaphore::blocking_acquire`](crate::Semaphore::blocking_acquire).
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.blocking_acquire()?;
    /// let refused = limiter.blocking_acquire_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(refused.limit(), ringgate::Limit::Concurrency);
    /// # drop(permit);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        block_on(self.acquire())
    }

    /// [`acquire_timeout`](Self::acquire_timeout) for a thread.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LimiterPermit<'_>, Refused> {
        block_on(self.acquire_timeout(timeout))
    }

    /// Sleeps for so long by the limiter's clock.
    pub(crate) fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send + '_ {
        self.core.sleep(length)
    }

    /// [`blocking_acquire`](Self::blocking_acquire) with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        block_on(self.acquire_owned())
    }
}

/// The future of [`Limiter::acquire`] and [`Limiter::acquire_timeout`].
///
/// Polling it again after completion returns `Pending`. It is small; if it has to wait, its place in line is
/// an allocation of its own.
///
/// ```
/// use ringgate::{Limiter, Rate, time::ManualClock};
/// use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let builder = Limiter::builder().rate(Rate::per_minute(1));
/// let limiter = builder.clock(ManualClock::new()).build();
/// drop(limiter.acquire().await);
///
/// let mut call = pin!(limiter.acquire());
/// poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
/// assert_eq!(call.position(), Some(0));
/// // A minute and its margin.
/// assert_eq!(call.estimated_wait(), Some(Duration::from_millis(60_250)));
/// # }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct LimiterAcquire<'a> {
    admission: Admission<&'a Core>,
    /// Dropped after it has left the line.
    wait: Wait<&'a Core>,
}

impl LimiterAcquire<'_> {
    /// How many calls are ahead in line; `None` unless it waits.
    ///
    /// It walks the line. The number may be stale when you read it.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.admission.position()
    }

    /// How long until the rate admits this call, if each call ahead goes as soon as the rate admits it and none
    /// leaves; not before the end of a [pause](crate::Limiter::pause). Waiting for a slot may take longer. `None` unless it waits, or if the rate never admits it.
    ///
    /// Exact for the next call in line. Behind others it is exact
    /// * with one rate, if its largest limit so far is below 256 or above 2^20, or on one or two processors;
    /// * with several rates, if fewer calls are ahead than each limit.
    ///
    /// Otherwise it is the earliest time possible: never too long, and zero only if the rate has room for this call and
    /// all that are ahead.
    ///
    /// With limits on tokens it is not before this call's own tokens fit, whatever those ahead need: exact for the next call in
    /// line. `None` while that depends on a settlement.
    ///
    /// Cost: as [`position`](Self::position).
    #[must_use]
    pub fn estimated_wait(&self) -> Option<Duration> {
        self.admission.estimated_wait()
    }
}

impl<'a> LimiterAcquire<'a> {
    #[inline]
    pub(super) fn new(core: &'a Core, ask: Ask) -> Self {
        Self { admission: Admission::new(core, ask), wait: Wait::new() }
    }

    /// A call of its own, so that one without tokens stays small where it is inlined.
    #[inline(never)]
    fn poll_with_budgets(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<LimiterPermit<'a>, Refused>> {
        let decided = if self.admission.goes_by_one_lease() {
            let decided = self.admission.poll(cx);
            decided.map_ok(|(core, number)| LimiterPermit::new(core, Reserved::of_lease(number)))
        } else {
            let decided = self.admission.poll(cx);
            decided.map_ok(|(core, tokens)| LimiterPermit::new(core, tokens))
        };
        self.wait.watch(&self.admission, &decided);
        decided
    }
}

impl<'a> Future for LimiterAcquire<'a> {
    type Output = Result<LimiterPermit<'a>, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.admission.has_budgets() {
            return self.poll_with_budgets(cx);
        }
        let this = &mut *self;
        let decided = this.admission.poll::<Stamp>(cx);
        let decided =
            decided.map_ok(|(core, stamp)| LimiterPermit::new(core, Reserved::of_rate(stamp)));
        this.wait.watch(&this.admission, &decided);
        decided
    }
}

/// The future of [`Limiter::acquire_owned`] and [`Limiter::acquire_timeout_owned`]: a [`LimiterAcquire`] that
/// borrows nothing.
///
/// ```
/// use ringgate::Limiter;
/// use std::{future::poll_fn, pin::pin, task::Poll};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limiter = Limiter::builder().max_concurrent(1).build();
/// let permit = limiter.acquire_owned().await;
/// let mut call = pin!(limiter.acquire_owned());
/// drop(limiter); // the permit and the call keep it
/// poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
/// assert_eq!(call.position(), Some(0));
/// drop(permit);
/// assert!(call.await.is_ok());
/// # }
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct LimiterAcquireOwned {
    admission: Admission<Arc<Core>>,
    /// Dropped after it has left the line.
    wait: Wait<Arc<Core>>,
}

impl LimiterAcquireOwned {
    /// As [`LimiterAcquire::position`].
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.admission.position()
    }

    /// As [`LimiterAcquire::estimated_wait`].
    #[must_use]
    pub fn estimated_wait(&self) -> Option<Duration> {
        self.admission.estimated_wait()
    }
}

impl LimiterAcquireOwned {
    #[inline]
    pub(super) fn new(core: Arc<Core>, ask: Ask) -> Self {
        Self { admission: Admission::new(core, ask), wait: Wait::new() }
    }

    /// Takes its place in line without a try to go. The next poll decides.
    pub(crate) fn join(&mut self, cx: &mut Context<'_>) {
        self.admission.enqueue(cx);
        self.wait.begin(&self.admission);
    }

    /// A call of its own, so that one without tokens stays small where it is inlined.
    #[inline(never)]
    fn poll_with_budgets(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedLimiterPermit, Refused>> {
        let decided = if self.admission.goes_by_one_lease() {
            let decided = self.admission.poll(cx);
            decided
                .map_ok(|(core, number)| OwnedLimiterPermit::new(core, Reserved::of_lease(number)))
        } else {
            let decided = self.admission.poll(cx);
            decided.map_ok(|(core, tokens)| OwnedLimiterPermit::new(core, tokens))
        };
        self.wait.watch(&self.admission, &decided);
        decided
    }
}

impl Future for LimiterAcquireOwned {
    type Output = Result<OwnedLimiterPermit, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.admission.has_budgets() {
            return self.poll_with_budgets(cx);
        }
        let this = &mut *self;
        let decided = this.admission.poll::<Stamp>(cx);
        let decided =
            decided.map_ok(|(core, stamp)| OwnedLimiterPermit::new(core, Reserved::of_rate(stamp)));
        this.wait.watch(&this.admission, &decided);
        decided
    }
}
