//! The server's own record of its calls, and its judgement on each.
//!
//! It shares nothing with the limiter and is simple: a lock, a list of the instants at which accepted calls
//! arrived, a count of calls in flight, and lists of the tokens. A call is refused if the
//! list already holds `limit` arrivals less than a window old, or if its tokens would be too many in
//! the window. Refused calls do not enter the lists. Output that counts as it is sent refuses calls that
//! arrive while there is no room for a token of it. An answer that has begun is not cut off; one that goes
//! beyond the limit is a breach of it all the same.
//!
//! The terms can change while calls come (`--surprise`).

use crate::counting::{Size, TokenTerms};
use crate::flags::Terms;
use crate::journal::{Caller, Event, Journal};
use crate::left::{Left, Remains};
use crate::meter::Meter;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The terms, and a record of how they were kept.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Calls beyond the terms are counted but still accepted.
    lenient: bool,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    terms: Terms,
    /// Calls beyond those that may be in flight mean that the server is overloaded.
    overloaded: bool,
    /// It is about to refuse all calls for so long.
    closes_for: Option<Duration>,
    /// It refuses all calls until then.
    closed_until: Option<Instant>,
    /// Accepted calls, in order.
    arrivals: Vec<Instant>,
    /// Tokens that count when a call arrives.
    at_arrival: Meter,
    /// Tokens that count when they are sent.
    as_sent: Meter,
    counts: Counts,
    journal: Journal,
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
    /// Too many calls are in flight for an overloaded server.
    Overload,
    /// No limit is reached, and it refuses all calls for this time.
    Closed(Duration),
}

/// Whether a call is accepted, and what is left after it.
pub(crate) type Judgement = (Result<InFlight, Excess>, Remains);

impl Ledger {
    pub(crate) fn new(terms: Terms, lenient: bool) -> Self {
        let [at_arrival, as_sent] =
            terms.tokens.metered().map(|limit| Meter::new(limit, terms.window));
        let mut log = Log {
            terms,
            overloaded: false,
            closes_for: None,
            closed_until: None,
            arrivals: Vec::new(),
            at_arrival,
            as_sent,
            counts: Counts::default(),
            journal: Journal::default(),
        };
        log.journal.note(Instant::now(), Event::Terms(terms));
        Self { lenient, log: Mutex::new(log) }
    }

    /// Other terms from now on, with the same window. What was counted stays.
    pub(crate) fn set_terms(&self, terms: Terms) {
        self.log().set_terms(terms, false);
    }

    /// Answers calls beyond so many in flight with 529, until it gets other terms.
    pub(crate) fn overload(&self, capacity: usize) {
        let mut log = self.log();
        let terms = Terms { concurrency: capacity, ..log.terms };
        log.set_terms(terms, true);
    }

    /// Refuses all calls for so long from the next one on, and tells them to retry after it.
    pub(crate) fn close(&self, length: Duration) {
        self.log().closes_for = Some(length);
    }

    /// Judges a call that arrives now.
    pub(crate) fn arrive(self: &Arc<Self>, size: Size, caller: Caller) -> Judgement {
        let mut log = self.log();
        // Read under the lock, so that the list is in the order of its instants.
        let now = Instant::now();
        if let Err(excess) = log.judge(size, now) {
            log.counts.exceed(excess);
            if !self.lenient {
                return (Err(excess), log.remains(now));
            }
        }
        log.accept(size, caller, now);
        let number = log.arrivals.len();
        let call = InFlight { number, overran: false, ledger: Arc::clone(self) };
        (Ok(call), log.remains(now))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.log().counts
    }

    /// How many calls it has accepted within the last window.
    pub(crate) fn in_window(&self) -> usize {
        let log = self.log();
        log.recent(Instant::now()).count()
    }

    /// The share of the tightest limit on tokens that it has counted within the last window, if it counts them.
    pub(crate) fn tokens_in_window(&self) -> Option<f64> {
        let mut log = self.log();
        let now = Instant::now();
        let shares = [log.at_arrival.share(now), log.as_sent.share(now)];
        log.terms.tokens.are_counted().then(|| shares[0].max(shares[1]))
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

    pub(crate) fn journal(&self) -> Journal {
        self.log().journal.clone()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn set_terms(&mut self, terms: Terms, overloaded: bool) {
        let [arriving, sent] = terms.tokens.metered();
        self.at_arrival.set_limit(arriving);
        self.as_sent.set_limit(sent);
        self.terms = terms;
        self.overloaded = overloaded;
        self.journal.note(Instant::now(), Event::Terms(terms));
    }

    fn judge(&mut self, size: Size, now: Instant) -> Result<(), Excess> {
        let terms = self.terms;
        if let Some(length) = self.closes_for.take() {
            self.closed_until = Some(now + length);
            self.journal.note(now, Event::Closed(now + length));
        }
        if let Some(closed) = self.closed_until.and_then(|until| until.checked_duration_since(now))
        {
            return Err(Excess::Closed(closed));
        }
        // The one that must leave the window before there is room: the oldest, unless the limit was lowered.
        let blocking = usize::try_from(terms.limit).unwrap_or(usize::MAX).saturating_sub(1);
        if terms.limit == 0 {
            return Err(Excess::Rate(terms.window));
        }
        if let Some(blocking) = self.recent(now).nth(blocking) {
            return Err(Excess::Rate((blocking + terms.window).duration_since(now)));
        }
        let arriving = terms.tokens.of_arrival(size);
        self.at_arrival.judge(arriving, now).map_err(Excess::Tokens)?;
        self.as_sent.judge(1, now).map_err(Excess::Tokens)?;
        if self.counts.in_flight >= terms.concurrency {
            return Err(if self.overloaded { Excess::Overload } else { Excess::Concurrency });
        }
        Ok(())
    }

    fn accept(&mut self, size: Size, caller: Caller, now: Instant) {
        let tokens = self.terms.tokens.of_arrival(size);
        self.arrivals.push(now);
        self.at_arrival.count(tokens, now);
        self.counts.begin();
        self.journal.note(now, Event::Begun { caller, tokens });
    }

    fn remains(&mut self, now: Instant) -> Remains {
        let Terms { limit, window, tokens, .. } = self.terms;
        let used = self.recent(now).count() as u64;
        let last = self.arrivals.last().map(|last| *last + window);
        let reset = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(now));
        let remaining = u64::from(limit).saturating_sub(used);
        let requests = Left { limit: limit.into(), remaining, reset };
        let total = matches!(tokens, TokenTerms::AtArrival { .. });
        Remains { requests, tokens: total.then(|| self.at_arrival.left(now)) }
    }

    /// The arrivals in `(now - window, now]`, the newest first.
    fn recent(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let window = self.terms.window;
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
            Excess::Rate(_) | Excess::Closed(_) => self.beyond_rate += 1,
            Excess::Tokens(_) => self.beyond_tokens += 1,
            Excess::Concurrency | Excess::Overload => self.beyond_concurrency += 1,
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
        let mut log = self.ledger.log();
        let TokenTerms::AsProduced { .. } = log.terms.tokens else { return };
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
        let mut log = self.ledger.log();
        log.counts.in_flight -= 1;
        log.journal.note(Instant::now(), Event::Ended);
    }
}
