//! What the script is to do, as a list of grants. Written from its head, plain and slow.

use ringgate_redis::script::{Granted, Injected, Pause, Reply, Terms, Trip, Window};

#[derive(Debug, Clone)]
pub(crate) struct Model {
    terms: Terms,
    state: Option<State>,
}

#[derive(Debug, Clone)]
struct State {
    epoch: u64,
    run: u64,
    /// The limit's time at the last trip, and what it was ahead of the server's clock.
    last: u64,
    ahead: i64,
    steps: u64,
    quiet_until: u64,
    paused_until: u64,
    /// For each window.
    grants: Vec<Vec<Grant>>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    tick: u64,
    amount: u64,
}

#[derive(Debug, Clone)]
struct Member {
    id: u64,
    joined: u64,
    seq: u64,
    ends: u64,
    slots: u64,
    slots_need: u64,
    /// When its first call in line began to wait.
    since: Option<u64>,
    need: Vec<u64>,
    granted_at: u64,
    granted: Vec<u64>,
}

/// Of a trip that is not stale.
type Answer = Option<Reply>;

impl Model {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, state: None }
    }

    /// The store has lost it.
    pub(crate) fn lose(&mut self) {
        self.state = None;
    }

    /// Whether a process with this answer is believed about the time.
    pub(crate) fn believes(&self, epoch: u64, steps: u64) -> bool {
        self.state.as_ref().is_some_and(|state| (state.epoch, state.steps) == (epoch, steps))
    }

    pub(crate) fn trip(&mut self, trip: &Trip, at: Injected) -> Answer {
        let terms = self.terms.clone();
        let span = span(&terms);
        let mut state = match self.state.clone() {
            None => State::new(trip, at, span, &terms),
            Some(state) => state.at(trip, at, span),
        };
        let now = state.last;
        let mine = state.members.iter().find(|member| member.id == trip.process).cloned();
        if mine.as_ref().is_some_and(|mine| mine.seq >= trip.seq) {
            return None;
        }
        state.members.retain(|member| member.ends > now && member.id != trip.process);
        state.forget(&terms);
        if let Some(mine) = &mine
            && mine.seq > trip.acked
        {
            for (index, &amount) in mine.granted.iter().enumerate() {
                state.give_back(index, mine.granted_at / terms.windows[index].tick, amount);
            }
        }
        let known = mine.filter(|mine| mine.ends > now);
        let joined = known.as_ref().map_or(now, |known| known.joined);
        for back in trip.returns.iter().filter(|back| back.granted_at >= joined) {
            let tick = back.granted_at / terms.windows[back.window].tick;
            state.give_back(back.window, tick, back.amount);
        }
        state.pause(trip.pause);
        let reply = state.serve(trip, &terms, joined, known);
        self.state = Some(state);
        Some(reply)
    }
}

fn span(terms: &Terms) -> u64 {
    let kept = terms.windows.iter().map(|window| window.kept + 2 * window.tick);
    kept.chain([terms.time_to_live]).max().unwrap()
}

/// A grant of this tick counts until then.
fn counts_until(window: Window, tick: u64) -> u64 {
    (tick + 1 + window.kept.div_ceil(window.tick)) * window.tick
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

impl State {
    fn new(trip: &Trip, at: Injected, span: u64, terms: &Terms) -> Self {
        Self {
            epoch: trip.next_epoch,
            run: at.run,
            last: at.clock,
            ahead: 0,
            steps: 0,
            quiet_until: at.clock + span.saturating_sub(at.uptime),
            paused_until: 0,
            grants: vec![Vec::new(); terms.windows.len()],
            members: Vec::new(),
        }
    }

    /// The time of this trip, and whether another epoch begins.
    fn at(mut self, trip: &Trip, at: Injected, span: u64) -> Self {
        let knows_epoch = trip.epoch == Some(self.epoch);
        let is_behind = |member: &Member| member.id == trip.process && trip.acked > member.seq;
        let is_lost = self.run != at.run || knows_epoch && self.members.iter().any(is_behind);
        let clock = u64::try_from((signed(at.clock) + self.ahead).max(0)).unwrap();
        let may_be = trip.vouched..=trip.vouched + trip.slack.min(1_000_000);
        let is_known = trip.vouched > 0 && knows_epoch && trip.steps == self.steps && !is_lost;
        let now = if is_known && !may_be.contains(&clock) { trip.vouched } else { clock };
        self.last = now.max(self.last);
        self.steps += u64::from(self.last != clock);
        self.ahead = signed(self.last) - signed(at.clock);
        if is_lost {
            self.epoch = trip.next_epoch;
            self.quiet_until = self.last + span;
        }
        self.run = at.run;
        self
    }

    fn forget(&mut self, terms: &Terms) {
        for (grants, window) in self.grants.iter_mut().zip(&terms.windows) {
            grants.retain(|grant| counts_until(*window, grant.tick) > self.last);
        }
    }

    fn give_back(&mut self, window: usize, tick: u64, mut amount: u64) {
        for grant in self.grants[window].iter_mut().filter(|grant| grant.tick == tick) {
            let back = amount.min(grant.amount);
            grant.amount -= back;
            amount -= back;
        }
    }

    fn used(&self, window: usize) -> u64 {
        self.grants[window].iter().map(|grant| grant.amount).sum()
    }

    fn pause(&mut self, pause: Pause) {
        match pause {
            Pause::Keep => {}
            Pause::For(length) => self.paused_until = self.paused_until.max(self.last + length),
            Pause::End => self.paused_until = 0,
        }
    }

    fn serve(&mut self, trip: &Trip, terms: &Terms, joined: u64, known: Option<Member>) -> Reply {
        let now = self.last;
        let is_open = now >= self.quiet_until && now >= self.paused_until && !trip.leave;
        let since = (trip.waited > 0).then(|| now.saturating_sub(trip.waited).max(1));
        let need_of = |index: usize| move |member: &Member| member.need[index];
        let others: Vec<[u64; 2]> = (0..terms.windows.len())
            .map(|index| self.others_need(trip.process, since, need_of(index)))
            .collect();
        let more_slots = |member: &Member| member.slots_need.saturating_sub(member.slots);
        let slots_others = self.others_need(trip.process, since, more_slots);
        let processes = self.members.len() as u64 + 1;

        let (goes, granted) = self.grants(trip, terms, is_open, &others);
        for (index, &amount) in granted.iter().enumerate() {
            let tick = now / terms.windows[index].tick;
            self.grants[index].push(Grant { tick, amount });
        }
        let retry = self.retry(trip, terms, goes, &granted, &others);
        let windows = granted.iter().enumerate().map(|(index, &amount)| Granted {
            amount,
            used: self.used(index),
            wanted: others[index].iter().sum(),
        });
        let windows = windows.collect();
        let had = known.map_or(0, |known| known.slots);
        let slots = self.slots(trip, terms, had, is_open, slots_others);
        if !trip.leave {
            let asks = granted.iter().zip(&trip.asks);
            self.members.push(Member {
                id: trip.process,
                joined,
                seq: trip.seq,
                ends: now + terms.time_to_live,
                slots,
                slots_need: trip.slots.need,
                since,
                need: asks.map(|(granted, ask)| ask.need.saturating_sub(*granted)).collect(),
                granted_at: now,
                granted,
            });
        }
        Reply {
            epoch: self.epoch,
            now,
            steps: self.steps,
            paused: self.paused_until.saturating_sub(now),
            quiet: self.quiet_until.saturating_sub(now),
            retry,
            processes,
            slots: if trip.leave { 0 } else { slots },
            slots_wanted: slots_others.iter().sum(),
            fallback: 0,
            windows,
        }
    }

    /// Of those in line who have waited longer than this process since then, and of the rest.
    fn others_need(&self, id: u64, since: Option<u64>, of: impl Fn(&Member) -> u64) -> [u64; 2] {
        let mut needs = [0; 2];
        for member in &self.members {
            if let Some(theirs) = member.since {
                let is_before = since.is_none_or(|since| (theirs, member.id) < (since, id));
                needs[usize::from(!is_before)] += of(member);
            }
        }
        needs
    }

    /// Whether the first call can go, and how much of each window is granted.
    fn grants(
        &self,
        trip: &Trip,
        terms: &Terms,
        is_open: bool,
        others: &[[u64; 2]],
    ) -> (bool, Vec<u64>) {
        let share = self.members.len() as u64 + 1;
        let free = |index: usize| {
            let room = terms.windows[index].limit.saturating_sub(self.used(index));
            room.saturating_sub(others[index][0])
        };
        let asks = &trip.asks;
        let goes = is_open && (0..asks.len()).all(|index| free(index) >= asks[index].least);
        let granted = (0..asks.len()).map(|index| {
            let (ask, free) = (asks[index], free(index));
            let ahead = free.saturating_sub(ask.need + others[index][1]) / share;
            if goes { ask.need.min(free) + ahead.min(ask.want - ask.need) } else { 0 }
        });
        (goes, granted.collect())
    }

    fn slots(&self, trip: &Trip, terms: &Terms, had: u64, is_open: bool, others: [u64; 2]) -> u64 {
        let Some(limit) = terms.slots else { return 0 };
        let ask = trip.slots;
        let had = if self.last < self.quiet_until { ask.have } else { had };
        if ask.want <= had || !is_open {
            return ask.want.min(had);
        }
        let taken: u64 = self.members.iter().map(|member| member.slots).sum();
        let free = limit.saturating_sub(taken + had + others[0]);
        let needed = ask.need.saturating_sub(had).min(free);
        let ahead = free.saturating_sub(needed + others[1]) / (self.members.len() as u64 + 1);
        had + needed + ahead.min(ask.want - ask.need.max(had))
    }

    /// When the first moment may be at which more could be granted.
    fn retry(
        &self,
        trip: &Trip,
        terms: &Terms,
        goes: bool,
        granted: &[u64],
        others: &[[u64; 2]],
    ) -> Option<u64> {
        let mut at = self.quiet_until.max(self.paused_until).max(self.last);
        for (index, window) in terms.windows.iter().enumerate() {
            let ask = trip.asks[index];
            if ask.least > window.limit {
                return None;
            }
            let more = if goes { u64::from(ask.need > granted[index]) } else { ask.least };
            if goes && more == 0 {
                continue;
            }
            let fits = |used: u64| used + more + others[index][0] <= window.limit;
            if fits(self.used(index)) {
                continue;
            }
            let mut grants = self.grants[index].clone();
            grants.sort_by_key(|grant| grant.tick);
            let mut used = self.used(index);
            let mut leaves = None;
            for grant in grants.iter().filter(|grant| grant.amount > 0) {
                leaves = Some(counts_until(*window, grant.tick));
                used -= grant.amount;
                if fits(used) {
                    break;
                }
            }
            at = at.max(leaves.unwrap_or(self.last + terms.time_to_live / 3));
        }
        Some(at - self.last)
    }
}
