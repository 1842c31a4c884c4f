//! Pausing and stopping a limiter.

use super::Limiter;
use crate::feedback::StopReason;
use crate::time::Timestamp;
use core::time::Duration;

impl Limiter {
    /// Admits no call for so long: what to do for the time that a server's 429 tells.
    ///
    /// * Calls in line keep their places, and new ones line up behind them. When it is over they go on in order, as many as
    ///   there is room for; the first wakes by its own timer.
    /// * [`try_acquire`](Self::try_acquire) refuses with [`Limit::Paused`](crate::Limit::Paused) and what is left of it, and so
    ///   does a call whose timeout ends before. If another limit lasts longer, that one is told. A refusal for good
    ///   stays one.
    /// * Calls in flight go on, and return their slots.
    /// * A longer pause wins over a shorter one, whichever comes first.
    ///
    /// It is this limiter's: others that share its [semaphore](crate::LimiterBuilder::semaphore) go on. It counts neither as an
    /// admission nor as a wait, so [`remaining`](Self::remaining) and its like do not change. A
    /// [reset](Self::reset) does not end it, and a [snapshot](Self::snapshot) does not contain it.
    ///
    /// A call that another thread is admitting at the same moment may still go.
    ///
    /// # The clock
    ///
    /// It lasts by the limiter's [clock](crate::LimiterBuilder::clock). If that steps back by less than a second, it lasts so much
    /// longer; if by more, it goes on with what was left when a call last looked
    /// ([jumps](crate::time#what-clocks-do)). A reading far ahead ends it, even if the clock comes back. While the clock stands
    /// still it does not end. Longer than 18 years is until [`resume`](Self::resume); refusals tell the time until
    /// [`Timestamp::MAX`] then.
    ///
    /// # Cost
    ///
    /// A reading of the clock and an exchange. It wakes no call. Without a pause each call reads one word more.
    ///
    /// # Panics
    ///
    /// Only if the clock has jumped back, and the waker of the first in line panics when it is told.
    ///
    /// ```
    /// use ringgate::{Limit, Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone()).build();
    /// limiter.pause(Duration::from_secs(20));
    /// limiter.pause(Duration::from_secs(5)); // shorter
    ///
    /// let refused = limiter.try_acquire().unwrap_err();
    /// assert_eq!(refused.limit(), Limit::Paused);
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(20)));
    /// assert_eq!(refused.to_string(), "the limiter is paused: retry in 20s");
    ///
    /// clock.advance(Duration::from_secs(20));
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    pub fn pause(&self, length: Duration) {
        self.core.pause(length);
        self.core.tell_pause();
    }

    /// [`pause`](Self::pause) until a time of the limiter's clock. One that has come is no pause, and [`Timestamp::MAX`] never
    /// comes.
    ///
    /// # Panics
    ///
    /// As [`pause`](Self::pause).
    ///
    /// ```
    /// use ringgate::{Limiter, time::{Clock, ManualClock, Timestamp}};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = Limiter::builder().max_concurrent(4).clock(clock.clone()).build();
    /// limiter.pause_until(clock.now().saturating_add(Duration::from_secs(3)));
    /// assert_eq!(limiter.paused_for(), Some(Duration::from_secs(3)));
    ///
    /// limiter.pause_until(Timestamp::MAX);
    /// clock.advance(Duration::from_secs(1_000_000));
    /// assert!(limiter.try_acquire().is_err());
    /// limiter.resume();
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    pub fn pause_until(&self, until: Timestamp) {
        self.core.pause_until(until);
        self.core.tell_pause();
    }

    /// [`pause`](Self::pause), and a slow start when it is over: see [`resume_over`](Self::resume_over).
    ///
    /// A pause that is longer, or that comes during the slow start, puts that off.
    ///
    /// # Panics
    ///
    /// As [`pause`](Self::pause).
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone()).build();
    /// limiter.pause_then_ramp(Duration::from_secs(20), Duration::from_secs(60));
    /// clock.advance(Duration::from_secs(20));
    /// assert!(limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().is_err()); // for some ten seconds
    /// ```
    pub fn pause_then_ramp(&self, length: Duration, over: Duration) {
        self.core.pause_then_ramp(length, over);
        self.core.tell_pause();
    }

    /// Refuses all calls at once, also those in line, with [`Limit::Stopped`](crate::Limit::Stopped) and the reason: what to do if
    /// it does not help to wait, because a quota or a credit is used up.
    ///
    /// It ends after `length`, or with `None` when it is [resumed](Self::resume). Until then a
    /// [pause](Self::pause) that lasts longer makes it longer, and a shorter one changes nothing. Of several stops the last reason
    /// is told, and the longest holds. Calls in flight go on. A length of zero is no stop.
    ///
    /// Refusals tell when a call can go: when it ends, or when the other limits have room if that is later.
    ///
    /// Calls that stand for a permit of a shared [semaphore](crate::LimiterBuilder::semaphore) are refused when they look at the
    /// time next: within a [grace](crate::LimiterBuilder::grace) if few are ahead.
    ///
    /// # Cost
    ///
    /// As [`set_rate`](Self::set_rate): up to 1024 calls in line are woken together, and those that leave wake the next ones.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then all calls are refused.
    ///
    /// ```
    /// use ringgate::{Limit, Limiter, StopReason};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = Limiter::builder().max_concurrent(4).build();
    /// limiter.stop(StopReason::SpendLimit, None);
    ///
    /// let refused = limiter.acquire().await.unwrap_err();
    /// assert_eq!(refused.limit(), Limit::Stopped(StopReason::SpendLimit));
    /// assert!(refused.is_permanent());
    ///
    /// limiter.resume();
    /// assert!(limiter.acquire().await.is_ok());
    /// # }
    /// ```
    pub fn stop(&self, reason: StopReason, length: impl Into<Option<Duration>>) {
        self.core.stop(reason, length.into());
        self.core.tell_pause();
    }

    /// Why the limiter is [stopped](Self::stop); `None` if it is not. For information: it may be stale when you read it.
    ///
    /// # Panics
    ///
    /// As [`pause`](Self::pause).
    ///
    /// ```
    /// use ringgate::{Limiter, StopReason};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().max_concurrent(4).build();
    /// limiter.stop(StopReason::DailyQuota, Duration::from_secs(3600));
    /// assert_eq!(limiter.stopped(), Some(StopReason::DailyQuota));
    /// assert!(limiter.paused_for() <= Some(Duration::from_secs(3600)));
    /// ```
    #[must_use]
    pub fn stopped(&self) -> Option<StopReason> {
        self.core.stopped()
    }

    /// Ends a [pause](Self::pause) or a [stop](Self::stop), if there is one: calls in line go on, as many as there is room for.
    ///
    /// # Cost
    ///
    /// Two exchanges; if calls may be in line, some more for each of two looks, and the wakes.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then the pause has ended.
    ///
    /// ```
    /// use ringgate::Limiter;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().max_concurrent(4).build();
    /// limiter.pause(Duration::from_secs(3600));
    /// limiter.resume();
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    pub fn resume(&self) {
        self.core.resume();
        self.core.tell_resumption();
    }

    /// [`resume`](Self::resume), and a slow start: calls go one after another, closer and closer, until after `over` they go as the
    /// limits allow.
    ///
    /// Their speed grows evenly from nothing to the full one, that of the slowest of the rates. So half as many go during
    /// that time as could; the first goes at once. A limiter without a rate lets as many go in that time as may be
    /// in flight, or as are in line now if these are more; at least 16.
    /// All other limits hold as always. During it each call reads the clock once more.
    ///
    /// Longer than 18 years is 18 years; zero is [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// As [`resume`](Self::resume).
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone()).build();
    /// limiter.resume_over(Duration::from_secs(60));
    /// let mut went = 0;
    /// for _ in 0..60 {
    ///     went += u32::from(limiter.try_acquire().is_ok());
    ///     clock.advance(Duration::from_secs(1));
    /// }
    /// assert!((28..=30).contains(&went), "{went}");
    /// ```
    pub fn resume_over(&self, over: Duration) {
        self.core.resume_over(over);
        self.core.tell_resumption();
    }

    /// What is left of a [pause](Self::pause) or a [stop](Self::stop); `None` if there is none. For information: it may be stale when you read it.
    ///
    /// # Panics
    ///
    /// As [`pause`](Self::pause).
    ///
    /// ```
    /// use ringgate::Limiter;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().max_concurrent(4).build();
    /// assert_eq!(limiter.paused_for(), None);
    /// limiter.pause(Duration::from_secs(3600));
    /// assert!(limiter.paused_for() <= Some(Duration::from_secs(3600)));
    /// ```
    #[must_use]
    pub fn paused_for(&self) -> Option<Duration> {
        self.core.paused_for()
    }
}
