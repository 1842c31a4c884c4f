//! The face: that of a `Limiter`, without what only one process can change.

use crate::builder::SharedLimiterBuilder;
use crate::status::Status;
use core::fmt;
use core::time::Duration;
use ringgate::time::Timestamp;
use ringgate::{
    Feedback, Limiter, LimiterAcquire, LimiterAcquireOwned, LimiterBuilder, LimiterCall,
    LimiterPermit, LimiterStats, OwnedLimiterPermit, Refused, StopReason,
};
use tokio::sync::watch;

/// One set of limits for many processes: a [`Limiter`] that is supplied with leases from a store.
///
/// Calls take from leases in this process, without a trip and without a lock. A trip brings what the calls in line need, and ahead about what
/// was used lately. Clones are the same limiter. What cannot be changed by one process alone (rates, limits, the history) has no method
/// here.
///
/// # Fairness
///
/// Calls of one process go in order, as with a [`Limiter`]. Among processes that have calls in line, what there is goes to the one whose first call has
/// waited longest. Disorder is at most one lease.
///
/// # Cancel safety
///
/// As with a [`Limiter`]: dropping a future gives up the place in line.
///
/// # Errors
///
/// Calls are refused as by a [`Limiter`], and with [`Limit::Lease`](ringgate::Limit::Lease) while the store answers with an error that time does not
/// mend ([`status`](Self::status) tells which). A call that has a timeout is refused when that is over, also while the store is away.
///
/// # Cost
///
/// As a [`Limiter`] whose limits are all on tokens; a trip for each batch of calls, made by a task.
///
/// ```no_run
/// use ringgate::{Limiter, Rate};
/// use ringgate_redis::SharedLimiter;
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let limits = Limiter::builder()
///     .rate(Rate::per_minute(500))
///     .tokens(200_000, Duration::from_secs(60))
///     .max_concurrent(16);
/// let limiter = SharedLimiter::builder(limits, "agents", "large-model")
///     .connect("redis://127.0.0.1/")
///     .await?;
/// let permit = limiter.call().input_tokens(1_200).output_tokens(800).acquire().await?;
/// // … the call …
/// drop(permit);
/// limiter.leave().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedLimiter {
    limiter: Limiter,
    status: watch::Receiver<Status>,
}

impl SharedLimiter {
    /// A builder: the limits, which all processes must give alike, and where the store keeps them.
    ///
    /// `namespace` and `name` may contain anything; no two of them share a key.
    pub fn builder(limits: LimiterBuilder, namespace: &str, name: &str) -> SharedLimiterBuilder {
        SharedLimiterBuilder::new(limits, namespace, name)
    }

    pub(crate) fn new(limiter: Limiter, status: watch::Receiver<Status>) -> Self {
        Self { limiter, status }
    }

    /// The limiter, for what takes one: layers, clients, pools. Its methods that set limits return an error.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// How this process and the store get on.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the status is another one than at the last [`status`](Self::status) or `status_changed` of this clone, and returns it. `None`
    /// once the driver has ended.
    ///
    /// # Cancel safety
    ///
    /// No change is lost.
    pub async fn status_changed(&mut self) -> Option<Status> {
        self.status.changed().await.ok()?;
        Some(self.status.borrow_and_update().clone())
    }

    /// [Closes](Self::close) the limiter, and waits until its calls in flight have ended and all it had is given back, or until the store could not
    /// be reached for that.
    ///
    /// # Cancel safety
    ///
    /// It goes on in the background.
    pub async fn leave(&self) {
        self.limiter.close();
        let mut status = self.status.clone();
        // An error says that the driver is gone.
        let _ = status.wait_for(|status| status.has_left).await;
    }

    /// Closes the limiter in this process: see [`Limiter::close`]. What it had is given back in the background when its calls in flight have ended.
    pub fn close(&self) {
        self.limiter.close();
    }

    /// See [`Limiter::is_closed`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.limiter.is_closed()
    }

    /// See [`Limiter::name`].
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.limiter.name()
    }

    /// See [`Limiter::acquire`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn acquire(&self) -> LimiterAcquire<'_> {
        self.limiter.acquire()
    }

    /// See [`Limiter::acquire_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> LimiterAcquire<'_> {
        self.limiter.acquire_timeout(timeout)
    }

    /// See [`Limiter::acquire_owned`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn acquire_owned(&self) -> LimiterAcquireOwned {
        self.limiter.acquire_owned()
    }

    /// See [`Limiter::acquire_timeout_owned`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn acquire_timeout_owned(&self, timeout: Duration) -> LimiterAcquireOwned {
        self.limiter.acquire_timeout_owned(timeout)
    }

    /// See [`Limiter::blocking_acquire`]. The driver must run on another thread.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        self.limiter.blocking_acquire()
    }

    /// See [`Limiter::blocking_acquire_timeout`]. The driver must run on another thread.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn blocking_acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LimiterPermit<'_>, Refused> {
        self.limiter.blocking_acquire_timeout(timeout)
    }

    /// See [`Limiter::blocking_acquire_owned`]. The driver must run on another thread.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn blocking_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        self.limiter.blocking_acquire_owned()
    }

    /// See [`Limiter::try_acquire`]. It is refused as well where the store has room but this process has no lease or no slot; the refusal makes
    /// the driver ask for them. Who only tries should try again within a [lease](SharedLimiterBuilder::lease): later that has ended.
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn try_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        self.limiter.try_acquire()
    }

    /// See [`Limiter::try_acquire_owned`].
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        self.limiter.try_acquire_owned()
    }

    /// A call that says its tokens, its priority, its timeout: see [`Limiter::call`].
    #[inline]
    pub fn call(&self) -> LimiterCall<'_> {
        self.limiter.call()
    }

    /// [`Limiter::pause`], for all processes: here at once, in the others when they hear of it, with their next trip at the latest.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn pause(&self, length: Duration) {
        self.limiter.pause(length);
    }

    /// [`Limiter::pause_until`], for all processes.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn pause_until(&self, until: Timestamp) {
        self.limiter.pause_until(until);
    }

    /// [`Limiter::pause_then_ramp`]. The pause is for all processes, the slow start is this one's.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn pause_then_ramp(&self, length: Duration, over: Duration) {
        self.limiter.pause_then_ramp(length, over);
    }

    /// [`Limiter::stop`]. To other processes it is a [pause](Self::pause): their calls wait.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn stop(&self, reason: StopReason, length: impl Into<Option<Duration>>) {
        self.limiter.stop(reason, length);
    }

    /// See [`Limiter::stopped`].
    ///
    /// # Panics
    ///
    /// As there.
    #[must_use]
    pub fn stopped(&self) -> Option<StopReason> {
        self.limiter.stopped()
    }

    /// [`Limiter::resume`], for all processes: a pause ends whoever has begun it.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn resume(&self) {
        self.limiter.resume();
    }

    /// [`Limiter::resume_over`]. The pause ends for all processes, the slow start is this one's.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn resume_over(&self, over: Duration) {
        self.limiter.resume_over(over);
    }

    /// See [`Limiter::paused_for`].
    ///
    /// # Panics
    ///
    /// As there.
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        self.limiter.paused_for()
    }

    /// Takes over what a provider has said: see [`Limiter::observe`]. Pauses are for all processes; how many calls may be in flight is
    /// lowered in this one. Quotas are not taken over: others with the same limits use the key, too.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn observe(&self, feedback: &Feedback) {
        self.limiter.observe(feedback);
    }

    /// See [`Limiter::observe_more`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.limiter.observe_more(head, all);
    }

    /// See [`Limiter::concurrency_limit`]: in this process.
    #[must_use]
    pub fn concurrency_limit(&self) -> usize {
        self.limiter.concurrency_limit()
    }

    /// See [`Limiter::stats`]. What is used of a limit is told for all processes, as of the last answer; the rest is this one's.
    #[must_use]
    pub fn stats(&self) -> LimiterStats {
        self.limiter.stats()
    }

    /// See [`Limiter::has_token_limits`].
    #[must_use]
    pub fn has_token_limits(&self) -> bool {
        self.limiter.has_token_limits()
    }

    /// How many calls this process's leases have room for. See [`Limiter::remaining`].
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.limiter.remaining()
    }

    /// How many tokens this process's leases have room for. See [`Limiter::remaining_tokens`].
    #[must_use]
    pub fn remaining_tokens(&self) -> u64 {
        self.limiter.remaining_tokens()
    }

    /// As [`remaining_tokens`](Self::remaining_tokens), of the limits on input tokens.
    #[must_use]
    pub fn remaining_input_tokens(&self) -> u64 {
        self.limiter.remaining_input_tokens()
    }

    /// As [`remaining_tokens`](Self::remaining_tokens), of the limits on output tokens.
    #[must_use]
    pub fn remaining_output_tokens(&self) -> u64 {
        self.limiter.remaining_output_tokens()
    }

    /// How many of this process's slots are free. See [`Limiter::available_permits`].
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.limiter.available_permits()
    }

    /// How many calls are in line in this process.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.limiter.waiters()
    }
}

/// The limiter, and how it and the store get on.
impl fmt::Debug for SharedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimiter")
            .field("limiter", &self.limiter)
            .field("status", &*self.status.borrow())
            .finish()
    }
}
