//! What the script is to do, as a list of grants. Written from its head, plain and slow. Needs no server: a simulation may use it in the
//! place of the store.

use ringgate_redis::script::{
    Ask, Granted, Injected, LARGEST, Pause, Reply, Tally, Terms, Trip, Window,
};

/// All of a limit, in millionths.
/// A call whose wait is told by two trips.
const SAME_CALL: u64 = 20_000;

const ALL: u64 = 1_000_000;
/// More than that, and a trip tells nothing of the time.
const MOST_SLACK: u64 = 1_000_000;
/// With more trips that it has no answer to, a process does not get anything.
const UNANSWERED: u64 = 3;
/// So many of those that wait may be told of something.
const LOOKED_AT: usize = 8;

/// What the store knows of one limit.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    terms: Terms,
    state: Option<State>,
    told: Vec<String>,
}

#[derive(Debug, Clone)]
struct State {
    terms: Terms,
    epoch: u64,
    run: u64,
    /// The limit's time at the last trip, and what it was ahead of the server's clock.
    last: u64,
    ahead: i64,
    steps: u64,
    quiet_until: u64,
    paused_until: u64,
    /// Until then there may be processes with shares that the store does not know.
    lost_until: u64,
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
    /// What that call needs, as far as it is known.
    least: Vec<u64>,
    granted_at: u64,
    granted: Vec<u64>,
    used: Vec<u64>,
    held: Vec<u64>,
    share: Share,
}

/// What a process may use by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// By the last answer, and at most.
    told: u64,
    most: u64,
    /// From then on it is kept free.
    from: u64,
    /// What it may have used is kept free until then.
    kept: u64,
    kept_until: u64,
}

/// How a trip stands to the state that it meets.
#[derive(Debug, Clone, Copy)]
struct Met {
    is_lost: bool,
    is_timely: bool,
    knows_epoch: bool,
}

/// What there was before a trip, to see what it brings to others.
#[derive(Debug, Clone)]
struct Before {
    was_in_line: bool,
    slots: u64,
    slots_missed: u64,
    all: Vec<u64>,
    missed: Vec<u64>,
}

/// What others need, before this process's turn and after it, and what is kept free.
#[derive(Debug, Clone, Copy)]
struct Others {
    before: u64,
    after: u64,
    kept_free: u64,
}

impl Model {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, state: None, told: Vec::new() }
    }

    /// The store has lost it.
    pub(crate) fn lose(&mut self) {
        self.state = None;
    }

    /// From now on processes have these limits.
    pub(crate) fn change(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Whether a process with this answer is believed about the time.
    pub(crate) fn believes(&self, epoch: u64, steps: u64) -> bool {
        self.state.as_ref().is_some_and(|state| (state.epoch, state.steps) == (epoch, steps))
    }

    /// Whether its epoch began with nothing, and no process has claimed a share of another one since.
    pub(crate) fn is_unclaimed(&self) -> bool {
        self.state.as_ref().is_none_or(|state| state.lost_until == 0)
    }

    /// Whether a process with this answer may have a share that this epoch does not know.
    pub(crate) fn is_of_another_epoch(&self, epoch: Option<u64>) -> bool {
        epoch.is_some() && epoch != self.state.as_ref().map(|state| state.epoch)
    }

    /// What was published by the last trip.
    pub(crate) fn published(&self) -> &[String] {
        &self.told
    }

    /// `None` if the trip is stale, or if others have other limits.
    pub(crate) fn trip(&mut self, trip: &Trip, at: Injected) -> Option<Reply> {
        self.told.clear();
        let terms = self.terms.clone();
        let (mut state, met, last) = match self.state.clone() {
            None => {
                let is_not_lost = Met { is_lost: false, is_timely: false, knows_epoch: false };
                (State::new(trip, at, &terms), is_not_lost, 0)
            }
            Some(state) if state.terms != terms => {
                let is_not_lost = Met { is_lost: false, is_timely: false, knows_epoch: false };
                let last = state.last;
                (state.replaced(trip, at, &terms)?, is_not_lost, last)
            }
            Some(state) => {
                let last = state.last;
                let (state, met) = state.at(trip, at, &terms);
                (state, met, last)
            }
        };
        let now = state.last;
        let mine = state.members.iter().position(|member| member.id == trip.process);
        if mine.is_some_and(|mine| state.members[mine].seq >= trip.seq) {
            return None;
        }
        state.leave_windows(&terms);
        let was_paused = state.paused_until.saturating_sub(now);
        let before = state.before(last, mine, terms.windows.len());
        let mine = mine.map(|mine| state.members.swap_remove(mine));
        state.forget(&terms);
        let me = state.tell(trip, &terms, mine.as_ref(), met);
        state.pause(trip.pause);
        if was_paused != state.paused_until.saturating_sub(now) {
            self.told.push("pause".to_owned());
        }
        let reply = state.serve(trip, &terms, me, &before, &mut self.told);
        self.state = Some(state);
        Some(reply)
    }
}

pub(crate) fn span(terms: &Terms) -> u64 {
    let kept = terms.windows.iter().map(|window| {
        let held = if window.produced { terms.time_to_live } else { 0 };
        window.kept + 2 * window.tick + held
    });
    kept.chain([terms.time_to_live]).max().unwrap()
}

/// A grant of this tick counts until then.
fn counts_until(window: Window, tick: u64) -> u64 {
    (tick + 1 + window.kept.div_ceil(window.tick)) * window.tick
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

fn later(now: u64, length: u64) -> u64 {
    now.saturating_add(length).min(LARGEST)
}

/// Rounded down.
fn part(limit: u64, share: u64) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(share) / u128::from(ALL)).unwrap()
}

/// Whether it has no answers, or may use its share by itself.
fn is_cut(trip: &Trip) -> bool {
    trip.apart || trip.seq.saturating_sub(trip.acked) > UNANSWERED
}

fn ask(trip: &Trip, index: usize) -> Ask {
    trip.asks.get(index).copied().unwrap_or_default()
}

fn tally(trip: &Trip, index: usize) -> Tally {
    trip.tallies.get(index).copied().unwrap_or_default()
}

impl Member {
    fn slots_missed(&self) -> u64 {
        self.slots_need.saturating_sub(self.slots)
    }

    /// Whether its first call could go if nobody used anything: otherwise nobody waits for it.
    fn may_fit(&self, terms: &Terms, kept_free: &[u64]) -> bool {
        let mut windows = terms.windows.iter().zip(kept_free).zip(&self.least);
        windows.all(|((window, &kept), &least)| least <= window.limit.saturating_sub(kept))
    }
}

impl State {
    fn new(trip: &Trip, at: Injected, terms: &Terms) -> Self {
        let is_unused = trip.unused && trip.epoch.is_none() && trip.acked == 0;
        let passed = trip.vouched.saturating_sub(trip.acked_at);
        let is_known = trip.epoch.is_some() && trip.vouched > 0 && trip.acked_at > 0;
        let quiet = match () {
            () if is_known && passed < span(terms) => span(terms),
            () if is_unused => 0,
            () => span(terms).saturating_sub(at.uptime),
        };
        Self {
            terms: terms.clone(),
            epoch: trip.next_epoch,
            run: at.run,
            last: at.clock,
            ahead: 0,
            steps: 0,
            quiet_until: later(at.clock, quiet),
            paused_until: 0,
            lost_until: 0,
            grants: vec![Vec::new(); terms.windows.len()],
            members: Vec::new(),
        }
    }

    /// With other limits. Only if nobody is left who had these.
    fn replaced(self, trip: &Trip, at: Injected, terms: &Terms) -> Option<Self> {
        let clock = u64::try_from((signed(at.clock) + self.ahead).max(0)).unwrap();
        let now = clock.max(self.last);
        let fallback = self.terms.fallback.unwrap_or(0);
        let ends = |member: &Member| {
            let longer = if member.share.most > 0 { fallback } else { 0 };
            member.ends + longer
        };
        if self.members.iter().any(|member| now < ends(member)) || now < self.lost_until {
            return None;
        }
        let is_older = self.run != at.run;
        let length = self.terms.time_to_live + fallback;
        let length = length.max(terms.time_to_live + terms.fallback.unwrap_or(0));
        Some(Self {
            last: now,
            ahead: signed(now) - signed(at.clock),
            steps: self.steps + u64::from(now != clock),
            quiet_until: later(now, span(terms).max(span(&self.terms))),
            paused_until: self.paused_until,
            lost_until: if is_older { later(now, length) } else { 0 },
            ..Self::new(trip, at, terms)
        })
    }

    /// The time of this trip, and whether another epoch begins.
    fn at(mut self, trip: &Trip, at: Injected, terms: &Terms) -> (Self, Met) {
        let knows_epoch = trip.epoch == Some(self.epoch);
        // One that was forgotten may be known again by an old trip.
        let is_older = |member: &Member| trip.acked_at == 0 || member.joined <= trip.acked_at;
        let is_behind = |member: &Member| {
            member.id == trip.process && trip.acked > member.seq && is_older(member)
        };
        let is_lost = self.run != at.run || knows_epoch && self.members.iter().any(is_behind);
        let clock = u64::try_from((signed(at.clock) + self.ahead).max(0)).unwrap();
        let may_be = trip.vouched..=trip.vouched + trip.slack.min(MOST_SLACK);
        let is_known = trip.vouched > 0 && knows_epoch && trip.steps == self.steps && !is_lost;
        let now = if is_known && !may_be.contains(&clock) { trip.vouched } else { clock };
        self.last = now.max(self.last);
        self.steps += u64::from(self.last != clock);
        // Time may have been lost. Shares begin all the same.
        let late = clock.saturating_sub(self.last);
        for member in &mut self.members {
            member.share.from = member.share.from.saturating_sub(late);
        }
        self.ahead = signed(self.last) - signed(at.clock);
        if is_lost {
            self.epoch = trip.next_epoch;
            self.quiet_until = later(self.last, span(terms));
            let length = terms.fallback.map(|length| terms.time_to_live + length);
            self.lost_until = length.map_or(0, |length| later(self.last, length));
            for Member { share, .. } in &mut self.members {
                *share = Share { told: share.told, from: share.from, ..Share::default() };
            }
        }
        self.run = at.run;
        let is_timely = is_known && may_be.contains(&clock) && self.last == clock;
        (self, Met { is_lost, is_timely, knows_epoch })
    }

    fn leave_windows(&mut self, terms: &Terms) {
        for (grants, window) in self.grants.iter_mut().zip(&terms.windows) {
            grants.retain(|grant| counts_until(*window, grant.tick) > self.last);
        }
    }

    fn is_forgotten(&self, member: &Member, terms: &Terms) -> bool {
        let share = member.share;
        let longer = terms.fallback.filter(|_| share.most > 0).unwrap_or(0);
        self.last >= member.ends + longer && self.last >= share.kept_until
    }

    /// Those that have not been heard of for too long. What they hold counts as used.
    fn forget(&mut self, terms: &Terms) {
        let members = std::mem::take(&mut self.members);
        let (gone, kept): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| self.is_forgotten(member, terms));
        self.members = kept;
        for member in gone {
            for (index, &held) in member.held.iter().enumerate() {
                self.add(index, terms, held);
            }
        }
    }

    fn add(&mut self, index: usize, terms: &Terms, amount: u64) {
        let amount = amount.min(LARGEST - self.used(index));
        let tick = self.last / terms.windows[index].tick;
        self.grants[index].push(Grant { tick, amount });
    }

    fn give_back(&mut self, window: usize, tick: u64, mut amount: u64) {
        for grant in self.grants[window].iter_mut().filter(|grant| grant.tick == tick) {
            let back = amount.min(grant.amount);
            grant.amount -= back;
            amount -= back;
        }
    }

    /// In a window, without what is held.
    fn used(&self, window: usize) -> u64 {
        self.grants[window].iter().map(|grant| grant.amount).sum()
    }

    /// With that.
    fn all(&self, window: usize) -> u64 {
        let held = self.members.iter().map(|member| member.held[window]);
        self.used(window) + held.sum::<u64>()
    }

    /// What a trip tells: what comes back, what was used, and what its process may have used by itself.
    fn tell(&mut self, trip: &Trip, terms: &Terms, mine: Option<&Member>, met: Met) -> Member {
        let now = self.last;
        let known = mine.filter(|mine| !self.is_forgotten(mine, terms));
        let joined = known.map_or(now, |known| known.joined);
        let starts = |index: usize| !terms.windows[index].produced;
        if let Some(mine) = mine.filter(|mine| mine.seq > trip.acked) {
            for (index, &amount) in mine.granted.iter().enumerate().filter(|(n, _)| starts(*n)) {
                self.give_back(index, mine.granted_at / terms.windows[index].tick, amount);
            }
        }
        let may_return = met.knows_epoch && !met.is_lost;
        for back in trip.returns.iter().filter(|back| may_return && back.granted_at >= joined) {
            let tick = back.granted_at / terms.windows[back.window].tick;
            self.give_back(back.window, tick, back.amount);
        }
        let (mut used, mut held) = (Vec::new(), Vec::new());
        for index in 0..terms.windows.len() {
            let tally = tally(trip, index);
            let before = mine.map_or(tally.used_acked, |mine| mine.used[index]);
            self.add(index, terms, tally.used.saturating_sub(before));
            used.push(tally.used);
            let holds = if starts(index) { 0 } else { tally.held };
            if trip.leave {
                self.add(index, terms, holds);
            }
            held.push(if trip.leave { 0 } else { holds });
        }
        self.claim(trip, terms, met);
        let share = self.share(trip, terms, mine, known, met);
        let had = known.filter(|known| known.ends > now).map_or(0, |known| known.slots);
        // What it has given up since its last answer.
        let is_answered = known.is_some_and(|known| known.seq <= trip.acked);
        let keeps = if is_answered { trip.slots.have.max(trip.in_flight) } else { had };
        Member {
            id: trip.process,
            joined,
            seq: trip.seq,
            ends: later(now, terms.time_to_live),
            slots: had.min(keeps),
            slots_need: trip.slots.need,
            since: (trip.waited > 0 && !is_cut(trip)).then(|| {
                let since = now.saturating_sub(trip.waited).max(1);
                let is_same = |before: &u64| before.abs_diff(since) <= SAME_CALL;
                mine.and_then(|mine| mine.since).filter(is_same).unwrap_or(since)
            }),
            need: Vec::new(),
            least: Vec::new(),
            granted_at: now,
            granted: Vec::new(),
            used,
            held,
            share,
        }
    }

    /// A share of another epoch: there may be more of them.
    fn claim(&mut self, trip: &Trip, terms: &Terms, met: Met) {
        let claims = trip.acked > 0 && trip.fallback > 0 && (met.is_lost || !met.knows_epoch);
        if let Some(length) = terms.fallback.filter(|_| claims && self.last >= self.lost_until) {
            self.lost_until = later(self.last, terms.time_to_live + length);
        }
    }

    fn share(
        &self,
        trip: &Trip,
        terms: &Terms,
        mine: Option<&Member>,
        known: Option<&Member>,
        met: Met,
    ) -> Share {
        let now = self.last;
        let mut share = known.map_or(Share { from: now, ..Share::default() }, |known| known.share);
        if share.kept_until <= now {
            (share.kept, share.kept_until) = (0, 0);
        }
        let others: u64 = self.members.iter().map(|member| member.share.most).sum();
        let knows = met.knows_epoch && !met.is_lost;
        // What it believes at most.
        let believes = match (terms.fallback, known) {
            (None, _) => 0,
            _ if trip.acked == 0 => 0,
            (_, Some(known)) if knows && known.seq == trip.acked => known.share.told,
            (_, Some(known)) if knows => known.share.most,
            (_, None) if knows => 0,
            _ => mine.map_or(0, |mine| mine.share.most).max(trip.fallback.min(ALL - others)),
        };
        let may_use = trip.apart || believes > 0 && !knows;
        if believes > 0 && (may_use || now >= share.from) {
            share.kept = share.kept.max(believes);
            share.kept_until = later(now, span(terms) + terms.time_to_live / 3);
        }
        if may_use {
            share.from = share.from.min(now);
        } else if met.is_timely || believes == 0 {
            share.from = later(now, terms.time_to_live);
        }
        let shares = |member: &&Member| member.ends > now || member.share.most > 0;
        let processes = self.members.iter().filter(shares).count() as u64 + 1;
        share.told = match terms.fallback {
            None => 0,
            Some(_) if trip.leave => 0,
            Some(_) if now < self.quiet_until.max(self.lost_until) => believes,
            // One part is for those who join, and half of what is free.
            Some(_) => (ALL / (processes + 1)).min((ALL - others) / 2),
        };
        share.most =
            if trip.leave || terms.fallback.is_none() { 0 } else { share.told.max(believes) };
        share
    }

    fn pause(&mut self, pause: Pause) {
        match pause {
            Pause::Keep | Pause::For(0) => {}
            Pause::For(length) => {
                self.paused_until = self.paused_until.max(later(self.last, length));
            }
            Pause::End => self.paused_until = 0,
        }
    }

    fn serve(
        &mut self,
        trip: &Trip,
        terms: &Terms,
        mut me: Member,
        before: &Before,
        told: &mut Vec<String>,
    ) -> Reply {
        let now = self.last;
        let is_open =
            now >= self.quiet_until.max(self.paused_until) && !trip.leave && !is_cut(trip);
        let windows = 0..terms.windows.len();
        let others = self.others(&me, terms);
        let slots_needed = self.slots_needed(&me);
        let alive = self.members.iter().filter(|member| member.ends > now);
        let processes = alive.count() as u64 + 1;

        let (goes, granted) = self.grants(trip, terms, &me, is_open, &others);
        for (index, &amount) in granted.iter().enumerate() {
            if terms.windows[index].produced {
                me.held[index] = (me.held[index] + amount).min(LARGEST);
            } else {
                self.add(index, terms, amount);
            }
        }
        let slots = self.slots(trip, terms, &me, is_open, slots_needed);
        // What it has now counts until it has the answer, also if that tells it of fewer.
        let has = trip.slots.have.min(trip.slots.want);
        let had = if now < self.quiet_until { has } else { me.slots.min(has) };
        // And its calls go on, whatever it has.
        me.slots = if terms.slots.is_some() { slots.max(had).max(trip.in_flight) } else { 0 };
        me.need = windows
            .clone()
            .map(|index| ask(trip, index).need.saturating_sub(granted[index]))
            .collect();
        me.least = windows.map(|index| ask(trip, index).least.min(me.need[index])).collect();
        me.granted.clone_from(&granted);
        if trip.leave {
            (me.slots, me.since) = (0, None);
            (me.ends, me.share.from) = (now, now);
        }
        let slots = if trip.leave { 0 } else { slots };
        let fallback = me.share.told;
        let stays = !trip.leave || me.share.kept_until > now;
        let unknown = self.unknown(&me);
        // Also what it holds counts from here on, which is nothing if it goes.
        self.members.push(me);
        let slots_fair = self.slots_fair(terms, unknown) / processes;
        let (retry, is_behind) = self.retry(trip, terms, goes, &granted, &others);
        let all: Vec<u64> = (0..terms.windows.len()).map(|index| self.all(index)).collect();
        let kept_free: Vec<u64> = others.iter().map(|others| others.kept_free).collect();
        self.publish(trip.process, terms, before, unknown, &kept_free, told);
        if !stays {
            self.members.pop();
        }
        let wanted = |index: usize| others[index].before + others[index].after;
        Reply {
            epoch: self.epoch,
            now,
            steps: self.steps,
            paused: self.paused_until.saturating_sub(now),
            quiet: self.quiet_until.saturating_sub(now),
            retry,
            is_behind,
            processes,
            slots,
            slots_wanted: slots_needed[0] + slots_needed[1],
            slots_fair,
            fallback,
            windows: (0..all.len())
                .map(|index| Granted {
                    amount: granted[index],
                    used: all[index].min(LARGEST),
                    wanted: wanted(index).min(LARGEST),
                })
                .collect(),
        }
    }

    fn before(&self, last: u64, mine: Option<usize>, windows: usize) -> Before {
        let alive = self.members.iter().filter(|member| member.ends > last);
        let in_line = alive.clone().filter(|member| member.since.is_some());
        let missed = |index: usize| in_line.clone().map(|member| member.need[index]).sum();
        Before {
            was_in_line: mine.is_some_and(|mine| self.members[mine].since.is_some()),
            slots: alive.map(|member| member.slots).sum(),
            slots_missed: in_line.clone().map(Member::slots_missed).sum(),
            all: (0..windows).map(|index| self.all(index)).collect(),
            missed: (0..windows).map(missed).collect(),
        }
    }

    /// For the first in order that can use what the trip of `me` has left.
    fn publish(
        &self,
        me: u64,
        terms: &Terms,
        before: &Before,
        unknown: u64,
        kept_free: &[u64],
        told: &mut Vec<String>,
    ) {
        let windows = terms.windows.len();
        let now = self.before(self.last, None, windows);
        let is_free = |index: usize| {
            before.all[index] > now.all[index]
                || before.all[index] + before.missed[index] > now.all[index] + now.missed[index]
        };
        let has_room = before.was_in_line || (0..windows).any(is_free);
        let has_slots = before.was_in_line
            || before.slots > now.slots
            || before.slots_missed > now.slots_missed;
        if self.last < self.quiet_until.max(self.paused_until) {
            return;
        }
        let alive = self.members.iter().filter(|member| member.ends > self.last);
        let mut line: Vec<&Member> = alive.filter(|member| member.since.is_some()).collect();
        line.retain(|one| one.slots_missed() > 0 || one.need.iter().any(|&need| need > 0));
        line.sort_by_key(|member| (member.since, member.id));
        line.truncate(LOOKED_AT);
        let first = |can_use: &dyn Fn(&Member, &[&Member]) -> bool| {
            let mut places = line.iter().enumerate().filter(|(_, member)| member.id != me);
            places
                .find(|(place, member)| can_use(member, &line[..*place]))
                .map(|(_, one)| format!("{:016x} {}", one.id, one.seq))
        };
        let for_room = first(&|member, earlier| {
            let fits = |index: usize| {
                let taken = now.all[index] + kept_free[index];
                let earlier = earlier.iter().filter(|one| one.may_fit(terms, kept_free));
                let needed: u64 = earlier.map(|one| one.need[index]).sum();
                let room = terms.windows[index].limit.saturating_sub(taken + needed);
                member.need[index] == 0 || room >= member.least[index].max(1)
            };
            member.need.iter().any(|&need| need > 0) && (0..windows).all(fits)
        });
        let for_slots = first(&|member, earlier| {
            let Some(limit) = terms.slots else { return false };
            let taken = self.members.iter().map(|one| {
                let slots = if one.ends > self.last { one.slots } else { 0 };
                let kept = part(limit, self.kept_free(one));
                if one.id == member.id { slots } else { slots.max(kept) }
            });
            let needed: u64 = earlier.iter().map(|one| one.slots_missed()).sum();
            let taken = taken.sum::<u64>() + part(limit, unknown) + needed;
            member.slots_missed() > 0 && taken < limit
        });
        told.extend(for_room.filter(|_| has_room).map(|whom| format!("room {whom}")));
        told.extend(for_slots.filter(|_| has_slots).map(|whom| format!("slots {whom}")));
    }

    /// Whether another one has waited longer, if it waits.
    fn is_before(&self, member: &Member, me: &Member) -> Option<bool> {
        let theirs = member.since.filter(|_| member.ends > self.last)?;
        Some(me.since.is_none_or(|since| (theirs, member.id) < (since, me.id)))
    }

    fn others(&self, me: &Member, terms: &Terms) -> Vec<Others> {
        let kept_free = |window: &Window| {
            let all = self.members.iter().chain([me]);
            let known: u64 = all.map(|member| part(window.limit, self.kept_free(member))).sum();
            known + part(window.limit, self.unknown(me))
        };
        let kept_free: Vec<u64> = terms.windows.iter().map(kept_free).collect();
        let needs = |before: bool, index: usize| -> u64 {
            let those = self.members.iter().filter(|one| self.is_before(one, me) == Some(before));
            let those = those.filter(|one| one.may_fit(terms, &kept_free));
            those.map(|one| one.need[index]).sum()
        };
        let others = kept_free.iter().enumerate().map(|(index, &kept_free)| Others {
            before: needs(true, index),
            after: needs(false, index),
            kept_free,
        });
        others.collect()
    }

    /// What a process may be using by itself, or have used.
    fn kept_free(&self, member: &Member) -> u64 {
        let share = member.share;
        let now = self.last;
        let may_use = if now >= share.from { share.most } else { 0 };
        let may_have = if now < share.kept_until { share.kept } else { 0 };
        may_use.max(may_have)
    }

    /// What processes may be using that the store has lost.
    fn unknown(&self, me: &Member) -> u64 {
        let known: u64 = self.members.iter().chain([me]).map(|member| member.share.most).sum();
        if self.last < self.lost_until { ALL - known } else { 0 }
    }

    /// All that are not kept free for processes that are cut off.
    fn slots_fair(&self, terms: &Terms, unknown: u64) -> u64 {
        let limit = terms.slots.unwrap_or(0);
        let apart = self.members.iter().map(|member| {
            let slots = if member.ends > self.last { member.slots } else { 0 };
            part(limit, self.kept_free(member)).saturating_sub(slots)
        });
        limit.saturating_sub(apart.sum::<u64>() + part(limit, unknown))
    }

    fn slots_needed(&self, me: &Member) -> [u64; 2] {
        [true, false].map(|before| {
            let those = self.members.iter().filter(|one| self.is_before(one, me) == Some(before));
            those.map(|one| one.slots_need.saturating_sub(one.slots)).sum()
        })
    }

    /// Whether the first call can go, and how much of each window is granted.
    fn grants(
        &self,
        trip: &Trip,
        terms: &Terms,
        me: &Member,
        is_open: bool,
        others: &[Others],
    ) -> (bool, Vec<u64>) {
        let alive = self.members.iter().filter(|member| member.ends > self.last);
        let share = alive.count() as u64 + 1;
        let windows = 0..terms.windows.len();
        let free = |index: usize| {
            let taken = self.all(index) + me.held[index] + others[index].kept_free;
            let room = terms.windows[index].limit.saturating_sub(taken);
            room.saturating_sub(others[index].before)
        };
        let goes = is_open && windows.clone().all(|index| free(index) >= ask(trip, index).least);
        // So many calls as large as the first, if not all can go.
        let scarce = |index: &usize| {
            let ask = ask(trip, *index);
            ask.least > 0 && free(*index) < ask.need
        };
        let calls =
            windows.clone().filter(scarce).map(|index| free(index) / ask(trip, index).least);
        let calls = calls.min();
        let granted = windows.map(|index| {
            let (ask, free) = (ask(trip, index), free(index));
            let now = ask.need.min(free);
            match calls {
                _ if !goes => 0,
                None => {
                    let ahead = free.saturating_sub(ask.need + others[index].after) / share;
                    now + ahead.min(ask.want - ask.need)
                }
                Some(_) if ask.least == 0 => now,
                Some(calls) => now.min(calls.saturating_mul(ask.least)),
            }
        });
        (goes, granted.collect())
    }

    fn slots(
        &self,
        trip: &Trip,
        terms: &Terms,
        me: &Member,
        is_open: bool,
        needed: [u64; 2],
    ) -> u64 {
        let Some(limit) = terms.slots else { return 0 };
        let ask = trip.slots;
        let now = self.last;
        let mut had = if now < self.quiet_until { ask.have } else { me.slots };
        if is_cut(trip) {
            had = had.min(ask.have);
        }
        // What it has begun by itself goes on.
        let kept = if now < me.share.kept_until { me.share.kept } else { 0 };
        let had = had.max(trip.in_flight.min(part(limit, kept)));
        let mut taken = part(limit, self.unknown(me));
        let mut alive = 0;
        for member in &self.members {
            let has = if member.ends > now { member.slots } else { 0 };
            taken += has.max(part(limit, self.kept_free(member)));
            alive += u64::from(member.ends > now);
        }
        let room = limit.saturating_sub(taken);
        let had = had.min(room).min(ask.want);
        if !is_open {
            return had;
        }
        let free = room.saturating_sub(had + needed[0]);
        let more = ask.need.saturating_sub(had).min(free);
        let ahead = free.saturating_sub(more + needed[1]) / (alive + 1);
        had + more + ahead.min(ask.want - ask.need.max(had))
    }

    /// When the first moment may be at which more could be granted, and whether some of it is kept for those before.
    fn retry(
        &self,
        trip: &Trip,
        terms: &Terms,
        goes: bool,
        granted: &[u64],
        others: &[Others],
    ) -> (Option<u64>, bool) {
        let mut at = Some(self.quiet_until.max(self.paused_until).max(self.last));
        let mut is_behind = false;
        for (index, window) in terms.windows.iter().enumerate() {
            let ask = ask(trip, index);
            if ask.least > window.limit {
                at = None;
            }
            if goes && ask.need <= granted[index] {
                continue;
            }
            let more =
                if goes { ask.least.min(ask.need - granted[index]).max(1) } else { ask.least };
            let before = others[index].before;
            let others = before + others[index].kept_free;
            let fits = |all: u64| all + more + others <= window.limit;
            let mut all = self.all(index);
            if fits(all) {
                continue;
            }
            is_behind |= trip.waited > 0 && !is_cut(trip) && before > 0 && more > 0;
            let mut grants = self.grants[index].clone();
            grants.sort_by_key(|grant| grant.tick);
            let leaves = grants.iter().filter(|grant| grant.amount > 0).find_map(|grant| {
                all -= grant.amount;
                fits(all).then(|| counts_until(*window, grant.tick))
            });
            let leaves = leaves.unwrap_or(self.last + terms.time_to_live / 3);
            at = at.map(|at| at.max(leaves));
        }
        (at.map(|at| at - self.last), is_behind)
    }
}
