//! Processes, a store and a network, by a seed: every answer is compared with the model's, and what is spent with the limits.

use crate::ledger::Ledger;
use crate::model::{Model, span};
use crate::process::Process;
use crate::random::Random;
use redis::{Commands, Connection};
use ringgate_redis::script::{
    Ask, Injected, Pause, Reply, Return, SlotAsk, Store, StoreError, Terms, Trip, Window,
};

/// Shorter steps of the store's clock are not noticed.
const NOTICED: u64 = SLACK + 2000;
const SLACK: u64 = 100_000;

pub(crate) struct World<'a> {
    random: Random,
    /// Without one the model answers alone, which takes no time.
    connection: Option<&'a mut Connection>,
    style: Style,
    store: Store,
    terms: Terms,
    model: Model,
    ledger: Ledger,
    /// The true time, and when the server was started.
    time: u64,
    started: u64,
    restarted: u64,
    /// What the server's clock is ahead.
    clock_ahead: u64,
    run: u64,
    processes: Vec<Process>,
    delayed: Vec<Trip>,
    saved: Option<(Vec<u8>, Model)>,
    /// By how much the clock has stepped since the last trip. The next one is that of a process that knows better, or time
    /// would go back.
    step: i64,
    last_trip: u64,
    pub(crate) published: Vec<String>,
    is_unused: bool,
    /// The limits are others than those of the last trip.
    has_changed: bool,
    pub(crate) seen: Seen,
}

/// Of what a history is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Mixed,
    CutOff,
}

/// How often something happened, to see that histories contain it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) stale: u64,
    pub(crate) returned: u64,
    pub(crate) epochs: u64,
    pub(crate) jumps: u64,
    pub(crate) slots: u64,
    pub(crate) pauses: u64,
    pub(crate) apart: u64,
    pub(crate) by_themselves: u64,
    pub(crate) produced: u64,
    pub(crate) beyond: u64,
    pub(crate) published: u64,
    pub(crate) claims_in_time: u64,
    pub(crate) late: u64,
    pub(crate) other_limits: u64,
    pub(crate) changes: u64,
    pub(crate) go_on: u64,
    pub(crate) wrong_uptimes: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.granted += other.granted;
        self.refused += other.refused;
        self.stale += other.stale;
        self.returned += other.returned;
        self.epochs += other.epochs;
        self.jumps += other.jumps;
        self.slots += other.slots;
        self.pauses += other.pauses;
        self.apart += other.apart;
        self.by_themselves += other.by_themselves;
        self.produced += other.produced;
        self.beyond += other.beyond;
        self.published += other.published;
        self.claims_in_time += other.claims_in_time;
        self.late += other.late;
        self.other_limits += other.other_limits;
        self.changes += other.changes;
        self.go_on += other.go_on;
        self.wrong_uptimes += other.wrong_uptimes;
    }

    pub(crate) fn has_everything(&self) -> bool {
        let Self { granted, refused, stale, returned, epochs, jumps, slots, pauses, .. } = *self;
        let Self { apart, by_themselves, produced, beyond, published, late, go_on, .. } = *self;
        let first = [granted, refused, stale, returned, epochs, jumps, slots, pauses];
        let second = [apart, by_themselves, produced, beyond, published, late, go_on];
        first.iter().chain(&second).all(|&n| n > 20)
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(
        seed: u64,
        style: Style,
        store: &Store,
        mut connection: Option<&'a mut Connection>,
    ) -> Self {
        let mut random = Random::new(seed);
        let terms = match style {
            Style::Mixed => terms(&mut random),
            Style::CutOff => short_terms(&mut random),
        };
        let store = store.with_terms(terms.clone());
        if let Some(connection) = &mut connection {
            let _: () = connection.del(store.key()).unwrap();
        }
        let time = 1_790_000_000_000_000 + random.up_to(1_000_000);
        let mut world = Self {
            connection,
            style,
            store,
            model: Model::new(terms.clone()),
            ledger: Ledger::new(terms.clone()),
            terms,
            time,
            started: time - 1_000_000_000_000,
            restarted: time - 1_000_000_000_000,
            clock_ahead: 1_000_000_000_000,
            run: random.next(),
            processes: Vec::new(),
            delayed: Vec::new(),
            saved: None,
            step: 0,
            last_trip: time,
            published: Vec::new(),
            is_unused: random.one_in(4),
            has_changed: false,
            seen: Seen::default(),
            random,
        };
        for _ in 0..=world.random.up_to(5) {
            world.join();
        }
        world
    }

    pub(crate) fn step(&mut self) {
        if matches!(self.style, Style::CutOff) {
            return self.step_cut_off();
        }
        self.pass_time();
        match self.random.up_to(99) {
            0..=1 => self.jump(),
            2 if self.random.one_in(3) => self.restart_empty_with_a_wrong_clock(),
            2 => self.restart_empty(),
            3 => self.fail_over(),
            4..=5 => self.save(),
            6 => self.replace_a_process_or_all(),
            7..=9 => self.deliver_a_delayed_trip(),
            10..=12 => self.cut_off(),
            13..=34 => self.use_some(),
            _ => self.make_a_trip(),
        }
        self.check();
    }

    /// Of processes that take all they get, and are cut off for long.
    fn step_cut_off(&mut self) {
        let most = self.random.one_of([1, 1, 10, 3]) * self.terms.time_to_live / 20;
        self.time += self.random.up_to(most);
        match self.random.up_to(399) {
            0..=1 => self.jump(),
            2 => self.restart_empty_for_new_ones(),
            3 => self.fail_over(),
            4 => self.save(),
            5 => self.replace_a_process(),
            6..=9 => self.deliver_a_delayed_trip(),
            10..=15 => self.cut_off(),
            16..=17 => self.cut_all_off(),
            18..=149 => self.use_some(),
            _ => self.make_a_trip(),
        }
        self.check();
    }

    fn join(&mut self) {
        let id = self.random.next();
        self.processes.push(Process::new(id, &self.terms));
    }

    fn replace_a_process(&mut self) {
        let gone = self.pick();
        if !self.is_owed_a_claim_of(gone) {
            self.processes.swap_remove(gone);
            self.join();
        }
    }

    /// All, with other limits.
    fn replace_a_process_or_all(&mut self) {
        if self.step != 0 || !self.random.one_in(2) {
            return self.replace_a_process();
        }
        self.terms = terms(&mut self.random);
        self.store = self.store.with_terms(self.terms.clone());
        self.model.change(self.terms.clone());
        self.ledger = Ledger::new(self.terms.clone());
        self.delayed.clear();
        let processes = self.processes.len();
        self.processes.clear();
        (0..processes).for_each(|_| self.join());
        self.has_changed = true;
    }

    /// What the store does not promise: if it has lost all of its state, and no process tells of a share until the quiet time is over, then those
    /// that are cut off may use theirs while it grants all. So here one tells in time: none of them dies or leaves before, and if no
    /// other trip does, one arrives before the first that may be granted something.
    fn is_owed_a_claim_of(&self, index: usize) -> bool {
        let process = &self.processes[index];
        let has_one = process.claims(self.time, &self.terms) > 0;
        has_one && self.model.is_unclaimed() && self.model.is_of_another_epoch(process.epoch)
    }

    fn is_owed_a_claim(&self) -> bool {
        (0..self.processes.len()).any(|index| self.is_owed_a_claim_of(index))
    }

    fn claim_in_time(&mut self) {
        if self.time < self.restarted + span(&self.terms) {
            return;
        }
        let claims = (0..self.processes.len()).find(|&index| self.is_owed_a_claim_of(index));
        if let Some(index) = claims {
            let trip = self.trip(index);
            // Refused if there is older state, with other limits: then nothing is granted for long.
            if let Some(reply) = self.send(&trip) {
                self.answer(index, self.time, &trip, &reply);
                self.seen.claims_in_time += 1;
            }
        }
    }

    fn pick(&mut self) -> usize {
        let last = self.processes.len() as u64 - 1;
        usize::try_from(self.random.up_to(last)).unwrap()
    }

    fn pass_time(&mut self) {
        let window = self.terms.windows[0];
        let most = match self.random.up_to(9) {
            0 => 2 * window.kept,
            1..=3 => window.kept / 4,
            4..=6 => window.tick,
            _ => 3,
        };
        self.time += self.random.up_to(most);
    }

    fn jump(&mut self) {
        let has_witness = (0..self.processes.len()).any(|index| self.is_witness(index));
        // One that tells of a share does not know the time.
        if self.step != 0 || !has_witness || self.is_owed_a_claim() {
            return;
        }
        self.seen.jumps += 1;
        let length = NOTICED + self.random.one_of([2_000_000, 3_000_000_000]);
        self.step = i64::try_from(length).unwrap();
        if self.random.one_in(2) {
            self.step = -self.step;
        }
        self.clock_ahead = self.clock_ahead.saturating_add_signed(self.step);
        if self.random.one_in(2) {
            // Met by a process that knows nothing.
            self.replace_a_process();
            self.make_a_trip_of(self.processes.len() - 1);
        }
    }

    fn restart(&mut self) {
        self.run = self.random.next();
        // Nobody can say that any more.
        self.is_unused = false;
        (self.started, self.restarted) = (self.time, self.time);
        self.delayed.clear();
        // Whatever the clock does, nothing is granted at first.
        self.step = 0;
    }

    fn restart_empty(&mut self) {
        self.restart();
        if let Some(connection) = &mut self.connection {
            let _: () = connection.del(self.store.key()).unwrap();
        }
        self.model.lose();
    }

    /// The server says that it has run for long. A process that had an answer shortly before is there first, and knows better.
    fn restart_empty_with_a_wrong_clock(&mut self) {
        let index = self.pick();
        let process = &self.processes[index];
        let is_cut = self.time < process.cut_until.max(process.half_cut_until);
        if self.step != 0 || is_cut {
            return;
        }
        let trip = self.trip(index);
        let passed = trip.vouched.saturating_sub(trip.acked_at);
        let is_known = trip.epoch.is_some() && trip.acked_at > 0 && trip.vouched > 0;
        if trip.leave || !is_known || passed >= span(&self.terms) {
            return;
        }
        self.restart_empty();
        self.started -= 1_000_000_000_000;
        if let Some(reply) = self.send(&trip) {
            self.answer(index, self.time, &trip, &reply);
        }
        self.seen.wrong_uptimes += 1;
    }

    /// Half of the times all but one have died, so that it is the only one that can tell of a share: one that uses it, if there is one. Half of the
    /// times nobody reaches the store for a while.
    fn restart_empty_for_new_ones(&mut self) {
        if self.random.one_in(2) {
            let (time, terms) = (self.time, &self.terms);
            let user = self.processes.iter().position(|process| process.share(time, terms) > 0);
            let last = user.unwrap_or_else(|| self.pick());
            let others = self.processes.len() - 1;
            self.processes.swap(0, last);
            self.processes.truncate(1);
            (0..others).for_each(|_| self.join());
        }
        self.restart_empty();
        if self.random.one_in(2) {
            for _ in 0..20 {
                self.time += self.random.up_to(span(&self.terms) / 8);
                self.use_some();
                self.check();
            }
        }
    }

    fn save(&mut self) {
        let dumped: Option<Option<Vec<u8>>> = self
            .connection
            .as_mut()
            .map(|connection| redis::cmd("DUMP").arg(self.store.key()).query(*connection).unwrap());
        self.saved = match dumped {
            None => Some((Vec::new(), self.model.clone())),
            Some(dumped) => dumped.map(|dumped| (dumped, self.model.clone())),
        };
    }

    /// To a server that has what was saved, or nothing.
    fn fail_over(&mut self) {
        let Some((dumped, model)) = self.saved.clone() else { return self.restart_empty() };
        self.restart();
        if let Some(connection) = &mut self.connection {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(self.store.key()).arg(0).arg(dumped).arg("REPLACE");
            let _: () = restore.query(*connection).unwrap();
        }
        self.model = model;
        self.model.change(self.terms.clone());
    }

    /// A process, or half of it: requests arrive, and answers do not.
    fn cut_off(&mut self) {
        let longest = 6 * (self.terms.windows[0].kept + self.terms.time_to_live + 1_000_000);
        let (index, until) = (self.pick(), self.time + self.random.up_to(longest));
        let process = &mut self.processes[index];
        if self.random.one_in(2) {
            process.cut_until = until;
        } else {
            process.half_cut_until = until;
        }
    }

    /// For minutes nobody reaches the store, and uses its share. Then an old request is the first that arrives, and some stay cut off.
    fn cut_all_off(&mut self) {
        self.claim_in_time();
        if self.step != 0 {
            return;
        }
        let index = self.pick();
        let late = self.trip(index);
        let fallback = self.terms.fallback.unwrap_or(0);
        let until = self.time + self.random.up_to(self.terms.time_to_live + fallback);
        for process in &mut self.processes {
            process.cut_until = until + self.random.up_to(1) * self.random.up_to(fallback);
        }
        while self.time < until {
            self.time += 1 + self.random.up_to(self.terms.time_to_live / 4);
            self.use_some();
            self.check();
        }
        self.claim_in_time();
        self.send(&late);
        self.seen.late += 1;
    }

    /// Of what is counted as produced, of what calls need beyond what was granted, and of what a process may use by itself.
    fn use_some(&mut self) {
        let index = self.pick();
        self.use_some_of(index);
    }

    fn use_some_of(&mut self, index: usize) {
        let (terms, time) = (&self.terms, self.time);
        let process = &mut self.processes[index];
        for (window, of) in terms.windows.iter().enumerate() {
            let held = process.tallies[window].held;
            let used = self.random.up_to(held);
            let given_up = if self.random.one_in(3) { self.random.up_to(held - used) } else { 0 };
            process.let_go(window, used + given_up);
            process.tallies[window].used += used;
            self.ledger.spend(process.id, window, time, used);
            self.seen.produced += used;
            if self.random.one_in(20) {
                let beyond = self.random.up_to(of.limit / 4 + 1);
                process.tallies[window].used += beyond;
                self.seen.beyond += beyond;
            }
            let most = process.may_use(window, time, terms);
            let amount = if self.random.one_in(2) { most } else { self.random.up_to(most) };
            process.use_by_itself(window, time, amount, terms);
            self.ledger.spend(process.id, window, time, amount);
            self.seen.by_themselves += amount;
        }
        process.run(time, terms, self.random.up_to(3));
        if self.random.one_in(9) {
            process.running = self.random.up_to(process.running);
            process.calls = self.random.up_to(process.calls);
        }
    }

    fn injected(&self) -> Injected {
        let clock = self.time + self.clock_ahead;
        Injected { clock, run: self.run, uptime: self.time - self.started }
    }

    fn deliver_a_delayed_trip(&mut self) {
        self.claim_in_time();
        if self.step == 0 && !self.delayed.is_empty() {
            let last = self.delayed.len() as u64 - 1;
            let trip = self.delayed.swap_remove(usize::try_from(self.random.up_to(last)).unwrap());
            self.send(&trip);
        }
    }

    fn make_a_trip(&mut self) {
        let index = self.pick();
        self.make_a_trip_of(index);
    }

    fn make_a_trip_of(&mut self, index: usize) {
        self.claim_in_time();
        let goes_back = (self.time - self.last_trip).checked_add_signed(self.step).is_none();
        let may_go = self.step == 0 || goes_back || self.is_witness(index);
        if !may_go {
            return;
        }
        let trip = self.trip(index);
        self.seen.apart += u64::from(trip.apart);
        let process = &self.processes[index];
        if self.time < process.cut_until && self.step == 0 {
            // Some arrive late.
            if self.random.one_in(8) {
                self.delayed.push(trip);
            }
            return;
        }
        let is_unheard = self.time < process.half_cut_until;
        match self.random.up_to(19) {
            // On its way for long.
            0 => self.delayed.push(trip),
            // Arrived, and the answer is lost.
            1 => drop(self.send(&trip)),
            _ if is_unheard => drop(self.send(&trip)),
            // Twice.
            2 => {
                let is_known = self.send(&trip).is_some() && !trip.leave;
                assert!(self.send(&trip).is_none() || !is_known, "it counts twice");
            }
            _ => {
                let began = self.time;
                let uses_share = self.processes[index].share(began, &self.terms) > 0;
                if let Some(reply) = self.send(&trip) {
                    let is_slow = uses_share || self.random.one_in(6);
                    if matches!(self.style, Style::CutOff) && is_slow {
                        self.wait_for_the_answer(index);
                    }
                    self.answer(index, began, &trip, &reply);
                }
            }
        }
    }

    /// Which goes on to use its share meanwhile.
    fn wait_for_the_answer(&mut self, index: usize) {
        let length = self.terms.time_to_live / 3;
        for _ in 0..3 {
            self.time += self.random.up_to(length / 3);
            self.use_some_of(index);
            self.check();
        }
    }

    /// Whether the script believes this process.
    fn is_witness(&self, index: usize) -> bool {
        let process = &self.processes[index];
        process.epoch.is_some_and(|epoch| self.model.believes(epoch, process.steps))
    }

    fn trip(&mut self, index: usize) -> Trip {
        let asks: Vec<Ask> = (0..self.terms.windows.len()).map(|window| self.ask(window)).collect();
        let lag = self.random.up_to(1000);
        let pause = match self.random.up_to(39) {
            0 => Pause::For(self.random.up_to(self.terms.windows[0].kept)),
            1..=2 => Pause::End,
            _ => Pause::Keep,
        };
        let limit = self.terms.slots.unwrap_or(10);
        let (mut need, more) = (self.random.up_to(limit), self.random.up_to(limit));
        if matches!(self.style, Style::CutOff) && self.random.one_in(2) {
            need = limit;
        }
        need = need.max(self.processes[index].in_flight());
        let leave = self.random.one_in(60) && !self.is_owed_a_claim_of(index);
        let is_waiting = self.random.one_in(2);
        let time = self.time;
        let process = &mut self.processes[index];
        process.seq += 1;
        process.waiting_since =
            is_waiting.then(|| process.waiting_since.unwrap_or(time.saturating_sub(lag + 1)));
        let waited = process.waiting_since.map_or(0, |since| time - since);
        let have = if time < process.slots_until { process.slots } else { 0 };
        let want = if leave { 0 } else { need + more };
        // What goes back is not used any more from here on.
        process.slots = have.min(want);
        self.seen.go_on += u64::from(process.in_flight() > have);
        let vouched =
            process.epoch.map_or(0, |_| i128::from(time) + process.ahead - i128::from(lag));
        let vouched = u64::try_from(vouched).unwrap_or(0);
        let (process_id, seq, acked) = (process.id, process.seq, process.acked);
        let (epoch, steps) = (process.epoch, process.steps);
        let slots = SlotAsk { have: process.slots, need: need.min(want), want };
        let returns = self.returns(index);
        let trip = Trip {
            process: process_id,
            seq,
            acked,
            epoch,
            next_epoch: self.random.next(),
            vouched,
            slack: SLACK + self.processes[index].took,
            steps,
            waited,
            pause,
            leave,
            slots,
            asks,
            returns,
            unused: self.is_unused,
            ..Trip::default()
        };
        self.processes[index].tell(self.time, &self.terms, trip)
    }

    fn ask(&mut self, window: usize) -> Ask {
        let limit = self.terms.windows[window].limit;
        if matches!(self.style, Style::CutOff) && !self.random.one_in(3) {
            return Ask { least: 0, need: limit, want: limit };
        }
        let most = self.random.one_of([limit + 1, limit / 3 + 1, 1]);
        let mut sizes = [0, 0, 0].map(|_| self.random.up_to(most));
        sizes.sort_unstable();
        let [least, need, want] = sizes;
        Ask { least, need, want }
    }

    /// Some of what it has not spent.
    fn returns(&mut self, index: usize) -> Vec<Return> {
        if !self.random.one_in(3) {
            return Vec::new();
        }
        let Some(mut back) = self.processes[index].grants.pop() else { return Vec::new() };
        back.amount = self.random.up_to(back.amount);
        let id = self.processes[index].id;
        self.ledger.give_back(id, back.window, back.granted_at, back.amount);
        self.seen.returned += back.amount;
        vec![back]
    }

    fn send(&mut self, trip: &Trip) -> Option<Reply> {
        let at = self.injected();
        let expected = self.model.trip(trip, at);
        let real = match &mut self.connection {
            None => expected.clone(),
            Some(connection) => match self.store.call_at(*connection, trip, at) {
                Ok(reply) => Some(reply),
                Err(StoreError::Stale) => None,
                Err(StoreError::Limits(_)) => {
                    self.seen.other_limits += 1;
                    None
                }
                Err(error) => panic!("{error}: {trip:?}"),
            },
        };
        assert_eq!(real, expected, "\n{trip:?}\n{at:?}\n{:?}", self.terms);
        if real.is_some() {
            self.step = 0;
            self.last_trip = self.time;
            self.seen.changes += u64::from(self.has_changed);
            self.has_changed = false;
        }
        self.seen.published += self.model.published().len() as u64;
        self.published.extend_from_slice(self.model.published());
        self.seen.stale += u64::from(real.is_none());
        self.seen.pauses += u64::from(real.as_ref().is_some_and(|reply| reply.paused > 0));
        real
    }

    fn answer(&mut self, index: usize, began: u64, trip: &Trip, reply: &Reply) {
        let process = &mut self.processes[index];
        process.answer(self.time, began, trip, reply, &self.terms);
        if process.epoch != Some(reply.epoch) {
            self.seen.epochs += u64::from(process.epoch.is_some());
            process.epoch = Some(reply.epoch);
            process.grants.clear();
        }
        let ahead = i128::from(reply.now) - i128::from(self.time);
        process.ahead = ahead;
        process.steps = reply.steps;
        process.slots = reply.slots;
        process.slots_until = began + self.terms.time_to_live;
        self.seen.slots += reply.slots;
        let is_more = reply.slots > trip.slots.have.max(trip.in_flight);
        for (window, granted) in reply.windows.iter().enumerate() {
            let amount = granted.amount;
            self.seen.granted += amount;
            self.seen.refused += u64::from(amount < trip.asks[window].need);
            if amount > 0 && !self.terms.windows[window].produced {
                self.ledger.grant(process.id, window, reply.now, began, amount);
                process.grants.push(Return { window, granted_at: reply.now, amount });
            }
        }
        if is_more {
            self.check_calls();
        }
    }

    /// Calls that go on, although their processes were told of fewer slots, are not met by others that begin. A share that is used beside
    /// them is: that is not covered.
    fn check_calls(&mut self) {
        let Some(limit) = self.terms.slots else { return };
        for process in &mut self.processes {
            process.drop_what_goes_on_too_long(self.time, &self.terms);
        }
        let in_use = self.processes.iter().map(|one| one.slots_in_use(self.time, &self.terms));
        let in_use: Vec<u64> = in_use.collect();
        let sum: u64 = in_use.iter().sum();
        assert!(sum <= limit, "{sum} slots of {limit} in use: {in_use:?}");
    }

    fn check(&mut self) {
        let (terms, time) = (&self.terms, self.time);
        for process in &mut self.processes {
            process.drop_what_it_held_too_long(time, terms);
            process.drop_what_goes_on_too_long(time, terms);
        }
        for window in 0..terms.windows.len() {
            let held = self.processes.iter().map(|process| process.tallies[window].held);
            self.ledger.check(window, time, held.sum());
        }
        let held: u64 = self.processes.iter().map(|process| process.slots(time, terms)).sum();
        let limit = terms.slots.unwrap_or(0);
        assert!(held <= limit, "{held} slots of {limit}: {:?}", self.processes);
        if self.terms.fallback.is_none() {
            self.check_calls();
        }
    }
}

/// In which cutting off takes long enough to matter.
fn short_terms(random: &mut Random) -> Terms {
    let kept = 1 + random.up_to(1_000_000);
    let tick = kept.div_ceil(random.one_of([2, 20, 1000]));
    let window = |random: &mut Random| Window {
        limit: 1 + random.up_to(12),
        kept,
        tick,
        produced: random.one_in(3),
    };
    let windows = (0..=random.up_to(1)).map(|_| window(random)).collect();
    let time_to_live = random.one_of([200_000, 1_000_000, 3_000_000]);
    let fallback = Some(random.up_to(20 * (1_000_000 + kept + time_to_live)));
    Terms { windows, slots: Some(1 + random.up_to(12)), time_to_live, fallback }
}

fn terms(random: &mut Random) -> Terms {
    let window = |random: &mut Random| {
        let kept = 1 + random.up_to(2_000_000);
        let ticks = random.one_of([3, 40, 1000]);
        let limit = random.one_of([3, 30, 30_000, 1 << 48]);
        let tick = kept.div_ceil(1 + random.up_to(ticks));
        let produced = random.one_in(3);
        Window { limit: random.up_to(limit), kept, tick, produced }
    };
    let windows = (0..=random.up_to(2)).map(|_| window(random)).collect();
    let slots = random.one_in(2).then(|| random.up_to(12));
    let time_to_live = 1000 + random.up_to(3_000_000);
    let fallback = (!random.one_in(3)).then(|| random.up_to(30_000_000));
    Terms { windows, slots, time_to_live, fallback }
}
