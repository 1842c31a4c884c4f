//! An admitted call, and what its answer has said so far.

use super::guard::Guard;
use crate::feedback::{Feedback, Signal};
use crate::tokens::Usage;
use core::mem;

/// Reads the parts of an answer: what the call has used, and what the provider says.
pub(crate) trait Reads {
    type Item;

    /// What has been used so far, if the item says so. Asked first.
    fn usage(&mut self, item: &Self::Item) -> Option<Usage>;

    /// What the item says for all calls.
    fn feedback(&mut self, item: &Self::Item) -> Option<Feedback>;

    /// Whether an answer without an error is a success: somebody looks for errors.
    fn looks_for_errors(&self) -> bool;

    /// Whether there was an error, which may say nothing for other calls.
    fn has_failed(&self) -> bool {
        false
    }

    /// What the answer says as a whole, if the items have told more than had been observed before them: once, when it `is_over` or
    /// enough has come.
    fn more(&mut self, is_over: bool) -> Option<More> {
        let _ = is_over;
        None
    }

    /// Whether the items so far are all of the answer, though its end has not come.
    fn is_complete(&self) -> bool {
        false
    }
}

/// What an answer says, of which the head has been observed.
pub(crate) struct More {
    pub(super) head: Feedback,
    pub(super) all: Feedback,
}

/// A call whose answer is under way.
pub(crate) struct Call<P: Guard, R: Reads> {
    /// `None` once it is settled.
    permit: Option<P>,
    pub(super) reader: R,
    said: Option<Usage>,
    heard: Heard,
    /// Nothing more of it will come.
    is_complete: bool,
    has_failed: bool,
}

/// What the limiter has learned from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// That it goes well.
    Success,
    Error,
}

impl<P: Guard, R: Reads> Call<P, R> {
    pub(super) fn new(permit: P, reader: R) -> Self {
        Self {
            permit: Some(permit),
            reader,
            said: None,
            heard: Heard::Nothing,
            is_complete: false,
            has_failed: false,
        }
    }

    pub(super) fn permit(&self) -> Option<&P> {
        self.permit.as_ref()
    }
}

impl<P: Guard, R: Reads> Call<P, R> {
    pub(crate) fn note(&mut self, item: &R::Item) {
        if let Some(used) = self.reader.usage(item) {
            self.said = Some(self.said.map_or(used, |said| said.or_more(used)));
        }
        if let Some(feedback) = self.reader.feedback(item) {
            self.observe(&feedback);
        }
        self.observe_more(false);
        self.has_failed |= self.reader.has_failed();
        if self.reader.is_complete() {
            self.complete();
        }
    }

    /// Passes on the first success and the first error: many items may tell the same.
    fn observe(&mut self, feedback: &Feedback) {
        let is_new = match self.heard {
            Heard::Nothing => feedback.says_something(),
            Heard::Success => feedback.signal() != Signal::Proceed,
            Heard::Error => false,
        };
        if !is_new {
            return;
        }
        self.heard = match feedback.signal() {
            Signal::Proceed => Heard::Success,
            _ => Heard::Error,
        };
        if let Some(permit) = &self.permit {
            permit.observe(feedback);
        }
    }

    fn observe_more(&mut self, is_over: bool) {
        if let Some(more) = self.reader.more(is_over)
            && let Some(permit) = &self.permit
        {
            permit.observe_more(&more.head, &more.all);
        }
    }

    /// The answer has come to its end: what was said is all that was used, unless an error was part of it.
    pub(super) fn end(mut self) {
        self.complete();
    }

    fn complete(&mut self) {
        let is_known = mem::replace(&mut self.is_complete, true);
        if !is_known
            && self.heard == Heard::Nothing
            && !self.has_failed
            && self.reader.looks_for_errors()
            && let Some(permit) = &self.permit
        {
            // Before its slot is free. If that wakes somebody who panics, the call is settled all the same.
            permit.observe(&Feedback::new());
        }
    }
}

impl<P: Guard, R: Reads> Drop for Call<P, R> {
    /// Of an answer that is not complete it is not known how much was used: as much as was reserved, or more if more was said.
    fn drop(&mut self) {
        // Before its slot is free.
        self.observe_more(true);
        let (Some(permit), Some(used)) = (self.permit.take(), self.said) else { return };
        let is_whole = self.is_complete && !self.has_failed && self.heard != Heard::Error;
        if is_whole {
            permit.settle(used);
        } else {
            permit.settle_at_least(used);
        }
    }
}
