//! What a simulation cannot show: a machine that sleeps, and trips whose time is known.

use super::Driver;
use crate::script::{Granted, Pause, Reply, StoreError, Trip};
use crate::suspension::SUSPENDED;
use crate::{Link, SharedLimiter, StoreState};
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use ringgate::time::ManualClock;
use ringgate::{Limiter, Rate};

/// Each answer brings one request. The first lies there until the machine wakes.
struct Way {
    clock: ManualClock,
    takes: Duration,
    sleeps: Duration,
}

impl Link for Way {
    async fn trip(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        SUSPENDED.set(self.sleeps);
        self.clock.advance(self.takes);
        let paused = if let Pause::For(length) = trip.pause { length } else { 0 };
        let windows = vec![Granted { amount: 1, used: 1, wanted: 0 }];
        Ok(Reply {
            epoch: 1,
            now: 1_000_000_000,
            steps: 0,
            paused,
            quiet: 0,
            retry: Some(0),
            processes: 1,
            slots: 0,
            slots_wanted: 0,
            slots_fair: 0,
            fallback: 0,
            windows,
        })
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A limiter whose trips take so long, and its driver. The machine sleeps during the first trip.
fn scene(takes: Duration, sleeps: Duration) -> (SharedLimiter, Driver<Way>, ManualClock) {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1_000));
    let limits = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone());
    let way = Way { clock: clock.clone(), takes, sleeps };
    let (limiter, driver) = SharedLimiter::builder(limits, "tests", "driver").driver(way).unwrap();
    (limiter, driver, clock)
}

/// The next look at the clocks came after the grant.
#[test]
fn an_answer_that_had_lain_there_while_the_machine_slept_was_granted() {
    let (limiter, driver, clock) = scene(Duration::ZERO, Duration::from_secs(3_600));
    let (mut driver, mut call) = (pin!(driver.run()), pin!(limiter.acquire()));
    assert!(poll(call.as_mut()).is_pending());
    assert!(poll(driver.as_mut()).is_pending());
    assert!(matches!(limiter.status().store, StoreState::Away(_)));
    assert_eq!(limiter.remaining(), 0);
    assert!(poll(call.as_mut()).is_pending());
    // The next trip is another one.
    clock.advance(Duration::from_secs(1));
    assert!(poll(driver.as_mut()).is_pending());
    assert!(limiter.status().is_connected());
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(_))));
}

/// The store has it since the trip arrived, so it ends later there.
#[test]
fn a_pause_came_back_longer_by_the_time_of_the_trip_that_told_it() {
    let (limiter, driver, clock) = scene(Duration::from_millis(50), Duration::ZERO);
    let mut driver = pin!(driver.run());
    limiter.pause(Duration::from_secs(60));
    assert!(poll(driver.as_mut()).is_pending());
    assert_eq!(limiter.status().trips, 1);
    assert_eq!(limiter.paused_for(), Some(Duration::from_millis(59_950)));
    clock.advance(Duration::from_secs(1));
    assert!(poll(driver.as_mut()).is_pending());
    assert_eq!(limiter.paused_for(), Some(Duration::from_millis(58_950)));
}
