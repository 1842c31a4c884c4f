//! What the provider has recorded.

use crate::terms::Terms;
use std::sync::Arc;
use std::time::Instant;

/// How many calls there were, and what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that were not refused.
    pub accepted: usize,
    /// Of these, those that were answered to the end.
    pub answered: usize,
    /// Of these, those that the client gave up: it closed the connection before the end of the answer.
    pub hung_up: usize,
    /// Of these, those that a [`Fault`](crate::Fault) ended.
    pub broken_off: usize,
    /// Of these, those that are still being answered.
    pub in_flight: usize,
    /// Most that were in flight at a time.
    pub peak_in_flight: usize,
    /// Calls beyond the limit on requests.
    pub beyond_requests: usize,
    /// Calls whose tokens were beyond a limit.
    pub beyond_tokens: usize,
    /// Calls beyond those that may be in flight.
    pub beyond_in_flight: usize,
    /// Calls refused because the provider was overloaded.
    pub overloaded: usize,
    /// Calls refused though no limit was reached.
    pub closed: usize,
    /// Calls refused because the account was stopped.
    pub stopped: usize,
    /// Requests that were no calls: unknown paths, bodies that cannot be read.
    pub invalid: usize,
    /// Answers of which a part was sent beyond the limit on output.
    pub overrun: usize,
    /// Tokens of the prompts of accepted calls.
    pub input_tokens: u64,
    /// Tokens of their answers, as far as they were sent.
    pub output_tokens: u64,
    /// What has counted against a limit when calls arrived: all tokens, or those of input.
    pub counted_at_arrival: u64,
    /// What has counted against the limit on output as it was sent.
    pub counted_as_sent: u64,
}

impl Counts {
    /// Calls that arrived beyond the limits. All were refused, unless the provider is
    /// [lenient](crate::MockProviderBuilder::lenient).
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.beyond_requests + self.beyond_tokens + self.beyond_in_flight
    }

    /// Calls that arrived beyond the limits, or that were refused for another reason.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.beyond() + self.overloaded + self.closed + self.stopped
    }
}

/// What the last window holds now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InWindow {
    /// Accepted calls.
    pub requests: usize,
    /// Tokens that counted when calls arrived.
    pub counted_at_arrival: u64,
    /// Tokens that counted as they were sent.
    pub counted_as_sent: u64,
}

/// All that the provider has recorded, in order. It shares the clock of [`Instant`].
#[derive(Debug, Default, Clone)]
#[non_exhaustive]
pub struct Log {
    /// When the accepted calls arrived.
    pub arrivals: Vec<Instant>,
    /// What counted against a limit on tokens when a call arrived. Empty entries are calls where nothing counts.
    pub counted_at_arrival: Vec<(Instant, u64)>,
    /// What counted against the limit on output when it was sent.
    pub counted_as_sent: Vec<(Instant, u64)>,
    /// What has happened.
    pub events: Vec<(Instant, Event)>,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The terms are these from now on.
    #[non_exhaustive]
    TermsSet {
        /// The new ones.
        terms: Terms,
    },
    /// No call is accepted for a while.
    #[non_exhaustive]
    Closed {
        /// From then on calls are accepted again.
        until: Instant,
    },
    /// All calls are refused from now on, as if the account had been stopped.
    Stopped,
    /// What was told by [`resume`](crate::MockProvider::resume).
    Resumed,
    /// A call was accepted.
    #[non_exhaustive]
    Accepted {
        /// It was the first, second, … to be accepted.
        number: usize,
        /// Who has sent it: OpenAI's `user`, or the `user_id` of Anthropic's `metadata`.
        user: Option<Arc<str>>,
        /// What counts at its arrival.
        tokens: u64,
    },
    /// A call was refused.
    #[non_exhaustive]
    Refused {
        /// Who has sent it.
        user: Option<Arc<str>>,
        /// Why.
        reason: Reason,
    },
    /// An accepted call is no longer in flight.
    #[non_exhaustive]
    Ended {
        /// Its number.
        number: usize,
        /// How it has ended.
        how: End,
    },
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The limit on requests.
    Requests,
    /// A limit on tokens.
    Tokens,
    /// Too many calls in flight.
    InFlight,
    /// The provider is overloaded.
    Overloaded,
    /// No limit was reached.
    Closed,
    /// The account was stopped.
    Stopped,
}

/// How a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// It was answered to the end.
    Answered,
    /// The client closed the connection before.
    HungUp,
    /// A [`Fault`](crate::Fault) has ended it.
    BrokenOff,
}
