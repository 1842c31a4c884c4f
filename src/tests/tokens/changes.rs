//! Changes of limit and window by the stamps themselves, in ns: no ticks, no wheels.

use crate::raw::tokens::{Admission, RawTokens};
use crate::time::Timestamp;
use core::time::Duration;

const WINDOWS: [u64; 8] =
    [0, 1, 1_000, 30_000, 1_004_000, 5_000_123, 1_000_000_000, 60_000_000_000];
const LIMITS: [u64; 6] = [1, 7, 50, 1000, 3_000_000, 1 << 33];

struct Random(u64);

impl Random {
    /// The high bits of a linear congruence.
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) % end.max(1)
    }

    fn among(&mut self, all: &[u64]) -> u64 {
        let index = self.below(all.len() as u64);
        all[usize::try_from(index).unwrap()]
    }
}

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

struct Stamped {
    stamp: u64,
    amount: u64,
    id: u64,
}

/// What the documentation promises of one window, as a list.
struct List {
    limit: u64,
    window: u64,
    counted: Vec<Stamped>,
    next: u64,
}

impl List {
    /// The most in any half-open window that has this stamp in it.
    fn most_around(&self, stamp: u64) -> u64 {
        let window = self.window.max(1);
        let near = |one: &&Stamped| one.stamp.abs_diff(stamp) < window;
        let ends = self.counted.iter().filter(near).filter(|one| one.stamp >= stamp);
        let inside = |end: u64| {
            let within = |one: &&Stamped| one.stamp <= end && end - one.stamp < window;
            self.counted.iter().filter(within).map(|one| one.amount).sum()
        };
        ends.map(|end| inside(end.stamp)).max().unwrap_or(0)
    }

    fn count(&mut self, stamp: u64, amount: u64) -> u64 {
        self.next += 1;
        self.counted.push(Stamped { stamp, amount, id: self.next });
        self.next
    }

    /// A longer window counts what was in the old one; older stamps may have been forgotten.
    fn set(&mut self, now: u64, limit: u64, window: u64) {
        let old = self.window.max(1);
        if window > self.window {
            self.counted.retain(|one| one.stamp > now || now - one.stamp < old);
        }
        (self.limit, self.window) = (limit, window);
    }
}

fn play(seed: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (limit, window) = (random.among(&LIMITS), random.among(&WINDOWS));
    let tokens = RawTokens::new(limit, Duration::from_nanos(window));
    let mut list = List { limit, window, counted: Vec::new(), next: 0 };
    let mut open: Vec<(u64, Admission)> = Vec::new();
    let (mut now, mut latest, mut admitted, mut refused) = (random.below(1 << 40), 0, 0, 0);
    for _ in 0..300 {
        let tick = list.window / 1004 + 1000;
        now = match random.below(20) {
            0..8 => now,
            8..13 => now + random.below(2 * tick),
            13..16 => now + random.below(40 * tick),
            16 => now + random.below(list.window + tick),
            17 => now + random.below(3 * list.window + tick),
            // Stale.
            _ => now.saturating_sub(random.below(3 * tick)),
        };
        latest = now.max(latest);
        match random.below(16) {
            0 => {
                let (limit, window) = (random.among(&LIMITS), random.among(&WINDOWS));
                tokens.set(limit, Some(Duration::from_nanos(window)));
                list.set(latest, limit, window);
            }
            1..6 if !open.is_empty() => {
                let which = usize::try_from(random.below(open.len() as u64)).unwrap();
                let (id, admission) = open.swap_remove(which);
                let weight = admission.weight();
                let actual = random.below(weight + 1);
                tokens.settle(at(now), admission, actual);
                // One that was forgotten, or has left, makes no difference.
                if let Some(known) = list.counted.iter_mut().find(|one| one.id == id) {
                    known.amount -= weight - actual;
                }
            }
            _ => {
                let part = random.among(&[1, 2, 3, 10]);
                let weight = 1 + random.below(list.limit / part);
                match tokens.try_admit(at(now), weight) {
                    Ok(admission) => {
                        let stamp = admission.stamp().as_nanos();
                        open.push((list.count(stamp, weight), admission));
                        let most = list.most_around(stamp);
                        assert!(
                            most <= list.limit,
                            "seed {seed}: {most} of {} within {} ns of {stamp}",
                            list.limit,
                            list.window,
                        );
                        admitted += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    (admitted, refused)
}

/// Broken by: ticks of a predecessor that are taken over by their beginnings; `fill` that leaves out the oldest tick.
#[test]
fn no_window_holds_more_than_the_limit_by_the_stamps_across_changes() {
    let (mut admitted, mut refused) = (0, 0);
    for seed in 0..3000 {
        let (more, less) = play(seed);
        (admitted, refused) = (admitted + more, refused + less);
    }
    assert!(admitted > 100_000 && refused > 50_000, "{admitted} {refused}");
}
