//! When the next trip is due.

use super::take::LONGEST_PATIENCE;
use super::{Driver, GAP, Window};
use crate::link::{Link, News};
use crate::script::Ask;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Trip,
    /// Nothing until then, if nothing changes.
    At(u64),
    /// Nothing until something changes.
    Idle,
    Over,
}

/// While a limiter that is closed has calls in flight, or while others wait for slots that are in use, it looks so often whether they
/// have ended. That makes no trips.
const LOOKS: u64 = 10_000;

/// While the store keeps something free for calls in line, it looks so often whether they have left; and while all slots are in use,
/// whether a call has ended.
const LINE_LOOKS: u64 = 50_000;

/// What comes back waits for another trip while so many leases last.
const UNUSED_WAITS: u64 = 4;

/// What calls wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hunger {
    pub(super) windows: bool,
    pub(super) slots: bool,
}

impl Hunger {
    pub(super) fn any(self) -> bool {
        self.windows || self.slots
    }
}

impl<L: Link> Driver<L> {
    pub(super) fn plan(&mut self) -> Plan {
        let is_closed = self.lessee.limiter().is_closed();
        if is_closed && self.in_flight == 0 && (!self.joined || self.gives_up()) {
            return Plan::Over;
        }
        let mut next = Earliest(None);
        if let Some(due) = self.due(is_closed) {
            let due = due.max(self.retry_at).max(self.began.map_or(0, |began| began + GAP));
            if due <= self.now {
                return Plan::Trip;
            }
            next.at(due);
        }
        self.wakes(&mut next, is_closed);
        next.0.map_or(Plan::Idle, |at| Plan::At(at.max(self.now + 1)))
    }

    /// A store that does not answer will find out by itself that the process has gone.
    fn gives_up(&self) -> bool {
        self.failures >= 3
    }

    /// The earliest reason for a trip.
    fn due(&mut self, is_closed: bool) -> Option<u64> {
        let mut due = Earliest(None);
        let hunger = self.hunger();
        match self.pushed {
            Some(News::Pause) if self.joined && !is_closed => due.at(self.now),
            // It keeps something free until it hears of this process, also if no call waits any more.
            Some(News::Room) if (hunger.any() || self.told_line()) && !is_closed => {
                due.at(self.now);
            }
            _ => self.pushed = None,
        }
        if self.has_pause_to_tell() {
            due.at(self.now);
        }
        if is_closed {
            if !self.is_busy() {
                due.at(self.now);
            }
        } else {
            if hunger.windows || self.is_low() {
                due.at(self.asks_again_at());
            }
            if self.lacks_for_tries() {
                due.at(self.asked.as_ref().map_or(self.now, |asked| asked.told_at.max(self.now)));
            }
            if hunger.slots || self.lacks_a_slot() {
                due.at(self.asks_for_slots_at());
            }
        }
        if let Some(renews) = self.renews_at().filter(|_| !is_closed) {
            due.at(renews.max(self.asks_again_at()));
        }
        if self.drained_slots() > 0 || self.line_has_gone() {
            due.at(self.now);
        }
        self.due_by_time(&mut due);
        due.0
    }

    fn due_by_time(&mut self, due: &mut Earliest) {
        let heartbeat = self.heartbeat();
        let began = self.began.unwrap_or(0);
        if self.refuses {
            due.at(began.saturating_add(heartbeat));
        }
        if !self.joined {
            return;
        }
        if self.is_busy() || self.now < self.settled_at {
            due.at(began.saturating_add(heartbeat));
        } else if self.failures == 0 {
            due.at(self.leaves_at());
        }
        if self.limits.iter().all(|window| window.ends.is_empty()) {
            self.collect_unused();
            if !self.unused.is_empty() && self.failures == 0 {
                // They go with a trip that is made anyway, if there is one.
                let is_wanted = self.limits.iter().any(|window| window.wanted > 0);
                let lease = self.settings.lease;
                let waits =
                    if is_wanted { lease.min(LONGEST_PATIENCE) } else { UNUSED_WAITS * lease };
                due.at(began.saturating_add(waits));
            }
        }
    }

    /// When it gives back all it has if it stays idle.
    pub(super) fn leaves_at(&self) -> u64 {
        let idle = self.heartbeat().max(2 * self.settings.lease);
        self.busy_at.saturating_add(idle).max(self.settled_at)
    }

    pub(super) fn heartbeat(&self) -> u64 {
        self.session.terms().time_to_live / 3
    }

    /// Whether calls are in line or in flight, or hold what they may use.
    pub(super) fn is_busy(&self) -> bool {
        let is_held = |window: &Window| window.is_held;
        self.waiters > 0 || self.in_flight > 0 || self.limits.iter().any(is_held)
    }

    /// What calls in line wait for that a trip may bring.
    pub(super) fn hunger(&self) -> Hunger {
        if self.waiters == 0 || self.is_held_back() || self.refuses {
            return Hunger::default();
        }
        // Who has what the first needs asks for the others' when that has gone, unless more was refused before.
        let misses = || self.limits.iter().any(|window| self.need_of(window) > window.left);
        let misses = self.first_misses() || self.asked.is_some() && misses();
        let windows = misses && !self.waits_for_slots();
        Hunger { windows, slots: self.lacks_slots() }
    }

    /// Whether the first call in line lacks leases.
    pub(super) fn first_misses(&self) -> bool {
        self.limits.iter().any(|window| window.first > window.left)
    }

    /// Whether it makes trips for what no call waits for: several of them go while a lease lasts, and others do not wait for it.
    fn takes_ahead(&self) -> bool {
        self.calls_ahead() > 1 && self.limits.iter().all(|window| window.wanted == 0)
    }

    /// How many calls go while a lease lasts, about. There is always a limit on requests.
    fn calls_ahead(&self) -> u64 {
        let rates = self.limits.iter().filter(|window| window.is_rate);
        rates.map(|window| window.flow.ahead()).max().unwrap_or(0)
    }

    /// How many calls the limiter lets be in flight by itself.
    pub(super) fn level(&self) -> u64 {
        super::count(self.lessee.limiter().concurrency_limit())
    }

    /// How many calls in line could go while a lease lasts, about, if there were leases and slots. One at least asks: it lines up at a
    /// shared semaphore only by its leases.
    pub(super) fn may_go(&self) -> u64 {
        super::count(self.lessee.may_go()).saturating_add(self.calls_ahead()).max(1)
    }

    /// Whether less is left than calls will take soon.
    fn is_low(&self) -> bool {
        let is_low = |window: &Window| {
            let mark = mark_of(window.flow.ahead()).min(window.limit);
            window.flow.flows() && window.left < mark
        };
        !self.is_shut() && self.takes_ahead() && self.limits.iter().any(is_low)
    }

    /// Whether less is left than was refused to tries.
    fn lacks_for_tries(&self) -> bool {
        !self.is_shut() && self.limits.iter().any(|window| window.left < window.tried)
    }

    /// Whether no call may go, whatever a trip brings.
    fn is_shut(&self) -> bool {
        self.is_paused() || self.refuses
    }

    /// When leases end that are being used. Where a lease ends before the next call comes, that makes a trip itself.
    fn renews_at(&self) -> Option<u64> {
        if self.is_shut() || !self.takes_ahead() {
            return None;
        }
        let lead = self.lead();
        let used =
            self.limits.iter().filter(|window| window.flow.flows() && window.flow.ahead() > 0);
        used.filter_map(Window::until).map(|until| until.saturating_sub(lead)).min()
    }

    /// How long before the end of a lease the next one is asked for.
    pub(super) fn lead(&self) -> u64 {
        (self.settings.lease / 8).min(2 * self.took + GAP)
    }

    /// Not before what the last answer told, unless something else is needed now.
    fn asks_again_at(&self) -> u64 {
        let Some(asked) = &self.asked else { return self.now };
        let mut at = asked.again_at;
        if self.hunger().windows {
            let (mut fits, mut lacks_others) = (Earliest(None), false);
            for (window, &told) in self.limits.iter().zip(&asked.least) {
                match window.need().least {
                    0 => {}
                    least if told > 0 => fits.at(asked.may_fit_at(least, told)),
                    // The store does not know that anybody waits for it, or for so much.
                    _ if !asked.holds_back || window.first > window.first_told => return self.now,
                    _ => lacks_others = true,
                }
            }
            at = match fits.0 {
                Some(fits) => at.min(fits),
                // Nothing of what it needs was refused.
                None if lacks_others => self.now,
                None => at,
            };
        }
        at.max(self.now)
    }

    fn asks_for_slots_at(&self) -> u64 {
        // Its calls have come since, and are not in the store's line.
        let asked = self.asked.as_ref().filter(|asked| asked.holds_back || self.waiters == 0);
        asked.map_or(self.now, |asked| asked.slots_at.max(self.now))
    }

    /// The store keeps something free for calls that are not in line any more.
    fn line_has_gone(&self) -> bool {
        self.waiters == 0 && self.told_line()
    }

    fn told_line(&self) -> bool {
        self.failures == 0 && self.asked.as_ref().is_some_and(|asked| asked.holds_back)
    }

    /// When something is to be looked at while a trip is under way.
    pub(super) fn wakes_in_trip(&self, next: &mut Earliest) {
        if self.slots > 0 && self.share.is_none() {
            next.at(self.slots_until);
        }
        self.share_wakes(next);
    }

    /// When something is to be looked at again, without a trip.
    fn wakes(&self, next: &mut Earliest, is_closed: bool) {
        if self.slots > 0 && self.share.is_none() {
            next.at(self.slots_until);
        }
        if self.waiters > 0 {
            let ends = self.limits.iter().filter_map(|window| window.ends.front());
            ends.for_each(|&ends| next.at(ends));
            if let Some(over) = self.pause_ends() {
                next.at(over);
            }
            let turn = self.next_turn().map(|turn| turn.saturating_sub(self.lead()));
            if let Some(turn) = turn.filter(|&turn| turn > self.now) {
                next.at(turn);
            }
        }
        if self.limits.iter().any(|window| window.left > 0) {
            self.limits.iter().filter_map(Window::until).for_each(|until| next.at(until));
        }
        if is_closed && self.is_busy() || self.had_slots > self.slots {
            next.at(self.now + LOOKS);
        }
        if self.has_a_turn() {
            let idle = self.idle_until().max(self.now + LINE_LOOKS);
            next.at(if self.waiters > 0 { self.now + LOOKS } else { idle });
        }
        // Nobody tells that a call has ended if the first in line lacks a lease.
        let waits_for_an_end = self.waiters > 0 && self.in_flight > 0 && self.first_misses();
        if self.told_line() || waits_for_an_end && self.waits_for_slots() {
            next.at(self.now + LINE_LOOKS);
        }
        self.share_wakes(next);
    }
}

impl super::Asked {
    /// When so much may fit, if `told` fits at the time that was told. Room comes bit by bit: less fits earlier, about in proportion.
    fn may_fit_at(&self, least: u64, told: u64) -> u64 {
        if least >= told {
            return self.again_at;
        }
        let wait = u128::from(self.told_at.saturating_sub(self.at));
        let wait = wait * u128::from(least) / u128::from(told);
        self.at.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

impl Window {
    /// When the newest lease ends.
    pub(super) fn until(&self) -> Option<u64> {
        self.ends.back().copied()
    }

    /// What is missing for the calls in line, of all of them and of the first.
    pub(super) fn need(&self) -> Ask {
        let need = self.in_line.max(self.first).min(self.limit).saturating_sub(self.left);
        let least = self.first.saturating_sub(self.left);
        Ask { least, need, want: need }
    }
}

/// Less than this left is a reason to ask.
pub(super) fn mark_of(ahead: u64) -> u64 {
    ahead / 2
}

/// The earliest of times.
#[derive(Debug)]
pub(super) struct Earliest(pub(super) Option<u64>);

impl Earliest {
    pub(super) fn at(&mut self, at: u64) {
        self.0 = Some(self.0.map_or(at, |before| before.min(at)));
    }
}
