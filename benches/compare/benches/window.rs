//! Rate limiters side by side: ringgate, throttle-net's log, governor, ratelimit, leaky-bucket, and
//! the design that ringgate replaces.
//!
//! `cargo bench --manifest-path benches/compare/Cargo.toml --bench window`
//!
//! Every figure is time for one call that is admitted at once (`admit`) or refused at once
//! (`refuse`), on each thread where there are two. Spawning and set-up are outside the timed part,
//! and the answers are counted: a run with a wrong one fails. Two threads want two idle cores:
//! if they have to take turns, they do not contend, and look quicker than they are.
//!
//! | clock    | is                                                                       |
//! |----------|--------------------------------------------------------------------------|
//! | `system` | `std::time::Instant`                                                     |
//! | `fast`   | the processor's time-stamp counter, for both by the same crate           |
//! | `none`   | a variable of the calling thread that the bench sets: the limiter alone  |
//!
//! Who has but one kind of clock stands only in its rows. Exact windows (ringgate, throttle-net,
//! the original) carry their limit in the name: 60 and 60 000. The others do the same work at any
//! limit; theirs is out of reach in `admit`.

use compare::{Apart, Done, Meeting, on_threads, whole};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use governor::Quota;
use governor::clock::{self as governor_clock, MonotonicClock, QuantaClock};
use governor::nanos::Nanos;
use leaky_bucket::RateLimiter as LeakyBucket;
use ratelimit::{Builder as Ratelimit, Ratelimiter, StdClock};
use ringgate::time::{Clock, FastClock, SystemClock, Timestamp};
use ringgate::{Rate, SlidingWindow};
use std::cell::Cell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use throttle_net::SlidingWindowLog;
use tokio::runtime::Runtime;
use tokio::task::unconstrained;

const SMALL: u32 = 60;
const LARGE: u32 = 60_000;
const HOUR: Duration = Duration::from_secs(3600);
/// More than any run asks for.
const PLENTY: u32 = 1 << 31;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// What every call of a row is answered, and how many threads call.
#[derive(Clone, Copy)]
struct Row {
    admits: bool,
    threads: u32,
}

impl Row {
    const ALL: [Self; 4] = [
        Self { admits: true, threads: 1 },
        Self { admits: true, threads: 2 },
        Self { admits: false, threads: 1 },
        Self { admits: false, threads: 2 },
    ];

    fn name(self, clock: &str) -> String {
        let answer = if self.admits { "admit" } else { "refuse" };
        format!("{answer}/{clock}/{}_threads", self.threads)
    }

    /// Fails if `calls` on each thread were not answered as the row says.
    fn check(self, admitted: u64, calls: u64) {
        let expected = if self.admits { calls * u64::from(self.threads) } else { 0 };
        assert_eq!(admitted, expected, "calls admitted");
    }

    /// A window for an exact limiter. Where it admits, it has room for a call in every two
    /// nanoseconds: no caller is that fast, so what was admitted has always left the window when
    /// its place is needed. (A log is short then; a ring is as long as ever.) Where it refuses, it
    /// stays full.
    fn window(self, limit: u32) -> Duration {
        if self.admits { Duration::from_nanos(2 * u64::from(limit)) } else { HOUR }
    }
}

fn count(calls: u64, ask: impl Fn() -> bool) -> u64 {
    (0..calls).map(|_| u64::from(ask())).sum()
}

// ---- clocks that run -------------------------------------------------------------------------

/// Benches a limiter that reads a clock itself. `drain` leaves nothing to admit.
fn real<L: Sync>(
    group: &mut Group<'_>,
    row: Row,
    id: BenchmarkId,
    limiter: L,
    ask: impl Fn(&L) -> bool + Sync,
    drain: impl Fn(&L),
) {
    let limiter = Apart(limiter);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|calls| {
            if !row.admits {
                drain(&limiter.0);
            }
            let run = |_: &Meeting| count(calls, || ask(&limiter.0));
            let (took, admitted) = on_threads(row.threads, run);
            row.check(admitted, calls);
            took
        });
    });
}

fn ringgate(group: &mut Group<'_>, row: Row, limit: u32, clock: impl Clock) {
    let window = SlidingWindow::with_clock(Rate::new(limit, row.window(limit)), clock);
    let ask = |window: &SlidingWindow| black_box(window.try_acquire()).is_ok();
    let drain = |window: &SlidingWindow| while ask(window) {};
    real(group, row, BenchmarkId::new("ringgate", limit), window, ask, drain);
}

fn throttle_net(group: &mut Group<'_>, row: Row, limit: u32) {
    let log = SlidingWindowLog::new(limit, row.window(limit));
    let drain = |log: &SlidingWindowLog| while log.try_acquire() {};
    let id = BenchmarkId::new("throttle-net", limit);
    real(group, row, id, log, SlidingWindowLog::try_acquire, drain);
}

type Governor<C> = governor::RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    C,
    governor::middleware::NoOpMiddleware<<C as governor_clock::Clock>::Instant>,
>;

/// One call in every nanosecond and a burst beyond what is asked for; or one in an hour.
fn new_governor<C: governor_clock::Clock>(row: Row, clock: C) -> Governor<C> {
    let (period, burst) = if row.admits { (Duration::from_nanos(1), PLENTY) } else { (HOUR, 1) };
    let quota = Quota::with_period(period).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
    Governor::direct_with_clock(quota, clock)
}

fn governor<C: governor_clock::Clock + Sync>(group: &mut Group<'_>, row: Row, clock: C)
where
    C::Instant: Sync,
{
    let ask = |governor: &Governor<C>| black_box(governor.check()).is_ok();
    let drain = |governor: &Governor<C>| while ask(governor) {};
    real(group, row, BenchmarkId::from_parameter("governor"), new_governor(row, clock), ask, drain);
}

/// A bucket that is never empty, nor so full that tokens are spilt; or 60 a minute, of which none
/// is there: it refills about once in a microsecond in either case, as in ordinary use.
fn new_ratelimit<C: ratelimit::Clock>(row: Row, clock: C) -> Ratelimiter<C> {
    let most = if row.admits { 2 * u64::from(PLENTY) } else { 1 };
    Ratelimit::with_clock(60, clock)
        .period(Duration::from_secs(60))
        .max_tokens(most)
        .initial_available(most / 2)
        .build()
        .unwrap()
}

fn ratelimit(group: &mut Group<'_>, row: Row) {
    let ask = |bucket: &Ratelimiter| black_box(bucket.try_wait()).is_ok();
    // Empty to the last fraction: the next token is a second away, longer than a run.
    let drain = |bucket: &Ratelimiter| {
        let _ = bucket.try_wait();
        bucket.set_max_tokens(0);
        bucket.set_max_tokens(1);
    };
    let bucket = new_ratelimit(row, StdClock::new());
    real(group, row, BenchmarkId::from_parameter("ratelimit"), bucket, ask, drain);
}

/// Unless it is fair, it reads the clock only when its tokens run out.
fn leaky_bucket(group: &mut Group<'_>, row: Row, name: &str, fair: bool) {
    let tokens = if row.admits { PLENTY as usize } else { 0 };
    let bucket = LeakyBucket::builder()
        .initial(tokens)
        .max(PLENTY as usize)
        .interval(HOUR)
        .fair(fair)
        .build();
    let ask = |bucket: &LeakyBucket| bucket.try_acquire(1);
    real(group, row, BenchmarkId::from_parameter(name), bucket, ask, |_| ());
}

// ---- the original ----------------------------------------------------------------------------

/// An asynchronous mutex around a vector of instants that every call scans.
struct Original {
    limit: usize,
    log: tokio::sync::Mutex<Log>,
}

/// The instants, and a clock under the same lock.
struct Log {
    stamps: Vec<Instant>,
    now: Instant,
    step: Duration,
}

impl Log {
    /// Costs a reading of the system's clock, but shows a time that goes by steps: the scan's cost
    /// is that of a full window only if the window is full.
    fn read(&mut self) -> Instant {
        black_box(Instant::now());
        self.now += self.step;
        self.now
    }
}

impl Original {
    /// With a full window; or one short of it, where each stamp that comes lets the oldest go.
    fn new(row: Row, limit: u32) -> Self {
        let full = if row.admits { limit - 1 } else { limit };
        // Two readings for a stamp.
        let step =
            if row.admits { HOUR / full / 2 + Duration::from_nanos(1) } else { Duration::ZERO };
        // Far enough from the epoch for a window to lie before it.
        let epoch = Instant::now() + HOUR;
        let stamps: Vec<_> = (0..full).map(|nth| epoch + 2 * step * nth).collect();
        let now = stamps[stamps.len() - 1];
        let log = Log { stamps, now, step };
        Self { limit: limit as usize, log: tokio::sync::Mutex::new(log) }
    }

    async fn ask(&self) -> bool {
        let mut log = self.log.lock().await;
        let cutoff = log.read() - HOUR;
        log.stamps.retain(|&stamp| stamp > cutoff);
        let admits = log.stamps.len() < self.limit;
        if admits {
            let now = log.read();
            log.stamps.push(now);
        }
        admits
    }
}

/// In tasks, as it was meant: `threads` of them, on as many workers.
async fn on_tasks(threads: u32, calls: u64, original: &Arc<Original>) -> (Duration, u64) {
    let barrier = Arc::new(tokio::sync::Barrier::new(threads as usize));
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let (original, barrier) = (Arc::clone(original), Arc::clone(&barrier));
            // Not cut short by tokio's budget: no other task has to run.
            tokio::spawn(unconstrained(async move {
                barrier.wait().await;
                let start = Instant::now();
                let mut admitted = 0;
                for _ in 0..calls {
                    admitted += u64::from(original.ask().await);
                }
                Done { start, end: Instant::now(), admitted }
            }))
        })
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    whole(&done)
}

fn original(group: &mut Group<'_>, row: Row, runtime: &Runtime, limit: u32) {
    let original = Arc::new(Original::new(row, limit));
    group.bench_function(BenchmarkId::new("original", limit), |bencher| {
        bencher.iter_custom(|calls| {
            let (took, admitted) = runtime.block_on(on_tasks(row.threads, calls, &original));
            row.check(admitted, calls);
            took
        });
    });
}

// ---- no clock --------------------------------------------------------------------------------

thread_local! {
    /// The time that the bench sets, in nanoseconds. Reading it costs nothing, and threads do not share it.
    static TOLD: Cell<u64> = const { Cell::new(0) };
}

/// Shows the time told.
#[derive(Clone, Copy)]
struct Told;

impl governor_clock::Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(TOLD.get())
    }
}

impl ratelimit::Clock for Told {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(TOLD.get())
    }
}

/// Steps of the time told; also the windows of those that have one.
const STEP: Duration = Duration::from_secs(60);
const STEP_NANOS: u64 = STEP.as_nanos() as u64;

/// Time stands still for as many calls as a window admits, then goes on by a whole window. Two
/// threads share these calls, and meet before each step: a thread that fell behind the other's time
/// would be refused, and rightly.
struct Steps {
    /// Calls of each thread in a step.
    calls: u64,
    now: AtomicU64,
}

impl Steps {
    fn new(row: Row, limit: u32) -> Self {
        // Where all are refused, time need not move.
        let calls = if row.admits { u64::from(limit / row.threads) } else { u64::MAX };
        Self { calls, now: AtomicU64::new(STEP_NANOS) }
    }

    /// One thread's calls.
    fn run(&self, meeting: &Meeting, calls: u64, ask: impl Fn() -> bool) -> u64 {
        let mut now = self.now.load(Ordering::Relaxed);
        let (mut left, mut meetings, mut admitted) = (calls, 1, 0);
        while left > 0 {
            TOLD.set(now);
            let calls = left.min(self.calls);
            admitted += count(calls, &ask);
            left -= calls;
            now += STEP_NANOS;
            meetings += 1;
            meeting.wait(meetings);
        }
        admitted
    }

    /// Between runs.
    fn go_on(&self, calls: u64) {
        if self.calls < u64::MAX {
            self.now.fetch_add(calls.div_ceil(self.calls) * STEP_NANOS, Ordering::Relaxed);
        }
    }
}

/// Benches a limiter by the time told.
fn told<L: Sync>(
    group: &mut Group<'_>,
    row: Row,
    id: BenchmarkId,
    limit: u32,
    limiter: L,
    ask: impl Fn(&L) -> bool + Sync,
) {
    let limiter = Apart(limiter);
    let steps = Steps::new(row, limit);
    TOLD.set(STEP_NANOS);
    if !row.admits {
        while ask(&limiter.0) {}
    }
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|calls| {
            let run = |meeting: &Meeting| steps.run(meeting, calls, || ask(&limiter.0));
            let (took, admitted) = on_threads(row.threads, run);
            steps.go_on(calls);
            row.check(admitted, calls);
            took
        });
    });
}

fn all_told(group: &mut Group<'_>, row: Row) {
    for limit in [SMALL, LARGE] {
        // Two threads would meet every thirty calls, which would cost more than the calls.
        if limit == SMALL && row.admits && row.threads > 1 {
            continue;
        }
        let window = SlidingWindow::new(Rate::new(limit, STEP));
        let ask = |window: &SlidingWindow| {
            black_box(window.try_acquire_at(Timestamp::from_nanos(TOLD.get()))).is_ok()
        };
        told(group, row, BenchmarkId::new("ringgate", limit), limit, window, ask);
    }
    TOLD.set(0);
    let (governor, ratelimit) = (new_governor(row, Told), new_ratelimit(row, Told));
    let ask = |governor: &Governor<Told>| black_box(governor.check()).is_ok();
    told(group, row, BenchmarkId::from_parameter("governor"), LARGE, governor, ask);
    let ask = |bucket: &Ratelimiter<Told>| black_box(bucket.try_wait()).is_ok();
    told(group, row, BenchmarkId::from_parameter("ratelimit"), LARGE, ratelimit, ask);
}

// ---- all -------------------------------------------------------------------------------------

fn system(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for row in Row::ALL {
        let mut group = criterion.benchmark_group(row.name("system"));
        for limit in [SMALL, LARGE] {
            ringgate(&mut group, row, limit, SystemClock::new());
            throttle_net(&mut group, row, limit);
            original(&mut group, row, &runtime, limit);
        }
        governor(&mut group, row, MonotonicClock);
        ratelimit(&mut group, row);
        leaky_bucket(&mut group, row, "leaky-bucket", true);
        // On two threads it loses its tokens, and refuses: who fails without the lock writes back
        // what it had read before.
        if row.admits && row.threads == 1 {
            leaky_bucket(&mut group, row, "leaky-bucket_unfair", false);
        }
        group.finish();
    }
}

fn fast(criterion: &mut Criterion) {
    for row in Row::ALL {
        let mut group = criterion.benchmark_group(row.name("fast"));
        for limit in [SMALL, LARGE] {
            ringgate(&mut group, row, limit, FastClock::new());
        }
        governor(&mut group, row, QuantaClock::default());
        group.finish();
    }
}

fn none(criterion: &mut Criterion) {
    for row in Row::ALL {
        let mut group = criterion.benchmark_group(row.name("none"));
        all_told(&mut group, row);
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = system, fast, none
}
criterion_main!(benches);
