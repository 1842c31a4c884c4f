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
#![allow(missing_docs, reason = "criterion's macros")]

#[path = "common/admit.rs"]
mod admit;

use admit::{Admit, Original, WINDOW};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ringgate::time::{Clock, Sleep, Timestamp};
use ringgate::{Limiter, Rate};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{unconstrained, yield_now};

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

fn original(rpm: u32, slots: usize) -> Original<impl Fn() -> Instant> {
    // Far enough from the epoch for a window to lie before it.
    let (epoch, clock) = (Instant::now() + WINDOW, Stepping::new(rpm, 2));
    Original::new(rpm, slots, move || epoch + clock.read())
}

fn ringgate(rpm: u32, slots: usize) -> Limiter {
    Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(rpm, WINDOW))
        .max_concurrent(slots)
        .clock(Stepping::new(rpm, 1))
        .build()
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
            let (original, ringgate) = (original(rpm, CONCURRENCY), ringgate(rpm, CONCURRENCY));
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
        let (original, ringgate) = (original(RPM, CONCURRENCY), ringgate(RPM, CONCURRENCY));
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
        let (original, ringgate) = (original(RPM, SLOTS), ringgate(RPM, SLOTS));
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
