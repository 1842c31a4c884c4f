//! What an answer says in a part of it, after others have been taken over: it is no further success, and no further refusal.

use super::observing::{Follows, RAMP};
use super::shared::Core;
use crate::feedback::{Feedback, Signal};
use crate::raw::left::Sent;

impl Core {
    /// Takes over what is left, and nothing else: of the headers of an answer whose body tells whether it is a success.
    pub(crate) fn observe_quotas(&self, feedback: &Feedback, sent: Sent) {
        for quota in feedback.quotas() {
            self.observe_quota(quota, false, sent);
        }
    }

    /// Takes over what an answer says as a whole, `all`, of which its `head` has been observed.
    pub(crate) fn observe_more(&self, head: &Feedback, all: &Feedback, sent: Sent) {
        if head.signal() == Signal::Proceed && all.signal() != Signal::Proceed {
            // That it is a refusal at all is news.
            return self.observe(all, sent);
        }
        let is_other = all.signal() != head.signal();
        if is_other {
            self.count_signal(all.signal());
        }
        let follows = self.follow_more(head, all);
        let is_refusal = all.signal() != Signal::Proceed;
        for quota in all.quotas().iter().filter(|quota| !head.quotas().contains(quota)) {
            self.observe_quota(quota, is_refusal, sent);
        }
        // Last: a subscriber may panic.
        if is_other && is_refusal {
            self.tell_observation(all);
        }
        self.tell(follows);
    }

    fn follow_more(&self, head: &Feedback, all: &Feedback) -> Follows {
        let is_other = all.signal() != head.signal();
        let told = all.retry_after().filter(|told| !told.is_zero());
        let is_longer = told > head.retry_after();
        match all.signal() {
            Signal::CoolDown if is_longer => self.pause(told.unwrap_or_default()),
            Signal::Ramp if is_other || is_longer => {
                // It begins after the pause that there is, if none is told.
                let length = told.or_else(|| self.paused_for()).unwrap_or_default();
                self.pause_then_ramp(length, RAMP);
            }
            Signal::Overload if is_other => {
                return if self.shrink() { Follows::Level } else { Follows::Nothing };
            }
            Signal::Stop(reason) if is_other => self.stop(reason, told),
            Signal::Proceed
            | Signal::CoolDown
            | Signal::Ramp
            | Signal::Overload
            | Signal::Stop(_) => return Follows::Nothing,
        }
        Follows::Pause
    }
}
