//! One line for both limits: the order in which calls are admitted.
//!
//! A call joins the line; the first in line decides, the others sleep:
//!
//! ```text
//! wait for the rate, holding nothing ──► take a slot ──► stamp ──► admitted, next in line
//!        ▲                                                 │ somebody stamped in between
//!        └──────────────── give the slot back ─────────────┘
//! ```
//!
//! Stamping before the slot is had would let calls stamped early run later, and break the
//! provider's window; holding a slot while waiting for the rate would waste it, and block other
//! limiters that share the semaphore. With the line empty, a slot free and the rate open, a call
//! goes straight through: one load for the line, one compare-and-swap for each limit.

mod admission;

use crate::error::{Limit, NoSuchRateError, Refused};
use crate::rate::Rate;
use crate::raw::window::log::{Busy, Log, Opening, Reading};
use crate::semaphore::{Semaphore, SemaphorePermit};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Time, Timestamp};
use std::sync::Arc;

pub(crate) use admission::{Admission, Handle};

/// The limit on calls in flight.
#[derive(Debug)]
pub(crate) enum Slots {
    /// No limit.
    Open,
    /// There is none and never will be.
    Shut,
    /// A permit of each: first of the limiter's own, then of one that may be shared.
    Of(Arc<Semaphore>, Option<Arc<Semaphore>>),
}

impl Slots {
    /// A limit beyond what a semaphore can count is none.
    pub(crate) fn new(max_concurrent: Option<usize>, shared: Option<Arc<Semaphore>>) -> Self {
        let own = match max_concurrent {
            Some(0) => return Self::Shut,
            Some(n) if n < Semaphore::MAX_PERMITS => Some(Arc::new(Semaphore::new(n))),
            _ => None,
        };
        match (own, shared) {
            (Some(own), shared) => Self::Of(own, shared),
            (None, Some(shared)) => Self::Of(shared, None),
            (None, None) => Self::Open,
        }
    }

    fn try_take(&self) -> Result<Slot<'_>, Refused> {
        match self {
            Self::Open => Ok(Slot::default()),
            Self::Shut => Err(Refused::for_ever(Limit::Concurrency)),
            Self::Of(first, second) => {
                let first = first.try_acquire().map_err(|_| no_slot(first))?;
                let second =
                    second.as_ref().map(|second| second.try_acquire().map_err(|_| no_slot(second)));
                Ok(Slot { first: Some(first), second: second.transpose()? })
            }
        }
    }

    /// The refusal to give where the rate refuses: what no slot will
    /// ever be had for is refused for good.
    fn outweigh(&self, refused: Refused) -> Refused {
        match self {
            _ if refused.is_permanent() => refused,
            Self::Shut => Refused::for_ever(Limit::Concurrency),
            _ => self.semaphores().find_map(never_again).unwrap_or(refused),
        }
    }

    /// In the order in which their permits are taken.
    fn semaphores(&self) -> impl Iterator<Item = &Semaphore> {
        let (first, second) = match self {
            Self::Open | Self::Shut => (None, None),
            Self::Of(first, second) => (Some(first), second.as_ref()),
        };
        first.into_iter().chain(second).map(|semaphore| &**semaphore)
    }

    /// How many are free; `None` if they are not limited.
    pub(crate) fn available(&self) -> Option<usize> {
        match self {
            Self::Shut => Some(0),
            _ => self.semaphores().map(Semaphore::available_permits).min(),
        }
    }
}

/// A permit of each of the semaphores.
#[derive(Debug, Default)]
struct Slot<'a> {
    first: Option<SemaphorePermit<'a>>,
    second: Option<SemaphorePermit<'a>>,
}

impl Slot<'_> {
    /// It is the call's from now on.
    fn keep(self) {
        [self.first, self.second].into_iter().flatten().for_each(SemaphorePermit::keep);
    }
}

/// Why no permit of this semaphore will ever be had, if that is so.
fn never_again(semaphore: &Semaphore) -> Option<Refused> {
    if semaphore.is_closed() {
        Some(Refused::closed())
    } else {
        semaphore.is_permanently_empty().then(|| Refused::for_ever(Limit::Concurrency))
    }
}

fn no_slot(semaphore: &Semaphore) -> Refused {
    never_again(semaphore).unwrap_or_else(Refused::until_released)
}

/// How often to read the clock where readings turn out stale. One stepped back stays so for long.
const READINGS: u32 = 4;

/// A clock that is so much behind what it has shown before, in ns, has jumped back. Clocks of several
/// processors may differ by less.
const JUMP: u64 = 1_000_000_000;

/// Both limits, and the line before them.
#[derive(Debug)]
pub(crate) struct Gate {
    /// One permit: the right to be the first in line.
    line: Semaphore,
    /// A permit for each change of the rate, to wake the first in line.
    changes: Semaphore,
    /// Calls in line, the first included.
    waiting: AtomicU64,
    /// Places in line, if they are limited.
    places: Option<Places>,
    /// `None` for no limit on admissions in time.
    rate: Option<Log>,
    slots: Slots,
    time: Time,
}

impl Gate {
    pub(crate) fn new(rate: Option<Log>, slots: Slots, time: Time) -> Self {
        let (line, changes) = (Semaphore::new(1), Semaphore::new(0));
        Self { line, changes, waiting: AtomicU64::new(0), places: None, rate, slots, time }
    }

    /// The same with at most so many calls in line.
    pub(crate) fn with_max_waiters(self, most: Option<usize>) -> Self {
        let places = most.map(|most| Places {
            most: u64::try_from(most).unwrap_or(u64::MAX),
            taken: AtomicU64::new(0),
        });
        Self { places, ..self }
    }

    /// One of the places in line, if they are limited.
    fn take_place(&self) -> Result<Option<TakenPlace<'_>>, Refused> {
        self.places.as_ref().map(Places::take).transpose()
    }

    /// Refuses all in line and all who come.
    pub(crate) fn close(&self) {
        /// Closes the line also where a waker of the others panics.
        struct Line<'a>(&'a Semaphore);
        impl Drop for Line<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        let _line = Line(&self.line);
        // First: whoever has the turn, or gets it meanwhile, finds this and passes it on.
        self.changes.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.changes.is_closed()
    }

    pub(crate) fn rate(&self) -> Option<&Log> {
        self.rate.as_ref()
    }

    /// Changes a rate from now on, and has the first in line look again.
    pub(crate) fn set_rate(&self, index: usize, rate: Rate) -> Result<(), NoSuchRateError> {
        let (limit, window) = rate.parts();
        self.rate.as_ref().ok_or(NoSuchRateError)?.set(index, limit, window)?;
        self.changes.add_permits(1);
        Ok(())
    }

    /// Forgets what has been admitted, and what the clock has shown.
    pub(crate) fn reset(&self) {
        let Some(log) = &self.rate else { return };
        log.reset();
        self.changes.add_permits(1);
    }

    /// The clock, in ns.
    #[inline]
    fn now(&self) -> u64 {
        self.time.now().as_nanos()
    }

    /// How many calls the rate has room for now; `u32::MAX` if there is none.
    pub(crate) fn remaining(&self) -> u32 {
        let Some(log) = &self.rate else { return u32::MAX };
        let remaining = log.remaining(self.now());
        if remaining > 0 || self.peek().is_err() {
            return remaining;
        }
        // The clock has turned out to have jumped back, or its time has come.
        log.remaining(self.now())
    }

    /// Admits by the rate alone, at a time of the caller's.
    pub(crate) fn try_admit_at(&self, now: Timestamp) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        match self.rate.as_ref().map(|log| log.try_acquire(now.as_nanos())) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(busy)) => Err(Later::from(busy).into()),
        }
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn waiters(&self) -> u64 {
        // ORDERING: Relaxed: a count for information.
        self.waiting.load(Ordering::Relaxed)
    }

    /// Records of those in its lines that have not been recycled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        let slots: u32 = self.slots.semaphores().map(Semaphore::nodes_in_use).sum();
        self.line.nodes_in_use() + self.changes.nodes_in_use() + slots
    }

    /// Lets a sweep of the line wait for so many who have given up.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, dead: u64) {
        self.line.sweep_at(dead);
    }

    /// Admits a call now or says why not. An admitted call holds a slot until `release`.
    #[inline]
    pub(crate) fn try_admit(&self) -> Result<(), Refused> {
        if self.line.is_open_and_free() { self.go() } else { Err(self.refuse_newcomer()) }
    }

    #[cold]
    fn refuse_newcomer(&self) -> Refused {
        if self.is_closed() { Refused::closed() } else { self.refusal(self.newcomers_turn()) }
    }

    /// Admits a call that has nobody before it.
    #[inline]
    fn go(&self) -> Result<(), Refused> {
        match self.slots {
            Slots::Open => self.stamp().map_err(Refused::from),
            _ => self.try_admit_with_slot(),
        }
    }

    /// Whether a call that has to line up would do so in vain.
    fn hopeless(&self) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        let refused = match self.peek() {
            Err(later) if later.free_at.is_none() => later.into(),
            _ => self.slots.outweigh(Refused::until_released()),
        };
        if refused.is_permanent() { Err(refused) } else { Ok(()) }
    }

    fn try_admit_with_slot(&self) -> Result<(), Refused> {
        // Looked at first, so that a refusal by the rate takes no slot from anybody.
        let opening = self.peek().map_err(|later| self.slots.outweigh(later.into()))?;
        let slot = self.slots.try_take()?;
        self.stamp_in(opening)?;
        slot.keep();
        Ok(())
    }

    /// The end of an admitted call: its slot is free again.
    #[inline]
    pub(crate) fn release(&self) {
        if let Slots::Of(first, second) = &self.slots {
            first.release(1);
            if let Some(second) = second {
                second.release(1);
            }
        }
    }

    #[inline]
    fn peek(&self) -> Result<Option<Opening<'_>>, Later> {
        self.ask(|log| log.peek(|| self.now(), &|| self.now()))
    }

    /// Stamps by the same reading of the clock as `peek`; if others came between, by a new one.
    #[inline]
    fn stamp_in(&self, opening: Option<Opening<'_>>) -> Result<(), Later> {
        if opening.is_some_and(|opening| opening.take().is_some()) {
            return Ok(());
        }
        self.stamp()
    }

    #[inline]
    fn stamp(&self) -> Result<(), Later> {
        self.ask(|log| log.try_acquire_by(|| self.now(), &|| self.now())).map(drop)
    }

    /// `None` if there is no rate to ask.
    #[inline]
    fn ask<'a, R>(
        &'a self,
        question: impl Fn(&'a Log) -> Result<R, Busy>,
    ) -> Result<Option<R>, Later> {
        let Some(log) = &self.rate else { return Ok(None) };
        let (mut readings, mut seen) = (1, None);
        loop {
            match question(log) {
                Ok(answer) => return Ok(Some(answer)),
                // Somebody has stamped later than our reading: it is stale, and by a new one a
                // cell may be free. Under a tiny window newcomers would else be refused wrongly.
                Err(busy) if busy.newest > busy.reading.clock && readings < READINGS => {
                    if let Some((newest, base)) = seen
                        && base == busy.reading.base
                    {
                        self.notice_jump(log, newest, busy.reading);
                    }
                    (readings, seen) = (readings + 1, Some((busy.newest, busy.reading.base)));
                }
                Err(busy) => return Err(busy.into()),
            }
        }
    }

    /// The clock was read after a call had been `seen` in the log: if it is long before that call's stamp, it
    /// has jumped back. From now on time goes on from there.
    #[cold]
    fn notice_jump(&self, log: &Log, seen: u64, reading: Reading) {
        let back = seen.saturating_sub(reading.clock);
        if back > JUMP {
            // The first in line sleeps until another moment. Told before: should this thread stop after it, the
            // others find nothing to notice. Whoever is woken early notices the jump itself.
            self.changes.add_permits(1);
            log.go_on(reading.base);
        }
    }

    /// Why a call is not admitted now whose turn by the rate is `turn`, or has come.
    #[cold]
    fn refusal(&self, turn: Option<Later>) -> Refused {
        self.slots.outweigh(turn.map_or_else(
            || match self.slots.semaphores().find(|slots| slots.available_permits() == 0) {
                Some(semaphore) => no_slot(semaphore),
                // The first in line is about to go.
                None => Refused::for_now(Limit::Rate, 0),
            },
            Refused::from,
        ))
    }

    /// When the rate admits a call with `ahead` others before it; `None` if it does now.
    fn rate_turn(&self, ahead: u64) -> Option<Later> {
        let log = self.rate.as_ref()?;
        // For a clock that has jumped back is noticed there.
        let _ = self.peek();
        let now = self.now();
        let turn = log.free_at(ahead, now);
        if turn == Some(now) {
            return None;
        }
        // Where it is others who take all there is until time ends, they may leave.
        let only_behind_others = turn.is_none() && ahead > 0;
        let at_the_end = || log.free_at(0, now).map(|_| u64::MAX);
        Some(Later::than(now, if only_behind_others { at_the_end() } else { turn }))
    }

    /// The turn of a call that joins the line now.
    fn newcomers_turn(&self) -> Option<Later> {
        let mut waiting = self.waiters();
        loop {
            let turn = self.rate_turn(waiting);
            // One that has left the line meanwhile may have been found in the log, too.
            let still = self.waiters();
            if still >= waiting {
                return turn;
            }
            waiting = still;
        }
    }
}

/// The rate's refusal.
#[derive(Clone, Copy)]
pub(crate) struct Later {
    /// When it lets the call through; `None` if never.
    free_at: Option<Timestamp>,
    /// When it was asked.
    now: Timestamp,
}

impl Later {
    /// Times in ns.
    #[inline]
    fn than(now: u64, free_at: Option<u64>) -> Self {
        let now = Timestamp::from_nanos(now);
        Self { free_at: free_at.map(Timestamp::from_nanos), now }
    }

    fn comes_by(&self, deadline: Timestamp) -> bool {
        self.free_at.is_some_and(|free_at| free_at <= deadline)
    }
}

impl From<Busy> for Later {
    #[inline]
    fn from(busy: Busy) -> Self {
        Self::than(busy.reading.clock, busy.free_at)
    }
}

impl From<Later> for Refused {
    fn from(later: Later) -> Self {
        match later.free_at {
            None => Self::for_ever(Limit::Rate),
            Some(free_at) => {
                let wait = free_at.as_nanos().saturating_sub(later.now.as_nanos());
                Self::for_now(Limit::Rate, wait)
            }
        }
    }
}

/// Counts a call as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        // ORDERING: Relaxed: a count for information.
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a count for information.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// At most so many calls in line.
#[derive(Debug)]
struct Places {
    most: u64,
    taken: AtomicU64,
}

impl Places {
    fn take(&self) -> Result<TakenPlace<'_>, Refused> {
        // ORDERING: Relaxed: a count for itself.
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            if taken >= self.most {
                return Err(Refused::until_one_leaves());
            }
            // ORDERING: Relaxed, as above.
            match self.taken.compare_exchange_weak(
                taken,
                taken + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(TakenPlace(&self.taken)),
                Err(now) => taken = now,
            }
        }
    }
}

/// A place in a line that has only so many; free again on drop.
struct TakenPlace<'a>(&'a AtomicU64);

impl Drop for TakenPlace<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a count for itself.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
