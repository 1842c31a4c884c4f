//! Processes whose agents ask for the next call as soon as one has ended: how many trips that takes, and how much of the limits is used.

use crate::ledger::Limited;
use crate::process::Plan;
use crate::random::Random;
use crate::scene::{PLAN, SECOND, Scene};
use ringgate::{Limiter, Rate};
use ringgate_redis::{SharedLimiterBuilder, WhileAway};
use std::time::Duration;

const STEP: u64 = 200;

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
}

const BUSY: Busy = Busy {
    processes: 8,
    agents: 8,
    limit: 250,
    window: SECOND,
    lease: SECOND / 50,
    takes: 300_000,
    slots: None,
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
    fn build(self, builder: SharedLimiterBuilder) -> SharedLimiterBuilder {
        let lease = Duration::from_micros(self.lease);
        builder.lease(lease).while_away(WhileAway::Wait).assume_unused()
    }

    fn scene(&self) -> Scene {
        let rate = Rate::new(self.limit, Duration::from_micros(self.window));
        let mut limits = Limiter::builder().rate(rate);
        if let Some(slots) = self.slots {
            limits = limits.max_concurrent(slots);
        }
        let window = self.window + self.window / 40;
        let limited = Limited { limit: self.limit.into(), window, of: |_| 1, produced: false };
        let build = |builder| self.build(builder);
        Scene::new(self.processes, &limits, vec![limited], self.slots, build)
    }

    fn run(&self, seconds: u64) -> Outcome {
        self.run_in(self.scene(), seconds)
    }

    fn run_in(&self, mut scene: Scene, seconds: u64) -> Outcome {
        let mut calls = vec![0; scene.processes.len()];
        let mut random = Random::new(9);
        let before = self.go(&mut scene, &mut calls, &mut random, seconds.div_ceil(4));
        let after = self.go(&mut scene, &mut calls, &mut random, seconds - seconds.div_ceil(4));
        let calls: Vec<u64> = after.2.iter().zip(&before.2).map(|(all, old)| all - old).collect();
        let (admitted, trips) = (after.0 - before.0, after.1 - before.1);
        let time = (seconds - seconds.div_ceil(4)) * SECOND;
        let by_rate = u64::from(self.limit) * time / self.window;
        let by_slots =
            self.slots.map_or(u64::MAX, |slots| slots as u64 * time / (self.takes * 3 / 4));
        let outcome = Outcome {
            trips: 100 * trips / admitted.max(1),
            used: 100 * admitted / by_rate.min(by_slots),
            fair: 100 * calls.iter().min().unwrap() / calls.iter().max().unwrap(),
        };
        println!("{outcome:?}");
        outcome
    }

    /// Calls admitted, trips, and calls of each process, so far.
    fn go(
        &self,
        scene: &mut Scene,
        calls: &mut [u64],
        random: &mut Random,
        seconds: u64,
    ) -> (u64, u64, Vec<u64>) {
        for _ in 0..seconds * SECOND / STEP {
            for (n, calls) in calls.iter_mut().enumerate() {
                while scene.open(n) < self.agents {
                    *calls += 1;
                    let takes = self.takes / 2 + random.up_to(self.takes / 2);
                    scene.call(n, Plan { takes: Duration::from_micros(takes), ..PLAN });
                }
            }
            scene.step(STEP);
        }
        (scene.admitted(), scene.trips(), calls.to_vec())
    }
}

/// Broken by: whoever has as many slots as the others gives them up after each call.
#[test]
fn slots_that_all_wait_for_stay_where_they_are() {
    let wide = Busy { limit: 20_000, slots: Some(48), ..BUSY };
    let outcome = wide.run(4);
    assert!(outcome.trips < 130 && outcome.used > 94 && outcome.fair > 75, "{outcome:?}");
}

/// Broken by: what a call in line needs is told only when the time has come that was told to another.
#[test]
fn what_lacks_slots_does_not_hold_back_the_rest() {
    let outcome = Busy { slots: Some(48), takes: 250_000, ..BUSY }.run(4);
    assert!(outcome.trips < 170 && outcome.used > 88 && outcome.fair > 75, "{outcome:?}");
}

#[test]
fn a_small_limit_is_used_by_many() {
    let small = Busy { limit: 20, takes: 20_000, ..BUSY };
    let outcome = small.run(9);
    assert!(outcome.trips < 130 && outcome.used > 85, "{outcome:?}");
}

/// Broken by: who is not the first in line comes when it was told, and not when it gets news.
#[test]
fn few_trips_bring_nothing_where_a_window_is_full() {
    let outcome = BUSY.run(16);
    assert!(outcome.trips < 125 && outcome.used > 94 && outcome.fair > 75, "{outcome:?}");
}

/// Broken by: who waits for news that were lost waits as long the next time.
#[test]
fn news_that_are_lost_cost_little() {
    let scene = BUSY.scene();
    scene.network.borrow_mut().loses_news = true;
    let outcome = BUSY.run_in(scene, 16);
    assert!(outcome.used > 94 && outcome.fair > 75, "{outcome:?}");
}

#[test]
fn many_calls_go_with_one_trip_where_the_limit_is_wide() {
    let short = Busy { limit: 200_000, slots: Some(48), takes: 20_000, ..BUSY };
    let outcome = short.run(2);
    assert!(outcome.trips < 40 && outcome.fair > 75, "{outcome:?}");
}

/// Whoever the rate keeps from using all its slots kept them for good, and who came last got none. Broken by: a turn that ends only once all
/// slots have been in use.
#[test]
fn who_comes_late_gets_slots_though_the_rate_leaves_most_unused() {
    let busy = Busy { processes: 4, agents: 4, limit: 2, slots: Some(8), ..BUSY };
    let mut scene = busy.scene();
    let (mut calls, mut random) = ([0; 4], Random::new(9));
    for processes in 1..4 {
        busy.go(&mut scene, &mut calls[..processes], &mut random, 1);
    }
    busy.go(&mut scene, &mut calls, &mut random, 8);
    let before = calls;
    busy.go(&mut scene, &mut calls, &mut random, 16);
    let ended: Vec<u64> = calls.iter().zip(before).map(|(all, old)| all - old).collect();
    assert!(ended.iter().all(|&ended| ended > 1), "{ended:?}");
}

/// Calls with 4 slots of one process end one after another, and no lease lasts for as long. Broken by: nobody looks whether a call has ended.
#[test]
fn a_slot_is_used_again_though_no_lease_is_left_and_nobody_comes() {
    let long = Busy { processes: 1, agents: 40, limit: 100, slots: Some(4), ..BUSY };
    let long = Busy { takes: 2 * SECOND, ..long };
    let mut scene = long.scene();
    let mut random = Random::new(9);
    for _ in 0..40 {
        let takes = long.takes / 2 + random.up_to(long.takes / 2);
        scene.call(0, Plan { takes: Duration::from_micros(takes), ..PLAN });
    }
    for _ in 0..10 * SECOND / STEP {
        scene.step(STEP);
    }
    // 4 at a time, each for 1.5 s.
    assert!(scene.admitted() >= 26, "{}", scene.admitted());
}

/// 8 processes with 4 slots.
const FEW: Busy = Busy { limit: 20_000, slots: Some(4), ..BUSY };

/// Broken by: who has a slot lines up for the next only after it has given that back, or gets its own back before those that have waited longer;
/// who waits asks again and again, although the store tells when a slot is free; a slot comes without a lease.
#[test]
fn few_slots_go_round_with_two_trips_a_call() {
    let outcome = FEW.run(12);
    assert!(outcome.trips < 240 && outcome.used > 92 && outcome.fair > 50, "{outcome:?}");
}

/// Calls last longer than leases. Broken by: who has a slot learns only by the next answer that it has had its turn.
#[test]
fn few_slots_go_round_among_processes_with_one_call_at_a_time() {
    let short = Busy { agents: 1, ..FEW };
    let outcome = short.run(12);
    assert!(outcome.trips < 240 && outcome.used > 92 && outcome.fair > 70, "{outcome:?}");
    let (window, lease) = (60 * SECOND, SECOND);
    let long = Busy { limit: 1_000_000, window, lease, takes: 2 * SECOND, ..short };
    let outcome = long.run(40);
    assert!(outcome.trips < 450 && outcome.used > 92 && outcome.fair > 60, "{outcome:?}");
}

/// Broken by: no process asks for more than its part rounded down, so whoever has the rest keeps it.
#[test]
fn slots_that_do_not_come_out_even_are_used() {
    let outcome = Busy { slots: Some(12), ..FEW }.run(8);
    assert!(outcome.trips < 170 && outcome.used > 94 && outcome.fair > 50, "{outcome:?}");
}
