//! What the provider allows.

use core::time::Duration;

/// A longer window, time or pause counts as this: no sum of an instant and a time can overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What the provider allows, in any window and at any moment.
///
/// ```
/// use core::time::Duration;
/// use ringgate_mock_provider::{Counting, Terms};
///
/// let terms = Terms {
///     requests: Some(40),
///     window: Duration::from_secs(2),
///     tokens: Counting::AtArrival { total: 30_000 },
///     ..Terms::default()
/// };
/// assert_eq!(terms.max_in_flight, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Most calls in any window. `None`: any number.
    pub requests: Option<u32>,
    /// The window of requests and tokens. More than a year counts as a year; an empty one holds nothing, so it limits
    /// nothing but calls that are too large by themselves.
    pub window: Duration,
    /// How tokens count, and how many there may be in any window.
    pub tokens: Counting,
    /// Most calls in flight. `None`: any number.
    pub max_in_flight: Option<usize>,
}

impl Default for Terms {
    /// Nothing is limited. The window is a minute.
    fn default() -> Self {
        Self {
            requests: None,
            window: Duration::from_secs(60),
            tokens: Counting::Uncounted,
            max_in_flight: None,
        }
    }
}

impl Terms {
    /// The same with a window that can be added to an instant.
    pub(crate) fn bounded(self) -> Self {
        Self { window: self.window.min(LONGEST), ..self }
    }
}

/// How tokens count, and how many there may be in any window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// Tokens are not counted.
    #[default]
    Uncounted,
    /// The prompt and the most that the answer may have count when a call arrives, and nothing is given back: OpenAI.
    AtArrival {
        /// Most tokens in any window.
        total: u64,
    },
    /// The prompt counts when a call arrives, output when it is sent. The most that the answer may have does not count:
    /// Anthropic. An answer that has begun is not cut off where output is used up, but it is counted as an
    /// [`overrun`](crate::Counts::overrun), and calls that arrive then are refused.
    AsSent {
        /// Most input tokens in any window.
        input: u64,
        /// Most output tokens in any window.
        output: u64,
    },
}

impl Counting {
    /// The limits on what counts when a call arrives, and on what counts when it is sent.
    pub(crate) fn metered(self) -> [u64; 2] {
        match self {
            Self::Uncounted => [u64::MAX; 2],
            Self::AtArrival { total } => [total, u64::MAX],
            Self::AsSent { input, output } => [input, output],
        }
    }

    /// What counts when a call of this size arrives.
    pub(crate) fn of_arrival(self, size: Size) -> u64 {
        match self {
            Self::Uncounted => 0,
            Self::AtArrival { .. } => size.prompt.saturating_add(size.max_tokens),
            Self::AsSent { .. } => size.prompt,
        }
    }
}

/// The size of a call, as its request says it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) prompt: u64,
    /// Unsaid: zero.
    pub(crate) max_tokens: u64,
}
