//! Windows of tokens side by side: ringgate, throttle-net's weighted log, and the usual log behind a mutex.
//!
//! `cargo bench --manifest-path benches/compare/Cargo.toml --bench tokens` (`-- --quick`: seconds; `-- --csv`: for pictures)
//!
//! Nanoseconds for one call, on each thread where there are two; medians of several rounds that take turns. The answers are
//! counted: a run with a wrong one fails. Two threads want two idle cores.
//!
//! | row | is |
//! |---|---|
//! | `admit` | every call is admitted, a thousandth of the window after the one before: each has a tick of its own |
//! | `admit, ten a tick` | the same, ten calls at one time |
//! | `refuse` | the window is full |
//! | `admit and settle` | as `admit`, and half of it is given back at once |
//!
//! | `one call` | a limiter with a rate, slots and tokens, and beside it the sum of its parts: a limiter of rate and slots, and a window of tokens |
//!
//! `none`: the bench tells the time; `system`: each reads the system's clock, and so does throttle-net's, which has no other.

use compare::{Apart, Meeting, on_threads};
use ringgate::time::{ManualClock, SystemClock, Timestamp};
use ringgate::{Limiter, LimiterBuilder, Rate, TokenWindow, Usage};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use throttle_net::SlidingWindowLog;

const SECOND: u64 = 1_000_000_000;
const WINDOW: Duration = Duration::from_secs(1);
/// A little more than a tick.
const STEP: u64 = SECOND / 1_000;
const WEIGHT: u64 = 10;
/// More than a window gets. Each token is a unit.
const PLENTY: u64 = 2_000_000;

/// What everybody writes: stamps and weights behind a lock, and their sum.
struct Log {
    limit: u64,
    /// In ns.
    window: u64,
    entries: Mutex<(VecDeque<(u64, u64)>, u64)>,
}

impl Log {
    fn new(limit: u64, window: Duration) -> Self {
        Self { limit, window: window.as_nanos() as u64, entries: Mutex::default() }
    }

    fn try_acquire(&self, now: u64, weight: u64) -> bool {
        let mut guard = self.entries.lock().unwrap();
        let (entries, sum) = &mut *guard;
        // Two threads' times are not in order.
        let now = entries.back().map_or(now, |last| now.max(last.0));
        while let Some((_, weight)) = entries.pop_front_if(|first| first.0 + self.window <= now) {
            *sum -= weight;
        }
        let fits = *sum + weight <= self.limit;
        if fits {
            entries.push_back((now, weight));
            *sum += weight;
        }
        fits
    }

    /// Off the newest, which is its own if nobody came between.
    fn give_back(&self, less: u64) {
        let mut guard = self.entries.lock().unwrap();
        let (entries, sum) = &mut *guard;
        if let Some((_, weight)) = entries.back_mut() {
            let less = less.min(*weight);
            *weight -= less;
            *sum -= less;
        }
    }
}

/// One kind of work.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Admit { in_a_tick: u64 },
    Refuse,
    Settle,
}

impl Work {
    fn limit(self) -> u64 {
        if self == Self::Refuse { 3 * WEIGHT - 1 } else { PLENTY }
    }

    fn in_a_tick(self) -> u64 {
        match self {
            Self::Admit { in_a_tick } => in_a_tick,
            Self::Refuse | Self::Settle => 1,
        }
    }

    /// How far time goes on from call to call.
    fn step(self) -> u64 {
        if self == Self::Refuse { 0 } else { STEP }
    }
}

/// Nanoseconds for a call of each thread, by the time told. `ask` is told the time, and whether it has to settle.
fn told(work: Work, threads: u32, calls: u64, ask: impl Fn(u64) -> bool + Sync) -> f64 {
    let start = 10 * SECOND;
    if work == Work::Refuse {
        assert!(ask(start - 10 * STEP) && ask(start));
    }
    // A thread that falls behind the other's time would find the tick full of what came in that one.
    let latest = Apart(AtomicU64::new(start));
    let run = |_: &Meeting| {
        let (mut now, mut admitted) = (start, 0);
        for call in 0..calls {
            if call % work.in_a_tick() == 0 {
                now += work.step();
            }
            if call % 64 == 0 {
                now = now.max(latest.0.fetch_max(now, Ordering::Relaxed));
            }
            admitted += u64::from(black_box(ask(now)));
        }
        admitted
    };
    let (took, admitted) = on_threads(threads, run);
    let expected = if work == Work::Refuse { 0 } else { calls * u64::from(threads) };
    assert_eq!(admitted, expected);
    per_call(took, calls)
}

fn per_call(took: Duration, calls: u64) -> f64 {
    took.as_secs_f64() * 1e9 / calls as f64
}

fn ringgate_told(work: Work, threads: u32, calls: u64) -> f64 {
    let window = Apart(TokenWindow::new(work.limit(), WINDOW));
    told(work, threads, calls, |now| {
        let now = Timestamp::from_nanos(now);
        match window.0.try_acquire_at(WEIGHT, now) {
            Ok(reservation) if work == Work::Settle => reservation.settle_at(WEIGHT / 2, now),
            Ok(reservation) => drop(reservation),
            Err(_) => return false,
        }
        true
    })
}

fn log_told(work: Work, threads: u32, calls: u64) -> f64 {
    let log = Apart(Log::new(work.limit(), WINDOW));
    told(work, threads, calls, |now| {
        let fits = log.0.try_acquire(now, WEIGHT);
        if fits && work == Work::Settle {
            log.0.give_back(WEIGHT / 2);
        }
        fits
    })
}

/// The same by the system's clock: a window so short that what was admitted has always left when its room is needed; or
/// one that stays full.
fn by_system(admits: bool, threads: u32, calls: u64, ask: impl Fn() -> bool + Sync) -> f64 {
    if !admits {
        while ask() {}
    }
    let run = |_: &Meeting| (0..calls).map(|_| u64::from(black_box(ask()))).sum();
    let (took, admitted) = on_threads(threads, run);
    assert_eq!(admitted, if admits { calls * u64::from(threads) } else { 0 });
    per_call(took, calls)
}

/// A millisecond has room for a call in every nanosecond.
fn window_of(admits: bool) -> (u64, Duration) {
    if admits { (1_000_000 * WEIGHT, Duration::from_millis(1)) } else { (WEIGHT, 3600 * WINDOW) }
}

fn ringgate_system(admits: bool, threads: u32, calls: u64) -> f64 {
    let (limit, window) = window_of(admits);
    let window = Apart(TokenWindow::with_clock(limit, window, SystemClock::new()));
    by_system(admits, threads, calls, || window.0.try_acquire(WEIGHT).is_ok())
}

fn throttle_net_system(admits: bool, threads: u32, calls: u64) -> f64 {
    let (limit, window) = window_of(admits);
    let log = Apart(SlidingWindowLog::new(u32::try_from(limit).unwrap(), window));
    let weight = u32::try_from(WEIGHT).unwrap();
    by_system(admits, threads, calls, || log.0.try_acquire_with_cost(weight))
}

fn log_system(admits: bool, threads: u32, calls: u64) -> f64 {
    let (limit, window) = window_of(admits);
    let (log, epoch) = (Apart(Log::new(limit, window)), Instant::now());
    by_system(admits, threads, calls, || {
        log.0.try_acquire(epoch.elapsed().as_nanos() as u64, WEIGHT)
    })
}

/// Admitted and ended, by a clock that the bench moves. What moving it takes is taken off.
fn one_call(calls: u64, prepare: impl Fn(&ManualClock) -> Box<dyn Fn()>) -> f64 {
    let clock = ManualClock::new();
    let call = prepare(&clock);
    let step = Duration::from_nanos(STEP);
    let run = |call: &dyn Fn()| {
        let start = Instant::now();
        for _ in 0..calls {
            clock.advance(step);
            call();
        }
        per_call(start.elapsed(), calls)
    };
    run(&*call) - run(&|| {})
}

fn limiter_of(
    clock: &ManualClock,
    limit: impl FnOnce(LimiterBuilder) -> LimiterBuilder,
) -> Limiter {
    let builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
    limit(builder.rate(Rate::new(2_000, WINDOW)).max_concurrent(4)).build()
}

fn whole_call(calls: u64) -> f64 {
    one_call(calls, |clock| {
        let limiter = limiter_of(clock, |builder| builder.tokens(PLENTY, WINDOW));
        Box::new(move || {
            let call = limiter.call().tokens(Usage::new(WEIGHT, 0));
            drop(black_box(call.try_acquire().unwrap()));
        })
    })
}

fn rate_and_slot(calls: u64) -> f64 {
    one_call(calls, |clock| {
        let limiter = limiter_of(clock, |builder| builder);
        Box::new(move || drop(black_box(limiter.try_acquire().unwrap())))
    })
}

fn tokens_alone(calls: u64) -> f64 {
    one_call(calls, |clock| {
        let window = TokenWindow::with_clock(PLENTY, WINDOW, clock.clone());
        Box::new(move || drop(black_box(window.try_acquire(WEIGHT).unwrap())))
    })
}

/// The runs take turns; the rounds of each in order.
fn rounds<const N: usize>(rounds: usize, runs: [&dyn Fn() -> f64; N]) -> [Vec<f64>; N] {
    let mut figures = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (figures, run) in figures.iter_mut().zip(runs) {
            figures.push(run());
        }
    }
    for figures in &mut figures {
        figures.sort_by(f64::total_cmp);
    }
    figures
}

fn median(figures: &[f64]) -> f64 {
    figures[figures.len() / 2]
}

/// Prints what was measured: a table, or comma-separated values with the quartiles.
struct Report {
    is_csv: bool,
}

impl Report {
    const NAMES: [&str; 3] = ["ringgate", "mutex log", "throttle-net"];

    fn begin(&self) {
        if self.is_csv {
            println!("group,line,threads,low,median,high");
        } else {
            let [ours, log, theirs] = Self::NAMES;
            println!(
                "{:<26} {ours:>8} {log:>9} {theirs:>13} {:>13}",
                "work, clock, threads", "to mutex log"
            );
        }
    }

    fn row(&self, work: &str, threads: u32, figures: &[Vec<f64>]) {
        if self.is_csv {
            for (name, figures) in Self::NAMES.iter().zip(figures) {
                let [low, high] = [figures[figures.len() / 4], figures[figures.len() * 3 / 4]];
                println!(
                    "\"tokens: {work}\",{name},{threads},{low:.1},{:.1},{high:.1}",
                    median(figures)
                );
            }
        } else {
            let [ours, log] = [median(&figures[0]), median(&figures[1])];
            let theirs = figures.get(2).map_or("-".into(), |all| format!("{:.1}", median(all)));
            let name = format!("{work}, {threads}");
            println!("{name:<26} {ours:>8.1} {log:>9.1} {theirs:>13} {:>13.2}", ours / log);
        }
    }
}

fn main() {
    let is_asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    let (times, calls) = if is_asked("--quick") { (1, 1_000) } else { (11, 1_000_000) };
    let report = Report { is_csv: is_asked("--csv") };
    report.begin();
    let works = [
        ("admit", Work::Admit { in_a_tick: 1 }),
        ("admit, ten a tick", Work::Admit { in_a_tick: 10 }),
        ("refuse", Work::Refuse),
        ("admit and settle", Work::Settle),
    ];
    for (name, work) in works {
        for threads in [1, 2] {
            let figures = rounds(
                times,
                [&|| ringgate_told(work, threads, calls), &|| log_told(work, threads, calls)],
            );
            report.row(&format!("{name}, none"), threads, &figures);
        }
    }
    for (name, admits) in [("admit", true), ("refuse", false)] {
        for threads in [1, 2] {
            let figures = rounds(
                times,
                [
                    &|| ringgate_system(admits, threads, calls),
                    &|| log_system(admits, threads, calls),
                    &|| throttle_net_system(admits, threads, calls),
                ],
            );
            report.row(&format!("{name}, system"), threads, &figures);
        }
    }
    let one_call =
        rounds(times, [&|| whole_call(calls), &|| rate_and_slot(calls), &|| tokens_alone(calls)]);
    let [whole, rate, tokens] = one_call.map(|figures| median(&figures));
    if !report.is_csv {
        let ratio = whole / (rate + tokens);
        println!("one call: {whole:.1}; rate and slot {rate:.1}, tokens {tokens:.1}: {ratio:.2}");
    }
}
