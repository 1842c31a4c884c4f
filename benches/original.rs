//! Check-and-record with a full window: the original design against ringgate's.
//!
//! The original: a tokio semaphore, then a tokio mutex around a vector of instants that every call
//! scans. Both sides keep the same limits for the same calls in the same run, and go by the same
//! clock: each reading costs a reading of the system's clock, but shows a time that moves on so
//! that the window stays nearly full and no call has to wait.
//!
//! `cargo bench --bench original`

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]
#![allow(clippy::unchecked_time_subtraction, reason = "as the original does")]
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use ringgate::Limiter;
use ringgate::time::{Clock, Sleep, Timestamp};
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::unconstrained;

const WINDOW: Duration = Duration::from_secs(60);
/// More than there are threads: neither side waits here.
const CONCURRENCY: usize = 16;

/// Moves on with every reading, just fast enough for one admission every `readings` of them.
#[derive(Debug, Clone)]
struct Stepping {
    nanos: Arc<AtomicU64>,
    step: u64,
}

impl Stepping {
    /// A few places below the limit stay free, for threads that are between reading and recording.
    fn new(rpm: u32, readings: u32) -> Self {
        let admissions = u64::from((rpm - 8) * readings);
        let window = u64::try_from(WINDOW.as_nanos()).expect("a minute");
        Self { nanos: Arc::default(), step: window / admissions + 1 }
    }

    fn read(&self) -> Duration {
        black_box(Instant::now());
        Duration::from_nanos(self.nanos.fetch_add(self.step, Ordering::Relaxed))
    }
}

impl Clock for Stepping {
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch(self.read())
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::ready(()))
    }
}

/// The original's design, in as few lines.
struct Original {
    epoch: Instant,
    clock: Stepping,
    slots: tokio::sync::Semaphore,
    rpm: usize,
    stamps: tokio::sync::Mutex<Vec<Instant>>,
}

impl Original {
    /// Far enough from the epoch for a window to lie before it.
    fn new(rpm: u32) -> Self {
        Self {
            epoch: Instant::now() + WINDOW,
            clock: Stepping::new(rpm, 2),
            slots: tokio::sync::Semaphore::new(CONCURRENCY),
            rpm: rpm as usize,
            stamps: tokio::sync::Mutex::new(Vec::with_capacity(64)),
        }
    }

    fn now(&self) -> Instant {
        self.epoch + self.clock.read()
    }

    /// Holds the slot for as long as the call takes, which here is no time at all.
    async fn check_and_record(&self) -> bool {
        let _slot = self.slots.acquire().await.expect("never closed");
        let mut stamps = self.stamps.lock().await;
        let cutoff = self.now() - WINDOW;
        stamps.retain(|&stamp| stamp > cutoff);
        let admitted = stamps.len() < self.rpm;
        if admitted {
            stamps.push(self.now());
        }
        admitted
    }
}

fn ringgate(rpm: u32) -> Limiter {
    Limiter::builder()
        .rate(rpm, WINDOW)
        .max_concurrent(CONCURRENCY)
        .clock(Stepping::new(rpm, 1))
        .build()
}

/// One call's admission and its end, which comes at once.
trait Admit: Send + Sync + 'static {
    fn admit(&self) -> impl Future<Output = ()> + Send;
}

impl Admit for Original {
    async fn admit(&self) {
        assert!(self.check_and_record().await);
    }
}

impl Admit for Limiter {
    async fn admit(&self) {
        drop(self.acquire().await.expect("never closed"));
    }
}

/// Admits so often on each of so many threads.
fn time<A: Admit>(runtime: &Runtime, threads: u64, iterations: u64, limiter: &Arc<A>) -> Duration {
    let start = Instant::now();
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let limiter = Arc::clone(limiter);
            // Not cut short by tokio's budget: there is nobody to give way to.
            runtime.spawn(unconstrained(async move {
                for _ in 0..iterations {
                    limiter.admit().await;
                }
            }))
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("the task ends");
    }
    start.elapsed()
}

fn check_and_record(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime of two threads");
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("check_and_record/{threads}_threads"));
        for rpm in [60, 6_000, 60_000] {
            compare(&mut group, &runtime, threads, rpm, "original", Original::new(rpm));
            compare(&mut group, &runtime, threads, rpm, "ringgate", ringgate(rpm));
        }
        group.finish();
    }
}

fn compare<A: Admit>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    threads: u64,
    rpm: u32,
    name: &str,
    limiter: A,
) {
    let limiter = Arc::new(limiter);
    // Fills the window.
    time(runtime, 1, u64::from(rpm), &limiter);
    group.bench_function(BenchmarkId::new(name, rpm), |bencher| {
        bencher.iter_custom(|iterations| time(runtime, threads, iterations, &limiter));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = check_and_record
}
criterion_main!(benches);
