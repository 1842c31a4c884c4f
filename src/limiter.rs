//! A limiter: rates and concurrency behind one line.

mod acquire;
mod build_leased;
mod builder;
mod call;
mod lease;
mod leased_limit;
mod lessee;
#[cfg(feature = "metrics")]
mod metrics;
mod observe;
mod pause;
mod permit;
mod reserved;
mod rouser;
mod snapshot;
mod stats;
mod wait;

pub use crate::limiter_core::Priority;
pub use acquire::{LimiterAcquire, LimiterAcquireOwned};
pub use build_leased::BuildLeasedError;
pub use builder::LimiterBuilder;
pub use call::LimiterCall;
pub use leased_limit::{Demand, LeasedLimit};
pub use lessee::Lessee;
#[cfg(feature = "metrics")]
pub use metrics::describe_metrics;
pub use permit::{LimiterPermit, OwnedLimiterPermit};
pub use reserved::{LimiterReservation, OwnedLimiterReservation};
pub use rouser::Rouser;
pub use snapshot::LimiterSnapshot;
pub use stats::{
    LimitStats, LimiterStats, ObservedAnswers, RefusedCalls, TokenStats, WaitingCalls,
};

pub(crate) use permit::LimiterTime;

use crate::error::Limit;
use crate::error::NoSuchRateError;
use crate::limiter_core::{Budgets, Core};
use crate::rate::Rate;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

/// Limits the requests and the tokens in any window of time and the calls in flight, for all its clones together.
///
/// Clones are the same limiter. An admitted call counts in the window from then on. Its permit holds a
/// concurrency slot until it is dropped. What it [expects](LimiterCall::tokens) to use is reserved, and what it used is
/// [settled](LimiterPermit::settle) afterwards; a call counts in all limits or in none.
///
/// # Fairness
///
/// Calls of one [priority](LimiterCall::priority) are admitted in the order in which they first had to wait;
/// newcomers do not overtake them. A call that waits in the limiter's line holds no slot, and is stamped when it is
/// admitted. When there is room for many, all of them are woken together. A future in line that is neither polled nor
/// dropped holds up the others for at most a [grace](LimiterBuilder::grace), and goes first when it is polled again. (With a
/// shared semaphore see [`semaphore`](LimiterBuilder::semaphore).)
///
/// A call that needs many tokens is not passed by smaller ones behind it, however long it waits. For that the first in line
/// wakes four times in a grace while it waits, if the limiter has limits on tokens.
///
/// Calls that find no room at their turns stay in order if they are polled in the order in which they were woken, up to 1024 of
/// them at once. Polled in another order they may pass one another, and those that were passed wake together each time that one
/// of them may go. What a [pool](crate::ProviderPool::with_retries) sends again waits before all others.
///
/// # Cancel safety
///
/// Dropping any of its futures gives up the place in line. Nothing is counted, and no slot and no token is lost. A permit that is
/// dropped without a settlement counts as many tokens as were reserved.
///
/// # Cost
///
/// With both limits open: one load, two compare-and-swaps and an addition (for [`stats`](Self::stats)) to acquire, one atomic addition to
/// release (a compare-and-swap for a shared semaphore's permit), one clock reading for each look at the window, no allocation. Each limit
/// on tokens adds a compare-and-swap and a search, a settlement two or three (see [`TokenWindow`](crate::TokenWindow)); from two such limits on
/// each is searched twice. A
/// call that has to wait allocates once and has a timer (tokio's allocates nothing, others do).
///
/// Memory as for [`SlidingWindow`](crate::SlidingWindow), some more: 1.5 KB, and 8.5 bytes for each
/// admission of the limit; less than 4 KiB more after the first waits; 64 bytes for each call that was in
/// line at the same time (128 with a shared semaphore), freed with the limiter.
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
    core: Arc<Core>,
}

impl Limiter {
    /// Forgets all admissions of the rates, and the tokens of all calls. Concurrency slots in use stay in use, and so do the output
    /// tokens that calls in flight hold; they count once they are settled
    /// (see [`TokenWindow::reset`](crate::TokenWindow::reset)). A [pause](Self::pause) goes on.
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
        self.core.reset();
    }

    /// What the checks look into.
    #[cfg(all(test, not(ringgate_shuttle)))]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Closes the limiter: refuses all calls in line and all later ones immediately
    /// ([`Limit::Closed`](crate::Limit::Closed)). Permits stay valid.
    ///
    /// It does not close a shared [semaphore](LimiterBuilder::semaphore). A [pause](Self::pause) makes no difference.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then every call is refused.
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
        self.core.close();
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
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
        self.core.set_rate(n, rate)
    }

    /// Changes the `n`-th limit on tokens given to the [builder](LimiterBuilder::tokens), from 0, for all calls from now on, those
    /// in line included. See [`TokenWindow::set_limit`](crate::TokenWindow::set_limit). (A limit with a window of zero is none,
    /// and does not count.)
    ///
    /// # Errors
    ///
    /// [`NoSuchRateError`] if there are fewer.
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the limit has been changed.
    ///
    /// ```
    /// use ringgate::Limiter;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// limiter.set_token_limit(0, 450_000)?; // the next tier
    /// assert_eq!(limiter.remaining_tokens(), 450_000);
    /// # Ok::<(), ringgate::NoSuchRateError>(())
    /// ```
    pub fn set_token_limit(&self, n: usize, limit: u64) -> Result<(), NoSuchRateError> {
        self.core.set_token_limit(n, limit, None)
    }

    /// Changes limit and window of the `n`-th limit on tokens, as [`set_token_limit`](Self::set_token_limit). The
    /// [margin](LimiterBuilder::margin) is added to the window. See [`TokenWindow::set`](crate::TokenWindow::set).
    ///
    /// # Errors
    ///
    /// [`NoSuchRateError`] if there are fewer.
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the limit has been changed.
    ///
    /// ```
    /// use ringgate::Limiter;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(1_000_000, Duration::from_secs(24 * 3600)).build();
    /// limiter.set_token_window(0, 30_000, Duration::from_secs(60))?;
    /// assert_eq!(limiter.remaining_tokens(), 30_000);
    /// # Ok::<(), ringgate::NoSuchRateError>(())
    /// ```
    pub fn set_token_window(
        &self,
        n: usize,
        limit: u64,
        window: Duration,
    ) -> Result<(), NoSuchRateError> {
        self.core.set_token_limit(n, limit, Some(window))
    }

    /// Whether it limits tokens. If not, calls need not say how many they expect to use.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, RateLimitPolicy};
    ///
    /// assert!(!Limiter::new(Rate::per_minute(60), 4).has_token_limits());
    /// assert!(Limiter::from(&RateLimitPolicy::rpm(60).with_tpm(30_000)).has_token_limits());
    /// ```
    #[must_use]
    pub fn has_token_limits(&self) -> bool {
        self.core.budgets().is_some_and(Budgets::has_token_limits)
    }

    /// How many tokens, input and output together, the tightest of the limits on them has room for now; `u64::MAX` if there is none.
    #[must_use]
    pub fn remaining_tokens(&self) -> u64 {
        self.remaining_of(Limit::Tokens)
    }

    /// [`remaining_tokens`](Self::remaining_tokens) of the limits on input tokens.
    #[must_use]
    pub fn remaining_input_tokens(&self) -> u64 {
        self.remaining_of(Limit::InputTokens)
    }

    /// [`remaining_tokens`](Self::remaining_tokens) of the limits on output tokens.
    #[must_use]
    pub fn remaining_output_tokens(&self) -> u64 {
        self.remaining_of(Limit::OutputTokens)
    }

    fn remaining_of(&self, limit: Limit) -> u64 {
        self.core
            .budgets()
            .map_or(u64::MAX, |budgets| budgets.remaining(|rule| rule.name() == limit))
    }

    /// How many calls the rates have room for now; `u32::MAX` if there are none. The same while it is
    /// [paused](Self::pause), as with the other numbers.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        if self.core.leasing().is_some() {
            return u32::try_from(self.remaining_of(Limit::Rate)).unwrap_or(u32::MAX);
        }
        self.core.remaining()
    }

    /// How many concurrency slots are free now; `usize::MAX` if they are not limited.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.core.available().map_or(usize::MAX, |free| usize::try_from(free).unwrap_or(usize::MAX))
    }

    /// How many calls are in line now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        usize::try_from(self.core.waiters()).unwrap_or(usize::MAX)
    }
}

/// The limits and their state.
impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Limiter");
        if let Some(name) = self.name() {
            shown.field("name", &name);
        }
        shown
            .field("rates", &self.core.rate())
            .field("available_permits", &self.available_permits())
            .field("waiters", &self.waiters())
            .field("paused_for", &self.paused_for())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
