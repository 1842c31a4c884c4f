//! Semaphores side by side: ringgate, tokio, async-lock, saa, mea.
//!
//! `cargo bench --manifest-path benches/compare/Cargo.toml --bench semaphore`
//!
//! Every figure is time for one acquisition and its release (or one waiter that comes and goes), on
//! each thread where there are two. Spawning and set-up are outside the timed part.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use futures_util::future::{BoxFuture, FutureExt};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

/// What they have in common.
trait Semaphore: Send + Sync + 'static {
    const NAME: &'static str;

    fn new(permits: usize) -> Self;

    /// Takes a permit and gives it back; false if there was none.
    fn try_once(&self) -> bool;

    /// Waits for a permit, holds it through `inside`, gives it back.
    fn once<F: Future<Output = ()> + Send>(&self, inside: F) -> impl Future<Output = ()> + Send;
}

macro_rules! guarded {
    ($name:literal, $type:ty, $new:expr, |$this:ident| $acquire:expr, $try:expr) => {
        impl Semaphore for $type {
            const NAME: &'static str = $name;

            fn new(permits: usize) -> Self {
                $new(permits)
            }

            fn try_once(&self) -> bool {
                let $this = self;
                black_box($try).is_some()
            }

            async fn once<F: Future<Output = ()> + Send>(&self, inside: F) {
                let $this = self;
                let _permit = $acquire;
                inside.await;
            }
        }
    };
}

guarded!(
    "ringgate",
    ringgate::Semaphore,
    ringgate::Semaphore::new,
    |s| s.acquire().await.unwrap(),
    s.try_acquire().ok()
);
guarded!(
    "tokio",
    tokio::sync::Semaphore,
    tokio::sync::Semaphore::new,
    |s| s.acquire().await.unwrap(),
    s.try_acquire().ok()
);
guarded!(
    "async-lock",
    async_lock::Semaphore,
    async_lock::Semaphore::new,
    |s| s.acquire().await,
    s.try_acquire()
);
guarded!(
    "mea",
    mea::semaphore::Semaphore,
    mea::semaphore::Semaphore::new,
    |s| s.acquire(1).await,
    s.try_acquire(1)
);

/// saa has no guards.
impl Semaphore for saa::Semaphore {
    const NAME: &'static str = "saa";

    fn new(permits: usize) -> Self {
        Self::with_permits(permits)
    }

    fn try_once(&self) -> bool {
        let taken = black_box(self.try_acquire());
        if taken {
            self.release();
        }
        taken
    }

    async fn once<F: Future<Output = ()> + Send>(&self, inside: F) {
        self.acquire_async().await;
        inside.await;
        self.release();
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs a generic bench for each of them.
macro_rules! each {
    ($bench:ident($($argument:expr),*)) => {
        $bench::<ringgate::Semaphore>($($argument),*);
        $bench::<tokio::sync::Semaphore>($($argument),*);
        $bench::<async_lock::Semaphore>($($argument),*);
        $bench::<saa::Semaphore>($($argument),*);
        $bench::<mea::semaphore::Semaphore>($($argument),*);
    };
}

// ---- permits are free ------------------------------------------------------------------------

/// Enough for all threads; saa counts few.
const FREE: usize = 16;

/// The time that all threads take for `iterations` of `work` each.
fn on_threads(threads: usize, iterations: u64, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                (0..iterations).for_each(|_| work());
                barrier.wait();
            });
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        start.elapsed()
    })
}

fn try_acquire<S: Semaphore>(group: &mut Group<'_>, threads: usize) {
    let semaphore = S::new(FREE);
    group.bench_function(S::NAME, |bencher| {
        bencher.iter_custom(|n| on_threads(threads, n, || assert!(semaphore.try_once())));
    });
}

/// Polled by hand, as a task would poll it: there is nothing to wait for.
fn acquire<S: Semaphore>(group: &mut Group<'_>, threads: usize) {
    let semaphore = S::new(FREE);
    let work = || {
        let once = pin!(semaphore.once(async {}));
        assert!(once.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    };
    group.bench_function(S::NAME, |bencher| {
        bencher.iter_custom(|n| on_threads(threads, n, work));
    });
}

// ---- permits are short -----------------------------------------------------------------------

/// Tasks share permits, and yield while they hold one.
fn share<S: Semaphore>(group: &mut Group<'_>, runtime: &Runtime, tasks: u64, permits: usize) {
    group.bench_function(S::NAME, |bencher| {
        bencher.iter_custom(|n| {
            let rounds = n.div_ceil(tasks);
            let semaphore = Arc::new(S::new(permits));
            let took = runtime.block_on(async {
                let start = Instant::now();
                let tasks: Vec<_> = (0..tasks)
                    .map(|_| {
                        let semaphore = Arc::clone(&semaphore);
                        tokio::spawn(async move {
                            for _ in 0..rounds {
                                semaphore.once(yield_now()).await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                start.elapsed()
            });
            // As many as were asked for.
            took.mul_f64(n as f64 / (rounds * tasks) as f64)
        });
    });
}

// ---- waiters give up -------------------------------------------------------------------------

fn poll_pending(future: &mut Pin<Box<impl Future + ?Sized>>) {
    let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
}

/// They come and go one by one, behind one that stays.
fn come_and_go<S: Semaphore>(group: &mut Group<'_>) {
    let semaphore = S::new(0);
    let mut patient = Box::pin(semaphore.once(async {}));
    poll_pending(&mut patient);
    group.bench_function(S::NAME, |bencher| {
        bencher.iter(|| {
            let fickle = pin!(semaphore.once(async {}));
            assert!(fickle.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        });
    });
}

/// Many stand in line, and leave it in no order.
fn cancel_storm<S: Semaphore>(group: &mut Group<'_>) {
    const MANY: u64 = 100_000;
    group.bench_function(S::NAME, |bencher| {
        bencher.iter_custom(|n| {
            let mut took = Duration::ZERO;
            for _ in 0..n.div_ceil(MANY) {
                let semaphore = Arc::new(S::new(0));
                let mut line: Vec<Option<Pin<Box<BoxFuture<'static, ()>>>>> = (0..MANY)
                    .map(|_| {
                        let semaphore = Arc::clone(&semaphore);
                        let once = async move { semaphore.once(async {}).await };
                        Some(Box::pin(once.boxed()))
                    })
                    .collect();
                let start = Instant::now();
                for waiter in line.iter_mut().flatten() {
                    poll_pending(waiter);
                }
                // Coprime with the number of waiters: each waiter once, far apart.
                let mut at = 0;
                for _ in 0..MANY {
                    line[at as usize] = None;
                    at = (at + 61_803) % MANY;
                }
                took += start.elapsed();
                assert!(line.iter().all(Option::is_none));
            }
            took.mul_f64(n as f64 / (n.div_ceil(MANY) * MANY) as f64)
        });
    });
}

// ---- all -------------------------------------------------------------------------------------

fn free(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("try_acquire/{threads}_threads"));
        each!(try_acquire(&mut group, threads));
        group.finish();
        let mut group = criterion.benchmark_group(format!("acquire/{threads}_threads"));
        each!(acquire(&mut group, threads));
        group.finish();
    }
}

fn waiting(criterion: &mut Criterion) {
    let one = Builder::new_current_thread().build().unwrap();
    let two = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for (runtime, workers, tasks, permits) in
        [(&one, 1, 100, 1), (&two, 2, 64, 4), (&two, 2, 64, 1)]
    {
        let name = format!("{tasks}_tasks_over_{permits}/{workers}_workers");
        let mut group = criterion.benchmark_group(name);
        each!(share(&mut group, runtime, tasks, permits));
        group.finish();
    }
}

fn giving_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("come_and_go_behind_a_patient_one");
    each!(come_and_go(&mut group));
    group.finish();
    let mut group = criterion.benchmark_group("cancel_storm_100000");
    cancel_storm::<ringgate::Semaphore>(&mut group);
    cancel_storm::<tokio::sync::Semaphore>(&mut group);
    cancel_storm::<async_lock::Semaphore>(&mut group);
    cancel_storm::<mea::semaphore::Semaphore>(&mut group);
    // Not saa: there it takes longer than one would wait for.
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = free, waiting, giving_up
}
criterion_main!(benches);
