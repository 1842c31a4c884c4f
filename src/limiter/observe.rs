//! What a provider says.

use super::Limiter;
use crate::feedback::Feedback;
use crate::limiter_core::Sent;

impl Limiter {
    /// Takes over what a provider has said, for all calls.
    ///
    /// | [`Signal`](crate::Signal) | what it does |
    /// |---|---|
    /// | `Proceed` | counts as a success |
    /// | `CoolDown` | [pauses](Self::pause) for the time told. Without one for 1 s, and twice as long each time that no success comes in between, up to 60 s; not at all if it is paused |
    /// | `Ramp` | the same, and then a [slow start](Self::pause_then_ramp) of 60 s |
    /// | `Overload` | lowers [how many calls may be in flight](Self::concurrency_limit) |
    /// | `Stop` | [stops](Self::stop) all calls, for the time told or until they are resumed |
    ///
    /// Each [`Quota`](crate::Quota) is compared with the limit that it is of: that of its kind with its window; if the window is not known,
    /// that with the limit it tells, or the only one of its kind, unless all is back later than in that one's window. Any other is
    /// ignored.
    ///
    /// * A lower limit than was configured is taken over, and a higher one again up to what was configured. Less than a 1024th
    ///   of it is not believed.
    /// * Less remaining than there can be by our own calls was used by somebody else with the same key. A rate is lowered by that, but
    ///   not below one call, until an answer tells otherwise, or none tells anything for a window. Tokens of others count from now
    ///   on, as long as ours do. So what a refusal says of the time to wait may be too early if others go on. While there are no
    ///   others, nothing that our own calls may have used is taken for theirs.
    ///
    /// Nothing that is said raises a limit above the configured one. Observe every answer, also those without an error, and before
    /// the permit is dropped.
    ///
    /// This method takes it that what was told has just come: that its call was admitted an eighth of the window ago at most,
    /// and 10 s at most. If quotas come later, or while others use the key, give them to the call's permit:
    /// [`LimiterPermit::observe`](crate::LimiterPermit::observe) knows since when the call was under way. Without that only refusals
    /// and what was surely not ours tell of others.
    ///
    /// Calls that the provider has refused count here and not there; so they are taken off what was ours. A provider that
    /// counts them seems to be used by others until they have left the window. If calls come in clumps, others' use is learned by the
    /// first answer of a clump, and those that were sent with it may be refused.
    ///
    /// # Cost
    ///
    /// A success without quotas: three loads. A quota: a look at the limit that it is of, and a change of the limit if it is
    /// another one. The first one for a limit on tokens allocates 8 KiB.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; then the rest of what was said may not have been taken over.
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
        self.core.observe(feedback, Sent::Lately);
    }

    /// Takes over what an answer says as a whole, `all`, of which its `head` has been [observed](Self::observe) before: only
    /// what its body adds. One answer is not two refusals. For an answer that no longer holds its permit; a body that holds it does this
    /// by `HeldBody::observe_error_by`.
    ///
    /// ```
    /// use ringgate::{Feedback, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let head = Feedback::cool_down(Duration::from_secs(1));
    /// limiter.observe(&head);
    /// limiter.observe_more(&head, &Feedback::cool_down(Duration::from_secs(7)));
    /// assert!(limiter.paused_for() > Some(Duration::from_secs(6)));
    /// assert_eq!(limiter.stats().observed.cool_downs, 1);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`observe`](Self::observe).
    pub fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.core.observe_more(head, all, Sent::Lately);
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
