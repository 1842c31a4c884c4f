//! A history: limits, processes, faults, and the end.

use crate::ledger::{Ledger, Limited};
use crate::network::{Network, Seen};
use crate::process::{Counts, Plan, Process};
use crate::random::Random;
use ringgate::time::{Clock, Timestamp};
use ringgate::{Limiter, LimiterBuilder, Priority, Rate, Usage};
use ringgate_redis::{ConfigError, SharedLimiter, SharedLimiterBuilder, WhileAway};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const STEPS: u64 = 800;
/// In the end: so many steps, each a part of a lease: a trip must take less than that.
const LAST_STEPS: u64 = 60_000;
const PART: u32 = 6;

#[derive(Debug, Clone)]
struct Setting {
    limits: LimiterBuilder,
    lease: Duration,
    time_to_live: Duration,
    while_away: WhileAway,
    most_tokens: u64,
}

pub(crate) struct World {
    random: Random,
    setting: Setting,
    limited: Vec<Limited>,
    slots: Option<usize>,
    time: Rc<Cell<u64>>,
    network: Rc<RefCell<Network>>,
    ledger: Rc<RefCell<Ledger>>,
    processes: Vec<Process>,
    counts: Rc<Counts>,
    /// Calls that were in processes which were killed.
    killed: u64,
    next: u64,
    clocks: u64,
    /// Calls come faster than they can go.
    is_crowded: bool,
    /// Tasks that were woken are polled late.
    is_lazy: bool,
    /// Long steps until then: the store is away for long.
    long_until: u64,
}

impl Setting {
    fn builder(&self, limits: LimiterBuilder) -> SharedLimiterBuilder {
        SharedLimiter::builder(limits, "tests", "simulation")
            .lease(self.lease)
            .time_to_live(self.time_to_live)
            .response_timeout((self.time_to_live / 3).min(Duration::from_millis(300)))
            .while_away(self.while_away)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Limits by a seed: requests, perhaps tokens of two kinds, perhaps slots.
fn limits(random: &mut Random) -> (LimiterBuilder, Vec<Limited>, Option<usize>, u64) {
    let mut limited = Vec::new();
    let mut limits = Limiter::builder();
    let window = |random: &mut Random| 100 + random.up_to(900);
    let mut add = |limit, window, of, produced| {
        let window = window * 1000 + window * 1000 / 40;
        limited.push(Limited { limit, window, of, produced });
    };
    let (limit, length) = (1 + random.up_to(30), window(random));
    add(limit, length, |_| 1, false);
    limits = limits.rate(Rate::new(u32::try_from(limit).unwrap(), millis(length)));
    let mut most = 50;
    if random.one_in(2) {
        let (limit, length) = (20 + random.up_to(300), window(random));
        add(limit, length, Usage::total, false);
        limits = limits.tokens(limit, millis(length));
        most = limit;
    }
    if random.one_in(3) {
        let (limit, length) = (20 + random.up_to(300), window(random));
        add(limit, length, |usage| usage.output, true);
        limits = limits.output_tokens(limit, millis(length));
        most = most.min(limit);
    }
    let slots = (!random.one_in(3)).then(|| 1 + usize::try_from(random.up_to(5)).unwrap());
    if let Some(slots) = slots {
        limits = limits.max_concurrent(slots);
    }
    (limits, limited, slots, most)
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (limits, limited, slots, most_tokens) = limits(&mut random);
        let lease = millis(10 + random.up_to(50));
        let time_to_live = lease * 3 + millis(30 + random.up_to(1000));
        let mut setting =
            Setting { limits, lease, time_to_live, while_away: WhileAway::Wait, most_tokens };
        if random.one_in(2) {
            let (after, lasts) = (Duration::ZERO, Duration::ZERO);
            setting.while_away = WhileAway::Share { after, lasts };
            let refused = setting.builder(setting.limits.clone()).store().unwrap_err();
            let ConfigError::Share(least) = refused else { panic!("{refused}") };
            let lasts = least + millis(random.up_to(4000));
            setting.while_away = WhileAway::Share { after, lasts };
        }
        let time = Rc::new(Cell::new(1_790_000_000_000_000));
        let terms = setting.builder(setting.limits.clone()).terms().unwrap();
        let mut network = Network::new(random.next(), terms, Rc::clone(&time));
        network.losses = random.one_of([0, 8, 40]);
        network.delay = 500 + random.up_to(6_000);
        let is_crowded = random.one_in(2);
        let is_lazy = random.one_in(2);
        let ledger = Ledger::new(limited.clone(), slots, Rc::clone(&time));
        let mut world = Self {
            random,
            setting,
            limited,
            slots,
            time,
            network: Rc::new(RefCell::new(network)),
            ledger: Rc::new(RefCell::new(ledger)),
            processes: Vec::new(),
            counts: Rc::default(),
            killed: 0,
            next: 1,
            clocks: 0,
            is_crowded,
            is_lazy,
            long_until: 0,
        };
        for _ in 0..=world.random.up_to(3) {
            world.join();
        }
        world
    }

    fn join(&mut self) {
        let setting = self.setting.clone();
        let limits = setting.limits.clone();
        let builder = |limits| setting.builder(limits);
        let process = Process::new(self.next, builder, limits, &self.network, &mut self.random);
        self.next += 1;
        self.processes.push(process);
    }

    pub(crate) fn run(&mut self) {
        let uses_shares = self.setting.while_away != WhileAway::Wait && self.random.one_in(2);
        for step in 0..STEPS {
            let now = self.time.get();
            if step == STEPS / 4 && uses_shares {
                let until = now + 5_000_000 + self.random.up_to(12_000_000);
                self.network.borrow_mut().down_until = until;
                self.long_until = until;
            }
            let most = if now < self.long_until {
                60_000
            } else {
                self.random.one_of([100, 2_000, 10_000])
            };
            let length = 1 + self.random.up_to(most);
            self.pass(length);
            self.act();
            if now < self.long_until && self.counts.open.get() < 30 {
                // So many that shares are used up.
                let index = self.pick();
                self.call(index);
            }
        }
    }

    /// Time goes on, and everybody who is not stopped does what it may.
    fn pass(&mut self, length: u64) {
        self.time.set(self.time.get() + length);
        let now = self.time.get();
        for process in &mut self.processes {
            process.clock.advance(Duration::from_micros(length));
        }
        self.network.borrow_mut().deliver();
        let time_to_live = u64::try_from(self.setting.time_to_live.as_micros()).unwrap();
        for process in &mut self.processes {
            let is_silent = now >= process.contact.get() + time_to_live;
            if is_silent && !process.forgotten && !process.limiter.status().is_share {
                self.ledger.borrow_mut().forget(process.id);
            }
            process.forgotten = is_silent;
        }
        self.poll();
    }

    fn poll(&mut self) {
        let now = self.time.get();
        for _ in 0..20_000 {
            let mut polled = false;
            for process in &mut self.processes {
                // Some runtimes are busy with other things.
                let is_late = self.is_lazy && self.random.one_in(4);
                if !process.is_stopped(now) && !is_late {
                    let was_share = process.limiter.status().is_share;
                    polled |= process.tasks.poll_one(&mut self.random);
                    if was_share && !process.limiter.status().is_share {
                        self.ledger.borrow_mut().forget(process.id);
                    }
                }
            }
            if !polled {
                return;
            }
        }
        panic!("somebody never rests");
    }

    fn pick(&mut self) -> usize {
        let last = self.processes.len() as u64 - 1;
        usize::try_from(self.random.up_to(last)).unwrap()
    }

    fn act(&mut self) {
        let now = self.time.get();
        let index = self.pick();
        match self.random.up_to(999) {
            choice
                if (choice < 200 || choice >= 250 && self.is_crowded)
                    && self.counts.open.get() < 30 =>
            {
                self.call(index);
            }
            200..=203 => self.kill(index),
            204..=209 => {
                let length = self.random.one_of([20_000, 300_000, 3_000_000]);
                self.processes[index].stopped_until = now + self.random.up_to(length);
            }
            210..=216 => {
                let length = self.random.one_of([50_000, 500_000, 5_000_000]);
                self.processes[index].cut_until.set(now + self.random.up_to(length));
            }
            217..=219 => self.network.borrow_mut().step_clock(),
            220..=222 => self.network.borrow_mut().save(),
            223 => self.network.borrow_mut().restart(),
            224..=226 => {
                let length = self.random.one_of([50_000, 1_000_000, 12_000_000]);
                let until = now + self.random.up_to(length);
                self.network.borrow_mut().down_until = until;
                if length > 2_000_000 {
                    self.long_until = until;
                }
            }
            227..=228 => self.processes[index].limiter.pause(millis(self.random.up_to(200))),
            229 => self.processes[index].limiter.resume(),
            230..=231 if self.processes.len() < 5 => self.join(),
            232 => self.step_clock_back(index),
            _ => {}
        }
    }

    /// Of a process: its leases would last too long.
    fn step_clock_back(&mut self, index: usize) {
        let length = self.random.one_of([1_000, 100_000, 5_000_000]);
        let length = Duration::from_micros(self.random.up_to(length));
        let process = &mut self.processes[index];
        // Not while the driver may be late: calls could go before it looks.
        if process.stopped_until <= self.time.get() && !self.is_lazy {
            let back = u64::try_from(length.as_nanos()).unwrap();
            process.clock.set(Timestamp::from_nanos(process.clock.now().as_nanos() - back));
            self.clocks += 1;
            self.poll();
        }
    }

    fn call(&mut self, index: usize) {
        let random = &mut self.random;
        let most = random.one_of([1, 10, self.setting.most_tokens]).min(self.setting.most_tokens);
        let total = random.up_to(most);
        let output = random.up_to(total);
        let tokens = Usage::new(total - output, output);
        let used = if random.one_in(2) {
            Usage::new(random.up_to(tokens.input), random.up_to(tokens.output))
        } else {
            tokens
        };
        let maybe = |random: &mut Random, length| {
            random.one_in(6).then(|| Duration::from_micros(random.up_to(length)))
        };
        let length = random.one_of([0, 2_000, 50_000]);
        let plan = Plan {
            tokens,
            priority: [Priority::High, Priority::Normal, Priority::Low]
                [usize::try_from(random.up_to(2)).unwrap()],
            timeout: maybe(random, 500_000),
            takes: Duration::from_micros(random.up_to(length)),
            used,
            is_try: random.one_in(8),
            patience: maybe(random, 100_000),
        };
        self.processes[index].call(plan, &self.ledger, &self.counts);
    }

    fn kill(&mut self, index: usize) {
        let open = self.counts.open.get();
        let process = self.processes.swap_remove(index);
        let calls = process.tasks.len() as u64 - 1;
        self.ledger.borrow_mut().kill(process.id);
        drop(process);
        self.killed += calls;
        self.counts.open.set(open - calls);
        self.join();
    }

    /// All is in order now: every call in line is admitted, and what was leased comes back.
    pub(crate) fn end(&mut self) {
        let mut network = self.network.borrow_mut();
        (network.losses, network.delay, network.down_until) = (0, 1_000, 0);
        drop(network);
        self.is_lazy = false;
        for process in &mut self.processes {
            process.stopped_until = 0;
            process.cut_until.set(0);
        }
        self.wait("calls hang", |world| world.counts.open.get() == 0);
        self.wait("shares go on", |world| {
            world.processes.iter().all(|process| !process.limiter.status().is_share)
        });
        for process in &self.processes {
            process.limiter.close();
        }
        self.wait("processes do not leave", |world| {
            world.processes.iter().all(|process| process.limiter.status().has_left)
        });
        self.processes.clear();
        // Until everything has left the windows, and no share is kept free any more.
        for _ in 0..100 {
            self.pass(300_000);
        }
        self.join();
        self.fill();
        self.wait("something was lost", |world| world.counts.open.get() == 0);
    }

    /// One process uses all that there is: of requests or of tokens, and of the slots.
    fn fill(&mut self) {
        let requests = self.limited[0].limit;
        let slots = self.slots.unwrap_or(usize::MAX) as u64;
        let calls = requests.min(slots);
        let tokens = self.setting.most_tokens / calls;
        for _ in 0..calls {
            let tokens = Usage::new(0, tokens);
            let plan = Plan {
                tokens,
                priority: Priority::Normal,
                timeout: None,
                takes: millis(1),
                used: tokens,
                is_try: false,
                patience: None,
            };
            self.processes[0].call(plan, &self.ledger, &self.counts);
        }
    }

    fn wait(&mut self, what: &str, is_done: impl Fn(&Self) -> bool) {
        let step = u64::try_from((self.setting.lease / PART).as_micros()).unwrap();
        for _ in 0..LAST_STEPS {
            if is_done(self) {
                return;
            }
            self.pass(step);
        }
        let limiters: Vec<_> = self.processes.iter().map(|process| &process.limiter).collect();
        panic!("{what}: {} calls, {limiters:#?}", self.counts.open.get());
    }

    pub(crate) fn seen(&self) -> (Seen, [u64; 4]) {
        let admitted = self.ledger.borrow().admitted;
        let (by_itself, refused) = (self.counts.by_itself.get(), self.counts.refused.get());
        (self.network.borrow().seen, [admitted, by_itself, refused, self.clocks])
    }
}
