//! The server's own record of its calls, and its judgement on each.
//!
//! It shares nothing with the limiter and is simple: a lock, a list of the instants at which accepted calls
//! arrived, a count of calls in flight, and lists of the tokens. A call is refused if the
//! list already holds `limit` arrivals less than a window old, or if its tokens would be too many in
//! the window. Refused calls do not enter the lists. Output that counts as it is sent refuses calls that
//! arrive while there is no room for a token of it. An answer that has begun is not cut off; one that goes
//! beyond the limit is a breach of it all the same.

use crate::counting::{Size, TokenTerms};
use crate::flags::Terms;
use crate::meter::Meter;
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

#[derive(Debug)]
struct Log {
    /// Accepted calls, in order.
    arrivals: Vec<Instant>,
    /// Tokens that count when a call arrives.
    at_arrival: Meter,
    /// Tokens that count when they are sent.
    as_sent: Meter,
    counts: Counts,
}

/// The logs of the server's tokens: amounts and when they were counted, in order.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) at_arrival: Vec<(Instant, u64)>,
    pub(crate) as_sent: Vec<(Instant, u64)>,
}

/// The counts of a ledger.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) in_flight: usize,
    pub(crate) peak_in_flight: usize,
    pub(crate) beyond_rate: usize,
    pub(crate) beyond_tokens: usize,
    pub(crate) beyond_concurrency: usize,
    /// Answers of which a part was sent beyond the limit on output.
    pub(crate) overrun: usize,
}

impl Counts {
    /// Calls that arrived beyond the limits, refused or not.
    pub(crate) fn beyond(&self) -> usize {
        self.beyond_rate + self.beyond_tokens + self.beyond_concurrency
    }
}

/// The limit that a call exceeds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excess {
    /// The window is full, and has room after this time.
    Rate(Duration),
    /// The window has no room for its tokens, until this time has passed.
    Tokens(Duration),
    /// Too many calls are in flight.
    Concurrency,
}

impl Ledger {
    pub(crate) fn new(terms: Terms, lenient: bool) -> Self {
        let (arriving, sent) = match terms.tokens {
            TokenTerms::Uncounted => (u64::MAX, u64::MAX),
            TokenTerms::AtArrival { total } => (total, u64::MAX),
            TokenTerms::AsProduced { input, output } => (input, output),
        };
        let [at_arrival, as_sent] = [arriving, sent].map(|limit| Meter::new(limit, terms.window));
        let (arrivals, counts) = (Vec::new(), Counts::default());
        Self { terms, lenient, log: Mutex::new(Log { arrivals, at_arrival, as_sent, counts }) }
    }

    /// Judges a call that arrives now.
    pub(crate) fn arrive(self: &Arc<Self>, size: Size) -> Result<InFlight, Excess> {
        let mut log = self.log();
        // Read under the lock, so that the list is in the order of its instants.
        let now = Instant::now();
        if let Err(excess) = log.judge(self.terms, size, now) {
            log.counts.exceed(excess);
            if !self.lenient {
                return Err(excess);
            }
        }
        log.arrivals.push(now);
        log.at_arrival.count(self.terms.tokens.of_arrival(size), now);
        log.counts.begin();
        let number = log.arrivals.len();
        Ok(InFlight { number, overran: false, ledger: Arc::clone(self) })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.log().counts
    }

    /// How many calls it has accepted within the last window.
    pub(crate) fn in_window(&self) -> usize {
        let log = self.log();
        log.recent(self.terms.window, Instant::now()).count()
    }

    /// The share of the tightest limit on tokens that it has counted within the last window, if it counts them.
    pub(crate) fn tokens_in_window(&self) -> Option<f64> {
        let mut log = self.log();
        let now = Instant::now();
        let shares = [log.at_arrival.share(now), log.as_sent.share(now)];
        self.terms.tokens.are_counted().then(|| shares[0].max(shares[1]))
    }

    /// When the accepted calls arrived, in order.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.log().arrivals.clone()
    }

    pub(crate) fn counted(&self) -> Counted {
        let log = self.log();
        let [at_arrival, as_sent] = [&log.at_arrival, &log.as_sent].map(Meter::entries);
        Counted { at_arrival: at_arrival.to_vec(), as_sent: as_sent.to_vec() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn judge(&mut self, terms: Terms, size: Size, now: Instant) -> Result<(), Excess> {
        let recent: Vec<Instant> = self.recent(terms.window, now).collect();
        if recent.len() as u64 >= u64::from(terms.limit) {
            let oldest = recent.last().copied().unwrap_or(now);
            return Err(Excess::Rate((oldest + terms.window).duration_since(now)));
        }
        let arriving = terms.tokens.of_arrival(size);
        self.at_arrival.judge(arriving, now).map_err(Excess::Tokens)?;
        self.as_sent.judge(1, now).map_err(Excess::Tokens)?;
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
            Excess::Tokens(_) => self.beyond_tokens += 1,
            Excess::Concurrency => self.beyond_concurrency += 1,
        }
    }
}

/// An accepted call, in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// It was the first, second, … to be accepted.
    pub(crate) number: usize,
    /// Some of its output was beyond the limit.
    overran: bool,
    ledger: Arc<Ledger>,
}

impl InFlight {
    /// Counts output that is sent now, if output counts then.
    pub(crate) fn send(&mut self, tokens: u64) {
        let TokenTerms::AsProduced { .. } = self.ledger.terms.tokens else { return };
        let mut log = self.ledger.log();
        let now = Instant::now();
        if log.as_sent.judge(tokens, now).is_err() && !self.overran {
            self.overran = true;
            log.counts.overrun += 1;
        }
        log.as_sent.count(tokens, now);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.ledger.log().counts.in_flight -= 1;
    }
}
