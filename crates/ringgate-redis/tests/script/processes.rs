//! Sessions that spend leases to their ends, on a network that delays and loses, with a real script: at most the limit in any window,
//! by true time.

use crate::model::Model;
use crate::random::Random;
use crate::server::Server;
use redis::{Commands, Connection};
use ringgate_redis::script::{Ask, Injected, Pause, Reply, Store, StoreError, Terms, Trip, Window};
use ringgate_redis::session::{Demand, Session};
use std::collections::VecDeque;
use std::env;

const HISTORIES: u64 = 60;
const STEPS: u64 = 600;
/// Trips that are longer under way tell nothing of the time.
const LONG: u64 = 900_000;

struct World<'a> {
    random: Random,
    connection: &'a mut Connection,
    store: Store,
    terms: Terms,
    length: u64,
    model: Model,
    /// The true time; what the server's clock is ahead, its step since the last trip.
    time: u64,
    clock_ahead: u64,
    step: i64,
    run: u64,
    started: u64,
    processes: Vec<Process>,
    requests: Vec<Request>,
    answers: Vec<(u64, u64, Reply)>,
    uses: Vec<VecDeque<(u64, u64)>>,
    seen: [u64; 5],
}

struct Process {
    id: u64,
    /// Its clock less the true time.
    ahead: u64,
    session: Session,
}

struct Request {
    trip: Trip,
    sent: u64,
}

impl<'a> World<'a> {
    fn new(seed: u64, store: &Store, connection: &'a mut Connection) -> Self {
        let mut random = Random::new(seed);
        let length = 1 + random.up_to(300_000);
        let mut window = || {
            let kept = length + 1 + random.up_to(2_000_000);
            let (ticks, limit) = (random.one_of([3, 40, 1000]), random.one_of([3, 30, 3000]));
            let tick = kept.div_ceil(1 + random.up_to(ticks));
            Window { limit: random.up_to(limit), kept, tick, produced: false }
        };
        let windows: Vec<Window> = [(); 2].map(|()| window()).into();
        let time_to_live = 100_000 + random.up_to(2_000_000);
        let terms = Terms { windows, slots: Some(random.up_to(9)), time_to_live, fallback: None };
        let store = store.with_terms(terms.clone());
        let _: () = connection.del(store.key()).unwrap();
        let time = 1_790_000_000_000_000;
        let mut world = Self {
            connection,
            store,
            length,
            model: Model::new(terms.clone()),
            time,
            clock_ahead: 1_000_000_000_000,
            step: 0,
            run: 1,
            started: time - 1_000_000_000,
            processes: Vec::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            uses: vec![VecDeque::new(); 2],
            seen: [0; 5],
            terms,
            random,
        };
        for _ in 0..=world.random.up_to(4) {
            world.join();
        }
        world
    }

    fn join(&mut self) {
        let (id, ahead) = (self.random.next(), self.random.up_to(1 << 40));
        let session = Session::new(id, self.terms.clone(), self.length);
        self.processes.push(Process { id, ahead, session });
    }

    fn step(&mut self) {
        let most = match self.random.up_to(99) {
            0 => self.terms.windows[0].kept,
            1..=9 => self.length / 3,
            _ => self.random.one_of([1, 1000, self.length / 30]),
        };
        self.time += self.random.up_to(most);
        match self.random.up_to(99) {
            0 if self.random.one_in(4) => self.restart(),
            0..=1 => {
                let gone = self.pick();
                self.processes.swap_remove(gone);
                self.join();
            }
            2..=3 => self.jump(),
            4..=34 => self.spend(),
            35..=54 => self.begin(),
            55..=79 => self.arrive(),
            _ => self.answer(),
        }
        let held =
            self.processes.iter().map(|process| process.session.slots(self.time + process.ahead));
        let (held, limit) = (held.sum::<u64>(), self.terms.slots.unwrap());
        assert!(held <= limit, "{held} slots of {limit}");
    }

    fn pick(&mut self) -> usize {
        let last = self.processes.len() as u64 - 1;
        usize::try_from(self.random.up_to(last)).unwrap()
    }

    fn restart(&mut self) {
        let _: () = self.connection.del(self.store.key()).unwrap();
        self.model.lose();
        self.run += 1;
        (self.started, self.step) = (self.time, 0);
        self.requests.clear();
    }

    fn jump(&mut self) {
        if self.step == 0 && self.requests.iter().any(|request| self.knows(request)) {
            let length = i64::try_from(1_100_000 + self.random.up_to(100_000_000)).unwrap();
            self.step = if self.random.one_in(2) { length } else { -length };
            self.clock_ahead = self.clock_ahead.saturating_add_signed(self.step);
            self.seen[0] += 1;
        }
    }

    fn spend(&mut self) {
        let index = self.pick();
        let process = &mut self.processes[index];
        let now = self.time + process.ahead;
        let left = [0, 1].map(|window| process.session.left(now, window));
        let amounts = left.map(|left| {
            let amount = self.random.up_to(left + 1);
            self.random.one_of([amount, left, 1])
        });
        if !process.session.spend(now, &amounts) {
            return;
        }
        for (window, uses) in self.uses.iter_mut().enumerate() {
            // Any window of this length.
            let Window { limit, kept, .. } = self.terms.windows[window];
            uses.push_back((self.time, amounts[window]));
            while uses.front().is_some_and(|(at, _)| at + (kept - self.length) <= self.time) {
                uses.pop_front();
            }
            let sum: u64 = uses.iter().map(|(_, amount)| amount).sum();
            assert!(sum <= limit, "{sum} of {limit} in a window: {uses:?}");
            self.seen[1] += amounts[window];
        }
    }

    fn begin(&mut self) {
        let index = self.pick();
        let id = self.processes[index].id;
        let is_under_way = self.requests.iter().any(|request| request.trip.process == id)
            || self.answers.iter().any(|(process, ..)| *process == id);
        if is_under_way && !self.random.one_in(6) {
            return;
        }
        let asks = self.terms.windows.clone().into_iter().map(|window| {
            let most = self.random.one_of([0, 1, window.limit / 2, window.limit]);
            let mut sizes = [0, 0, 0].map(|_| self.random.up_to(most));
            sizes.sort_unstable();
            Ask { least: sizes[0], need: sizes[1], want: sizes[2] }
        });
        let asks = asks.collect();
        let pause = if self.random.one_in(60) { Pause::For(100_000) } else { Pause::Keep };
        let demand = Demand {
            asks,
            slots: self.random.up_to(3),
            slots_ahead: self.random.up_to(6),
            waited: self.random.one_of([0, 1, 100_000]),
            pause,
            leave: self.random.one_in(40),
        };
        let next_epoch = self.random.next();
        let process = &mut self.processes[index];
        let trip = process.session.begin(self.time + process.ahead, &demand, next_epoch);
        self.seen[2] += trip.returns.iter().map(|back| back.amount).sum::<u64>();
        self.requests.push(Request { trip, sent: self.time });
    }

    /// A step of the clock is met by a trip that knows better, or time would go back.
    fn knows(&self, request: &Request) -> bool {
        let Trip { epoch, steps, .. } = request.trip;
        let is_believed = epoch.is_some_and(|epoch| self.model.believes(epoch, steps));
        is_believed && self.time - request.sent < LONG
    }

    fn arrive(&mut self) {
        let Some(last) = self.requests.len().checked_sub(1) else { return };
        let index = usize::try_from(self.random.up_to(last as u64)).unwrap();
        if self.step != 0 && !self.knows(&self.requests[index]) {
            self.requests.swap_remove(index);
            if !self.requests.iter().any(|request| self.knows(request)) {
                self.restart();
            }
            return;
        }
        // Some arrive again.
        let trip = if self.random.one_in(9) {
            self.requests[index].trip.clone()
        } else {
            self.requests.swap_remove(index).trip
        };
        let (clock, uptime) = (self.time + self.clock_ahead, self.time - self.started);
        let at = Injected { clock, run: self.run, uptime };
        let expected = self.model.trip(&trip, at);
        let real = match self.store.call_at(self.connection, &trip, at) {
            Ok(reply) => Some(reply),
            Err(StoreError::Stale) => None,
            Err(error) => panic!("{error}: {trip:?}"),
        };
        assert_eq!(real, expected, "\n{trip:?}\n{at:?}\n{:?}", self.terms);
        if let Some(reply) = real {
            // A stale trip tells nothing.
            self.step = 0;
            self.answers.push((trip.process, trip.seq, reply));
        }
    }

    fn answer(&mut self) {
        let Some(last) = self.answers.len().checked_sub(1) else { return };
        let index = usize::try_from(self.random.up_to(last as u64)).unwrap();
        let (id, seq, reply) = self.answers.swap_remove(index);
        let is_lost = self.random.one_in(12);
        let process = self.processes.iter_mut().find(|process| process.id == id);
        if let Some(process) = process.filter(|_| !is_lost) {
            let is_taken = process.session.complete(self.time + process.ahead, seq, &reply);
            self.seen[if is_taken { 3 } else { 4 }] += 1;
        }
    }
}

/// `RINGGATE_REDIS_SEED` runs one history, that of this seed. `RINGGATE_REDIS_HISTORIES` runs so many.
#[test]
fn leases_that_are_spent_to_their_ends_keep_the_limit_in_every_window() {
    let server = Server::start();
    let mut connection = server.connect();
    let store = Store::new("tests", "processes", Terms::default());
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("RINGGATE_REDIS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGGATE_REDIS_HISTORIES").unwrap_or(HISTORIES),
    };
    let is_one = seeds.end - seeds.start == 1;
    let mut all = [0; 5];
    for seed in seeds {
        // Shown if the test fails.
        println!("RINGGATE_REDIS_SEED={seed}");
        let mut world = World::new(seed, &store, &mut connection);
        for _ in 0..STEPS {
            world.step();
        }
        for (sum, seen) in all.iter_mut().zip(world.seen) {
            *sum += seen;
        }
    }
    println!("steps of the clock, spent, given back, answers, late ones: {all:?}");
    assert!(is_one || all.iter().all(|&seen| seen > 20), "something never happened: {all:?}");
}
