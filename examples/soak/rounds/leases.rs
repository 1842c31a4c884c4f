//! A limiter with leases: one thread grants them, the others use them.

use super::{Losses, Step, on_threads};
use crate::dice::Dice;
use ringgate::time::ManualClock;
use ringgate::{Lessee, Limiter, Rate, Usage};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const STEPS: u64 = 1000;
/// No lease lasts so long.
const MINUTE: Duration = Duration::from_secs(60);
/// Of one limit. What comes back of older ones than the newest 512 is not told.
const MOST_GRANTS: u64 = 400;

/// What calls have used of each limit.
#[derive(Default)]
struct Used([AtomicU64; 2]);

pub(super) fn leases(dice: &mut Dice, threads: u64) -> Losses {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::new(1_000_000, MINUTE)).clock(clock.clone());
    let builder =
        builder.output_tokens(1_000_000, MINUTE).max_concurrent(2 + dice.below(3) as usize);
    let (limiter, lessee) = builder.build_leased().expect("all of it can be leased");
    let (used, is_over) = (Used::default(), AtomicBool::new(false));
    let mut granting =
        Granting { lessee, clock, dice: dice.split(), grants: [0; 2], granted: [0; 2], back: 0 };
    let wakeups = thread::scope(|scope| {
        let grants = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                granting.step();
                thread::yield_now();
            }
        });
        let lost = on_threads(dice, threads, |dice| {
            u64::from(!(0..STEPS).all(|_| step(&limiter, &used, dice)))
        });
        is_over.store(true, Ordering::SeqCst);
        // ThreadSanitizer does not see that the scope waits.
        grants.join().expect("the thread panicked");
        lost.iter().sum()
    });
    granting.end();
    let [requests, output] = used.0.map(AtomicU64::into_inner);
    let in_flight = granting.lessee.in_flight() as u64;
    let Granting { lessee, granted, back, .. } = granting;
    Losses {
        operations: STEPS * threads,
        permits: granted[0].saturating_sub(back + requests)
            + lessee.held(1)
            + output.abs_diff(lessee.used(1))
            + in_flight,
        beyond: (back + requests).saturating_sub(granted[0]) + output.saturating_sub(granted[1]),
        wakeups,
    }
}

struct Granting {
    lessee: Lessee,
    clock: ManualClock,
    dice: Dice,
    grants: [u64; 2],
    granted: [u64; 2],
    /// Of the first limit, of which it is told.
    back: u64,
}

impl Granting {
    fn step(&mut self) {
        for n in 0..2 {
            if self.lessee.left(n) < 20 {
                self.grant(n);
            }
        }
        match self.dice.below(16) {
            0 => self.clock.advance(Duration::from_nanos(self.dice.below(50).into())),
            1 => drop(self.lessee.reclaim(0, self.dice.below(20).into())),
            2 => self.lessee.set_slots(1 + self.dice.below(3) as usize),
            _ => {}
        }
        self.take_unused();
    }

    /// Few leases: the last one is enough for all.
    fn grant(&mut self, n: usize) {
        let (amount, length) = if self.grants[n] >= MOST_GRANTS {
            (1_000_000, MINUTE)
        } else {
            let length = Duration::from_nanos(1 + u64::from(self.dice.below(300)));
            (20 + u64::from(self.dice.below(60)), length)
        };
        let until = self.lessee.now().saturating_add(length);
        if self.lessee.grant(n, amount, until).is_some() {
            self.grants[n] += 1;
            self.granted[n] += amount;
        }
    }

    fn take_unused(&mut self) {
        let unused = self.lessee.take_unused(0, usize::MAX);
        self.back += unused.iter().map(|(_, amount)| amount).sum::<u64>();
    }

    /// What is left runs out.
    fn end(&mut self) {
        self.clock.advance(MINUTE);
        self.take_unused();
    }
}

/// One call; false if a wait did not end.
fn step(limiter: &Limiter, used: &Used, dice: &mut Dice) -> bool {
    let expected = Usage::new(0, dice.below(10).into());
    let permit = match Step::call(limiter, expected, dice) {
        Step::Refused => return true,
        Step::Lost => return false,
        Step::Admitted(permit) => permit,
    };
    if dice.below(5) == 0 {
        permit.cancel();
        return true;
    }
    let output = expected.output / u64::from(1 + dice.below(2));
    used.0[0].fetch_add(1, Ordering::SeqCst);
    used.0[1].fetch_add(output, Ordering::SeqCst);
    permit.settle(Usage::new(0, output));
    true
}
