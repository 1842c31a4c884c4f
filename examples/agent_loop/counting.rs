//! How the server counts tokens, for the limiter and for readers.

use core::fmt;
use core::time::Duration;
use ringgate::TokenLimit;
use ringgate_mock_provider::Counting;

/// The same for the limiter: `RateLimitPolicy::openai` and `RateLimitPolicy::anthropic` do this
/// for windows of a minute.
pub(crate) fn limits(counting: Counting, window: Duration) -> Vec<TokenLimit> {
    match counting {
        Counting::Uncounted => Vec::new(),
        Counting::AtArrival { total } => vec![TokenLimit::total(total, window).without_refunds()],
        Counting::AsSent { input, output } => {
            vec![TokenLimit::input(input, window), TokenLimit::output(output, window)]
        }
    }
}

/// The limits on what counts when a call arrives, and on what counts when it is sent.
pub(crate) fn metered(counting: Counting) -> [u64; 2] {
    match counting {
        Counting::Uncounted => [u64::MAX; 2],
        Counting::AtArrival { total } => [total, u64::MAX],
        Counting::AsSent { input, output } => [input, output],
    }
}

/// Says it.
pub(crate) struct Told(pub(crate) Counting);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Counting::Uncounted => f.write_str("not counted"),
            Counting::AtArrival { total } => {
                write!(f, "{total}, prompt and max_tokens, counted at arrival for good")
            }
            Counting::AsSent { input, output } => {
                write!(f, "{input} of input; {output} of output, counted as it is sent")
            }
        }
    }
}
