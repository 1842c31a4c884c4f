//! Faults that a reader has found in what a limiter tells of itself.

#![cfg(feature = "metrics")]

use crate::bells::{Bells, GRACE, Woken};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use ringgate::Limiter;
use ringgate::time::{Clock, Sleep, Timestamp};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Reads of the clock, and whether one of them panics.
#[derive(Debug, Clone)]
struct Counts(Bells);

thread_local! {
    static READINGS: Cell<u32> = const { Cell::new(0) };
    static PANICS_AT: Cell<u32> = const { Cell::new(u32::MAX) };
}

impl Clock for Counts {
    fn now(&self) -> Timestamp {
        READINGS.set(READINGS.get() + 1);
        assert!(READINGS.get() != PANICS_AT.get(), "of a clock");
        self.0.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

fn counted() -> Limiter {
    let builder = Limiter::builder().margin(Duration::ZERO).grace(GRACE).max_concurrent(1);
    builder.output_tokens(9, MINUTE).clock(Counts(Bells::default())).build()
}

/// Broken by: a lease that begins before the permit is there.
#[test]
fn a_clock_that_panicked_at_the_start_of_a_lease_kept_the_slot() {
    let limiter = counted();
    limiter.record_metrics();
    for at in 1..20 {
        READINGS.set(0);
        PANICS_AT.set(at);
        let went = catch_unwind(AssertUnwindSafe(|| {
            drop(limiter.call().output_tokens(1).try_acquire());
        }));
        PANICS_AT.set(u32::MAX);
        assert_eq!(limiter.available_permits(), 1, "after the {at}th reading");
        assert_eq!(limiter.stats().tokens.reserved, 0, "after the {at}th reading");
        limiter.reset();
        if went.is_ok() {
            assert!(at > 2, "it reads the clock less often");
            return;
        }
    }
    panic!("it always panics");
}

/// It walked the line and estimated the wait for an event that nobody hears. Broken by: `Wait::begin_at` without a look at `is_heard`.
#[test]
fn with_metrics_alone_each_that_joined_walked_the_line() {
    let limiter = counted();
    let permit = limiter.try_acquire().unwrap();
    let readings = || {
        READINGS.set(0);
        drop(Woken::waits(&limiter, 0, 1));
        READINGS.get()
    };
    let before = readings();
    limiter.record_metrics();
    // When it begins and when it ends.
    assert_eq!(readings(), before + 2);
    drop(permit);
}

thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) } }

/// Calls its limiter with each duration that it is told.
struct CallsAgain(Limiter);

impl HistogramFn for CallsAgain {
    fn record(&self, _: f64) {
        DEPTH.set(DEPTH.get() + 1);
        assert!(DEPTH.get() < 9, "it is called by what it does");
        drop(self.0.try_acquire());
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl Recorder for CallsAgain {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Self(self.0.clone())))
    }
}

/// Broken by: `Histograms::leased` that records inside a recorder.
#[test]
fn a_recorder_that_calls_the_limiter_called_itself_without_end() {
    let limiter = Limiter::builder().max_concurrent(1).build();
    with_local_recorder(&CallsAgain(limiter.clone()), || limiter.record_metrics());
    drop(limiter.try_acquire().unwrap());
    drop(limiter.try_acquire().unwrap());
    assert_eq!((limiter.stats().admitted, limiter.available_permits()), (4, 1));
}
