//! Building a limiter.

use super::Limiter;
use super::snapshot::{LimiterSnapshot, Past};
use crate::limiter_core::{Budgets, Concurrency, Core, Grace};
use crate::rate::{Margin, Rate};
use crate::raw::window::Log;
use crate::semaphore::Semaphore;
use crate::time::{Clock, Time};
use crate::tokens::TokenLimit;
use core::time::Duration;
use std::sync::Arc;

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
            token_limits: Vec::new(),
            margin: Margin::Default,
            max_concurrent: None,
            semaphore: None,
            max_waiters: None,
            grace: Grace::DEFAULT,
            time: None,
            past: None,
            name: None,
        }
    }
}

/// Builder for [`Limiter`]. From [`Limiter::builder`].
///
/// Each clone builds a limiter of its own. They share only a [semaphore](Self::semaphore).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct LimiterBuilder {
    pub(super) rates: Vec<(u32, Duration)>,
    pub(super) token_limits: Vec<TokenLimit>,
    pub(super) margin: Margin,
    pub(super) max_concurrent: Option<usize>,
    pub(super) semaphore: Option<Arc<Semaphore>>,
    pub(super) max_waiters: Option<usize>,
    pub(super) grace: Duration,
    pub(super) time: Option<Time>,
    pub(super) past: Option<Box<Past>>,
    pub(super) name: Option<Arc<str>>,
}

impl LimiterBuilder {
    /// Adds a rate. See
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

    /// At most `limit` tokens in any `window`, input and output together.
    ///
    /// A call counts from its admission on with what it [expects](crate::LimiterCall::tokens), and with what it used once that
    /// is [settled](crate::LimiterPermit::settle). Several limits hold together, of any kind: a call reserves in all of them
    /// or in none. Each costs 17 KiB. More than three make each call allocate. A window of zero is no limit.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder()
    ///     .rate(Rate::per_minute(500))
    ///     .tokens(30_000, Duration::from_secs(60))
    ///     .tokens(900_000, Duration::from_secs(24 * 60 * 60))
    ///     .build();
    /// let permit = limiter.call().input_tokens(1_200).output_tokens(800).acquire().await?;
    /// // … the call …
    /// permit.settle(Usage::new(1_180, 512));
    /// assert_eq!(limiter.remaining_tokens(), 28_308);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tokens(self, limit: u64, window: Duration) -> Self {
        self.token_limit(TokenLimit::total(limit, window))
    }

    /// At most `limit` input tokens in any `window`. They count as those of [`tokens`](Self::tokens).
    pub fn input_tokens(self, limit: u64, window: Duration) -> Self {
        self.token_limit(TokenLimit::input(limit, window))
    }

    /// At most `limit` output tokens in any `window`, counted as they are produced.
    ///
    /// What a call [expects](crate::LimiterCall::output_tokens) is held, however long its answer streams. What it used counts
    /// from its [settlement](crate::LimiterPermit::settle) on. A call that ends without one counts in full.
    pub fn output_tokens(self, limit: u64, window: Duration) -> Self {
        self.token_limit(TokenLimit::output(limit, window))
    }

    /// Adds a limit on tokens of any kind.
    pub fn token_limit(mut self, limit: TokenLimit) -> Self {
        self.token_limits.push(limit);
        self
    }

    /// Counts every call `margin` longer than the window. Zero turns the margin off.
    ///
    /// A provider counts arrivals, the limiter departures. If one call takes longer to arrive than the next,
    /// they arrive closer together than they left. As long as the difference is at most the margin, the
    /// provider's limit holds. The margin costs as much of the rate as it adds to the window.
    ///
    /// The default is a fortieth of each window, and at most 250 ms: 25 ms for a second (2.4 % of the rate),
    /// 250 ms for ten seconds and longer windows (0.4 % for a minute). That covers the jitter of a
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

    /// At most `max_concurrent` calls at a time, by slots of the limiter's own. (More than 2^30 − 1 are as many, and `usize::MAX`
    /// is no limit.)
    ///
    /// An overload that is [observed](Limiter::observe) lowers it for a while: [`concurrency_limit`](Limiter::concurrency_limit).
    pub fn max_concurrent(mut self, max_concurrent: usize) -> Self {
        self.max_concurrent = Some(max_concurrent);
        self
    }

    /// Uses the permits of this semaphore as concurrency slots. Other limiters may share it.
    ///
    /// With [`max_concurrent`](Self::max_concurrent) both limits hold: a call takes a slot of each.
    ///
    /// A call that has only a permit to wait for waits in the semaphore's own line, among all who use it: the semaphore
    /// is shared fairly by call. A permit that was granted there to a call that nobody polls goes on within the
    /// [grace](Self::grace), the longest one of the limiters that ever shared the semaphore, but at least 100 ms: if a
    /// call of one of them waits there, or tries twice. The silent call stands at the end of that line when it is polled
    /// again. Until its permit goes on, that is not among the
    /// [available](Semaphore::available_permits) ones. Those who use the semaphore directly keep what they are granted.
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

    /// At most `max_waiters` calls in line: a further call is refused immediately
    /// ([`Limit::Queue`](crate::Limit::Queue)).
    ///
    /// With zero no call waits.
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

    /// How long a silent call may hold up the others: one in line whose future nobody polls any more, because its task
    /// computes, its runtime has stopped, or it was leaked. From 1 ms to an hour; the default is a second.
    ///
    /// A call that waits looks by itself, some time after it could have gone: after a quarter of the grace, and 1/256 of
    /// the grace more for each call ahead. If there is room then, it looks again as long after that, at most half of the
    /// grace; if nobody has used the room meanwhile, those ahead are silent, and it goes. So it goes within the grace if up
    /// to 64 have fallen silent at once, and 1/128 of the grace later for each further one. After a clock has stepped back
    /// it takes so much longer. A short grace costs wakes: while calls wait they look as often as that.
    ///
    /// ```
    /// use futures_util::FutureExt;
    /// use ringgate::{Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let limiter = Limiter::builder()
    ///     .rate(Rate::per_second(1))
    ///     .grace(Duration::from_millis(100))
    ///     .build();
    /// drop(limiter.acquire().await);
    /// let mut silent = Box::pin(limiter.acquire());
    /// assert!(silent.as_mut().now_or_never().is_none());
    /// std::mem::forget(silent); // first in line, for ever
    ///
    /// let second = limiter.acquire().await; // within a second, and the grace
    /// assert!(second.is_ok());
    /// # }
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Uses this clock instead of the [default](crate::time).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::new(clock));
        self
    }

    /// Begins with what another limiter has counted, as if that had gone on: for a process that takes the place of another.
    ///
    /// * **Time.** The wall clock tells how long ago the snapshot was taken. If it has been set back since, or is certainly wrong,
    ///   no time has passed. If it has been set ahead, calls leave the windows early by so much. Where another source knows the
    ///   time, use [`restore_after`](Self::restore_after).
    /// * **Rates.** Every admission counts in each rate, as always, whichever rates the other limiter had.
    /// * **Tokens.** A limit continues what a limit with the same window has counted that counts the same tokens in the same
    ///   way. If there was none, it takes over the one for the same tokens (total, input or output) with the longest window; a
    ///   token may leave up to a tick of that one later then.
    /// * **Other limits.** If a limit is lower now, the window is full until enough has left it. What the other limiter could
    ///   forget is not known, as after [`set_rate`](Limiter::set_rate) or
    ///   [`set_token_limit`](Limiter::set_token_limit): what was older than its longest window, and more than its largest limit.
    ///
    /// Whatever a snapshot says, nothing in it is younger than this limiter. So nobody waits for it longer than a window, its
    /// margin and the two ticks of a limit on tokens. Of more calls than the largest limit, the youngest count.
    ///
    /// The last of several snapshots counts. Building takes time in proportion to the snapshot and to the limits.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let builder = Limiter::builder().rate(Rate::per_day(1)).margin(Duration::ZERO);
    /// let limiter = builder.clone().build();
    /// assert!(limiter.try_acquire().is_ok());
    /// let snapshot = limiter.snapshot();
    ///
    /// let limiter = builder.restore(&snapshot).build();
    /// assert!(limiter.try_acquire().unwrap_err().retry_after().unwrap() <= day);
    /// ```
    pub fn restore(mut self, snapshot: &LimiterSnapshot) -> Self {
        self.past = Some(Box::new(Past::new(snapshot.clone(), None)));
        self
    }

    /// [`restore`](Self::restore), where `elapsed` has passed from the snapshot to [`build`](Self::build): for clocks of tests, and
    /// where the wall clock cannot be trusted.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let builder = || {
    ///     Limiter::builder()
    ///         .rate(Rate::per_minute(1))
    ///         .margin(Duration::ZERO)
    ///         .clock(ManualClock::new())
    /// };
    /// let limiter = builder().build();
    /// assert!(limiter.try_acquire().is_ok());
    /// let limiter = builder().restore_after(&limiter.snapshot(), minute / 3).build();
    /// assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(minute * 2 / 3));
    /// ```
    pub fn restore_after(mut self, snapshot: &LimiterSnapshot, elapsed: Duration) -> Self {
        self.past = Some(Box::new(Past::new(snapshot.clone(), Some(elapsed))));
        self
    }

    /// Calls the limiter so, for those who [watch](Limiter::stats) it. Clones share the name.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    ///
    /// let limiter = Limiter::builder().name("gpt").rate(Rate::per_minute(60)).build();
    /// assert_eq!(limiter.name(), Some("gpt"));
    /// ```
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Builds the limiter.
    #[must_use]
    pub fn build(self) -> Limiter {
        let mut rate = (!self.rates.is_empty()).then(|| Log::with_spare(&self.rates, self.margin));
        let concurrency = Concurrency::new(self.max_concurrent, self.semaphore);
        let reads = rate.is_some() || !self.token_limits.is_empty();
        let time = self.time.unwrap_or_else(if reads { Time::default } else { Time::unread });
        let mut budgets = Budgets::new(&self.token_limits, self.margin, &time);
        if let Some(past) = self.past {
            past.restore(rate.as_mut(), budgets.as_deref_mut(), &time);
        }
        let core = Core::new(rate, concurrency, time).with_budgets(budgets).with_tally(self.name);
        Limiter { core: Arc::new(core.with_max_waiters(self.max_waiters).with_grace(self.grace)) }
    }
}
