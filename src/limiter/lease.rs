//! How long a call holds its slot, for the histogram of `metrics`.

use crate::limiter_core::Core;
#[cfg(feature = "metrics")]
use crate::time::Timestamp;

/// Since when; nothing before metrics have been asked for.
pub(super) struct Lease(#[cfg(feature = "metrics")] Option<Timestamp>);

impl Lease {
    #[inline]
    pub(super) fn new() -> Self {
        #[cfg(feature = "metrics")]
        return Self(None);
        #[cfg(not(feature = "metrics"))]
        Self()
    }

    /// Once the call is held: the clock is the user's code.
    #[inline]
    pub(super) fn begin(&mut self, core: &Core) {
        #[cfg(feature = "metrics")]
        if core.histograms().is_some() {
            self.0 = Some(core.time().now());
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (self, core);
    }

    /// After the slot is released. Not while a panic goes on: a second one would end the process.
    #[inline]
    pub(super) fn end(&mut self, core: &Core) {
        #[cfg(feature = "metrics")]
        if let Some(since) = self.0.take()
            && !std::thread::panicking()
            && let Some(histograms) = core.histograms()
        {
            histograms.leased(core.time().now().saturating_duration_since(since));
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (self, core);
    }
}
