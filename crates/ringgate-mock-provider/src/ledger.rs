//! The provider's own record of its calls, and its judgement on each.
//!
//! It shares nothing with any limiter and is simple: a lock, a list of the instants at which accepted calls arrived, a
//! count of calls in flight, and lists of the tokens. A call is refused if the list already holds as many arrivals less
//! than a window old as the terms allow, or if its tokens would be too many in the window. Refused calls do not enter
//! the lists. Output that counts as it is sent refuses calls that arrive while there is no room for a token of it. An
//! answer that has begun is not cut off.

use crate::flight::InFlight;
use crate::log::{Counts, Event, InWindow, Log, Reason};
use crate::meter::{Full, Left, Meter, until_gone};
use crate::surprise::{Fault, Stop, Surprise};
use crate::terms::{Counting, LONGEST, Size, Terms};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The terms, and a record of how they were kept.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Calls beyond the terms are counted but still accepted.
    lenient: bool,
    books: Mutex<Books>,
}

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) terms: Terms,
    /// While the provider is overloaded, the terms without that.
    before_overload: Option<Terms>,
    /// It is about to refuse all calls.
    closes: Option<Pause>,
    /// It refuses all calls until then.
    closed: Option<(Instant, Pause)>,
    stopped: Option<Stop>,
    /// Of the next accepted calls, how many get which fault.
    faults: VecDeque<(usize, Fault)>,
    /// Accepted calls, in order.
    arrivals: Vec<Instant>,
    /// Tokens that count when a call arrives.
    at_arrival: Meter,
    /// Tokens that count when they are sent.
    pub(crate) as_sent: Meter,
    pub(crate) counts: Counts,
    events: Vec<(Instant, Event)>,
}

/// A time in which all calls are refused.
#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    /// Because they came too fast.
    slow_down: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The window is full, and has room after this time.
    Requests(Duration),
    /// The window has no room for its tokens, until this time has passed.
    Tokens(Duration),
    /// Its tokens are more than any window has room for.
    TooLarge,
    /// Too many calls are in flight.
    InFlight,
    /// Too many calls are in flight for an overloaded provider.
    Overloaded,
    /// No limit is reached, and it refuses all calls for this time.
    Closed(Duration),
    /// The same, because calls came too fast.
    SlowDown(Duration),
    Stopped(Stop),
}

/// What is left of all limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remains {
    pub(crate) requests: Option<Left>,
    /// Of the tokens that count at arrival for good.
    pub(crate) total: Option<Left>,
    pub(crate) input: Option<Left>,
    pub(crate) output: Option<Left>,
}

impl Ledger {
    pub(crate) fn new(terms: Terms, lenient: bool) -> Self {
        let terms = terms.bounded();
        let [at_arrival, as_sent] =
            terms.tokens.metered().map(|limit| Meter::new(limit, terms.window));
        let books = Books {
            terms,
            before_overload: None,
            closes: None,
            closed: None,
            stopped: None,
            faults: VecDeque::new(),
            arrivals: Vec::new(),
            at_arrival,
            as_sent,
            counts: Counts::default(),
            events: vec![(Instant::now(), Event::TermsSet { terms })],
        };
        Self { lenient, books: Mutex::new(books) }
    }

    pub(crate) fn apply(&self, surprise: Surprise) {
        let mut books = self.books();
        match surprise {
            Surprise::SetTerms(terms) => books.set_terms(terms.bounded(), None),
            Surprise::Overload { capacity } => {
                let terms = Terms { max_in_flight: Some(capacity), ..books.terms };
                let before = books.before_overload.unwrap_or(books.terms);
                books.set_terms(terms, Some(before));
            }
            Surprise::CloseFor(length) => books.closes = Some(Pause { length, slow_down: false }),
            Surprise::SlowDownFor(length) => books.closes = Some(Pause { length, slow_down: true }),
            Surprise::StopWith(stop) => {
                books.stopped = Some(stop);
                books.note(Instant::now(), Event::Stopped);
            }
            Surprise::Resume => books.resume(),
            Surprise::FailNext { calls, fault } => books.faults.push_back((calls, fault)),
        }
    }

    /// Judges a call that arrives now.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        size: Size,
        user: Option<Arc<str>>,
    ) -> (Result<InFlight, Refusal>, Remains) {
        let mut books = self.books();
        // Read under the lock, so that the list is in the order of its instants.
        let now = Instant::now();
        if let Err(refusal) = books.judge(size, now) {
            books.exceed(refusal);
            if !(self.lenient && refusal.is_limit()) {
                books.note(now, Event::Refused { user, reason: refusal.reason() });
                return (Err(refusal), books.remains(now));
            }
        }
        books.accept(size, user, now);
        let (number, fault, remains) =
            (books.counts.accepted, books.next_fault(), books.remains(now));
        // Its drop takes the lock.
        drop(books);
        (Ok(InFlight::new(number, fault, Arc::clone(self))), remains)
    }

    /// A request was no call.
    pub(crate) fn invalid(&self) {
        self.books().counts.invalid += 1;
    }

    pub(crate) fn terms(&self) -> Terms {
        self.books().terms
    }

    pub(crate) fn counts(&self) -> Counts {
        self.books().counts
    }

    pub(crate) fn in_window(&self) -> InWindow {
        let mut books = self.books();
        let now = Instant::now();
        InWindow {
            requests: books.recent(now).count(),
            counted_at_arrival: books.at_arrival.used(now),
            counted_as_sent: books.as_sent.used(now),
        }
    }

    pub(crate) fn log(&self) -> Log {
        let books = self.books();
        Log {
            arrivals: books.arrivals.clone(),
            counted_at_arrival: books.at_arrival.entries().to_vec(),
            counted_as_sent: books.as_sent.entries().to_vec(),
            events: books.events.clone(),
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn set_terms(&mut self, terms: Terms, before_overload: Option<Terms>) {
        let [arriving, sent] = terms.tokens.metered();
        self.at_arrival.set(arriving, terms.window);
        self.as_sent.set(sent, terms.window);
        self.terms = terms;
        self.before_overload = before_overload;
        self.note(Instant::now(), Event::TermsSet { terms });
    }

    fn resume(&mut self) {
        (self.closes, self.closed, self.stopped) = (None, None, None);
        self.note(Instant::now(), Event::Resumed);
        if let Some(terms) = self.before_overload {
            self.set_terms(terms, None);
        }
    }

    fn judge(&mut self, size: Size, now: Instant) -> Result<(), Refusal> {
        if let Some(stop) = self.stopped {
            return Err(Refusal::Stopped(stop));
        }
        self.judge_pause(now)?;
        self.judge_requests(now)?;
        let arriving = self.terms.tokens.of_arrival(size);
        self.at_arrival.judge(arriving, now)?;
        self.as_sent.judge(1, now)?;
        if self.terms.max_in_flight.is_some_and(|most| self.counts.in_flight >= most) {
            return Err(if self.before_overload.is_some() {
                Refusal::Overloaded
            } else {
                Refusal::InFlight
            });
        }
        Ok(())
    }

    fn judge_pause(&mut self, now: Instant) -> Result<(), Refusal> {
        if let Some(pause) = self.closes.take() {
            let until = now + pause.length.min(LONGEST);
            self.closed = Some((until, pause));
            self.note(now, Event::Closed { until });
        }
        let Some((until, pause)) = self.closed.filter(|(until, _)| *until > now) else {
            return Ok(());
        };
        let wait = until.saturating_duration_since(now);
        Err(if pause.slow_down { Refusal::SlowDown(wait) } else { Refusal::Closed(wait) })
    }

    fn judge_requests(&self, now: Instant) -> Result<(), Refusal> {
        let window = self.terms.window;
        let Some(limit) = self.terms.requests else { return Ok(()) };
        // The one that must leave the window before there is room: the oldest, unless the limit was lowered.
        let Some(blocking) = usize::try_from(limit).unwrap_or(usize::MAX).checked_sub(1) else {
            return Err(Refusal::Requests(window));
        };
        match self.recent(now).nth(blocking) {
            Some(at) => Err(Refusal::Requests((at + window).saturating_duration_since(now))),
            None => Ok(()),
        }
    }

    fn accept(&mut self, size: Size, user: Option<Arc<str>>, now: Instant) {
        let tokens = self.terms.tokens.of_arrival(size);
        self.arrivals.push(now);
        self.at_arrival.count(tokens, now);
        let counts = &mut self.counts;
        counts.accepted += 1;
        counts.in_flight += 1;
        counts.peak_in_flight = counts.peak_in_flight.max(counts.in_flight);
        counts.input_tokens = counts.input_tokens.saturating_add(size.prompt);
        counts.counted_at_arrival = counts.counted_at_arrival.saturating_add(tokens);
        let number = counts.accepted;
        self.note(now, Event::Accepted { number, user, tokens });
    }

    fn next_fault(&mut self) -> Option<Fault> {
        while let Some((calls, fault)) = self.faults.front_mut() {
            if let Some(fewer) = calls.checked_sub(1) {
                *calls = fewer;
                return Some(*fault);
            }
            self.faults.pop_front();
        }
        None
    }

    fn exceed(&mut self, refusal: Refusal) {
        let counts = &mut self.counts;
        let count = match refusal.reason() {
            Reason::Requests => &mut counts.beyond_requests,
            Reason::Tokens => &mut counts.beyond_tokens,
            Reason::InFlight => &mut counts.beyond_in_flight,
            Reason::Overloaded => &mut counts.overloaded,
            Reason::Closed => &mut counts.closed,
            Reason::Stopped => &mut counts.stopped,
        };
        *count += 1;
    }

    fn remains(&mut self, now: Instant) -> Remains {
        let Terms { requests, window, tokens, .. } = self.terms;
        let used = self.recent(now).count() as u64;
        let reset = until_gone(self.arrivals.last().copied(), window, now);
        let requests = requests.map(u64::from).map(|limit| Left {
            limit,
            remaining: limit.saturating_sub(used),
            reset,
        });
        let (arrival, sent) = (self.at_arrival.left(now), self.as_sent.left(now));
        let by_kind = matches!(tokens, Counting::AsSent { .. });
        Remains {
            requests,
            total: matches!(tokens, Counting::AtArrival { .. }).then_some(arrival),
            input: by_kind.then_some(arrival),
            output: by_kind.then_some(sent),
        }
    }

    pub(crate) fn note(&mut self, at: Instant, event: Event) {
        self.events.push((at, event));
    }

    /// The arrivals in `(now - window, now]`, the newest first.
    fn recent(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let window = self.terms.window;
        let young = move |arrival: &Instant| now.saturating_duration_since(*arrival) < window;
        self.arrivals.iter().copied().rev().take_while(young)
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        match full {
            Full::Until(wait) => Self::Tokens(wait),
            Full::ForGood => Self::TooLarge,
        }
    }
}

impl Refusal {
    fn reason(self) -> Reason {
        match self {
            Self::Requests(_) => Reason::Requests,
            Self::Tokens(_) | Self::TooLarge => Reason::Tokens,
            Self::InFlight => Reason::InFlight,
            Self::Overloaded => Reason::Overloaded,
            Self::Closed(_) | Self::SlowDown(_) => Reason::Closed,
            Self::Stopped(_) => Reason::Stopped,
        }
    }

    /// It is one of the limits of the terms.
    fn is_limit(self) -> bool {
        matches!(self.reason(), Reason::Requests | Reason::Tokens | Reason::InFlight)
    }
}
