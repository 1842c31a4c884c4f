//! Processes whose agents ask for the next call as soon as one has ended: how many trips that takes, and how much of the limits is used.

use crate::ledger::{Ledger, Limited};
use crate::network::Network;
use crate::process::{Counts, Plan, Process};
use crate::random::Random;
use ringgate::{Limiter, LimiterBuilder, Priority, Rate, Usage};
use ringgate_redis::{SharedLimiter, SharedLimiterBuilder, WhileAway};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const STEP: u64 = 100;
const SECOND: u64 = 1_000_000;

/// What they do.
#[derive(Debug, Clone, Copy)]
struct Busy {
    processes: u64,
    /// Calls at a time, of each process.
    agents: u64,
    limit: u32,
    /// In microseconds: the window, a lease, and how long calls take at most.
    window: u64,
    lease: u64,
    takes: u64,
    slots: Option<usize>,
    /// The store may have forgotten something when it begins.
    is_known: bool,
}

const BUSY: Busy = Busy {
    processes: 8,
    agents: 8,
    limit: 1_250,
    window: 5 * SECOND,
    lease: SECOND / 20,
    takes: 300_000,
    slots: None,
    is_known: false,
};

/// What came of it.
#[derive(Debug)]
struct Outcome {
    /// For each call, in percent.
    trips: u64,
    /// Of all that the rate and the slots allow, in percent.
    used: u64,
    /// Calls of the process that had the fewest, for each 100 of the one that had the most.
    fair: u64,
}

impl Busy {
    fn builder(&self, limits: LimiterBuilder) -> SharedLimiterBuilder {
        let builder = SharedLimiter::builder(limits, "tests", "busy")
            .lease(Duration::from_micros(self.lease))
            .while_away(WhileAway::Wait);
        if self.is_known { builder } else { builder.assume_unused() }
    }

    fn run(&self, seconds: u64) -> Outcome {
        let mut random = Random::new(7);
        let rate = Rate::new(self.limit, Duration::from_micros(self.window));
        let mut limits = Limiter::builder().rate(rate);
        if let Some(slots) = self.slots {
            limits = limits.max_concurrent(slots);
        }
        let limited = Limited {
            limit: self.limit.into(),
            window: self.window + self.window / 50,
            of: |_| 1,
            produced: false,
        };
        let time = Rc::new(Cell::new(1_790_000_000_000_000));
        let terms = self.builder(limits.clone()).terms().unwrap();
        let mut network = Network::new(3, terms, Rc::clone(&time));
        network.delay = 400;
        let network = Rc::new(RefCell::new(network));
        let ledger = Ledger::new(vec![limited], self.slots, Rc::clone(&time));
        let ledger = Rc::new(RefCell::new(ledger));
        let process = |id| {
            let limits = limits.clone();
            let builder = |limits| self.builder(limits);
            Process::new(id, builder, limits, &network, &mut random)
        };
        let mut processes: Vec<_> = (0..self.processes).map(process).collect();
        let counts: Vec<_> = processes.iter().map(|_| Rc::<Counts>::default()).collect();
        let mut calls = vec![0; processes.len()];
        let (mut random, began) = (Random::new(9), time.get());
        let mut since = (0, 0, vec![0; processes.len()]);
        while time.get() < began + seconds * SECOND {
            if time.get() == began + seconds * SECOND / 2 {
                let trips = processes.iter().map(|process| process.limiter.status().trips).sum();
                since = (ledger.borrow().admitted, trips, calls.clone());
            }
            time.set(time.get() + STEP);
            network.borrow_mut().deliver();
            for (n, process) in processes.iter_mut().enumerate() {
                process.clock.advance(Duration::from_micros(STEP));
                while counts[n].open.get() < self.agents {
                    calls[n] += 1;
                    let plan = Plan {
                        tokens: Usage::default(),
                        priority: Priority::Normal,
                        timeout: None,
                        takes: Duration::from_micros(self.takes / 2 + random.up_to(self.takes / 2)),
                        used: Usage::default(),
                        is_try: false,
                        patience: None,
                    };
                    process.call(plan, &ledger, &counts[n]);
                }
                while process.tasks.poll_one(&mut random) {}
            }
        }
        let trips: u64 = processes.iter().map(|process| process.limiter.status().trips).sum();
        let admitted = ledger.borrow().admitted - since.0;
        let calls: Vec<u64> =
            calls.iter().zip(&since.2).map(|(all, before)| all - before).collect();
        let time = seconds * SECOND / 2;
        let by_rate = u64::from(self.limit) * time / self.window;
        let by_slots =
            self.slots.map_or(u64::MAX, |slots| slots as u64 * time / (self.takes * 3 / 4));
        Outcome {
            trips: 100 * (trips - since.1) / admitted.max(1),
            used: 100 * admitted / by_rate.min(by_slots),
            fair: 100 * calls.iter().min().unwrap() / calls.iter().max().unwrap(),
        }
    }
}

#[test]
fn show() {
    let wide = Busy { limit: 100_000, ..BUSY };
    for (what, busy) in [
        ("rate", BUSY),
        ("wide", wide),
        ("rate, slots hardly", Busy { slots: Some(48), takes: 200_000, ..BUSY }),
        ("both", Busy { slots: Some(48), takes: 250_000, ..BUSY }),
        ("slots", Busy { slots: Some(48), ..wide }),
        ("slots, long", Busy { slots: Some(48), takes: 2_000_000, ..wide }),
        ("slots, short", Busy { slots: Some(48), takes: 20_000, limit: 1_000_000, ..BUSY }),
        ("few slots", Busy { slots: Some(4), takes: 40_000, ..wide }),
        ("one slot", Busy { slots: Some(1), takes: 10_000, ..wide }),
        ("slots, new store", Busy { slots: Some(48), is_known: true, ..wide }),
        (
            "window 4 calls",
            Busy { limit: 20, window: SECOND, lease: 20_000, takes: 20_000, ..BUSY },
        ),
    ] {
        println!("{what:20} {:?}", busy.run(16));
    }
}
