//! Calls under a lease, beside the same calls of a limiter that keeps its limits itself: `cargo bench --bench leases` (half a minute;
//! `-- --quick`: seconds).
//!
//! Both sides take turns in the same run; figures are medians over the rounds. There are two leases of each limit, as there mostly are when
//! leases are asked for ahead. They are as large as can be and last for all rounds, so no trip to a store is among them.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]

use futures_util::FutureExt;
use ringgate::{Limiter, LimiterBuilder, Rate, Usage};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// More than a thread makes in its window.
const CALLS: u32 = 1 << 16;
const SHORT: Duration = Duration::from_millis(1);
const TOKENS: u64 = (1 << 40) - 1;
const SLOTS: usize = 64;

/// What is limited.
#[derive(Clone, Copy)]
struct Limits {
    name: &'static str,
    has_rate: bool,
    has_tokens: bool,
    has_slots: bool,
}

const ALL: [Limits; 4] = [
    Limits { name: "rate", has_rate: true, has_tokens: false, has_slots: false },
    Limits { name: "rate, slots", has_rate: true, has_tokens: false, has_slots: true },
    Limits { name: "tokens, settled", has_rate: false, has_tokens: true, has_slots: false },
    Limits {
        name: "rate, tokens, slots, settled",
        has_rate: true,
        has_tokens: true,
        has_slots: true,
    },
];

impl Limits {
    fn builder(self, rate: Rate, window: Duration) -> LimiterBuilder {
        let mut builder = Limiter::builder();
        if self.has_rate {
            builder = builder.rate(rate);
        }
        if self.has_tokens {
            builder = builder.tokens(TOKENS, window);
        }
        if self.has_slots {
            builder = builder.max_concurrent(SLOTS);
        }
        builder
    }

    /// With a window so short that the limit is never reached.
    fn kept_here(self) -> Limiter {
        self.builder(Rate::new(CALLS, SHORT), SHORT).build()
    }

    /// With leases that last.
    fn leased(self) -> Limiter {
        let hour = Duration::from_secs(3600);
        let leased = self.builder(Rate::new(u32::MAX, hour), hour).build_leased();
        let (limiter, mut lessee) = leased.expect("it can be leased");
        let until = lessee.now().saturating_add(hour);
        for n in 0..lessee.limits().len() {
            for _ in 0..2 {
                lessee.grant(n, u64::MAX, until);
            }
        }
        lessee.set_slots(SLOTS);
        limiter
    }

    fn call(self, limiter: &Limiter) {
        if self.has_tokens {
            let call = black_box(limiter).call().tokens(Usage::new(1_200, 800));
            let permit = call.acquire().now_or_never().expect("there is room").expect("it is open");
            permit.settle(black_box(Usage::new(1_180, 512)));
        } else {
            let permit = black_box(limiter).acquire().now_or_never().expect("there is room");
            drop(permit.expect("it is open"));
        }
    }

    /// Nanoseconds a call, of as many threads.
    fn time(self, limiter: &Limiter, threads: u32, calls: u32) -> f64 {
        let start = Barrier::new(threads as usize);
        let run = || {
            start.wait();
            let began = Instant::now();
            for _ in 0..calls {
                self.call(limiter);
            }
            began.elapsed()
        };
        let took: Duration = thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            all.into_iter().map(|thread| thread.join().expect("no panic")).max().unwrap_or_default()
        });
        took.as_secs_f64() * 1e9 / f64::from(calls * threads)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, calls) = if is_quick { (5, 20_000) } else { (41, 200_000) };
    println!(
        "ns a call (acquire, end); ratio: calls/s under a lease over calls/s of a limiter that keeps its limits"
    );
    for threads in [1, 2] {
        for limits in ALL {
            let sides = [limits.kept_here(), limits.leased()];
            let mut seen = [Vec::new(), Vec::new()];
            let mut ratios = Vec::new();
            for _ in 0..rounds {
                let [here, leased] = [0, 1].map(|side| limits.time(&sides[side], threads, calls));
                seen[0].push(here);
                seen[1].push(leased);
                ratios.push(here / leased);
            }
            let [here, leased] = seen.map(median);
            let (name, ratio) = (limits.name, median(ratios));
            println!(
                "{threads} thread(s), {name:<30} here {here:6.1}  leased {leased:6.1}  ratio {ratio:.2}"
            );
        }
    }
}
