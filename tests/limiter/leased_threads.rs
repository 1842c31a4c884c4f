//! Several threads at a limiter with leases: nothing is lost, nothing is made.

use crate::common::Dice;
use ringgate::time::{Clock, ManualClock};
use ringgate::{Lessee, Limiter, Rate, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What threads have used, and what of that was beyond what they had reserved.
#[derive(Default)]
struct Used {
    requests: AtomicU64,
    tokens: AtomicU64,
    output: AtomicU64,
}

fn calls(limiter: &Limiter, mut dice: Dice, used: &Used) {
    for _ in 0..2_000 {
        let expected = Usage::new(dice.below(6), dice.below(6));
        let Ok(permit) = limiter.call().tokens(expected).try_acquire() else {
            thread::yield_now();
            continue;
        };
        let actual = match dice.below(3) {
            0 => Usage::default(),
            1 => expected,
            _ => Usage::new(expected.input / 2, expected.output),
        };
        used.requests.fetch_add(1, Ordering::Relaxed);
        used.tokens.fetch_add(actual.input + actual.output, Ordering::Relaxed);
        used.output.fetch_add(actual.output, Ordering::Relaxed);
        permit.settle(actual);
    }
}

/// Grants, and notes down what was granted and what has come back of each lease.
#[derive(Default)]
struct Notes {
    granted: [u64; 3],
    back: [u64; 3],
    leases: [BTreeMap<u64, u64>; 3],
}

impl Notes {
    fn grant(&mut self, lessee: &mut Lessee, n: usize, amount: u64, length: u64) {
        let until = lessee.now().saturating_add(Duration::from_nanos(length));
        if let Some(number) = lessee.grant(n, amount, until) {
            self.granted[n] += amount;
            self.leases[n].insert(number, amount);
        }
    }

    fn take(&mut self, lessee: &mut Lessee) {
        for n in 0..3 {
            for (number, amount) in lessee.take_unused(n, usize::MAX) {
                self.back[n] += amount;
                let left = self.leases[n].get_mut(&number).unwrap();
                // Never more than was granted, however often it is told.
                *left = left.checked_sub(amount).expect("more comes back than was granted");
            }
        }
    }
}

/// Broken by: `Line::pass` that stores; `Unused::take` that reads and then clears; `come_back` that leaves out a part.
#[test]
fn threads_use_what_was_granted_and_the_rest_comes_back() {
    for seed in 0..20 {
        let clock = ManualClock::new();
        let builder = Limiter::builder().rate(Rate::new(1_000_000, MINUTE)).clock(clock.clone());
        let builder = builder.tokens(1_000_000, MINUTE).output_tokens(1_000_000, MINUTE);
        let (limiter, mut lessee) = builder.build_leased().unwrap();
        let (mut notes, used) = (Notes::default(), Used::default());
        let mut dice = Dice(seed);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|k| {
                    scope.spawn({
                        let (limiter, used) = (&limiter, &used);
                        move || calls(limiter, Dice(seed * 100 + k), used)
                    })
                })
                .collect();
            // Few enough that nothing is dropped as too old.
            let mut grants = 0;
            while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                if grants < 400 {
                    let n = grants % 3;
                    notes.grant(&mut lessee, n, 1 + dice.below(60), dice.below(30));
                    grants += 1;
                }
                if dice.below(3) == 0 {
                    clock.advance(Duration::from_nanos(dice.below(20)));
                }
                if dice.below(4) == 0 {
                    lessee.reclaim(usize::try_from(dice.below(3)).unwrap(), dice.below(20));
                }
                notes.take(&mut lessee);
                assert!(lessee.held(2) <= notes.granted[2]);
                thread::yield_now();
            }
        });
        clock.advance(MINUTE);
        notes.take(&mut lessee);
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(notes.granted[0], notes.back[0] + get(&used.requests), "seed {seed}");
        // Of a call of more than two leases something may be lost, and then counts as used.
        assert!(notes.granted[1] >= notes.back[1] + get(&used.tokens), "seed {seed}");
        assert_eq!((lessee.held(2), lessee.used(2)), (0, get(&used.output)), "seed {seed}");
        assert_eq!((lessee.used(0), lessee.used(1)), (0, 0), "seed {seed}");
        assert!(clock.now() > ringgate::time::Timestamp::ZERO);
    }
}
