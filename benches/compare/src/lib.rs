//! ringgate beside others: threads that call at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Where a limiter lies must not depend on luck.
#[repr(align(128))]
pub struct Apart<L>(pub L);

/// Where threads meet, and do not sleep: they are to go on at the same time.
pub struct Meeting {
    threads: u64,
    arrivals: AtomicU64,
}

impl Meeting {
    /// Waits until all have come as often as this thread now has.
    pub fn wait(&self, times: u64) {
        self.arrivals.fetch_add(1, Ordering::AcqRel);
        while self.arrivals.load(Ordering::Acquire) < times * self.threads {
            thread::yield_now();
        }
    }
}

/// What one thread did, and when.
pub struct Done {
    pub start: Instant,
    pub end: Instant,
    pub admitted: u64,
}

/// From the first call to the last, and how many were admitted.
pub fn whole(done: &[Done]) -> (Duration, u64) {
    let start = done.iter().map(|done| done.start).min().unwrap();
    let end = done.iter().map(|done| done.end).max().unwrap();
    (end - start, done.iter().map(|done| done.admitted).sum())
}

/// Runs `run` on all threads at once, and adds up the admitted calls that it counts. The threads
/// have met once before.
pub fn on_threads(threads: u32, run: impl Fn(&Meeting) -> u64 + Sync) -> (Duration, u64) {
    let meeting = Apart(Meeting { threads: u64::from(threads), arrivals: AtomicU64::new(0) });
    let timed = || {
        meeting.0.wait(1);
        // Each reads for itself: a third thread might be late to see the others start.
        let start = Instant::now();
        let admitted = run(&meeting.0);
        Done { start, end: Instant::now(), admitted }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        whole(&done)
    })
}
