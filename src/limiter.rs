//! Both limits together.

use crate::blocking::block_on;
use crate::error::{NoSuchRateError, Refused};
use crate::gate::{Admission, Gate, Slots};
use crate::rate::{Margin, Rate};
use crate::raw::window::log::Log;
use crate::semaphore::Semaphore;
use crate::time::{Clock, Time};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

/// Limits requests in any window of time and calls in flight, for all its clones together.
///
/// Clones are the same limiter. An admission is one permit: it counts in the window from then on, and
/// holds a concurrency slot until it is dropped.
///
/// # Fairness
///
/// Calls are admitted in the order in which they first had to wait; newcomers do not overtake them. A call
/// that waits for the rate holds no slot, and is stamped when it is admitted. If the first future in line
/// is neither polled nor dropped, those behind it wait.
///
/// # Cancel safety
///
/// Dropping any of its futures leaves the line; nothing is counted and no slot is lost.
///
/// # Cost
///
/// With both limits open: one load and two compare-and-swaps to acquire, one compare-and-swap to release,
/// one clock reading for each look at the window, no allocation. A call that has to wait allocates once.
///
/// Memory as for [`SlidingWindow`](crate::SlidingWindow): less than a kilobyte, and 8 bytes for each
/// admission of the limit; less than 4 KiB more after the first waits; 64 bytes for each call that was in
/// line at the same time, freed with the limiter.
///
/// # Cooperative budget
///
/// With the feature `tokio`, each answer of its futures costs one unit of tokio's cooperative budget. When
/// the budget is spent, a call takes its place in line and continues at the next poll.
///
/// # Examples
///
/// ```
/// use ringgate::{Limiter, Rate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ringgate::Refused> {
/// let limiter = Limiter::new(Rate::per_minute(60), 4);
/// let permit = limiter.acquire().await?;
/// // … the call …
/// drop(permit);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Limiter {
    gate: Arc<Gate>,
}

impl Limiter {
    /// At most `rate`, and `max_concurrent` calls at a time, with the default [margin](LimiterBuilder::margin).
    ///
    /// Zero for either limit refuses every call immediately. `usize::MAX` calls at a time, or a window of
    /// zero, is no limit.
    #[must_use]
    pub fn new(rate: Rate, max_concurrent: usize) -> Self {
        Self::builder().rate(rate).max_concurrent(max_concurrent).build()
    }

    /// A builder for a limiter, with no limit yet.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, Semaphore};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// // Two models with rates of their own share eight connections.
    /// let connections = Arc::new(Semaphore::new(8));
    /// let large = Limiter::builder()
    ///     .rate(Rate::per_minute(60))
    ///     .semaphore(Arc::clone(&connections))
    ///     .build();
    /// let small = Limiter::builder()
    ///     .rate(Rate::per_minute(600))
    ///     .margin(Duration::from_millis(100))
    ///     .semaphore(connections)
    ///     .build();
    /// # let _ = (large, small);
    /// ```
    pub fn builder() -> LimiterBuilder {
        LimiterBuilder {
            rates: Vec::new(),
            margin: Margin::Default,
            max_concurrent: None,
            semaphore: None,
            max_waiters: None,
            time: None,
        }
    }

    /// Waits for both limits, in line.
    ///
    /// The future can be asked for its [place](LimiterAcquire::position) and its
    /// [turn](LimiterAcquire::estimated_wait).
    ///
    /// # Errors
    ///
    /// [`Refused`] only where waiting would never help: a limit is zero, the limiter or a shared
    /// semaphore is [closed](Self::close) (which tells those in line at once), or
    /// [the line is full](LimiterBuilder::max_waiters).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line; nothing is counted.
    #[inline]
    pub fn acquire(&self) -> LimiterAcquire<'_> {
        LimiterAcquire { admission: Admission::new(&self.gate, None) }
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

    /// [`blocking_acquire`](Self::blocking_acquire) with a permit that can be moved anywhere.
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

    /// [`acquire`](Self::acquire) with a permit that can be moved anywhere, as can the future: it
    /// borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(&self) -> LimiterAcquireOwned {
        LimiterAcquireOwned { admission: Admission::new(Arc::clone(&self.gate), None) }
    }

    /// Admits now or refuses.
    ///
    /// # Errors
    ///
    /// [`Refused`] says which limit stands in the way, and for how long where that is known.
    #[inline]
    pub fn try_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        self.gate.try_admit()?;
        Ok(LimiterPermit { gate: &self.gate })
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that can be moved anywhere.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        self.gate.try_admit()?;
        Ok(OwnedLimiterPermit { gate: Arc::clone(&self.gate) })
    }

    /// Waits in line, but no longer than `timeout` from the first poll on.
    ///
    /// # Errors
    ///
    /// [`Refused`] at once if by the calls now in line the rate cannot admit this one in time, or
    /// ever; else when the time is over, also if its turn comes just then and those before it have
    /// not gone yet.
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
        LimiterAcquire { admission: Admission::new(&self.gate, Some(timeout)) }
    }

    /// [`acquire_timeout`](Self::acquire_timeout) with a permit and a future that can be moved anywhere.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_timeout_owned(&self, timeout: Duration) -> LimiterAcquireOwned {
        LimiterAcquireOwned { admission: Admission::new(Arc::clone(&self.gate), Some(timeout)) }
    }

    /// Forgets all admissions of the rates. Concurrency slots in use stay in use.
    ///
    /// Use it after one reading of the clock was far ahead of all later ones; see
    /// [`SlidingWindow::reset`](crate::SlidingWindow::reset), also for what it costs.
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the admissions are forgotten.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter =
    ///     Limiter::builder().rate(Rate::per_minute(1)).clock(clock.clone()).build();
    /// clock.advance(Duration::from_secs(1_000_000)); // so it shows, once
    /// assert!(limiter.try_acquire().is_ok());
    /// clock.set(Default::default());
    /// assert!(limiter.try_acquire().is_err());
    /// limiter.reset();
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    pub fn reset(&self) {
        self.gate.reset();
    }

    /// For the checks.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Closes the limiter: those in line and all who come are refused at once
    /// ([`Limit::Closed`](crate::Limit::Closed)). Permits already given stay good.
    ///
    /// A shared [semaphore](LimiterBuilder::semaphore) is not closed with it.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then all have been told.
    ///
    /// ```
    /// use ringgate::{Limit, Limiter, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// limiter.close();
    /// let refused = limiter.acquire().await.unwrap_err();
    /// assert_eq!(refused.limit(), Limit::Closed);
    /// assert_eq!(refused.to_string(), "the limiter is closed");
    /// # }
    /// ```
    pub fn close(&self) {
        self.gate.close();
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Changes limit and window for all calls from now on, those in line included.
    ///
    /// As [`SlidingWindow::set_rate`](crate::SlidingWindow::set_rate).
    ///
    /// # Errors
    ///
    /// [`NoSuchRateError`] if the limiter was made without a rate.
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the rate has been changed.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// limiter.set_rate(Rate::per_minute(600))?; // the next tier
    /// assert_eq!(limiter.remaining(), 600);
    /// # Ok::<(), ringgate::NoSuchRateError>(())
    /// ```
    pub fn set_rate(&self, rate: Rate) -> Result<(), NoSuchRateError> {
        self.set_rate_at(0, rate)
    }

    /// [`set_rate`](Self::set_rate) of a limiter with several rates: of the `n`-th given to the
    /// [builder](LimiterBuilder::rate), from 0.
    ///
    /// # Errors
    ///
    /// [`NoSuchRateError`] if there are fewer.
    pub fn set_rate_at(&self, n: usize, rate: Rate) -> Result<(), NoSuchRateError> {
        self.gate.set_rate(n, rate)
    }

    /// How many calls the rates have room for now; `u32::MAX` if there are none.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.gate.remaining()
    }

    /// How many concurrency slots are free now; `usize::MAX` if they are not limited.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.gate.slots().available().unwrap_or(usize::MAX)
    }

    /// How many calls are in line now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        usize::try_from(self.gate.waiters()).unwrap_or(usize::MAX)
    }
}

/// Its limits, and how it stands.
impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rates", &self.gate.rate())
            .field("available_permits", &self.available_permits())
            .field("waiters", &self.waiters())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Builder for [`Limiter`]. From [`Limiter::builder`].
///
/// Clones build limiters of their own; only a [semaphore](Self::semaphore) is shared by them.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct LimiterBuilder {
    rates: Vec<(u32, Duration)>,
    margin: Margin,
    max_concurrent: Option<usize>,
    semaphore: Option<Arc<Semaphore>>,
    max_waiters: Option<usize>,
    time: Option<Time>,
}

impl LimiterBuilder {
    /// Adds a rate: at most so many calls in any window. See
    /// [`SlidingWindowBuilder::rate`](crate::SlidingWindowBuilder::rate).
    ///
    /// Several rates hold together: a call counts in all of them or in none.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// let limiter = Limiter::builder()
    ///     .rate(Rate::per_minute(60))
    ///     .rate(Rate::per_second(2))
    ///     .build();
    /// assert_eq!(limiter.remaining(), 2);
    /// ```
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate.parts());
        self
    }

    /// Counts every call `margin` longer than the window. Zero turns the margin off.
    ///
    /// A provider counts arrivals, the limiter departures. If one call takes longer to arrive than the next,
    /// they arrive closer together than they left. As long as the difference is at most the margin, the
    /// provider's limit holds. The margin costs as much of the rate as it adds to the window.
    ///
    /// The default is a fortieth of each window, and at most 250 ms: 25 ms for a second (2.4 % of the rate),
    /// 250 ms for ten seconds and for all that is longer (0.4 % for a minute). That covers the jitter of a
    /// connection in use, and from ten seconds on also the time that a new connection takes. A shorter window
    /// cannot afford that much: set a longer margin if the provider still answers 429.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let builder = Limiter::builder().rate(Rate::per_minute(1)).clock(ManualClock::new());
    /// let refused = |limiter: Limiter| {
    ///     drop(limiter.try_acquire());
    ///     limiter.try_acquire().unwrap_err().retry_after().unwrap()
    /// };
    /// assert_eq!(refused(builder.clone().build()), minute + Duration::from_millis(250));
    /// assert_eq!(refused(builder.margin(Duration::ZERO).build()), minute);
    /// ```
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin.into();
        self
    }

    /// At most so many calls at a time, by a semaphore of the limiter's own.
    pub fn max_concurrent(mut self, max_concurrent: usize) -> Self {
        self.max_concurrent = Some(max_concurrent);
        self
    }

    /// A concurrency slot is a permit of this semaphore, which may be shared.
    ///
    /// With [`max_concurrent`](Self::max_concurrent) both hold: a call takes a permit of each, first of
    /// the limiter's own.
    ///
    /// ```
    /// use ringgate::{Limiter, Semaphore};
    /// use std::sync::Arc;
    ///
    /// let connections = Arc::new(Semaphore::new(8));
    /// let limiter = Limiter::builder().max_concurrent(2).semaphore(connections.clone()).build();
    /// let calls = [limiter.try_acquire()?, limiter.try_acquire()?];
    /// assert!(limiter.try_acquire().is_err());
    /// assert_eq!(connections.available_permits(), 6);
    /// # drop(calls);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn semaphore(mut self, semaphore: Arc<Semaphore>) -> Self {
        self.semaphore = Some(semaphore);
        self
    }

    /// At most so many calls in line: who would be one more is refused at once
    /// ([`Limit::Queue`](crate::Limit::Queue)), instead of waiting behind them all.
    ///
    /// The one whose turn is next counts. Zero lets nobody wait.
    ///
    /// ```
    /// use ringgate::{Limit, Limiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder().max_concurrent(1).max_waiters(0).build();
    /// let permit = limiter.acquire().await?;
    /// let refused = limiter.acquire().await.unwrap_err();
    /// assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Queue, false));
    /// # drop(permit);
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.max_waiters = Some(max_waiters);
        self
    }

    /// The clock to go by, instead of the [default](crate::time).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::new(clock));
        self
    }

    /// The limiter.
    #[must_use]
    pub fn build(self) -> Limiter {
        let rate = (!self.rates.is_empty()).then(|| Log::new(&self.rates, self.margin));
        let slots = Slots::new(self.max_concurrent, self.semaphore);
        let time =
            self.time.unwrap_or_else(if rate.is_some() { Time::default } else { Time::unread });
        let gate = Gate::new(rate, slots, time);
        Limiter { gate: Arc::new(gate.with_max_waiters(self.max_waiters)) }
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
    admission: Admission<&'a Gate>,
}

impl LimiterAcquire<'_> {
    /// How many calls stand before this one in line; `None` unless it waits.
    ///
    /// It walks the line, and may be out of date when it is read.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.admission.position()
    }

    /// How long until the rate lets this call through, if those before it go as soon as it lets
    /// them, and nobody leaves; slots may hold it up longer. `None` unless it waits, and if that is
    /// never.
    ///
    /// Cost: as [`position`](Self::position); with several rates also a step for each of those
    /// ahead, and beyond 4096 of them the time told is the earliest possible.
    #[must_use]
    pub fn estimated_wait(&self) -> Option<Duration> {
        self.admission.estimated_wait()
    }
}

impl<'a> Future for LimiterAcquire<'a> {
    type Output = Result<LimiterPermit<'a>, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx).map_ok(|gate| LimiterPermit { gate })
    }
}

/// The future of [`Limiter::acquire_owned`] and [`Limiter::acquire_timeout_owned`]: as
/// [`LimiterAcquire`], and it borrows nothing.
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
    admission: Admission<Arc<Gate>>,
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

impl Future for LimiterAcquireOwned {
    type Output = Result<OwnedLimiterPermit, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx).map_ok(|gate| OwnedLimiterPermit { gate })
    }
}

/// An admitted call; its concurrency slot is given back on drop.
#[must_use = "a permit that is dropped gives its slot back at once"]
#[clippy::has_significant_drop]
pub struct LimiterPermit<'a> {
    gate: &'a Gate,
}

impl Drop for LimiterPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.gate.release();
    }
}

/// An admitted call that keeps its limiter alive; its concurrency slot is given back on drop.
#[must_use = "a permit that is dropped gives its slot back at once"]
#[clippy::has_significant_drop]
pub struct OwnedLimiterPermit {
    gate: Arc<Gate>,
}

/// Without the limiter.
impl fmt::Debug for LimiterPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterPermit").finish_non_exhaustive()
    }
}

/// Without the limiter.
impl fmt::Debug for OwnedLimiterPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterPermit").finish_non_exhaustive()
    }
}

impl Drop for OwnedLimiterPermit {
    #[inline]
    fn drop(&mut self) {
        self.gate.release();
    }
}
