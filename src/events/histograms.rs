//! Histograms of `metrics`.

use super::inside::unless_inside;
use super::waits::Outcome;
use crate::error::Limit;
use core::fmt;
use core::time::Duration;
use metrics::{Histogram, Label, SharedString};
use once_cell::race::OnceBox;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

pub(crate) const TIME_IN_QUEUE: &str = "ringgate_time_in_queue_seconds";
pub(crate) const LEASE_DURATION: &str = "ringgate_lease_duration_seconds";

/// The histograms of one limiter, as its recorder has given them.
pub(crate) struct Histograms {
    admitted: Histogram,
    cancelled: Histogram,
    refused: [Histogram; Limit::KINDS.len()],
    leases: Histogram,
}

/// The label with the limiter's name.
pub(crate) fn limiter_label(name: Option<&Arc<str>>) -> Label {
    let name =
        name.map_or(SharedString::const_str(""), |name| SharedString::from(Arc::clone(name)));
    Label::new("limiter", name)
}

impl Histograms {
    /// From the recorder of this thread.
    pub(crate) fn new(name: Option<&Arc<str>>) -> Self {
        let limiter = || limiter_label(name);
        let wait = |outcome: Outcome| {
            let labels = vec![limiter(), Label::from_static_parts("result", outcome.key())];
            metrics::histogram!(TIME_IN_QUEUE, labels)
        };
        Self {
            admitted: wait(Outcome::Admitted),
            cancelled: wait(Outcome::Cancelled),
            refused: Limit::KINDS.map(|limit| wait(Outcome::Refused(limit))),
            leases: metrics::histogram!(LEASE_DURATION, vec![limiter()]),
        }
    }

    pub(crate) fn waited(&self, outcome: Outcome, time: Duration) {
        let histogram = match outcome {
            Outcome::Admitted => &self.admitted,
            Outcome::Cancelled => &self.cancelled,
            Outcome::Refused(limit) => &self.refused[limit.kind()],
        };
        unless_inside(|| histogram.record(time));
    }

    /// A call has held its slot so long.
    pub(crate) fn leased(&self, time: Duration) {
        unless_inside(|| self.leases.record(time));
    }
}

/// The histograms, once somebody has asked for metrics. Two that ask at once both make them, and those of one stay.
#[derive(Default)]
pub(crate) struct OnceHistograms(OnceBox<AssertUnwindSafe<Histograms>>);

impl OnceHistograms {
    #[inline]
    pub(crate) fn get(&self) -> Option<&Histograms> {
        self.0.get().map(|histograms| &**histograms)
    }

    pub(crate) fn make(&self, name: Option<&Arc<str>>) {
        self.0.get_or_init(|| Box::new(AssertUnwindSafe(Histograms::new(name))));
    }
}

impl fmt::Debug for OnceHistograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceHistograms").finish_non_exhaustive()
    }
}
