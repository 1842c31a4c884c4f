//! What the server counts as tokens, and when.

use core::fmt;
use core::time::Duration;
use ringgate::TokenLimit;

/// Characters of a token. Real ones differ in length; here the size of a text is known exactly.
const CHARACTERS: usize = 4;

/// Limits on the tokens in any window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenTerms {
    /// Tokens are not counted.
    Uncounted,
    /// A call's prompt and `max_tokens` count when it arrives, and nothing is given back.
    AtArrival { total: u64 },
    /// The prompt counts when the call arrives, output when it is sent. `max_tokens` does not count.
    AsProduced { input: u64, output: u64 },
}

/// The size of a call, as its request says it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) prompt: u64,
    pub(crate) max_tokens: u64,
}

impl TokenTerms {
    pub(crate) fn are_counted(self) -> bool {
        self != Self::Uncounted
    }

    /// The limits on what counts when a call arrives, and on what counts when it is sent.
    pub(crate) fn metered(self) -> [u64; 2] {
        match self {
            Self::Uncounted => [u64::MAX; 2],
            Self::AtArrival { total } => [total, u64::MAX],
            Self::AsProduced { input, output } => [input, output],
        }
    }

    /// What counts when a call of this size arrives.
    pub(crate) fn of_arrival(self, size: Size) -> u64 {
        match self {
            Self::Uncounted => 0,
            Self::AtArrival { .. } => size.prompt.saturating_add(size.max_tokens),
            Self::AsProduced { .. } => size.prompt,
        }
    }

    /// The same for the limiter: `RateLimitPolicy::openai` and `RateLimitPolicy::anthropic` do this
    /// for windows of a minute.
    pub(crate) fn limits(self, window: Duration) -> Vec<TokenLimit> {
        match self {
            Self::Uncounted => Vec::new(),
            Self::AtArrival { total } => vec![TokenLimit::total(total, window).without_refunds()],
            Self::AsProduced { input, output } => {
                vec![TokenLimit::input(input, window), TokenLimit::output(output, window)]
            }
        }
    }
}

impl fmt::Display for TokenTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncounted => f.write_str("not counted"),
            Self::AtArrival { total } => {
                write!(f, "{total}, prompt and max_tokens, counted at arrival for good")
            }
            Self::AsProduced { input, output } => {
                write!(f, "{input} of input; {output} of output, counted as it is sent")
            }
        }
    }
}

/// How many tokens so many characters are, for the server.
pub(crate) fn tokens(characters: usize) -> u64 {
    characters.div_ceil(CHARACTERS) as u64
}

/// A text of so many tokens.
pub(crate) fn text(tokens: u64) -> String {
    "abc ".repeat(usize::try_from(tokens).unwrap_or(0))
}
