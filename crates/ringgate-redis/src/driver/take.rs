//! What an answer changes, and what none does.

use super::{Asked, Driver, timestamp, wakers};
use crate::link::{Link, News};
use crate::script::{Reply, StoreError, Trip};
use crate::status::StoreState;
use redis::ErrorKind;
use std::sync::Arc;

/// The first wait after a trip that failed, and after an answer that left something to wish for and told no time.
const FIRST_RETRY: u64 = 20_000;
const FIRST_MISS: u64 = 5_000;
const LONGEST_MISS: u64 = 500_000;
/// The same for slots while the store tells when some are free: news may be lost.
const FIRST_MISS_WITH_NEWS: u64 = 500_000;
const LONGEST_MISS_WITH_NEWS: u64 = 2_000_000;
/// How long anything waits for what may save a trip: news of room, which may be lost, or another trip that takes with it what others wait for.
pub(super) const LONGEST_PATIENCE: u64 = 500_000;
/// After so many answers that came too late the store counts as away.
const LATE_ANSWERS: u32 = 4;
/// The most leases of a limit that live at a time.
const LIVE_LEASES: usize = 7;

impl<L: Link> Driver<L> {
    pub(super) fn take(&mut self, trip: &Trip, reply: &Reply) -> Result<(), StoreError> {
        let now = self.read_clock();
        if self.session.epoch().is_some_and(|epoch| epoch != reply.epoch) {
            // It may have forgotten the pause.
            self.told_pause = None;
        }
        let Some(began) = self.session.complete(now, trip.seq, reply) else {
            let error = (ErrorKind::Io, "the clock has gone back, or has stood still");
            return self.fail(StoreError::Away(error.into()));
        };
        self.end_share();
        self.note_whether_news_come(trip, reply);
        (self.failures, self.retry_at, self.pushed) = (0, 0, None);
        self.took = now.saturating_sub(began);
        if self.refuses {
            self.refuse_all(false);
        }
        self.processes = reply.processes.max(1);
        self.take_slots(trip, reply, began);
        self.take_grants(trip, reply, began);
        self.note_whether_the_first_has_all(trip, reply);
        self.take_pause(trip.pause, reply);
        self.plan_to_ask_again(trip, reply);
        if trip.leave {
            (self.joined, self.asked, self.busy_at) = (false, None, self.now);
            self.was_told = false;
            self.session.rename(self.random.next());
        }
        let epoch = reply.epoch;
        let is_slow = self.took >= self.settings.lease;
        self.back_off(is_slow);
        let is_late = self.late_answers >= LATE_ANSWERS;
        self.tell(|status| {
            status.store = if is_late { StoreState::Late } else { StoreState::Connected };
            status.epoch = Some(epoch);
            status.processes = reply.processes;
            status.is_quiet = reply.quiet > 0;
            status.is_share = false;
            status.is_slow = is_slow;
        });
        Ok(())
    }

    fn take_grants(&mut self, trip: &Trip, reply: &Reply, began: u64) {
        let until = began.saturating_add(self.settings.lease);
        let has_strays = self.has_strays(trip.in_flight);
        if has_strays {
            self.reclaim_all();
        }
        for (n, granted) in reply.windows.iter().enumerate() {
            self.lessee.tell_used(n, granted.used);
            let want = trip.asks.get(n).map_or(0, |ask| ask.want.max(ask.need));
            let Some(window) = self.limits.get_mut(n) else { return };
            window.wanted = granted.wanted;
            let amount = if has_strays { 0 } else { granted.amount.min(want) };
            // Calls in line take of it at once.
            let mut all = self.lessee.left(n);
            if let Some(lease) = wakers::grant(&mut self.lessee, n, amount, until) {
                self.session.leased(n, lease);
                window.leased(until);
                all = all.saturating_add(amount);
                if window.unsettled > 0 {
                    self.settled_at = self.now.saturating_add(window.unsettled);
                }
            }
            window.left = self.lessee.left(n);
            window.flow.now_left(all);
            self.lessee.set_mark(n, super::plan::mark_of(window.flow.ahead()));
        }
    }

    /// Whether all that the first call needed has come.
    fn note_whether_the_first_has_all(&mut self, trip: &Trip, reply: &Reply) {
        self.in_vain = trip.waited > 0 && has_its_leases(trip, reply);
    }

    /// When to make the next trip for what was not granted.
    fn plan_to_ask_again(&mut self, trip: &Trip, reply: &Reply) {
        let lacks_slots = trip.slots.need > reply.slots;
        let lacks = |(ask, granted): (&crate::script::Ask, &crate::script::Granted)| {
            granted.amount < ask.need.max(ask.least)
        };
        let lacks_room = trip.asks.iter().zip(&reply.windows).any(lacks);
        let mut asks = trip.asks.iter().zip(&reply.windows);
        let lacks_ahead = asks.any(|(ask, granted)| granted.amount < ask.want);
        let is_shut = reply.quiet > 0 || reply.paused > 0;
        if trip.apart || !(lacks_slots || lacks_room || lacks_ahead || is_shut) {
            self.misses = 0;
            self.asked = None;
            return;
        }
        let holds_back = trip.waited > 0 && (lacks_slots || lacks_room);
        let told = match reply.retry {
            Some(0) => None,
            Some(retry) => Some(retry),
            None => Some(self.heartbeat()),
        };
        // It tells those that are in line.
        let is_told = self.hears && trip.waited > 0 && !(lacks_room || lacks_ahead || is_shut);
        let waits = told.unwrap_or_else(|| self.miss(is_told));
        if told.is_some() {
            self.misses = 0;
        }
        let at = self.now;
        let told_at = at.saturating_add(waits.max(self.least_wait(trip, reply)));
        // The trips of those before tell the next one. It comes by itself if they do not: room may come while nobody makes one.
        let waits_for_news = reply.is_behind && self.was_told;
        let patience = if waits_for_news { self.patience() } else { 0 };
        let waits_until = told_at.saturating_add(patience);
        let again_at = waits_until.max(at.saturating_add(self.ahead_waits(trip, reply)));
        let asks = trip.asks.iter().zip(&reply.windows);
        let least = asks.map(|(ask, granted)| match granted.amount {
            amount if amount < ask.least => ask.least,
            // The next call waits for the time that was told, whatever it needs.
            amount if amount < ask.need => 1,
            amount if amount < ask.want && granted.wanted > 0 => 1,
            // What lacked nothing may be asked for whenever more is needed.
            _ => 0,
        });
        let least = least.collect();
        let lacks_any = lacks_room || lacks_ahead || is_shut;
        self.asked = Some(Asked {
            least,
            holds_back,
            waits_for_news,
            at,
            again_at: if lacks_any { again_at } else { 0 },
            told_at: if lacks_any { told_at } else { 0 },
            slots_at: if lacks_slots || is_shut { waits_until } else { 0 },
        });
        self.tell_when(trip, reply, told.map(|_| told_at));
    }

    /// Tells calls when there may be room, if the store has told.
    fn tell_when(&mut self, trip: &Trip, reply: &Reply, at: Option<u64>) {
        for (n, (ask, granted)) in trip.asks.iter().zip(&reply.windows).enumerate() {
            let lacks = granted.amount < ask.want;
            self.lessee.not_before(n, at.filter(|_| lacks).map(timestamp));
            if lacks {
                // It rings for nothing before that.
                self.lessee.set_mark(n, 0);
            }
        }
    }

    /// Room comes in pieces, and others take some of it: not for each of them a trip. Who was just served while others wait lines up again a lease
    /// later.
    fn least_wait(&self, trip: &Trip, reply: &Reply) -> u64 {
        let mut asks = trip.asks.iter().zip(&reply.windows);
        let was_refused = asks.any(|(ask, granted)| granted.amount < ask.least);
        let others_wait = reply.windows.iter().any(|granted| granted.wanted > 0);
        if others_wait && !was_refused { self.settings.lease } else { self.settings.lease / 5 }
    }

    /// Nobody waits for what is taken ahead. If some of it came, the next lease is to come before that one ends.
    fn ahead_waits(&self, trip: &Trip, reply: &Reply) -> u64 {
        match () {
            () if trip.waited > 0 => 0,
            () if reply.windows.iter().all(|granted| granted.amount == 0) => self.settings.lease,
            () => self.settings.lease / 2,
        }
    }

    /// How much longer than it was told it waits for news.
    fn patience(&self) -> u64 {
        (self.settings.lease / 2).min(LONGEST_PATIENCE)
    }

    /// It has waited for news in vain: the next time it does not, until some come again.
    pub(super) fn note_whether_room_is_told(&mut self) {
        let waited = self.asked.as_ref();
        let waited = waited.is_some_and(|asked| asked.waits_for_news && self.now >= asked.again_at);
        if waited && self.pushed != Some(News::Room) {
            self.was_told = false;
        }
    }

    /// Trips that bring nothing of use become rarer, and calls are told.
    fn back_off(&mut self, is_slow: bool) {
        self.late_answers = if is_slow { self.late_answers.saturating_add(1) } else { 0 };
        if self.late_answers > 1 {
            let waits = (FIRST_RETRY << self.late_answers.min(12)).min(self.heartbeat());
            self.retry_at = self.now.saturating_add(self.random.spread(waits));
            for n in 0..self.limits.len() {
                self.lessee.not_before(n, Some(timestamp(self.retry_at)));
            }
        }
    }

    /// The next wait if no time is known: twice the last one, up to two seconds or a heartbeat.
    fn miss(&mut self, is_told: bool) -> u64 {
        let (first, longest) = if is_told {
            (FIRST_MISS_WITH_NEWS, LONGEST_MISS_WITH_NEWS)
        } else {
            (FIRST_MISS, LONGEST_MISS)
        };
        let waits = first << self.misses.min(12);
        self.misses = self.misses.saturating_add(1);
        self.random.spread(waits.min(longest).min(self.heartbeat()))
    }

    pub(super) fn fail(&mut self, error: StoreError) -> Result<(), StoreError> {
        let now = self.read_clock();
        self.session.abandon();
        (self.pushed, self.hears, self.was_told) = (None, false, false);
        self.asked = None;
        self.failures = self.failures.saturating_add(1);
        let is_temporary = may_pass(&error);
        let waits = if is_temporary {
            if self.refuses {
                // What it refused for may be over: calls wait, or use the share.
                self.refuse_all(false);
            }
            let longest = self.heartbeat().min(2_000_000);
            (FIRST_RETRY << self.failures.min(12)).min(longest)
        } else {
            self.refuse_all(true);
            self.heartbeat()
        };
        self.retry_at = now.saturating_add(self.random.spread(waits));
        let error = Arc::new(error);
        let told = Arc::clone(&error);
        self.tell(|status| {
            status.failed_trips += 1;
            status.store =
                if is_temporary { StoreState::Away(told) } else { StoreState::Failed(told) };
        });
        Err(Arc::unwrap_or_clone(error))
    }
}

/// Whether the first call in line got all that it lacked.
pub(super) fn has_its_leases(trip: &Trip, reply: &Reply) -> bool {
    let mut asks = trip.asks.iter().zip(&reply.windows);
    trip.asks.iter().any(|ask| ask.least > 0)
        && asks.all(|(ask, granted)| granted.amount >= ask.least)
}

/// Whether the next trip may do better without anybody's help.
fn may_pass(error: &StoreError) -> bool {
    match error {
        // A later trip has arrived: it is this one, repeated on its way.
        StoreError::Stale => true,
        StoreError::Other(error) => {
            let is_wrong = matches!(
                error.kind(),
                ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig
            );
            !is_wrong && !matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        }
        error => error.is_temporary(),
    }
}

impl super::Window {
    pub(super) fn leased(&mut self, until: u64) {
        if self.ends.len() == LIVE_LEASES {
            self.ends.pop_front();
        }
        self.ends.push_back(until);
    }
}
