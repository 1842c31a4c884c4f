//! What has happened to a limiter's calls since it was made: counts for those who watch it. They decide nothing.
//!
//! ```text
//! admitted     in the gate, beside its word, if the limiter has slots of its own: an admission has just written that line;
//!              else in a stripe
//! stripes      one for each ring of the rate, by the thread, as the rings are: threads that stamp apart count apart; with tokens or
//!              leases one for each thread that can run at once, but at most 16
//! signals      what was observed: one word for each kind
//! ```
//!
//! Each count is exact: every call is counted once, by an addition. Read one after another, they are not of one moment. What is
//! reserved grows at an admission and shrinks at the settlement, perhaps in another stripe, so only the sum means something.

#[cfg(feature = "tracing")]
use super::counts::Flag;
use super::counts::count;
use crate::error::Limit;
#[cfg(feature = "metrics")]
use crate::events::histograms::OnceHistograms;
use crate::feedback::Signal;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread_number;
use core::array;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// How many limits refuse. All reasons of a stop count together.
const LIMITS: usize = Limit::KINDS.len();
/// However many threads there are.
const MOST_STRIPES: usize = 16;
/// What is observed and counted: pauses, pauses with a slow start, overloads, stops.
const SIGNALS: usize = 4;
/// A call counts for this many tokens at most, so that no number that somebody else says fills a count.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// The counts of one limiter.
#[derive(Debug)]
pub(crate) struct Tally {
    name: Option<Arc<str>>,
    /// A power of two.
    stripes: Box<[CachePadded<Stripe>]>,
    signals: [AtomicU64; SIGNALS],
    /// Whether a pause was told of whose end was not.
    #[cfg(feature = "tracing")]
    pub(super) paused: Flag,
    /// Made when metrics are first asked for.
    #[cfg(feature = "metrics")]
    pub(super) histograms: OnceHistograms,
}

#[derive(Debug)]
pub(super) struct Stripe {
    admitted: AtomicU64,
    refused: [AtomicU64; LIMITS],
    /// Tokens: what was reserved less what has been settled, modulo 2^64.
    reserved: AtomicU64,
    /// Tokens.
    settled: AtomicU64,
}

/// All counts, as they were found one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    refused: [u64; LIMITS],
    pub(crate) reserved: u64,
    pub(crate) settled: u64,
    pub(crate) signals: [u64; SIGNALS],
}

impl Counts {
    pub(crate) fn refused_by(&self, limit: Limit) -> u64 {
        self.refused[limit.kind()]
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    array::from_fn(|_| AtomicU64::new(0))
}

fn get(count: &AtomicU64) -> u64 {
    // ORDERING: Relaxed: a count for information. No other memory goes with it.
    count.load(Ordering::Relaxed)
}

impl Stripe {
    fn new() -> Self {
        let count = || AtomicU64::new(0);
        Self { admitted: count(), refused: zeros(), reserved: count(), settled: count() }
    }

    #[inline]
    pub(super) fn admit(&self) {
        count(&self.admitted);
    }

    pub(super) fn refuse(&self, limit: Limit) {
        count(&self.refused[limit.kind()]);
    }

    /// A call holds so many tokens.
    #[inline]
    pub(super) fn reserve(&self, tokens: u64) {
        if tokens > 0 {
            // ORDERING: Relaxed, as in `get`.
            self.reserved.fetch_add(tokens.min(MOST_TOKENS), Ordering::Relaxed);
        }
    }

    /// It held so many, and has used so many.
    pub(super) fn settle(&self, reserved: u64, used: u64) {
        if reserved > 0 {
            // ORDERING: Relaxed, as in `get`.
            self.reserved.fetch_sub(reserved.min(MOST_TOKENS), Ordering::Relaxed);
        }
        let used = used.min(MOST_TOKENS);
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut settled = get(&self.settled);
        while used > 0 && settled < u64::MAX {
            let sum = settled.saturating_add(used);
            // ORDERING: Relaxed, as in `get`.
            match self.settled.compare_exchange_weak(
                settled,
                sum,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => settled = now,
            }
        }
    }
}

impl Tally {
    /// `stripes` is how many threads are expected to count at once.
    pub(crate) fn new(name: Option<Arc<str>>, stripes: usize) -> Self {
        let stripes = (0..stripes.next_power_of_two().min(MOST_STRIPES))
            .map(|_| CachePadded::new(Stripe::new()));
        Self {
            name,
            stripes: stripes.collect(),
            signals: zeros(),
            #[cfg(feature = "tracing")]
            paused: Flag::default(),
            #[cfg(feature = "metrics")]
            histograms: OnceHistograms::default(),
        }
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    #[inline]
    pub(super) fn stripe(&self) -> &Stripe {
        match &*self.stripes {
            [one] => one,
            // A power of two, and not nought.
            all => &all[thread_number() & (all.len() - 1)],
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let index = match signal {
            Signal::Proceed => return,
            Signal::CoolDown => 0,
            Signal::Ramp => 1,
            Signal::Overload => 2,
            Signal::Stop(_) => 3,
        };
        count(&self.signals[index]);
    }

    fn sum(&self, of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().fold(0, |sum, stripe| sum.saturating_add(get(of(stripe))))
    }

    pub(super) fn counts(&self) -> Counts {
        // A settlement in one stripe may be seen without its reservation in another: then it is below nought for a moment.
        let reserved =
            self.stripes.iter().fold(0, |sum: u64, s| sum.wrapping_add(get(&s.reserved)));
        Counts {
            admitted: self.sum(|stripe| &stripe.admitted),
            refused: array::from_fn(|limit| self.sum(|stripe| &stripe.refused[limit])),
            reserved: reserved.cast_signed().max(0).cast_unsigned(),
            settled: self.sum(|stripe| &stripe.settled),
            signals: array::from_fn(|signal| get(&self.signals[signal])),
        }
    }
}
