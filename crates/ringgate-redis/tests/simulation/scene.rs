//! Some processes and a store, by hand.

use crate::ledger::{Ledger, Limited};
use crate::network::Network;
use crate::process::{Counts, Plan, Process};
use crate::random::Random;
use ringgate::{LimiterBuilder, Priority, Usage};
use ringgate_redis::{SharedLimiter, SharedLimiterBuilder};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What is not said is that: one request, at once.
pub(crate) const PLAN: Plan = Plan {
    tokens: Usage::new(0, 0),
    priority: Priority::Normal,
    timeout: None,
    takes: Duration::ZERO,
    used: Usage::new(0, 0),
    is_try: false,
    patience: None,
};

pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) struct Scene {
    pub(crate) time: Rc<Cell<u64>>,
    pub(crate) network: Rc<RefCell<Network>>,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) processes: Vec<Process>,
    /// Of each process.
    pub(crate) counts: Vec<Rc<Counts>>,
    pub(crate) random: Random,
}

impl Scene {
    pub(crate) fn new(
        processes: u64,
        limits: &LimiterBuilder,
        limited: Vec<Limited>,
        slots: Option<usize>,
        build: impl Fn(SharedLimiterBuilder) -> SharedLimiterBuilder,
    ) -> Self {
        let each = vec![limits.clone(); usize::try_from(processes).unwrap()];
        Self::of(each, limited, slots, build)
    }

    /// Of processes that differ in what is not shared.
    pub(crate) fn of(
        each: Vec<LimiterBuilder>,
        limited: Vec<Limited>,
        slots: Option<usize>,
        build: impl Fn(SharedLimiterBuilder) -> SharedLimiterBuilder,
    ) -> Self {
        let mut random = Random::new(7);
        let time = Rc::new(Cell::new(1_790_000_000_000_000));
        let builder = |limits| build(SharedLimiter::builder(limits, "tests", "scene"));
        let terms = builder(each[0].clone()).terms().unwrap();
        let mut network = Network::new(3, terms, Rc::clone(&time));
        network.delay = 400;
        let network = Rc::new(RefCell::new(network));
        let ledger = Rc::new(RefCell::new(Ledger::new(limited, slots, Rc::clone(&time))));
        let process = |(id, limits)| Process::new(id, builder, limits, &network, &mut random);
        let processes: Vec<_> = (0..).zip(each).map(process).collect();
        let counts = processes.iter().map(|_| Rc::default()).collect();
        Self { time, network, ledger, processes, counts, random }
    }

    /// Time goes on, in steps of a millisecond at most.
    pub(crate) fn pass(&mut self, length: u64) {
        let until = self.time.get() + length;
        while self.time.get() < until {
            self.step((until - self.time.get()).min(1_000));
        }
    }

    pub(crate) fn step(&mut self, length: u64) {
        self.time.set(self.time.get() + length);
        self.network.borrow_mut().deliver();
        for process in &mut self.processes {
            process.clock.advance(Duration::from_micros(length));
            while process.tasks.poll_one(&mut self.random) {}
        }
    }

    pub(crate) fn call(&mut self, n: usize, plan: Plan) {
        self.processes[n].call(plan, &self.ledger, &self.counts[n]);
    }

    pub(crate) fn limiter(&self, n: usize) -> &SharedLimiter {
        &self.processes[n].limiter
    }

    /// Calls of a process that have not ended.
    pub(crate) fn open(&self, n: usize) -> u64 {
        self.counts[n].open.get()
    }

    pub(crate) fn trips(&self) -> u64 {
        self.processes.iter().map(|process| process.limiter.status().trips).sum()
    }

    pub(crate) fn admitted(&self) -> u64 {
        self.ledger.borrow().admitted
    }
}
