//! What is told to those who watch: events of `tracing`, histograms of `metrics`. Without these features all of it is nothing.
//!
//! A subscriber or a recorder is the user's code: it may panic, or call the limiter again. So it is called where wakers are: when a step
//! is complete and nothing is held that would be lost. What it does itself is not told. An admission that does not wait tells nothing.

use crate::error::Refused;
use crate::feedback::{Feedback, Signal};

/// One event, or nothing.
macro_rules! tell {
    ($level:ident, $limiter:expr, [$($field:ident = $value:expr),*], $what:literal) => {{
        #[cfg(feature = "tracing")]
        $crate::events::inside::unless_inside(|| {
            tracing::event!(
                target: "ringgate", tracing::Level::$level,
                limiter = $limiter.unwrap_or_default(), $($field = $value,)* $what
            );
        });
        #[cfg(not(feature = "tracing"))]
        let _ = ($limiter, || ($($value,)*));
    }};
}

#[cfg(feature = "metrics")]
pub(crate) mod histograms;
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) mod inside;
#[cfg(feature = "tracing")]
pub(crate) mod pauses;
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) mod waits;

/// Durations as text, in their own unit.
#[cfg(feature = "tracing")]
use tracing::field::debug as length;

#[cfg(not(feature = "tracing"))]
fn length(_: core::time::Duration) {}

/// A call was refused, or has waited in vain.
pub(crate) fn refused(limiter: Option<&str>, refused: &Refused) {
    tell!(
        DEBUG,
        limiter,
        [
            limit = refused.limit().key(),
            retry_after = refused.retry_after().map(length),
            permanent = refused.is_permanent()
        ],
        "refused"
    );
}

/// So many calls may be in flight now.
pub(crate) fn level(limiter: Option<&str>, level: u32) {
    tell!(DEBUG, limiter, [concurrency_limit = level], "the concurrency limit has changed");
}

/// The provider has refused a call. (A stop is told as such.)
pub(crate) fn observed(limiter: Option<&str>, feedback: &Feedback) {
    let signal = match feedback.signal() {
        Signal::Proceed | Signal::Stop(_) => return,
        Signal::CoolDown => "cool_down",
        Signal::Ramp => "ramp",
        Signal::Overload => "overload",
    };
    tell!(
        WARN,
        limiter,
        [signal = signal, retry_after = feedback.retry_after().map(length)],
        "the provider has refused a call"
    );
}
