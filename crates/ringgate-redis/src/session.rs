//! A process in the eyes of the store: which trip is under way, what it may believe of the last answer, and until when.
//!
//! It has no connection and no clock, and the leases themselves are in the limiter. One trip is under way at a time. All times are in
//! microseconds of one clock of this process that never goes back. Where that begins does not matter.

use crate::script::{Ask, DRIFT, MOST_RETURNS, Pause, Reply, Return, SlotAsk, Tally, Terms, Trip};
use std::collections::VecDeque;

/// What a request may take to arrive. What the store's clock steps by less than this and the time of a trip is not noticed.
const ON_ITS_WAY: u64 = 200_000;

/// A share is believed only if its answer took no longer.
const SHARE_BELIEVED: u64 = 1_000_000;

/// The most leases of a window whose time of grant is known. What is given back of older ones counts until it leaves.
const REMEMBERED: usize = 512;

/// What the calls of a process need, and what they have used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Of each window.
    pub(crate) asks: Vec<Ask>,
    /// `used` and `held` of each window.
    pub(crate) tallies: Vec<(u64, u64)>,
    pub(crate) slots: SlotAsk,
    /// How many slots calls in flight hold.
    pub(crate) in_flight: u64,
    /// For how long the first call in line has waited. Zero if there is none.
    pub(crate) waited: u64,
    pub(crate) pause: Pause,
    pub(crate) leave: bool,
}

/// What goes back: of which window, of which of its leases, how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) window: usize,
    pub(crate) lease: u64,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, Copy)]
struct Granted {
    lease: u64,
    /// By the limit's time.
    at: u64,
    epoch: u64,
}

/// The last answer.
#[derive(Debug, Clone, Copy)]
struct Known {
    epoch: u64,
    steps: u64,
    now: u64,
    came_at: u64,
    took: u64,
}

#[derive(Debug, Clone)]
struct UnderWay {
    seq: u64,
    began: u64,
    leave: bool,
    used: Vec<u64>,
}

/// When a process whose store is away uses a share of the limits by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fallback {
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    /// Millionths of each limit.
    pub(crate) share: u64,
}

#[derive(Debug)]
pub(crate) struct Session {
    process: u64,
    terms: Terms,
    seq: u64,
    acked: u64,
    under_way: Option<UnderWay>,
    known: Option<Known>,
    /// Of each window, the newest last.
    granted: Vec<VecDeque<Granted>>,
    /// Of each window, as the last answered trip told.
    used_acked: Vec<u64>,
    /// When the last trip began that has an answer, unless it has left by it.
    answered: Option<u64>,
    /// When the last trip began in which it was not apart, or that it has an answer to.
    joined: Option<u64>,
    share: u64,
    assumes_unused: bool,
}

impl Session {
    /// A process of a random number that has not been used before.
    pub(crate) fn new(process: u64, terms: Terms, assumes_unused: bool) -> Self {
        let windows = terms.windows.len();
        Self {
            process,
            seq: 0,
            acked: 0,
            under_way: None,
            known: None,
            granted: vec![VecDeque::new(); windows],
            used_acked: vec![0; windows],
            answered: None,
            joined: None,
            share: 0,
            assumes_unused,
            terms,
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.known.map(|known| known.epoch)
    }

    /// Begins a trip. `next_epoch` is a random number. What goes back above [`MOST_RETURNS`] is left in `unused`.
    ///
    /// What goes with a trip that fails is lost, whether it has arrived or not: told twice it would be too much.
    pub(crate) fn begin(
        &mut self,
        now: u64,
        demand: &Demand,
        unused: &mut Vec<Unused>,
        next_epoch: u64,
    ) -> Trip {
        self.seq += 1;
        let apart = self.is_apart(now);
        if !apart {
            self.joined = Some(now);
        }
        if demand.leave {
            // Once the store has it, others have its share.
            self.share = 0;
        }
        let used = demand.tallies.iter().map(|&(used, _)| used).collect();
        self.under_way = Some(UnderWay { seq: self.seq, began: now, leave: demand.leave, used });
        let (vouched, slack, steps) = self.vouched(now);
        Trip {
            process: self.process,
            seq: self.seq,
            acked: self.acked,
            acked_at: self.acked_at(),
            epoch: self.epoch(),
            next_epoch,
            vouched,
            slack,
            steps,
            waited: demand.waited,
            pause: demand.pause,
            leave: demand.leave,
            apart,
            fallback: if self.share_counts(now) { self.share } else { 0 },
            unused: self.assumes_unused && self.known.is_none(),
            slots: demand.slots,
            in_flight: demand.in_flight,
            asks: demand.asks.clone(),
            tallies: self.tallies(demand),
            returns: self.returns(unused),
        }
    }

    /// Whether the store may take it for silent, and may count on it to use its share by itself.
    fn is_apart(&self, now: u64) -> bool {
        let is_late = |answered| now > self.terms.time_to_live.saturating_add(answered);
        self.terms.fallback.is_some() && self.answered.is_some_and(is_late)
    }

    /// The limit's time of the last answer, while this process goes by the same number.
    fn acked_at(&self) -> u64 {
        self.known.filter(|_| self.acked > 0).map_or(0, |known| known.now)
    }

    fn vouched(&self, now: u64) -> (u64, u64, u64) {
        let Some(known) = self.known else { return (0, 0, 0) };
        let passed = now.saturating_sub(known.came_at);
        // This clock may be faster than true time, and the store's slower.
        let vouched = known.now.saturating_add(passed - passed / DRIFT);
        let slack = known.took.saturating_add(ON_ITS_WAY).saturating_add(2 * (passed / DRIFT));
        (vouched, slack, known.steps)
    }

    /// The store knows that this process has left. It comes back as another one: trips of the old one that are still on their way then
    /// say nothing of it.
    pub(crate) fn rename(&mut self, process: u64) {
        (self.process, self.seq, self.acked) = (process, 0, 0);
    }

    fn tallies(&self, demand: &Demand) -> Vec<Tally> {
        let tallies = demand.tallies.iter().zip(&self.used_acked);
        tallies.map(|(&(used, held), &used_acked)| Tally { used, used_acked, held }).collect()
    }

    fn returns(&self, unused: &mut Vec<Unused>) -> Vec<Return> {
        let mut returns = Vec::new();
        let mut looked_at = 0;
        for back in unused.iter() {
            if returns.len() == MOST_RETURNS {
                break;
            }
            looked_at += 1;
            returns.extend(self.granted_at(back).map(|granted_at| Return {
                window: back.window,
                granted_at,
                amount: back.amount,
            }));
        }
        unused.drain(..looked_at);
        returns
    }

    /// None if the store does not know of it: it is of another epoch, or was granted by this process itself.
    fn granted_at(&self, back: &Unused) -> Option<u64> {
        let granted = self.granted.get(back.window)?;
        let granted = granted.iter().rev().find(|granted| granted.lease == back.lease)?;
        (self.epoch() == Some(granted.epoch)).then_some(granted.at)
    }

    /// Takes the answer to the trip that is under way; tells when that began. None if it is not the answer to that.
    pub(crate) fn complete(&mut self, now: u64, seq: u64, reply: &Reply) -> Option<u64> {
        let is_its_answer = self.under_way.as_ref().is_some_and(|trip| trip.seq == seq);
        if !is_its_answer || reply.windows.len() != self.terms.windows.len() {
            return None;
        }
        let trip = self.under_way.take()?;
        self.acked = seq;
        self.used_acked = trip.used;
        self.known = Some(Known {
            epoch: reply.epoch,
            steps: reply.steps,
            now: reply.now,
            came_at: now,
            took: now.saturating_sub(trip.began),
        });
        let is_believed = !trip.leave && now.saturating_sub(trip.began) < SHARE_BELIEVED;
        self.share = if is_believed { reply.fallback.min(1_000_000) } else { 0 };
        self.answered = (!trip.leave).then_some(trip.began);
        self.joined = self.joined.max(Some(trip.began));
        Some(trip.began)
    }

    /// The answer to the trip that is under way is not waited for any more.
    pub(crate) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// The limiter has made a lease of what the last answer has granted.
    pub(crate) fn leased(&mut self, window: usize, lease: u64) {
        if let (Some(known), Some(granted)) = (self.known, self.granted.get_mut(window)) {
            if granted.len() == REMEMBERED {
                granted.pop_front();
            }
            granted.push_back(Granted { lease, at: known.now, epoch: known.epoch });
        }
    }

    /// Its clock has gone back: what it knows of times is worth nothing.
    pub(crate) fn forget_times(&mut self) {
        if let Some(known) = &mut self.known {
            // Steps that are no answer's are not believed.
            (known.came_at, known.now, known.took) = (u64::MAX, 0, 0);
        }
        (self.under_way, self.answered, self.joined, self.share) = (None, None, None, 0);
    }

    /// The share, if it has one. It begins when all that others could have been granted in its place has left the windows, and ends
    /// before the store takes it for gone.
    ///
    /// Not before so long `after` the last answer.
    pub(crate) fn fallback(&self, after: u64) -> Option<Fallback> {
        let begins = self.terms.share_begins(self.joined?)?.saturating_add(1);
        let begins = begins.max(self.answered?.saturating_add(after));
        let ends = self.ends()?;
        (self.share > 0 && begins < ends).then_some(Fallback { begins, ends, share: self.share })
    }

    fn ends(&self) -> Option<u64> {
        self.terms.share_ends(self.answered?)
    }

    /// Whether what it may have used by itself still counts.
    fn share_counts(&self, now: u64) -> bool {
        let until = self.answered.and_then(|answered| self.terms.share_counts_until(answered));
        until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests;
