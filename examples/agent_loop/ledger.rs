//! The server's own record of its calls, and its judgement on each.
//!
//! It shares nothing with the limiter and is simple: a lock, a list of the instants at which accepted calls
//! arrived, and a count of calls in flight. A call is refused if the
//! list already holds `limit` arrivals less than a window old. Refused calls do not enter the list.

use crate::flags::Terms;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The terms, and a record of how they were kept.
#[derive(Debug)]
pub(crate) struct Ledger {
    terms: Terms,
    /// Calls beyond the terms are counted but still accepted.
    lenient: bool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// Accepted calls, in order.
    arrivals: Vec<Instant>,
    counts: Counts,
}

/// The counts of a ledger.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) in_flight: usize,
    pub(crate) peak_in_flight: usize,
    pub(crate) beyond_rate: usize,
    pub(crate) beyond_concurrency: usize,
}

impl Counts {
    /// Calls beyond the limits, refused or not.
    pub(crate) fn beyond(&self) -> usize {
        self.beyond_rate + self.beyond_concurrency
    }
}

/// The limit that a call exceeds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excess {
    /// The window is full, and has room after this time.
    Rate(Duration),
    /// Too many calls are in flight.
    Concurrency,
}

impl Ledger {
    pub(crate) fn new(terms: Terms, lenient: bool) -> Self {
        Self { terms, lenient, log: Mutex::default() }
    }

    /// Judges a call that arrives now.
    pub(crate) fn arrive(self: &Arc<Self>) -> Result<InFlight, Excess> {
        let mut log = self.log();
        // Read under the lock, so that the list is in the order of its instants.
        let now = Instant::now();
        if let Err(excess) = log.judge(self.terms, now) {
            log.counts.exceed(excess);
            if !self.lenient {
                return Err(excess);
            }
        }
        log.arrivals.push(now);
        log.counts.begin();
        Ok(InFlight { number: log.arrivals.len(), ledger: Arc::clone(self) })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.log().counts
    }

    /// How many calls it has accepted within the last window.
    pub(crate) fn in_window(&self) -> usize {
        let log = self.log();
        log.recent(self.terms.window, Instant::now()).count()
    }

    /// When the accepted calls arrived, in order.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.log().arrivals.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn judge(&self, terms: Terms, now: Instant) -> Result<(), Excess> {
        let recent: Vec<Instant> = self.recent(terms.window, now).collect();
        if recent.len() as u64 >= u64::from(terms.limit) {
            let oldest = recent.last().copied().unwrap_or(now);
            return Err(Excess::Rate((oldest + terms.window).duration_since(now)));
        }
        if self.counts.in_flight >= terms.concurrency {
            return Err(Excess::Concurrency);
        }
        Ok(())
    }

    /// The arrivals in `(now - window, now]`, the newest first.
    fn recent(&self, window: Duration, now: Instant) -> impl Iterator<Item = Instant> {
        let young = move |arrival: &Instant| now.duration_since(*arrival) < window;
        self.arrivals.iter().copied().rev().take_while(young)
    }
}

impl Counts {
    fn begin(&mut self) {
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
    }

    fn exceed(&mut self, excess: Excess) {
        match excess {
            Excess::Rate(_) => self.beyond_rate += 1,
            Excess::Concurrency => self.beyond_concurrency += 1,
        }
    }
}

/// An accepted call, in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// It was the first, second, … to be accepted.
    pub(crate) number: usize,
    ledger: Arc<Ledger>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.ledger.log().counts.in_flight -= 1;
    }
}
