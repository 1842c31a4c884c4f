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

#[cfg(all(test, ringgate_loom))]
mod models;

use crate::error::{Limit, Refused};
use crate::semaphore::{Semaphore, SemaphorePermit};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Time, Timestamp};
use crate::window::ring::{Busy, Opening, Ring};
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

/// The limit on admissions in time.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each limiter; a Box costs every call a step"
)]
pub(crate) enum Rate {
    /// No limit.
    Open,
    /// Nothing is ever admitted.
    Shut,
    Ring(Ring),
}

impl Rate {
    /// A limit of zero admits nothing; else a window of zero never refuses. The guard lengthens
    /// the window.
    pub(crate) fn new(limit: u32, window: Duration, guard: Duration) -> Self {
        if limit == 0 {
            Self::Shut
        } else if window.is_zero() {
            Self::Open
        } else {
            Self::Ring(Ring::new(limit, window.saturating_add(guard)))
        }
    }
}

/// The limit on calls in flight.
#[derive(Debug)]
pub(crate) enum Slots {
    /// No limit.
    Open,
    /// There is none and never will be.
    Shut,
    Of(Arc<Semaphore>),
}

impl Slots {
    /// A limit beyond what a semaphore can count is none.
    pub(crate) fn new(max_concurrent: usize) -> Self {
        match max_concurrent {
            0 => Self::Shut,
            n if n >= Semaphore::MAX_PERMITS => Self::Open,
            n => Self::Of(Arc::new(Semaphore::new(n))),
        }
    }

    fn try_take(&self) -> Result<Option<SemaphorePermit<'_>>, Refused> {
        match self {
            Self::Open => Ok(None),
            Self::Shut => Err(Refused::for_ever(Limit::Concurrency)),
            Self::Of(semaphore) => match semaphore.try_acquire() {
                Ok(slot) => Ok(Some(slot)),
                Err(_) => Err(no_slot(semaphore)),
            },
        }
    }

    /// The refusal to give where the rate refuses: a closed semaphore's is for good.
    fn outweigh(&self, refused: Refused) -> Refused {
        match self {
            Self::Of(semaphore) if semaphore.is_closed() && !refused.is_permanent() => {
                no_slot(semaphore)
            }
            _ => refused,
        }
    }

    /// Ready once no slot will be had any more.
    async fn closed(&self) {
        match self {
            Self::Open | Self::Shut => pending().await,
            Self::Of(semaphore) => semaphore.closed().await,
        }
    }

    async fn take(&self) -> Result<Option<SemaphorePermit<'_>>, Refused> {
        match self {
            Self::Open => Ok(None),
            Self::Shut => Err(Refused::for_ever(Limit::Concurrency)),
            Self::Of(semaphore) => {
                semaphore.acquire().await.map(Some).map_err(|_| no_slot(semaphore))
            }
        }
    }
}

fn no_slot(semaphore: &Semaphore) -> Refused {
    if semaphore.is_closed() {
        Refused::for_ever(Limit::Concurrency)
    } else {
        Refused::until_released()
    }
}

/// The slot is the call's from now on.
fn keep(slot: Option<SemaphorePermit<'_>>) {
    if let Some(slot) = slot {
        slot.forget();
    }
}

/// How often to read the clock where readings turn out stale. One stepped back stays so for long.
const READINGS: u32 = 4;

/// Both limits, and the line before them.
#[derive(Debug)]
pub(crate) struct Gate {
    /// One permit: the right to be the first in line.
    line: Semaphore,
    /// Calls in line, the first included.
    waiting: AtomicU64,
    rate: Rate,
    slots: Slots,
    time: Time,
}

impl Gate {
    pub(crate) fn new(rate: Rate, slots: Slots, time: Time) -> Self {
        Self { line: Semaphore::new(1), waiting: AtomicU64::new(0), rate, slots, time }
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn time(&self) -> &Time {
        &self.time
    }

    pub(crate) fn waiting(&self) -> u64 {
        // ORDERING: Relaxed: a count for information.
        self.waiting.load(Ordering::Relaxed)
    }

    /// Admits a call now or says why not. An admitted call holds a slot until `release`.
    #[inline]
    pub(crate) fn try_admit(&self) -> Result<(), Refused> {
        if self.line.available_permits() == 0 {
            return Err(self.refusal(self.rate_turn(self.waiting())));
        }
        if let Slots::Open = self.slots {
            return self.stamp().map_err(Refused::from);
        }
        self.try_admit_with_slot()
    }

    fn try_admit_with_slot(&self) -> Result<(), Refused> {
        // Looked at first, so that a refusal by the rate takes no slot from anybody.
        let opening = self.peek().map_err(|later| self.slots.outweigh(later.into()))?;
        let slot = self.slots.try_take()?;
        self.stamp_in(opening)?;
        keep(slot);
        Ok(())
    }

    /// Admits a call, in its turn.
    pub(crate) async fn admit(&self) -> Result<(), Refused> {
        match self.try_admit() {
            Err(refused) if !refused.is_permanent() => self.line_up().await.map(keep),
            decided => decided,
        }
    }

    /// Admits a call in its turn if that comes within `patience`.
    pub(crate) async fn admit_within(&self, patience: Duration) -> Result<(), Refused> {
        let deadline = self.time.now().saturating_add(patience);
        match self.try_admit() {
            Err(refused) if !refused.is_permanent() => {}
            decided => return decided,
        }
        let turn = self.rate_turn(self.waiting());
        if turn.is_some_and(|later| !later.comes_by(deadline)) {
            return Err(self.refusal(turn));
        }
        match before(self.line_up(), self.time.sleep_until(deadline)).await {
            Some(admitted) => admitted.map(keep),
            // The alarm may have been quicker than the timer of a turn that has come, too.
            None => self.try_admit(),
        }
    }

    /// The end of an admitted call: its slot is free again.
    #[inline]
    pub(crate) fn release(&self) {
        if let Slots::Of(semaphore) = &self.slots {
            semaphore.add_permits(1);
        }
    }

    async fn line_up(&self) -> Result<Option<SemaphorePermit<'_>>, Refused> {
        let waiting = Waiting::new(&self.waiting);
        // The line is private and never closed; were it, the call would not be admitted.
        let turn = self.line.acquire().await.map_err(|_| Refused::for_ever(Limit::Concurrency))?;
        loop {
            self.rate_open().await?;
            let slot = self.slots.take().await?;
            let Err(later) = self.stamp() else {
                // While the slot is still a guard: the next in line may have a waker that panics.
                drop(waiting);
                drop(turn);
                return Ok(slot);
            };
            // Somebody was faster, or the clock stepped back: the slot goes back meanwhile.
            drop(slot);
            if later.free_at.is_none() {
                return Err(later.into());
            }
        }
    }

    /// Sleeps until the rate lets one call through.
    async fn rate_open(&self) -> Result<(), Refused> {
        while let Err(later) = self.peek() {
            let refused = self.slots.outweigh(later.into());
            match later.free_at {
                Some(free_at) if !refused.is_permanent() => {
                    let sleep = self.time.sleep_until(free_at);
                    if before(sleep, self.slots.closed()).await.is_none() {
                        return Err(Refused::for_ever(Limit::Concurrency));
                    }
                }
                _ => return Err(refused),
            }
        }
        Ok(())
    }

    #[inline]
    fn peek(&self) -> Result<Option<Opening>, Later> {
        self.ask(Ring::peek)
    }

    /// Stamps by the same reading of the clock as `peek`; if others came between, by a new one.
    #[inline]
    fn stamp_in(&self, opening: Option<Opening>) -> Result<(), Later> {
        if let (Rate::Ring(ring), Some(opening)) = (&self.rate, opening)
            && ring.take(opening).is_ok()
        {
            return Ok(());
        }
        self.stamp()
    }

    #[inline]
    fn stamp(&self) -> Result<(), Later> {
        self.ask(Ring::try_acquire).map(drop)
    }

    /// `None` if there is no rate to ask.
    #[inline]
    fn ask<R>(&self, question: impl Fn(&Ring, u64) -> Result<R, Busy>) -> Result<Option<R>, Later> {
        let ring = match &self.rate {
            Rate::Open => return Ok(None),
            Rate::Shut => return Err(Later { free_at: None, now: Timestamp::ZERO }),
            Rate::Ring(ring) => ring,
        };
        let mut readings = 1;
        loop {
            let now = self.time.now();
            match question(ring, now.as_nanos()) {
                Ok(answer) => return Ok(Some(answer)),
                // Somebody has stamped later than our reading: it is stale, and by a new one a
                // cell may be free. Under a tiny window newcomers would else be refused wrongly.
                Err(busy) if busy.newest > now.as_nanos() && readings < READINGS => readings += 1,
                Err(busy) => return Err(Later::new(busy.free_at, now)),
            }
        }
    }

    /// Why a call is not admitted now whose turn by the rate is `turn`, or has come.
    #[cold]
    fn refusal(&self, turn: Option<Later>) -> Refused {
        self.slots.outweigh(turn.map_or_else(
            || match &self.slots {
                Slots::Of(semaphore) if semaphore.available_permits() == 0 => no_slot(semaphore),
                // The first in line is about to go.
                _ => Refused::for_now(Limit::Rate, Duration::ZERO),
            },
            Refused::from,
        ))
    }

    /// When the rate admits a call with `ahead` others before it; `None` if it does now.
    fn rate_turn(&self, ahead: u64) -> Option<Later> {
        let Rate::Ring(ring) = &self.rate else { return None };
        let now = self.time.now();
        let turn = ring.free_at(ahead, now.as_nanos());
        (turn != Some(now.as_nanos())).then(|| Later::new(turn, now))
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
    /// `free_at` in nanoseconds of the clock.
    pub(crate) fn new(free_at: Option<u64>, now: Timestamp) -> Self {
        Self { free_at: free_at.map(Timestamp::from_nanos), now }
    }

    fn comes_by(&self, deadline: Timestamp) -> bool {
        self.free_at.is_some_and(|free_at| free_at <= deadline)
    }
}

impl From<Later> for Refused {
    fn from(later: Later) -> Self {
        match later.free_at {
            None => Self::for_ever(Limit::Rate),
            Some(free_at) => {
                Self::for_now(Limit::Rate, free_at.saturating_duration_since(later.now))
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

/// The output of `work`, or `None` if `alarm` is over first.
async fn before<T>(work: impl Future<Output = T>, alarm: impl Future<Output = ()>) -> Option<T> {
    let first;
    {
        let (mut work, mut alarm) = (pin!(work), pin!(alarm));
        first = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
        })
        .await;
        // Both end here, while the output is still whole: a user's sleep may panic as it ends.
    }
    first
}
