//! A window of tokens for a single thread: the list of all that has been counted, in ticks.
//!
//! It is written from the documentation of `RawTokens`, and counts in whole ticks as that says.

use crate::raw::tokens::Refusal;

/// What has been counted in a tick.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Entry {
    /// Tells admissions apart.
    id: u64,
    tick: i128,
    amount: u64,
}

/// Ticks are numbered from `origin` on, which has number 0.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plain {
    pub(crate) limit: u64,
    window: u64,
    /// Ticks in a window, and before everything, at most.
    per_window: u64,
    shortest: u64,
    block: u64,
    origin: i128,
    /// The clock is behind by this.
    offset: i128,
    head: i128,
    entries: Vec<Entry>,
    next_id: u64,
    /// How often the ticks have been numbered anew.
    pub(crate) restarts: u32,
}

/// Why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    Until(u64),
    Never,
}

impl From<Refusal> for Full {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Until(time) => Self::Until(time.as_nanos()),
            Refusal::Held | Refusal::TooLarge { .. } => Self::Never,
        }
    }
}

impl Plain {
    pub(crate) fn new(
        limit: u64,
        window: u64,
        (per_window, shortest, block): (u64, u64, u64),
    ) -> Self {
        Self {
            limit,
            window,
            per_window,
            shortest,
            block,
            origin: 0,
            offset: 0,
            head: 0,
            entries: Vec::new(),
            next_id: 0,
            restarts: 0,
        }
    }

    fn tick_length(&self) -> i128 {
        i128::from(self.window.div_ceil(self.per_window).max(self.shortest))
    }

    /// Ticks in which something counts.
    fn ticks(&self) -> i128 {
        (i128::from(self.window) + self.tick_length() - 1) / self.tick_length() + 1
    }

    fn tick(&self, now: u64) -> i128 {
        let time = i128::from(now) + self.offset;
        (time - self.origin).div_euclid(self.tick_length()).max(self.head)
    }

    fn clock_at(&self, tick: i128) -> u64 {
        u64::try_from((self.origin + tick * self.tick_length() - self.offset).max(0)).unwrap()
    }

    fn end(&self, tick: i128) -> i128 {
        self.origin + (tick + 1) * self.tick_length() - 1
    }

    /// What counts after this tick has left.
    fn after(&self, tick: i128) -> u64 {
        self.entries.iter().filter(|entry| entry.tick > tick).map(|entry| entry.amount).sum()
    }

    fn used(&self, now: u64) -> u64 {
        self.after(self.tick(now) - self.ticks())
    }

    pub(crate) fn remaining(&self, now: u64) -> u64 {
        self.limit.saturating_sub(self.used(now))
    }

    pub(crate) fn peek(&self, now: u64, weight: u64, held: u64) -> Result<(), Full> {
        if weight > self.limit.saturating_sub(held) {
            return Err(Full::Never);
        }
        let fits = |tick| held + self.after(tick) + weight <= self.limit;
        if fits(self.tick(now) - self.ticks()) {
            return Ok(());
        }
        let mut ticks: Vec<_> = self.entries.iter().map(|entry| entry.tick).collect();
        ticks.sort_unstable();
        let last = ticks.into_iter().find(|tick| fits(*tick)).unwrap();
        Err(Full::Until(self.clock_at(last + self.ticks())))
    }

    /// Returns its stamp, and what tells it apart.
    pub(crate) fn admit(&mut self, now: u64, weight: u64) -> Result<(u64, u64), Full> {
        self.peek(now, weight, 0)?;
        let tick = self.tick(now);
        Ok((now.max(self.clock_at(tick)), self.count(now, weight)))
    }

    /// Time moves on; false if it is as late already.
    #[cfg(ringgate_shuttle)]
    pub(crate) fn enter(&mut self, now: u64) -> bool {
        let before = self.head;
        self.head = self.tick(now);
        self.head != before
    }

    pub(crate) fn count(&mut self, now: u64, amount: u64) -> u64 {
        self.head = self.tick(now);
        self.next_id += 1;
        self.entries.push(Entry { id: self.next_id, tick: self.head, amount });
        self.next_id
    }

    pub(crate) fn settle(&mut self, now: u64, id: u64, weight: u64, actual: u64) {
        if actual > weight {
            self.count(now, actual - weight);
            return;
        }
        let earliest = self.tick(now) - self.ticks();
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id)
            && entry.tick > earliest
        {
            entry.amount -= weight - actual;
        }
        self.forget();
    }

    /// What no window can hold any more.
    fn forget(&mut self) {
        let kept = self.head - self.remembered();
        self.entries.retain(|entry| entry.tick > kept && entry.amount > 0);
    }

    /// A longer window counts what is remembered: a wheel without a block.
    fn remembered(&self) -> i128 {
        let slots = u64::try_from(self.ticks()).unwrap() + self.block;
        i128::from(slots.next_power_of_two() - self.block)
    }

    /// Ticks are numbered anew for other units, too.
    pub(crate) fn set(&mut self, limit: u64, window: u64, has_other_units: bool) {
        self.limit = limit;
        if window != self.window || has_other_units {
            self.restart(window, self.offset);
        }
    }

    /// Time goes on from the head's tick, if the clock is behind that.
    pub(crate) fn restart_time(&mut self, now: u64) {
        let latest = self.end(self.head);
        if i128::from(now) + self.offset < latest {
            self.restart(self.window, latest - i128::from(now));
        }
    }

    /// Ticks are numbered anew from `now` on where 31 bits do not suffice.
    pub(crate) fn renew(&mut self, now: u64) {
        let slots = u64::try_from(self.ticks()).unwrap() + self.block;
        if self.tick(now) + 6 * i128::from(slots.next_power_of_two())
            > i128::from((1_u32 << 31) - 1)
        {
            self.restart_at(i128::from(now) + self.offset, self.window, self.offset);
        }
    }

    fn restart(&mut self, window: u64, offset: i128) {
        self.restart_at(self.end(self.head), window, offset);
    }

    fn restart_at(&mut self, origin: i128, window: u64, offset: i128) {
        self.forget();
        let ends: Vec<_> = self.entries.iter().map(|entry| self.end(entry.tick)).collect();
        self.origin = origin;
        self.restarts += 1;
        (self.window, self.offset, self.head) = (window, offset, 0);
        let length = self.tick_length();
        for (entry, end) in self.entries.iter_mut().zip(ends) {
            entry.tick = (end - self.origin).div_euclid(length);
        }
        // The new wheel has no slots for the rest.
        let kept = -self.ticks();
        self.entries.retain(|entry| entry.tick > kept);
    }
}
