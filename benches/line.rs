//! Limiters with calls in line, beside semaphores: `cargo bench --bench line` (two minutes;
//! `-- --quick`: seconds). A name (`neighbours`, `opening`, `cancelled`, `refusal`) runs one part.
//!
//! `neighbours`: calls wait for slots beside tasks that compute. `opening`: a line is admitted all at
//! once. `cancelled`: half of a line leaves while it drains. `refusal`: `try_acquire` behind a line.
//!
//! All sides of a row take turns in the same run; figures are medians.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]

#[path = "common/admit.rs"]
mod admit;
#[path = "common/waiting.rs"]
mod waiting;

use admit::{Admit, Original, WINDOW};
use ringgate::time::ManualClock;
use ringgate::{Limiter, Rate, SlidingWindow};
use std::future::{Future, pending, poll_fn};
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::sleep;
use waiting::{poll, shuffle};

const SLOTS: usize = 64;
/// Calls a minute, more than any part makes.
const RPM: u32 = 6_000_000;

// ---- sides ---------------------------------------------------------------------------------------

macro_rules! admits {
    ($($semaphore:ty),*) => { $(
        impl Admit for $semaphore {
            async fn admit(&self, inside: impl Future<Output = ()> + Send) {
                let _permit = self.acquire().await.expect("never closed");
                inside.await;
            }
        }
    )* };
}

admits!(tokio::sync::Semaphore, ringgate::Semaphore);

fn original(slots: usize) -> Original<impl Fn() -> Instant> {
    Original::new(RPM, slots, || Instant::now() + WINDOW)
}

fn slots(slots: usize) -> Limiter {
    Limiter::builder().max_concurrent(slots).build()
}

fn slots_and_rate(slots: usize) -> Limiter {
    Limiter::builder().max_concurrent(slots).rate(Rate::per_minute(RPM)).build()
}

// ---- rounds --------------------------------------------------------------------------------------

/// Runs the sides in turn and returns the median of each figure of each side.
fn medians<const FIGURES: usize, const SIDES: usize>(
    rounds: usize,
    sides: [&dyn Fn() -> [f64; FIGURES]; SIDES],
) -> [[f64; FIGURES]; SIDES] {
    let mut seen = [(); SIDES].map(|()| [(); FIGURES].map(|()| Vec::with_capacity(rounds)));
    for _ in 0..rounds {
        for (seen, side) in seen.iter_mut().zip(sides) {
            for (seen, figure) in seen.iter_mut().zip(side()) {
                seen.push(figure);
            }
        }
    }
    seen.map(|side| side.map(median))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// With one worker, that of the thread that waits.
fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_time().build().expect("a runtime")
}

// ---- neighbours ----------------------------------------------------------------------------------

const CALLERS: usize = 500;
const NEIGHBOURS: usize = 10;
const CALL: Duration = Duration::from_millis(20);

/// When a measurement begins and ends.
#[derive(Clone, Copy)]
struct Period {
    begin: Instant,
    end: Instant,
}

impl Period {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// How much of the time from `from` to now is within.
    fn share_since(&self, from: Instant) -> Duration {
        Instant::now().min(self.end).saturating_duration_since(from.max(self.begin))
    }
}

/// How a neighbour lets others run.
#[derive(Clone, Copy)]
enum Style {
    /// Wakes itself: tasks woken before are polled first, those woken later after it.
    Wakes,
    /// Leaves its wake to tokio, which defers it until no other task is ready or the timers are due.
    Yields,
}

async fn wake_at_once() {
    let mut woken = false;
    poll_fn(|cx| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What runs beside the calls.
#[derive(Clone, Copy)]
struct Load {
    workers: usize,
    compute: Duration,
    style: Style,
}

impl Load {
    async fn neighbour(self, period: Period) {
        while !period.is_over() {
            let start = Instant::now();
            while start.elapsed() < self.compute {
                spin_loop();
            }
            match self.style {
                Style::Wakes => wake_at_once().await,
                Style::Yields => yield_now().await,
            }
        }
    }
}

/// Calls that ended in the period, and the time that calls were in flight in it.
async fn caller<A: Admit>(limiter: Arc<A>, period: Period) -> (u32, Duration) {
    let (mut calls, mut in_flight) = (0, Duration::ZERO);
    while !period.is_over() {
        let call = async {
            let from = Instant::now();
            if from < period.end {
                sleep(CALL).await;
                calls += u32::from(Instant::now() >= period.begin && !period.is_over());
                in_flight += period.share_since(from);
            }
        };
        limiter.admit(call).await;
    }
    (calls, in_flight)
}

/// Calls per second, and how many are in flight in the mean.
fn beside_neighbours<A: Admit>(load: Load, length: Duration, limiter: A) -> [f64; 2] {
    let limiter = Arc::new(limiter);
    runtime(load.workers).block_on(async {
        let begin = Instant::now() + length / 8;
        let period = Period { begin, end: begin + length };
        for _ in 0..NEIGHBOURS {
            tokio::spawn(load.neighbour(period));
        }
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(caller(Arc::clone(&limiter), period))).collect();
        let (mut calls, mut in_flight) = (0, Duration::ZERO);
        for caller in callers {
            let seen = caller.await.expect("the task ends");
            calls += seen.0;
            in_flight += seen.1;
        }
        let length = length.as_secs_f64();
        [f64::from(calls) / length, in_flight.as_secs_f64() / length]
    })
}

fn neighbours(quick: bool) {
    const LOADS: [(u64, Style); 5] = [
        (0, Style::Wakes),
        (20, Style::Wakes),
        (100, Style::Wakes),
        (500, Style::Wakes),
        (500, Style::Yields),
    ];
    let (rounds, length, loads) = if quick {
        (1, Duration::from_millis(100), &LOADS[3..])
    } else {
        (3, Duration::from_millis(700), &LOADS[..])
    };
    println!("neighbours: {NEIGHBOURS} tasks compute; {CALLERS} tasks over {SLOTS} slots,");
    println!("calls of {CALL:?}: calls/s (in flight), and ratios to tokio's semaphore\n");
    println!(
        "{:<23} {:>12} {:>12} {:>12} {:>12} {:>12} {:>13} {:>13}",
        "workers, compute, style",
        "tokio",
        "semaphore",
        "limiter",
        "with a rate",
        "original",
        "limiter/tokio",
        "w. rate/tokio",
    );
    for workers in [1, 2] {
        for &(micros, style) in loads {
            let load = Load { workers, compute: Duration::from_micros(micros), style };
            report_neighbours(load, rounds, length);
        }
    }
    println!();
}

fn report_neighbours(load: Load, rounds: usize, length: Duration) {
    let figures = medians(
        rounds,
        [
            &|| beside_neighbours(load, length, tokio::sync::Semaphore::new(SLOTS)),
            &|| beside_neighbours(load, length, ringgate::Semaphore::new(SLOTS)),
            &|| beside_neighbours(load, length, slots(SLOTS)),
            &|| beside_neighbours(load, length, slots_and_rate(SLOTS)),
            &|| beside_neighbours(load, length, original(SLOTS)),
        ],
    );
    let style = match load.style {
        Style::Wakes => "wakes",
        Style::Yields => "yields",
    };
    print!("{:<23}", format!("{}, {:?}, {style}", load.workers, load.compute));
    for [calls, in_flight] in figures {
        print!(" {:>12}", format!("{calls:.0} ({in_flight:.1})"));
    }
    let [tokio, _, limiter, with_rate, _] = figures;
    for ours in [limiter, with_rate] {
        let [calls, in_flight] = [0, 1].map(|figure| ours[figure] / tokio[figure]);
        print!(" {:>13}", format!("{calls:.2} ({in_flight:.2})"));
    }
    println!();
}

// ---- a line and its opening ----------------------------------------------------------------------

/// How many calls of a line have been polled first, how many were admitted, and the last one's time.
struct Line {
    epoch: Instant,
    joined: AtomicUsize,
    admitted: AtomicUsize,
    last: AtomicU64,
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            joined: AtomicUsize::new(0),
            admitted: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        })
    }

    fn admit_one(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).expect("centuries");
        self.last.fetch_max(now, Relaxed);
        self.admitted.fetch_add(1, Relaxed);
    }

    async fn all_joined(&self, calls: usize) {
        wait_for(&self.joined, calls).await;
    }

    /// From `opening` to the last admission.
    async fn all_admitted(&self, calls: usize, opening: Instant) -> Duration {
        wait_for(&self.admitted, calls).await;
        let last = self.epoch + Duration::from_nanos(self.last.load(Relaxed));
        last.saturating_duration_since(opening)
    }
}

/// Sleeps once more in the end: the last call may have counted itself and not be in line yet.
async fn wait_for(count: &AtomicUsize, calls: usize) {
    while count.load(Relaxed) < calls {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(5)).await;
}

/// How long it takes until all of a line are admitted. `open` returns when it opened.
fn opens<A: Admit>(
    workers: usize,
    calls: usize,
    limiter: &Arc<A>,
    open: impl FnOnce() -> Instant,
) -> [f64; 1] {
    let time = runtime(workers).block_on(async {
        let line = Line::new();
        for _ in 0..calls {
            let (limiter, line) = (Arc::clone(limiter), Arc::clone(&line));
            tokio::spawn(async move {
                line.joined.fetch_add(1, Relaxed);
                // Gives nothing back: that would be part of the time.
                let keep = async {
                    line.admit_one();
                    pending::<()>().await;
                };
                limiter.admit(keep).await;
            });
        }
        line.all_joined(calls).await;
        line.all_admitted(calls, open()).await
    });
    [time.as_secs_f64() * 1e6]
}

/// Does it, and returns when that began.
fn begin(work: impl FnOnce()) -> Instant {
    let start = Instant::now();
    work();
    start
}

fn tokio_opens(workers: usize, calls: usize) -> [f64; 1] {
    let semaphore = Arc::new(tokio::sync::Semaphore::new(0));
    opens(workers, calls, &semaphore, || begin(|| semaphore.add_permits(calls)))
}

fn semaphore_opens(workers: usize, calls: usize) -> [f64; 1] {
    let semaphore = Arc::new(ringgate::Semaphore::new(0));
    opens(workers, calls, &semaphore, || begin(|| semaphore.add_permits(calls)))
}

fn shared_slots_open(workers: usize, calls: usize) -> [f64; 1] {
    let semaphore = Arc::new(ringgate::Semaphore::new(0));
    let limiter = Arc::new(Limiter::builder().semaphore(Arc::clone(&semaphore)).build());
    opens(workers, calls, &limiter, || begin(|| semaphore.add_permits(calls)))
}

/// Its window is long beside the time to join a line, also on a busy machine.
fn rate_for(calls: usize) -> Rate {
    Rate::new(u32::try_from(calls).expect("few"), Duration::from_secs(1))
}

/// A window opens because its clock is set.
fn window_opens(workers: usize, calls: usize) -> [f64; 1] {
    let (rate, clock) = (rate_for(calls), ManualClock::new());
    let limiter = Limiter::builder().rate(rate).margin(Duration::ZERO).clock(clock.clone()).build();
    while limiter.try_acquire().is_ok() {}
    opens(workers, calls, &Arc::new(limiter), || begin(|| clock.advance(rate.window())))
}

/// A window opens because the time is over: the timer's tick of 1 ms is part of it.
fn window_opens_in_time(workers: usize, calls: usize) -> [f64; 1] {
    let rate = rate_for(calls);
    let limiter = Limiter::builder().rate(rate).margin(Duration::ZERO).build();
    let opening = Instant::now() + rate.window();
    while limiter.try_acquire().is_ok() {}
    opens(workers, calls, &Arc::new(limiter), || {
        assert!(Instant::now() < opening, "opened before all were in line");
        opening
    })
}

fn opening(quick: bool) {
    const CALLS: usize = 1000;
    let rounds = if quick { 1 } else { 5 };
    println!("opening: from the opening to the last of {CALLS} admissions, µs\n");
    println!(
        "{:>7} {:>9} {:>9} {:>12} {:>9} {:>18}",
        "workers", "tokio", "semaphore", "shared slots", "window", "window, real clock",
    );
    for workers in [1, 2] {
        let figures = medians(
            rounds,
            [
                &|| tokio_opens(workers, CALLS),
                &|| semaphore_opens(workers, CALLS),
                &|| shared_slots_open(workers, CALLS),
                &|| window_opens(workers, CALLS),
                &|| window_opens_in_time(workers, CALLS),
            ],
        );
        let [tokio, semaphore, shared, window, timed] = figures.map(|[micros]| micros);
        println!(
            "{workers:>7} {tokio:>9.0} {semaphore:>9.0} {shared:>12.0} {window:>9.0} {timed:>18.0}",
        );
    }
    println!();
}

// ---- cancelled while it drains -------------------------------------------------------------------

/// How long a line takes to drain, and how many of its calls were made.
fn drains<A: Admit>(workers: usize, calls: usize, limiter: A) -> [f64; 2] {
    let limiter = Arc::new(limiter);
    runtime(workers).block_on(async {
        let line = Line::new();
        // Closed when those that hold the slots are to go.
        let held = Arc::new(tokio::sync::Semaphore::new(0));
        for _ in 0..SLOTS {
            let (limiter, line, held) =
                (Arc::clone(&limiter), Arc::clone(&line), Arc::clone(&held));
            tokio::spawn(async move {
                let hold = async {
                    line.joined.fetch_add(1, Relaxed);
                    held.acquire().await.expect_err("closed");
                };
                limiter.admit(hold).await;
            });
        }
        line.all_joined(SLOTS).await;
        let mut tasks: Vec<_> = (0..calls)
            .map(|_| {
                let (limiter, line) = (Arc::clone(&limiter), Arc::clone(&line));
                tokio::spawn(async move {
                    line.joined.fetch_add(1, Relaxed);
                    limiter.admit(yield_now()).await;
                })
            })
            .collect();
        line.all_joined(SLOTS + calls).await;
        shuffle(&mut tasks);

        let start = Instant::now();
        held.close();
        for some in tasks[..calls / 2].chunks(SLOTS / 2) {
            some.iter().for_each(tokio::task::JoinHandle::abort);
            yield_now().await;
        }
        let mut made = 0;
        for task in tasks {
            made += u32::from(task.await.is_ok());
        }
        [start.elapsed().as_secs_f64() * 1e3, f64::from(made)]
    })
}

fn cancelled(quick: bool) {
    let (rounds, calls) = if quick { (1, 1_000) } else { (5, 10_000) };
    println!("cancelled: {calls} in line for {SLOTS} slots, half of them dropped meanwhile,");
    println!("calls that yield once: ms (calls made)\n");
    println!(
        "{:>7} {:>14} {:>14} {:>14} {:>14}",
        "workers", "tokio", "semaphore", "limiter", "with a rate"
    );
    for workers in [1, 2] {
        let figures = medians(
            rounds,
            [
                &|| drains(workers, calls, tokio::sync::Semaphore::new(SLOTS)),
                &|| drains(workers, calls, ringgate::Semaphore::new(SLOTS)),
                &|| drains(workers, calls, slots(SLOTS)),
                &|| drains(workers, calls, slots_and_rate(SLOTS)),
            ],
        );
        print!("{workers:>7}");
        for [millis, made] in figures {
            print!(" {:>14}", format!("{millis:.2} ({made:.0})"));
        }
        println!();
    }
    println!();
}

// ---- refusal -------------------------------------------------------------------------------------

/// Nanoseconds for one refusal while the calls of `line` wait.
fn refuses<F: Future>(
    tries: u32,
    line: impl Iterator<Item = F>,
    refused: impl Fn() -> bool,
) -> [f64; 1] {
    // Uses the limit up.
    while !refused() {}
    let mut line: Vec<_> = line.map(Box::pin).collect();
    for call in &mut line {
        assert!(!poll(call.as_mut()));
    }
    let start = Instant::now();
    for _ in 0..tries {
        assert!(black_box(refused()));
    }
    [start.elapsed().as_secs_f64() * 1e9 / f64::from(tries)]
}

fn window_refuses(tries: u32, rates: &[Rate], waiters: usize) -> [f64; 1] {
    let window = rates.iter().fold(SlidingWindow::builder(), |builder, &rate| builder.rate(rate));
    let window = window.build();
    refuses(tries, (0..waiters).map(|_| window.acquire()), || window.try_acquire().is_err())
}

fn limiter_refuses(tries: u32, rates: &[Rate], waiters: usize) -> [f64; 1] {
    let limiter = rates.iter().fold(Limiter::builder(), |builder, &rate| builder.rate(rate));
    let limiter = limiter.build();
    refuses(tries, (0..waiters).map(|_| limiter.acquire()), || limiter.try_acquire().is_err())
}

fn refusal(quick: bool) {
    let (rounds, tries) = if quick { (1, 10) } else { (5, 1_000) };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("refusal: one `try_acquire`, ns ({cores} processors: at most as many rings, or 16)\n");
    println!(
        "{:<22} {:>7} {:>9} {:>16} {:>9} {:>16}",
        "limits", "in line", "window", "with none there", "limiter", "with none there",
    );
    let million = [Rate::per_hour(1_000_000)];
    let thousand = [Rate::per_hour(1_000)];
    let three = [Rate::per_minute(4_096), Rate::per_hour(8_192), Rate::per_day(16_384)];
    for (limits, rates, waiters) in [
        ("1 000 000", &million[..], 10_000),
        ("1 000", &thousand[..], 100),
        ("4096, 8192 and 16 384", &three[..], 4_096),
    ] {
        let figures = medians(
            rounds,
            [
                &|| window_refuses(tries, rates, waiters),
                &|| window_refuses(tries, rates, 0),
                &|| limiter_refuses(tries, rates, waiters),
                &|| limiter_refuses(tries, rates, 0),
            ],
        );
        let [window, window_alone, limiter, limiter_alone] = figures.map(|[nanos]| nanos);
        print!("{limits:<22} {waiters:>7} {window:>9.0} {window_alone:>16.0}");
        println!(" {limiter:>9.0} {limiter_alone:>16.0}");
    }
    println!();
}

fn main() {
    let (options, names): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let quick = options.iter().any(|option| option == "--quick");
    let parts = [
        ("neighbours", neighbours as fn(bool)),
        ("opening", opening),
        ("cancelled", cancelled),
        ("refusal", refusal),
    ];
    for (name, part) in parts {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            part(quick);
        }
    }
}
