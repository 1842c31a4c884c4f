//! What a provider says.

use super::Limiter;
use crate::feedback::Feedback;

impl Limiter {
    /// Takes over what a provider has said, for all calls.
    ///
    /// ```
    /// use ringgate::{Feedback, Limit, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// limiter.observe(&Feedback::cool_down(Duration::from_secs(7)));
    /// assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
    /// ```
    pub fn observe(&self, feedback: &Feedback) {
        self.core.observe(feedback, None);
    }

    /// How many calls may be in flight now; `usize::MAX` if [`max_concurrent`](crate::LimiterBuilder::max_concurrent) is not set.
    /// For information: it may be stale when you read it.
    ///
    /// An overload ([`Signal::Overload`](crate::Signal::Overload)) that is [observed](Self::observe) lowers it: to half, or to the
    /// calls in flight if these are fewer, but not below one. Then as many answers as other calls were in flight must be observed before
    /// another overload counts, successes included. Each time that as many successes have been observed as it is now, it
    /// rises by one, up to `max_concurrent`. So observe all answers.
    ///
    /// Calls in flight go on. If they are more than this, further ones wait until enough have ended. The rate stays, and so does
    /// a [shared semaphore](crate::LimiterBuilder::semaphore), whose permits are not counted here.
    ///
    /// ```
    /// use ringgate::{Feedback, Limit, Limiter};
    ///
    /// let limiter = Limiter::builder().max_concurrent(4).build();
    /// let calls = [limiter.try_acquire()?, limiter.try_acquire()?, limiter.try_acquire()?];
    ///
    /// limiter.observe(&Feedback::overload()); // 529
    /// assert_eq!(limiter.concurrency_limit(), 2);
    /// assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Concurrency);
    ///
    /// limiter.observe(&Feedback::new());
    /// limiter.observe(&Feedback::new());
    /// assert_eq!(limiter.concurrency_limit(), 3);
    /// # drop(calls);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn concurrency_limit(&self) -> usize {
        let limit = self.core.concurrency_limit();
        limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}
