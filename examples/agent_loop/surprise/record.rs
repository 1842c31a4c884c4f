//! What has become of the agents' calls, by their own account.

use core::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by all agents of a run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    in_flight: AtomicUsize,
    totals: Mutex<Totals>,
}

/// The numbers of a [`Record`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    /// Calls that were sent, however often.
    pub(crate) sent: usize,
    pub(crate) answered: usize,
    pub(crate) first_failure: Option<String>,
    /// Calls in flight when each surprise began.
    pub(crate) begun: Vec<usize>,
    /// In the order in which they were heard.
    pub(crate) refusals: Vec<Refusal>,
}

/// A 429 or a 503.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) sent: Instant,
    pub(crate) heard: Instant,
    /// How many calls were in flight when it was heard, this one included.
    pub(crate) in_flight: usize,
}

/// A call in flight, from its admission until its answer has been read or refused.
#[derive(Debug)]
pub(crate) struct Flight {
    sent: Instant,
    record: Arc<Record>,
}

impl Record {
    pub(crate) fn take_off(self: &Arc<Self>) -> Flight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight { sent: Instant::now(), record: Arc::clone(self) }
    }

    /// A surprise begins.
    pub(crate) fn begin(&self) {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        self.totals().begun.push(in_flight);
    }

    /// A call was refused.
    pub(crate) fn refused(&self, flight: &Flight) {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let mut totals = self.totals();
        let heard = Instant::now();
        totals.refusals.push(Refusal { sent: flight.sent, heard, in_flight });
    }

    /// A call was sent for the first time.
    pub(crate) fn sent(&self) {
        self.totals().sent += 1;
    }

    /// A call has its answer.
    pub(crate) fn answered(&self) {
        self.totals().answered += 1;
    }

    /// A call has none, and will not be sent again.
    pub(crate) fn failed(&self, error: &impl fmt::Display) {
        self.totals().first_failure.get_or_insert_with(|| error.to_string());
    }

    /// All numbers, as they are now.
    pub(crate) fn read(&self) -> Totals {
        self.totals().clone()
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    /// Calls that were sent and never answered.
    pub(crate) fn lost(&self) -> usize {
        self.sent - self.answered
    }
}

impl Flight {
    /// Keeps it, where a closure holds it.
    #[expect(clippy::unused_self, reason = "it is kept by being named")]
    pub(crate) fn goes_on(&self) {}
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.record.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
