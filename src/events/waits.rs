//! Waits in line.

use super::length;
use crate::error::Limit;
use core::time::Duration;

/// How a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Admitted,
    Refused(Limit),
    /// The future was dropped.
    Cancelled,
}

impl Outcome {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused(limit) => limit.key(),
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whether somebody wants to hear of waits.
pub(crate) fn is_heard() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::enabled!(target: "ringgate", tracing::Level::DEBUG);
    #[cfg(not(feature = "tracing"))]
    false
}

/// A call has joined the line: so many are ahead, and this limit is in its way.
pub(crate) fn began(limiter: Option<&str>, ahead: usize, limit: Limit, wait: Option<Duration>) {
    tell!(
        DEBUG,
        limiter,
        [position = ahead, limit = limit.key(), estimated_wait = wait.map(length)],
        "waits in line"
    );
}

/// It has waited so long.
pub(crate) fn ended(limiter: Option<&str>, outcome: Outcome, time: Duration) {
    tell!(DEBUG, limiter, [result = outcome.key(), time_in_queue = length(time)], "has waited");
}
