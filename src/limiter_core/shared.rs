//! What all clones of a limiter share, and what can be decided without a place in line.

use super::concurrency::Concurrency;
use super::not_until::NotUntil;
use super::queue::{Counted, QueueLength, QueueLimit};
use crate::error::{Limit, NoSuchRateError, Refused};
use crate::rate::Rate;
use crate::raw::window::{Log, LogFull, Reading, Reservation};
use crate::semaphore::Semaphore;
use crate::time::{JUMP, Time, Timestamp};
use core::time::Duration;

/// How often to read the clock when a reading is stale. A clock that stepped back stays stale.
const READINGS: u32 = 4;

/// All limits of a limiter, and the line before them.
#[derive(Debug)]
pub(crate) struct Core {
    /// Has one permit. Its holder is the head of the line.
    pub(super) line: Semaphore,
    /// Gets a permit to wake the head: for each change of a rate, reset, or jump of the clock.
    pub(super) changes: Semaphore,
    pub(super) waiting: QueueLength,
    queue_limit: Option<QueueLimit>,
    /// `None` if admissions in time are not limited.
    rate: Option<Log>,
    concurrency: Concurrency,
    pub(super) time: Time,
}

impl Core {
    pub(crate) fn new(rate: Option<Log>, concurrency: Concurrency, time: Time) -> Self {
        let (line, changes) = (Semaphore::new(1), Semaphore::new(0));
        Self {
            line,
            changes,
            waiting: QueueLength::new(),
            queue_limit: None,
            rate,
            concurrency,
            time,
        }
    }

    /// The same, with at most `max` calls in line.
    pub(crate) fn with_max_waiters(self, max: Option<usize>) -> Self {
        Self { queue_limit: max.map(QueueLimit::new), ..self }
    }

    /// Takes one of the places in line, if they are limited.
    pub(super) fn take_place(&self) -> Result<Option<Counted<'_>>, Refused> {
        self.queue_limit.as_ref().map(QueueLimit::take).transpose()
    }

    // ---- control -------------------------------------------------------------------------------

    /// Refuses every call in line and every later one.
    pub(crate) fn close(&self) {
        /// Closes the line even if a waker panics.
        struct CloseOnDrop<'a>(&'a Semaphore);
        impl Drop for CloseOnDrop<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }
        let _line = CloseOnDrop(&self.line);
        // MUTANTS: drop 1
        // First: a call that is the head, or becomes it meanwhile, sees this and leaves.
        self.changes.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.changes.is_closed()
    }

    /// Changes a rate from now on, and wakes the head to look again.
    pub(crate) fn set_rate(&self, index: usize, rate: Rate) -> Result<(), NoSuchRateError> {
        let (limit, window) = rate.parts();
        self.rate.as_ref().ok_or(NoSuchRateError)?.set(index, limit, window)?;
        // MUTANTS: set_rate
        self.changes.add_permits(1);
        Ok(())
    }

    /// Forgets all admissions, and the time they were stamped by.
    pub(crate) fn reset(&self) {
        let Some(log) = &self.rate else { return };
        log.reset();
        self.changes.add_permits(1);
    }

    // ---- questions -----------------------------------------------------------------------------

    pub(crate) fn rate(&self) -> Option<&Log> {
        self.rate.as_ref()
    }

    pub(crate) fn concurrency(&self) -> &Concurrency {
        &self.concurrency
    }

    pub(crate) fn waiters(&self) -> u64 {
        self.waiting.get()
    }

    /// How many calls the rate has room for now; `u32::MAX` if there is no rate.
    pub(crate) fn remaining(&self) -> u32 {
        let Some(log) = &self.rate else { return u32::MAX };
        let remaining = log.remaining_by(&|| self.now());
        if remaining > 0 || self.peek().is_err() {
            return remaining;
        }
        // `peek` noticed that the clock jumped back, or time has passed.
        log.remaining_by(&|| self.now())
    }

    /// The clock, in ns.
    #[inline]
    fn now(&self) -> u64 {
        self.time.now().as_nanos()
    }

    /// Waiters' nodes in its semaphores that are not recycled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        let slots: u32 = self.concurrency.semaphores().map(Semaphore::nodes_in_use).sum();
        self.line.nodes_in_use() + self.changes.nodes_in_use() + slots
    }

    /// Delays the sweep of the line until `dead` waiters have cancelled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, dead: u64) {
        self.line.sweep_at(dead);
    }

    // ---- admission without a place in line -----------------------------------------------------

    /// Admits a call now, or says why not. An admitted call holds a slot until `release`.
    #[inline]
    pub(crate) fn try_admit(&self) -> Result<(), Refused> {
        if self.line.is_open_and_free() {
            self.try_admit_uncontended()
        } else {
            Err(self.refuse_newcomer())
        }
    }

    /// Admits by the rate alone, at a time that the caller gives.
    pub(crate) fn try_admit_at(&self, now: Timestamp) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        match self.rate.as_ref().map(|log| log.try_acquire(now.as_nanos())) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(busy)) => Err(NotUntil::from(busy).into()),
        }
    }

    #[cold]
    fn refuse_newcomer(&self) -> Refused {
        if self.is_closed() {
            Refused::closed()
        } else {
            self.refusal(self.estimate_for_newcomer())
        }
    }

    /// Admits a call while the line is empty.
    #[inline]
    pub(super) fn try_admit_uncontended(&self) -> Result<(), Refused> {
        match self.concurrency {
            Concurrency::Unlimited => self.stamp().map_err(Refused::from),
            _ => self.try_admit_with_slot(),
        }
    }

    fn try_admit_with_slot(&self) -> Result<(), Refused> {
        // The rate first, so that a call it refuses takes no slot away from another.
        let reservation =
            self.peek().map_err(|busy| self.concurrency.escalate_if_permanent(busy.into()))?;
        let slot = self.concurrency.try_acquire()?;
        self.stamp_in(reservation)?;
        slot.keep();
        Ok(())
    }

    /// Ends an admitted call: frees its concurrency slot.
    #[inline]
    pub(crate) fn release(&self) {
        self.concurrency.release();
    }

    /// An error if the call would queue pointlessly: a limit in its way can never let it pass.
    pub(super) fn check_satisfiable(&self) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        let refused = match self.peek() {
            Err(busy) if busy.free_at.is_none() => busy.into(),
            _ => self.concurrency.escalate_if_permanent(Refused::until_released()),
        };
        // MUTANTS: check_satisfiable
        if refused.is_permanent() { Err(refused) } else { Ok(()) }
    }

    // ---- the rate ------------------------------------------------------------------------------

    /// Whether the rate admits a call now. Claims nothing.
    #[inline]
    pub(super) fn peek(&self) -> Result<Option<Reservation<'_>>, NotUntil> {
        self.with_fresh_clock(|log| log.peek(|| self.now(), &|| self.now()))
    }

    /// Stamps by the reading of the clock that `peek` made; by a new one if others stamped meanwhile.
    #[inline]
    fn stamp_in(&self, reservation: Option<Reservation<'_>>) -> Result<(), NotUntil> {
        if reservation.is_some_and(|reservation| reservation.take().is_some()) {
            return Ok(());
        }
        self.stamp()
    }

    /// Records an admission by the rate.
    #[inline]
    pub(super) fn stamp(&self) -> Result<(), NotUntil> {
        self.with_fresh_clock(|log| log.try_acquire_by(|| self.now(), &|| self.now())).map(drop)
    }

    /// Asks the log, again if the clock's reading was stale. `None` if there is no rate.
    #[inline]
    fn with_fresh_clock<'a, R>(
        &'a self,
        question: impl Fn(&'a Log) -> Result<R, LogFull>,
    ) -> Result<Option<R>, NotUntil> {
        let Some(log) = &self.rate else { return Ok(None) };
        let (mut readings, mut seen) = (1, None);
        loop {
            match question(log) {
                Ok(answer) => return Ok(Some(answer)),
                // Another call stamped later than our reading. Reads the clock again: under a tiny window a cell
                // may be free by now.
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

    /// The clock was read after the stamp `seen` was in the log. If the reading is far before that stamp, the
    /// clock has jumped back, and the log's time continues from its newest stamp.
    #[cold]
    fn notice_jump(&self, log: &Log, seen: u64, reading: Reading) {
        let back = Duration::from_nanos(seen.saturating_sub(reading.clock));
        // MUTANTS: notice_jump
        if back > JUMP {
            // Wakes the head first, which sleeps until a time of the old log. After the move no thread can notice
            // the jump, so a stall in between would leave the head asleep. Woken too early, it notices by itself.
            self.changes.add_permits(1);
            log.restart_time(reading.base);
        }
    }

    // ---- estimates -----------------------------------------------------------------------------

    /// The refusal of a call that the rate refuses by `wait`, or that only others in line keep from going.
    #[cold]
    pub(super) fn refusal(&self, wait: Option<NotUntil>) -> Refused {
        let refused = match wait {
            Some(wait) => wait.into(),
            // If no slot is lacking, only the head is in the way, and it is about to be admitted.
            None => self.concurrency.refusal().unwrap_or_else(|| Refused::for_now(Limit::Rate, 0)),
        };
        self.concurrency.escalate_if_permanent(refused)
    }

    /// When the rate admits a call with `ahead` others before it; `None` if it does now.
    pub(super) fn estimate(&self, ahead: u64) -> Option<NotUntil> {
        let log = self.rate.as_ref()?;
        // Notices a jump of the clock.
        let _ = self.peek();
        let (free_at, now) = log.free_at_by(ahead, &|| self.now());
        if free_at == Some(now) {
            return None;
        }
        // MUTANTS: estimate
        // Not permanent: waiters ahead may cancel.
        let only_behind_others = free_at.is_none() && ahead > 0;
        let at_the_end = || log.free_at_by(0, &|| self.now()).0.map(|_| u64::MAX);
        Some(NotUntil::new(now, if only_behind_others { at_the_end() } else { free_at }))
    }

    /// When the rate admits a call that joins the line now; `None` if it does now.
    pub(super) fn estimate_for_newcomer(&self) -> Option<NotUntil> {
        let mut waiting = self.waiters();
        loop {
            let wait = self.estimate(waiting);
            // A call that was admitted between the two counts is in the log already: it would count twice.
            let still = self.waiters();
            // MUTANTS: estimate_for_newcomer
            if still >= waiting {
                return wait;
            }
            waiting = still;
        }
    }
}
