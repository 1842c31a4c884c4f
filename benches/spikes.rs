//! The slowest single call and the peak of memory, in the situations where something once fell apart:
//! `cargo bench --bench spikes` (`-- --quick`: a hundredth of the size).
//!
//! Calls are timed one by one, so on a shared machine the slowest one contains a preemption now and
//! then: the 99.99th percentile and the sum stand beside it. Memory is what the allocator was asked for,
//! beyond what was there before; kept is what is still there afterwards.

#[path = "common/waiting.rs"]
mod waiting;

use ringgate::{Limiter, Rate, SlidingWindow};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;
use waiting::{poll, shuffle};

// ---- memory --------------------------------------------------------------------------------------

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn note(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// ---- rows ----------------------------------------------------------------------------------------

/// The figures of one situation.
struct Seen {
    times: Vec<u64>,
    before: isize,
}

impl Seen {
    /// Allocates the list in advance, so that it does not show in the figures.
    fn of(calls: usize) -> Self {
        let times = Vec::with_capacity(calls);
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        Self { times, before }
    }

    fn time<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let (result, nanos) = timed(call);
        self.times.push(nanos);
        result
    }

    #[expect(clippy::cast_precision_loss, reason = "for reading")]
    fn report(mut self, whose: &str, what: &str) {
        let (live, peak) = (LIVE.load(Relaxed), PEAK.load(Relaxed));
        self.times.sort_unstable();
        let sum: u64 = self.times.iter().sum();
        let slowest = self.times.last().copied().unwrap_or(0);
        let rare = self.times.get(self.times.len() - 1 - self.times.len() / 10_000).copied();
        let mb = |bytes: isize| bytes as f64 / 1e6;
        println!(
            "{what:<58} {whose:<9} {:>10.1} {:>10.1} {:>9.1} {:>9.2} {:>9.2}",
            slowest as f64 / 1e3,
            rare.unwrap_or(0) as f64 / 1e3,
            sum as f64 / 1e6,
            mb(peak - self.before),
            mb(live - self.before),
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench")]
fn timed<R>(call: impl FnOnce() -> R) -> (R, u64) {
    let start = Instant::now();
    let result = call();
    (result, u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The same for each semaphore.
macro_rules! semaphores {
    ($room:ident, $whose:literal, $semaphore:ty, $acquire:ty) => {
        mod $room {
            use super::*;

            type Waiting = Pin<Box<$acquire>>;

            fn waiting(semaphore: &Arc<$semaphore>) -> Waiting {
                Box::pin(Arc::clone(semaphore).acquire_owned()) as Waiting
            }

            fn line(semaphore: &Arc<$semaphore>, calls: usize) -> Vec<Waiting> {
                let mut line: Vec<_> = (0..calls).map(|_| waiting(semaphore)).collect();
                for call in &mut line {
                    assert!(!poll(call.as_mut()));
                }
                line
            }

            pub(super) fn joining(calls: usize) {
                let semaphore = Arc::new(<$semaphore>::new(0));
                let mut line: Vec<_> = (0..calls).map(|_| waiting(&semaphore)).collect();
                let mut seen = Seen::of(calls);
                for call in &mut line {
                    seen.time(|| assert!(!poll(call.as_mut())));
                }
                seen.report($whose, &format!("first poll, while {calls} join"));
            }

            pub(super) fn joining_behind(calls: usize) {
                const THREADS: usize = 64;
                let semaphore = Arc::new(<$semaphore>::new(0));
                let mut seen = Seen::of(THREADS);
                let ahead = line(&semaphore, calls);
                let start = Barrier::new(THREADS);
                let times: Vec<_> = thread::scope(|scope| {
                    let threads: Vec<_> = (0..THREADS)
                        .map(|_| {
                            scope.spawn(|| {
                                let mut call = waiting(&semaphore);
                                start.wait();
                                let ((), nanos) = timed(|| assert!(!poll(call.as_mut())));
                                start.wait();
                                nanos
                            })
                        })
                        .collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                seen.times.extend(times);
                drop(ahead);
                seen.report($whose, &format!("64 threads join behind {calls}"));
            }

            pub(super) fn release_past(calls: usize) {
                let semaphore = Arc::new(<$semaphore>::new(0));
                let front = line(&semaphore, 1);
                let mut fickle = line(&semaphore, calls);
                let last = line(&semaphore, 1);
                shuffle(&mut fickle);
                let mut seen = Seen::of(2);
                let ((), drops) = timed(|| drop(fickle));
                seen.time(|| semaphore.add_permits(1));
                seen.time(|| semaphore.add_permits(1));
                black_box(drops);
                drop((front, last));
                seen.report($whose, &format!("release, {calls} cancelled behind the front"));
            }

            pub(super) fn dropping(calls: usize, threads: usize) {
                let semaphore = Arc::new(<$semaphore>::new(0));
                let mut all = line(&semaphore, calls);
                shuffle(&mut all);
                let mut seen = Seen::of(calls);
                let mut parts: Vec<Vec<Waiting>> = Vec::new();
                while !all.is_empty() {
                    parts.push(all.split_off(all.len().saturating_sub(calls.div_ceil(threads))));
                }
                let start = Barrier::new(parts.len());
                let times: Vec<u64> = thread::scope(|scope| {
                    let threads: Vec<_> = parts
                        .into_iter()
                        .map(|part| {
                            scope.spawn(|| {
                                let mut times = Vec::with_capacity(part.len());
                                start.wait();
                                times.extend(part.into_iter().map(|call| timed(|| drop(call)).1));
                                times
                            })
                        })
                        .collect();
                    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
                });
                seen.times.extend(times);
                seen.report($whose, &format!("drop, {calls} in line, {threads} threads"));
            }
        }
    };
}

semaphores!(ours, "ringgate", ringgate::Semaphore, ringgate::AcquireOwned);
semaphores!(
    tokios,
    "tokio",
    tokio::sync::Semaphore,
    dyn Future<Output = Result<tokio::sync::OwnedSemaphorePermit, tokio::sync::AcquireError>>
        + Send
);

// ---- ours alone ----------------------------------------------------------------------------------

fn growing(limit: u32) {
    const OTHERS: usize = 31;
    let window = SlidingWindow::new(Rate::per_hour(limit));
    while window.try_acquire().is_ok() {}
    let mut seen = Seen::of(OTHERS + 1);
    let (start, over) = (Barrier::new(OTHERS + 1), AtomicBool::new(false));
    let slowest: Vec<u64> = thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut slowest = 0;
                    start.wait();
                    while !over.load(Relaxed) {
                        slowest = slowest.max(timed(|| black_box(window.try_acquire().is_ok())).1);
                    }
                    slowest
                })
            })
            .collect();
        start.wait();
        let ((), grew) = timed(|| window.set_rate(Rate::per_hour(2 * limit)));
        over.store(true, Relaxed);
        let others = others.into_iter().map(|thread| thread.join().unwrap());
        others.chain([grew]).collect()
    });
    seen.times.extend(slowest);
    seen.report("ringgate", &format!("slowest try of each of 31 threads, {limit} grow to twice"));
}

fn changing(changes: u32) {
    let limiter = Limiter::new(Rate::per_hour(60), 1);
    let held = limiter.try_acquire();
    let mut call = Box::pin(limiter.acquire());
    assert!(!poll(call.as_mut()));
    for _ in 0..changes {
        let _ = limiter.set_rate(Rate::per_hour(90));
    }
    let mut seen = Seen::of(1);
    seen.time(|| assert!(!poll(call.as_mut())));
    drop(held);
    seen.report("ringgate", &format!("poll after {changes} changes of the rate"));
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (million, changes) = if quick { (10_000, 10_000) } else { (1 << 20, 1_000_000) };
    println!(
        "{:<58} {:<9} {:>10} {:>10} {:>9} {:>9} {:>9}",
        "", "", "slowest µs", "99.99 % µs", "sum ms", "peak MB", "kept MB"
    );
    ours::joining(million);
    tokios::joining(million);
    ours::joining_behind(million);
    tokios::joining_behind(million);
    ours::release_past(million / 2);
    tokios::release_past(million / 2);
    for threads in [1, 8] {
        ours::dropping(million, threads);
        tokios::dropping(million, threads);
    }
    growing(u32::try_from(million / 2).unwrap_or(u32::MAX));
    changing(changes);
}
