//! The permits that can be held.

use crate::feedback::Feedback;
use crate::limiter::{LimiterPermit, OwnedLimiterPermit};
use crate::semaphore::OwnedSemaphorePermit;
use crate::tokens::Usage;

/// A permit. Dropping it frees its slot.
pub trait Guard: Sized {
    /// Ends a call that has used this.
    fn settle(self, used: Usage) {
        let _ = used;
    }

    /// Ends a call that has used this, and perhaps more.
    fn settle_at_least(self, used: Usage) {
        let _ = used;
    }

    /// What the provider has said to the call.
    fn observe(&self, feedback: &Feedback) {
        let _ = feedback;
    }

    /// What the provider has said to the call as a whole, after the `head` has been observed.
    fn observe_more(&self, head: &Feedback, all: &Feedback) {
        let _ = (head, all);
    }
}

/// A limiter's permit: its call has tokens, and others learn from it.
pub trait Admitted: Guard {}

impl Guard for OwnedLimiterPermit {
    fn settle(self, used: Usage) {
        self.settle(used);
    }

    fn settle_at_least(self, used: Usage) {
        self.settle_at_least(used);
    }

    fn observe(&self, feedback: &Feedback) {
        self.observe(feedback);
    }

    fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.observe_more(head, all);
    }
}

impl Admitted for OwnedLimiterPermit {}

impl Guard for LimiterPermit<'_> {
    fn settle(self, used: Usage) {
        self.settle(used);
    }

    fn settle_at_least(self, used: Usage) {
        self.settle_at_least(used);
    }

    fn observe(&self, feedback: &Feedback) {
        self.observe(feedback);
    }

    fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.observe_more(head, all);
    }
}

impl Admitted for LimiterPermit<'_> {}

impl Guard for OwnedSemaphorePermit {}
