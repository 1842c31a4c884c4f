//! A process of a history, by the rules for processes: what it tells, and what it uses by itself while it is cut off.

use ringgate_redis::script::{Reply, Return, Tally, Terms, Trip};

#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) seq: u64,
    pub(crate) acked: u64,
    pub(crate) epoch: Option<u64>,
    pub(crate) steps: u64,
    pub(crate) acked_at: u64,
    /// How long that answer took.
    pub(crate) took: u64,
    /// Calls that it has begun by itself, and all that go on, also those that it was told of fewer slots for.
    pub(crate) running: u64,
    pub(crate) calls: u64,
    /// The limit's time less the true one.
    pub(crate) ahead: i128,
    pub(crate) slots: u64,
    pub(crate) slots_until: u64,
    pub(crate) waiting_since: Option<u64>,
    pub(crate) grants: Vec<Return>,
    /// Requests do not leave it until then, or answers do not reach it.
    pub(crate) cut_until: u64,
    pub(crate) half_cut_until: u64,
    pub(crate) tallies: Vec<Tally>,
    /// `used` by the trips that are not answered yet.
    told: Vec<(u64, Vec<u64>)>,
    share: u64,
    answered_began: u64,
    plain_began: u64,
    /// What it was granted to hold: which window, when, how much.
    lots: Vec<(usize, u64, u64)>,
    /// What it has used by itself: which window, when, how much.
    by_itself: Vec<(usize, u64, u64)>,
}

impl Process {
    pub(crate) fn new(id: u64, terms: &Terms) -> Self {
        Self { id, tallies: vec![Tally::default(); terms.windows.len()], ..Self::default() }
    }

    /// Adds to a trip what it tells of itself.
    pub(crate) fn tell(&mut self, time: u64, terms: &Terms, mut trip: Trip) -> Trip {
        trip.apart = self.acked > 0 && time > self.answered_began + terms.time_to_live;
        if !trip.apart {
            self.plain_began = time;
        }
        trip.fallback = self.claims(time, terms);
        trip.acked_at = self.acked_at;
        trip.in_flight = self.in_flight();
        trip.tallies.clone_from(&self.tallies);
        self.told.push((trip.seq, self.tallies.iter().map(|tally| tally.used).collect()));
        if trip.leave {
            (self.share, self.running, self.calls) = (0, 0, 0);
            self.tallies.iter_mut().for_each(|tally| tally.held = 0);
            self.lots.clear();
        }
        trip
    }

    pub(crate) fn answer(
        &mut self,
        time: u64,
        began: u64,
        trip: &Trip,
        reply: &Reply,
        terms: &Terms,
    ) {
        self.acked = trip.seq;
        self.answered_began = began;
        self.plain_began = self.plain_began.max(began);
        self.took = time - began;
        self.acked_at = reply.now;
        self.share = if self.took < 1_000_000 { reply.fallback } else { 0 };
        self.told.retain(|(seq, _)| *seq >= trip.seq);
        let used = self.told.iter().find(|(seq, _)| *seq == trip.seq).unwrap().1.clone();
        for (index, tally) in self.tallies.iter_mut().enumerate() {
            tally.used_acked = used[index];
            if terms.windows[index].produced {
                tally.held += reply.windows[index].amount;
                self.lots.push((index, began, reply.windows[index].amount));
            }
        }
    }

    /// Uses or gives up some of what it holds.
    pub(crate) fn let_go(&mut self, window: usize, mut amount: u64) {
        self.tallies[window].held -= amount;
        for (_, _, lot) in self.lots.iter_mut().filter(|lot| lot.0 == window) {
            let part = amount.min(*lot);
            *lot -= part;
            amount -= part;
        }
        self.lots.retain(|lot| lot.2 > 0);
    }

    /// Calls that go on when the share has ended without an answer, and those of a process that is cut off and does not use a share yet, are not
    /// covered.
    pub(crate) fn drop_what_goes_on_too_long(&mut self, time: u64, terms: &Terms) {
        let is_cut = time >= self.answered_began + terms.time_to_live;
        if is_cut && self.share(time, terms) == 0 {
            (self.running, self.calls) = (0, 0);
        }
    }

    /// What is held for longer than the store knows of is not covered: after its last answer, or, where others may use shares by themselves,
    /// after the grant.
    pub(crate) fn drop_what_it_held_too_long(&mut self, time: u64, terms: &Terms) {
        for (window, began, amount) in self.lots.clone() {
            let since = if terms.fallback.is_some() { began } else { self.answered_began };
            if time >= since + terms.time_to_live {
                self.let_go(window, amount);
            }
        }
    }

    fn share_until(&self, terms: &Terms) -> u64 {
        terms.share_ends(self.answered_began).unwrap_or(0)
    }

    /// The share that it tells.
    pub(crate) fn claims(&self, time: u64, terms: &Terms) -> u64 {
        let until = terms.share_counts_until(self.answered_began).unwrap_or(0);
        if time < until { self.share } else { 0 }
    }

    /// The share that it uses by itself now.
    pub(crate) fn share(&self, time: u64, terms: &Terms) -> u64 {
        let begins = terms.share_begins(self.plain_began);
        let uses = begins.is_some_and(|begins| time >= begins) && time < self.share_until(terms);
        if uses { self.share } else { 0 }
    }

    /// How much it may still use of a window by itself.
    pub(crate) fn may_use(&self, window: usize, time: u64, terms: &Terms) -> u64 {
        let kept = terms.windows[window].kept;
        let own = self.by_itself.iter().filter(|(of, at, _)| *of == window && at + kept > time);
        let used: u64 = own.map(|(_, _, amount)| amount).sum();
        part(terms.windows[window].limit, self.share(time, terms)).saturating_sub(used)
    }

    pub(crate) fn use_by_itself(&mut self, window: usize, time: u64, amount: u64, terms: &Terms) {
        self.by_itself.push((window, time, amount));
        if terms.windows[window].produced {
            self.tallies[window].used += amount;
        }
    }

    fn own_slots(&self, time: u64, terms: &Terms) -> u64 {
        part(terms.slots.unwrap_or(0), self.share(time, terms))
    }

    /// Calls that go on for as long as they like.
    pub(crate) fn run(&mut self, time: u64, terms: &Terms, more: u64) {
        let own = self.own_slots(time, terms);
        self.running = self.running.max(own.saturating_sub(more));
        let most = own.max(self.slots_told(time));
        self.calls = self.calls.max(most.saturating_sub(more));
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.running.max(self.calls)
    }

    fn slots_told(&self, time: u64) -> u64 {
        if time < self.slots_until { self.slots } else { 0 }
    }

    pub(crate) fn slots(&self, time: u64, terms: &Terms) -> u64 {
        self.slots_told(time).max(self.own_slots(time, terms)).max(self.running)
    }

    /// With those of calls that go on, although it was told of fewer.
    pub(crate) fn slots_in_use(&self, time: u64, terms: &Terms) -> u64 {
        self.slots(time, terms).max(self.calls)
    }
}

fn part(limit: u64, share: u64) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(share) / 1_000_000).unwrap()
}
