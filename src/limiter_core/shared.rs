//! What all clones of a limiter share, and what can be decided without a place in line.

use super::ask::Ask;
use super::budgets::Budgets;
use super::ceilings::Ceilings;
use super::concurrency::Concurrency;
use super::counts::Counted;
use super::gate::Gate;
use super::grace::{Grace, Ticks};
use super::lapsed::LastLook;
use super::line::Line;
use super::not_until::NotUntil;
use super::panics::Panics;
use super::pause::Pause;
use super::priority::Priority;
use super::queue::QueueLimit;
use super::reserved::Stamp;
use super::tally::Tally;
use super::untold::Untold;
use crate::error::{NoSuchRateError, Refused};
use crate::rate::Rate;
use crate::raw::window::{Log, LogFull, Reading, Reservation};
use crate::semaphore::Semaphore;
use crate::sync::parallelism;
use crate::time::{JUMP, SleepUntil, Time};
use core::time::Duration;
use std::sync::Arc;

/// How often to read the clock when a reading is stale. A clock that stepped back stays stale.
const READINGS: u32 = 4;

/// All limits of a limiter, and the line before them.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) gate: Gate,
    pub(super) line: Line,
    queue_limit: Option<QueueLimit>,
    /// `None` if admissions in time are not limited.
    rate: Option<Log>,
    pub(super) ceilings: Ceilings,
    /// `None` if tokens are not limited.
    budgets: Option<Box<Budgets>>,
    concurrency: Concurrency,
    pub(super) pause: Pause,
    pub(super) untold: Untold,
    pub(super) time: Time,
    pub(super) grace: Grace,
    pub(super) last_look: LastLook,
    /// `None` if nobody asks for it.
    pub(super) tally: Option<Box<Tally>>,
}

impl Core {
    pub(crate) fn new(rate: Option<Log>, concurrency: Concurrency, time: Time) -> Self {
        Self {
            gate: concurrency.gate(),
            line: Line::new(),
            queue_limit: None,
            ceilings: Ceilings::of(rate.as_ref()),
            rate,
            budgets: None,
            concurrency,
            pause: Pause::default(),
            untold: Untold::default(),
            time,
            grace: Grace::new(Grace::DEFAULT),
            last_look: LastLook::default(),
            tally: None,
        }
    }

    /// The same, with at most `max` calls in line.
    pub(crate) fn with_max_waiters(self, max: Option<usize>) -> Self {
        Self { queue_limit: max.map(QueueLimit::new), ..self }
    }

    /// The same, with limits on tokens.
    pub(crate) fn with_budgets(self, budgets: Option<Box<Budgets>>) -> Self {
        Self { budgets, ..self }
    }

    /// The same, with a tally.
    pub(crate) fn with_tally(self, name: Option<Arc<str>>) -> Self {
        let rings = self.rate.as_ref().map_or(1, Log::rings);
        // A checker's models do not depend on the machine.
        let apart = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { parallelism() };
        let stripes = if self.budgets.is_some() { rings.max(apart) } else { rings };
        let tally = Tally::new(name, stripes);
        Self { tally: Some(Box::new(tally)), ..self }
    }

    /// The same, with another grace.
    pub(crate) fn with_grace(self, grace: Duration) -> Self {
        let grace = Grace::new(grace);
        if let Some(shared) = self.concurrency.shared() {
            shared.wait_for_claims(grace.duration());
        }
        Self { grace, ..self }
    }

    /// Takes one of the places in line, if they are limited.
    pub(super) fn take_place(&self) -> Result<Option<Counted<'_>>, Refused> {
        self.queue_limit.as_ref().map(QueueLimit::take).transpose()
    }

    pub(crate) fn time(&self) -> &Time {
        &self.time
    }

    /// Sleeps for so long by the limiter's clock.
    pub(crate) fn sleep(&self, length: Duration) -> SleepUntil<&Time> {
        let now = self.time.now();
        self.time.sleep_until(now.saturating_add(length), now)
    }

    // ---- control -------------------------------------------------------------------------------

    /// Refuses every call in line and every later one.
    pub(crate) fn close(&self) {
        let _rings = self.rings_after();
        // MUTANTS: close
        // First: a call that has a turn, or gets one meanwhile, sees this and leaves.
        self.gate.close();
        let mut panics = Panics::default();
        self.line.close(&mut panics);
        panics.resume();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Changes a rate from now on, and wakes the first in line to look again.
    pub(crate) fn set_rate(&self, index: usize, rate: Rate) -> Result<(), NoSuchRateError> {
        let (limit, window) = rate.parts();
        let log = self.rate.as_ref().ok_or(NoSuchRateError)?;
        self.ceilings.set(index, limit);
        log.set(index, limit, window)?;
        // MUTANTS: set_rate
        self.look_at_the_rate_again();
        Ok(())
    }

    /// Changes a limit on tokens from now on, and its window if there is one, and wakes the first in line to look again.
    pub(crate) fn set_token_limit(
        &self,
        n: usize,
        limit: u64,
        window: Option<Duration>,
    ) -> Result<(), NoSuchRateError> {
        let budgets = self.budgets().ok_or(NoSuchRateError)?;
        budgets.set(n, limit, window)?;
        self.look_for_tokens_again(budgets);
        Ok(())
    }

    /// Forgets all admissions, their tokens, and the time they were stamped by.
    pub(crate) fn reset(&self) {
        if let Some(log) = &self.rate {
            log.reset();
            self.ceilings.forget_all(log);
        }
        let budgets = self.budgets();
        if let Some(budgets) = budgets {
            budgets.reset();
        }
        if self.rate.is_some() {
            self.look_at_the_rate_again();
        }
        if let Some(budgets) = budgets {
            self.look_for_tokens_again(budgets);
        }
    }

    // ---- questions -----------------------------------------------------------------------------

    pub(crate) fn rate(&self) -> Option<&Log> {
        self.rate.as_ref()
    }

    #[inline]
    pub(crate) fn budgets(&self) -> Option<&Budgets> {
        self.budgets.as_deref()
    }

    pub(crate) fn concurrency(&self) -> &Concurrency {
        &self.concurrency
    }

    /// How many slots are free; `None` if they are not limited.
    pub(crate) fn available(&self) -> Option<u64> {
        let shared = self.concurrency.shared().map(Semaphore::available_permits);
        let shared = shared.map(|free| u64::try_from(free).unwrap_or(u64::MAX));
        [self.gate.free(), shared].into_iter().flatten().min()
    }

    pub(crate) fn waiters(&self) -> u64 {
        self.line.len()
    }

    /// The most urgent first.
    pub(crate) fn waiters_by_class(&self) -> [u64; 3] {
        Priority::ALL.map(|class| self.line.len_of(class))
    }

    /// How many calls the rate has room for now; `u32::MAX` if there is no rate.
    pub(crate) fn remaining(&self) -> u32 {
        let Some(log) = &self.rate else { return u32::MAX };
        if self.ceilings.look_at().is_some() && self.ceilings.forget_others(log, self.now()) {
            self.look_at_the_rate_again();
        }
        let remaining = log.remaining_by(&|| self.now());
        if remaining > 0 || self.peek_rate().is_err() {
            return remaining;
        }
        // The look noticed that the clock jumped back, or time has passed.
        log.remaining_by(&|| self.now())
    }

    /// The period in which turns are counted now.
    pub(super) fn period(&self) -> u32 {
        self.grace.period(self.time.now())
    }

    /// The grace for calls that stand for a shared permit.
    pub(super) fn shared_grace(&self) -> Grace {
        let longest = self.concurrency.shared().map_or(Duration::ZERO, Semaphore::longest_claim);
        self.grace.with_sharers(longest)
    }

    /// The time for calls that stand for a shared permit.
    pub(super) fn ticks(&self) -> Ticks {
        self.shared_grace().ticks(self.time.now())
    }

    /// The clock, in ns.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.time.now().as_nanos()
    }

    /// Waiters' nodes in its semaphores that are not recycled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        self.line.nodes_in_use() + self.concurrency.shared().map_or(0, Semaphore::nodes_in_use)
    }

    /// Delays the sweep of the line until `dead` waiters have cancelled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, dead: u64) {
        self.line.sweep_at(dead);
    }

    /// An error if the call would queue pointlessly: a limit in its way can never let it pass.
    pub(super) fn check_satisfiable(&self, ask: &Ask) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        let refused = match self.peek_for(ask) {
            Err(busy) if busy.free_at.is_none() => busy.into(),
            _ => self.concurrency.escalate_if_permanent(Refused::until_released()),
        };
        // MUTANTS: check_satisfiable
        if refused.ends_the_wait() { Err(refused) } else { Ok(()) }
    }

    // ---- the rate ------------------------------------------------------------------------------

    /// Whether the rate admits a call now, and it is not paused. Claims nothing.
    pub(super) fn peek(&self) -> Result<Option<Reservation<'_>>, NotUntil> {
        self.check_pause()?;
        self.peek_rate()
    }

    /// The same, paused or not.
    #[inline]
    pub(super) fn peek_rate(&self) -> Result<Option<Reservation<'_>>, NotUntil> {
        self.with_fresh_clock(|log| log.peek(|| self.now(), &|| self.now()))
    }

    /// Stamps by the reading of the clock that `peek` made; by a new one if others stamped meanwhile.
    #[inline]
    pub(super) fn stamp_in(&self, reservation: Option<Reservation<'_>>) -> Result<Stamp, NotUntil> {
        match reservation.and_then(Reservation::take) {
            Some(stamp) => Ok(Stamp(stamp)),
            None => self.stamp_rate(),
        }
    }

    /// Records an admission by the rate, unless it is paused.
    pub(super) fn stamp(&self) -> Result<Stamp, NotUntil> {
        self.pass_pause()?;
        self.stamp_rate()
    }

    /// The same, paused or not.
    #[inline]
    pub(super) fn stamp_rate(&self) -> Result<Stamp, NotUntil> {
        let stamp =
            self.with_fresh_clock(|log| log.try_acquire_by(|| self.now(), &|| self.now()))?;
        Ok(Stamp(stamp.unwrap_or(0)))
    }

    /// Asks the log, again if the clock's reading was stale. `None` if there is no rate.
    #[inline]
    fn with_fresh_clock<'a, R>(
        &'a self,
        question: impl Fn(&'a Log) -> Result<R, LogFull>,
    ) -> Result<Option<R>, NotUntil> {
        let Some(log) = &self.rate else { return Ok(None) };
        let (mut readings, mut seen, mut has_forgotten) = (1, None, false);
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
                Err(busy) if self.ceilings.look_at().is_none() => return Err(busy.into()),
                // Once: by then the windows are longer than this takes.
                Err(busy)
                    if !has_forgotten && self.ceilings.forget_others(log, busy.reading.clock) =>
                {
                    has_forgotten = true;
                }
                Err(busy) => return Err(self.by_then(busy).into()),
            }
        }
    }

    /// When it is forgotten what others use, there is more room.
    #[cold]
    fn by_then(&self, busy: LogFull) -> LogFull {
        let now = busy.reading.clock;
        let look_at = self.ceilings.look_at().filter(|at| *at > now).unwrap_or(u64::MAX);
        LogFull { free_at: busy.free_at.map(|at| at.min(look_at)), ..busy }
    }

    /// The clock was read after the stamp `seen` was in the log. If the reading is far before that stamp, the
    /// clock has jumped back, and the log's time continues from its newest stamp.
    #[cold]
    fn notice_jump(&self, log: &Log, seen: u64, reading: Reading) {
        let back = Duration::from_nanos(seen.saturating_sub(reading.clock));
        // MUTANTS: notice_jump
        if back > JUMP {
            // What is known of others holds until a time from before the jump.
            self.ceilings.forget_all(log);
            // Wakes the first in line first, which sleeps until a time of the old log. After the move no thread can
            // notice the jump, so a stall in between would leave it asleep. Woken too early, it notices by itself.
            self.look_again();
            log.restart_time(reading.base);
        }
    }
}
