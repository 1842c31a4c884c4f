//! What can happen to a provider, and when.

use crate::terms::Terms;
use core::time::Duration;

/// Something that happens to the provider. [`MockProvider::apply`](crate::MockProvider::apply) does it now, a [`Script`]
/// at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Surprise {
    /// Other terms from now on. What was counted stays. An [overload](Self::Overload) ends.
    SetTerms(Terms),
    /// Calls beyond so many in flight are refused as by an overloaded provider, until [`Resume`](Self::Resume) or other terms: 503
    /// `server_is_overloaded` from OpenAI, 529 `overloaded_error` from Anthropic. Neither says for how long. Until then
    /// [`terms`](crate::MockProvider::terms) tells this capacity as `max_in_flight`.
    Overload {
        /// Most calls in flight.
        capacity: usize,
    },
    /// From the next call on, all are refused for so long with 429, though no limit is reached.
    CloseFor(Duration),
    /// The same, for calls that came too fast: 503 `slow_down` from OpenAI, from Anthropic a 429 about acceleration.
    SlowDownFor(Duration),
    /// All calls are refused until [`Resume`](Self::Resume), in a way that says that waiting is no use.
    StopWith(Stop),
    /// Ends a stop, the time in which calls are refused without a limit, and an overload: the terms before it hold again.
    Resume,
    /// So many of the next accepted calls get this fault in their answers.
    FailNext {
        /// How many calls.
        calls: usize,
        /// What happens to their answers.
        fault: Fault,
    },
}

/// Why an account gets no answers. Each takes the form that the dialect has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The quota is used up. OpenAI: 429 `insufficient_quota`. Anthropic: 400, "Your credit balance is too low".
    QuotaExhausted,
    /// A limit on spending is reached. OpenAI: 429 `enforced_spend_limit_reached`. Anthropic: 400, "You have reached your
    /// specified API usage limits".
    SpendLimit,
    /// The bill is not paid. OpenAI: 429 `billing_not_active`. Anthropic: 402 `billing_error`.
    PaymentRequired,
    /// The account may not do this any more. OpenAI: 401 `account_deactivated`. Anthropic: 403 `permission_error`.
    Deactivated,
}

/// What goes wrong with an answer that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing more comes, and the connection stays open until the client closes it.
    Stall(After),
    /// The connection is closed in the middle of the answer.
    BreakOff(After),
    /// The dialect's error about an overload is sent as an event, and the answer ends without its last events.
    /// An answer that is no stream is broken off instead.
    ErrorEvent(After),
}

/// How much of an answer is sent before a [`Fault`]. If the answer is shorter than that, it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// So many events of a stream. An answer that is no stream is one frame.
    Frames(usize),
    /// So many bytes of the body: an event can be cut in two.
    Bytes(usize),
}

impl Fault {
    pub(crate) fn after(self) -> After {
        let (Self::Stall(after) | Self::BreakOff(after) | Self::ErrorEvent(after)) = self;
        after
    }
}

/// Surprises and their times. The provider plays it by itself, from its [start](crate::MockProviderBuilder::script) or from
/// [when it is told to](crate::MockProvider::play).
///
/// ```
/// use core::time::Duration;
/// use ringgate_mock_provider::{Script, Stop, Surprise};
///
/// let script = Script::new()
///     .at(Duration::from_secs(1), Surprise::Overload { capacity: 4 })
///     .at(Duration::from_secs(3), Surprise::StopWith(Stop::QuotaExhausted));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    steps: Vec<(Duration, Surprise)>,
}

impl Script {
    /// Nothing happens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this, so long after the start. Steps may be told in any order; those of the same time happen in the order in
    /// which they were told.
    #[must_use]
    pub fn at(mut self, after: Duration, surprise: Surprise) -> Self {
        self.steps.push((after, surprise));
        self
    }

    /// In the order in which they happen.
    pub(crate) fn into_steps(mut self) -> Vec<(Duration, Surprise)> {
        self.steps.sort_by_key(|(after, _)| *after);
        self.steps
    }
}
