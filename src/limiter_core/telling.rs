//! What is told to those who watch. Nothing here is called while a step is open.

use super::shared::Core;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::error::Limit;
use crate::error::Refused;
use crate::events;
#[cfg(feature = "metrics")]
use crate::events::histograms::Histograms;
#[cfg(feature = "tracing")]
use crate::events::pauses;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::events::waits::{self, Outcome};
use crate::feedback::Feedback;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::time::Timestamp;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use core::time::Duration;

impl Core {
    fn label(&self) -> Option<&str> {
        self.name().map(|name| &**name)
    }

    /// A call is told that it is refused.
    #[inline]
    pub(crate) fn tell_refusal(&self, refused: &Refused) {
        if self.tally.is_some() {
            events::refused(self.label(), refused);
        }
    }

    /// It has just been paused, or stopped.
    pub(crate) fn tell_pause(&self) {
        #[cfg(feature = "tracing")]
        self.tell_new_pause();
        #[cfg(not(feature = "tracing"))]
        let _ = self;
    }

    /// It has been resumed.
    pub(crate) fn tell_resumption(&self) {
        #[cfg(feature = "tracing")]
        if self.takes_told_pause() {
            pauses::resumed(self.label());
        }
        #[cfg(not(feature = "tracing"))]
        let _ = self;
    }

    /// If a pause that was told is over by time.
    pub(crate) fn tell_end_of_pause(&self) {
        #[cfg(feature = "tracing")]
        if self.tally.as_ref().is_some_and(|tally| tally.paused.is_set())
            && self.paused_for().is_none()
            && self.takes_told_pause()
        {
            pauses::ended(self.label());
        }
        #[cfg(not(feature = "tracing"))]
        let _ = self;
    }

    /// What an answer has said is taken over.
    pub(super) fn tell_observation(&self, feedback: &Feedback) {
        events::observed(self.label(), feedback);
    }

    /// More or fewer calls may be in flight.
    pub(super) fn tell_level(&self) {
        if let Some(level) = self.concurrency_limit() {
            events::level(self.label(), level);
        }
    }

    /// Its histograms, once metrics have been asked for.
    #[cfg(feature = "metrics")]
    #[inline]
    pub(crate) fn histograms(&self) -> Option<&Histograms> {
        self.tally.as_deref()?.histograms.get()
    }

    /// Asks the recorder of this thread for its histograms, unless that was done before.
    #[cfg(feature = "metrics")]
    pub(crate) fn make_histograms(&self) {
        if let Some(tally) = &self.tally {
            tally.histograms.make(tally.name());
        }
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl Core {
    /// Whether waits are to be told. Only those of limiters are.
    pub(crate) fn hears_of_waits(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.histograms().is_some() {
            return true;
        }
        self.tally.is_some() && waits::is_heard()
    }

    /// A call is in line, and is polled for the first time.
    pub(crate) fn tell_wait(&self, ahead: usize, limit: Limit, wait: Option<Duration>) {
        waits::began(self.label(), ahead, limit, wait);
    }

    /// It has waited since then.
    pub(crate) fn tell_end_of_wait(&self, outcome: Outcome, since: Timestamp) {
        let time = self.time.now().saturating_duration_since(since);
        #[cfg(feature = "metrics")]
        if let Some(histograms) = self.histograms() {
            histograms.waited(outcome, time);
        }
        self.tell_end_of_pause();
        waits::ended(self.label(), outcome, time);
    }
}

/// What lasts longer lasts until it is resumed: 18 years.
#[cfg(feature = "tracing")]
const ENDLESS: Duration = Duration::from_nanos(1 << 59);

#[cfg(feature = "tracing")]
impl Core {
    fn tell_new_pause(&self) {
        let (Some(tally), Some(left)) = (&self.tally, self.paused_for()) else { return };
        tally.paused.set();
        let left = Some(left).filter(|left| *left < ENDLESS);
        match self.stopped() {
            Some(reason) => pauses::stopped(self.label(), reason, left),
            None => pauses::began(self.label(), left),
        }
    }

    fn takes_told_pause(&self) -> bool {
        self.tally.as_ref().is_some_and(|tally| tally.paused.take())
    }
}
