//! Check-and-record with a full window: the original design against ringgate's.
//!
//! The original: a tokio semaphore, then a tokio mutex around a vector of instants that every call
//! scans. Both sides have the same limits, calls, run and clock. Each reading costs a reading of the
//! system's clock, but its time moves so that the window stays nearly full and no call waits for it.
//!
//! `check_and_record`: one admission and its end, at once. `throughput`: the same on more threads.
//! `waiting`: more tasks than slots, each of which lets the others run while it holds its slot, so
//! that every call stands in line; the time is from one call to the next.
//!
//! `cargo bench --bench original`

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]
#![allow(clippy::unchecked_time_subtraction, reason = "as the original does")]
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ringgate::time::{Clock, Sleep, Timestamp};
use ringgate::{Limiter, Rate};
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{unconstrained, yield_now};

const WINDOW: Duration = Duration::from_secs(60);
/// More than there are threads: neither side waits here.
const CONCURRENCY: usize = 16;

/// Moves on with every reading, just fast enough for one admission per `readings` readings.
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

/// The original's design, as short as possible.
struct Original {
    epoch: Instant,
    clock: Stepping,
    slots: tokio::sync::Semaphore,
    rpm: usize,
    stamps: tokio::sync::Mutex<Vec<Instant>>,
}

impl Original {
    /// Far enough from the epoch for a window to lie before it.
    fn new(rpm: u32, slots: usize) -> Self {
        Self {
            epoch: Instant::now() + WINDOW,
            clock: Stepping::new(rpm, 2),
            slots: tokio::sync::Semaphore::new(slots),
            rpm: rpm as usize,
            stamps: tokio::sync::Mutex::new(Vec::with_capacity(64)),
        }
    }

    fn now(&self) -> Instant {
        self.epoch + self.clock.read()
    }

    async fn check_and_record(&self) -> bool {
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

fn ringgate(rpm: u32, slots: usize) -> Limiter {
    Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(rpm, WINDOW))
        .max_concurrent(slots)
        .clock(Stepping::new(rpm, 1))
        .build()
}

/// One call: its admission, what it does with its slot, and its end.
trait Admit: Send + Sync + 'static {
    fn admit(&self, inside: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
}

impl Admit for Original {
    async fn admit(&self, inside: impl Future<Output = ()> + Send) {
        let _slot = self.slots.acquire().await.expect("never closed");
        assert!(self.check_and_record().await);
        inside.await;
    }
}

impl Admit for Limiter {
    async fn admit(&self, inside: impl Future<Output = ()> + Send) {
        let _slot = self.acquire().await.expect("never closed");
        inside.await;
    }
}

/// Admits `iterations` calls on each thread.
fn time<A: Admit>(runtime: &Runtime, threads: u64, iterations: u64, limiter: &Arc<A>) -> Duration {
    let start = Instant::now();
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let limiter = Arc::clone(limiter);
            // Not cut short by tokio's budget: no other task has to run.
            runtime.spawn(unconstrained(async move {
                for _ in 0..iterations {
                    limiter.admit(std::future::ready(())).await;
                }
            }))
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("the task ends");
    }
    start.elapsed()
}

/// Makes `calls` calls in all, by tasks of one worker that all want a slot at the same time.
fn time_waiting<A: Admit>(tasks: u64, calls: u64, limiter: &Arc<A>) -> Duration {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let limiter = Arc::clone(limiter);
            let calls = (calls + task) / tasks;
            runtime.spawn(unconstrained(async move {
                for _ in 0..calls {
                    limiter.admit(yield_now()).await;
                }
            }))
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("the task ends");
    }
    start.elapsed()
}

fn runtime(threads: u64) -> Runtime {
    let workers = usize::try_from(threads).expect("few");
    Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime")
}

fn check_and_record(criterion: &mut Criterion) {
    let runtime = runtime(2);
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("check_and_record/{threads}_threads"));
        for rpm in [60, 6_000, 60_000] {
            let (original, ringgate) =
                (Original::new(rpm, CONCURRENCY), ringgate(rpm, CONCURRENCY));
            compare(&mut group, &runtime, threads, ("original", rpm.into()), rpm, original);
            compare(&mut group, &runtime, threads, ("ringgate", rpm.into()), rpm, ringgate);
        }
        group.finish();
    }
}

fn throughput(criterion: &mut Criterion) {
    const RPM: u32 = 600;
    let mut group = criterion.benchmark_group("throughput");
    for threads in [1, 2, 4, 8] {
        let runtime = runtime(threads);
        group.throughput(Throughput::Elements(threads));
        let (original, ringgate) = (Original::new(RPM, CONCURRENCY), ringgate(RPM, CONCURRENCY));
        compare(&mut group, &runtime, threads, ("original", threads), RPM, original);
        compare(&mut group, &runtime, threads, ("ringgate", threads), RPM, ringgate);
    }
    group.finish();
}

fn compare<A: Admit>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    threads: u64,
    (name, parameter): (&str, u64),
    rpm: u32,
    limiter: A,
) {
    let limiter = Arc::new(limiter);
    // Fills the window.
    time(runtime, 1, u64::from(rpm), &limiter);
    group.bench_function(BenchmarkId::new(name, parameter), |bencher| {
        bencher.iter_custom(|iterations| time(runtime, threads, iterations, &limiter));
    });
}

fn waiting(criterion: &mut Criterion) {
    const RPM: u32 = 600;
    const SLOTS: usize = 4;
    let mut group = criterion.benchmark_group("waiting");
    for tasks in [8, 64, 512] {
        let (original, ringgate) = (Original::new(RPM, SLOTS), ringgate(RPM, SLOTS));
        compare_waiting(&mut group, tasks, "original", original);
        compare_waiting(&mut group, tasks, "ringgate", ringgate);
    }
    group.finish();
}

fn compare_waiting<A: Admit>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    tasks: u64,
    name: &str,
    limiter: A,
) {
    let limiter = Arc::new(limiter);
    group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
        bencher.iter_custom(|calls| time_waiting(tasks, calls, &limiter));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = check_and_record, throughput, waiting
}
criterion_main!(benches);
