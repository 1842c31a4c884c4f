//! What the errors tell programs and people.

use crate::common::at_once;
use ringgate::{Limit, Limiter, NoSuchRateError, Rate, Semaphore, SlidingWindow, TryAcquireError};
use std::error::Error;
use std::time::Duration;

fn words(error: &impl Error) -> String {
    error.to_string()
}

#[test]
fn a_closed_semaphore_says_so() {
    let semaphore = Semaphore::new(1);
    semaphore.close();
    let closed = at_once(semaphore.acquire()).unwrap_err();
    assert_eq!((closed.is_closed(), closed.is_unsatisfiable()), (true, false));
    assert_eq!(words(&closed), "semaphore closed");
    let closed = semaphore.try_acquire().unwrap_err();
    assert_eq!(closed, TryAcquireError::Closed);
    assert_eq!(words(&closed), "semaphore closed");
}

#[test]
fn a_request_for_too_many_permits_says_so() {
    let semaphore = Semaphore::with_max_permits(1);
    let too_many = at_once(semaphore.acquire_many(2)).unwrap_err();
    assert_eq!((too_many.is_closed(), too_many.is_unsatisfiable()), (false, true));
    assert!(words(&too_many).contains("more permits requested"));
    assert_eq!(words(&semaphore.try_acquire_many(2).unwrap_err()), "no permits available");
}

#[test]
fn a_refusal_says_which_limit_and_how_long() {
    const MINUTE: Duration = Duration::from_secs(60);
    let never = SlidingWindow::new(Rate::per_minute(0)).try_acquire().unwrap_err();
    assert_eq!(words(&never), "rate limit reached: no call will ever be admitted");

    let clock = ringgate::time::ManualClock::new();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(2))
        .max_concurrent(1)
        .clock(clock)
        .build();
    let held = limiter.try_acquire().unwrap();
    let in_flight = limiter.try_acquire().unwrap_err();
    assert_eq!((in_flight.limit(), in_flight.retry_after()), (Limit::Concurrency, None));
    assert_eq!(
        words(&in_flight),
        "concurrency limit reached: retry when a call in flight has ended"
    );
    drop(held);
    drop(limiter.try_acquire().unwrap());
    let too_soon = limiter.try_acquire().unwrap_err();
    assert_eq!((too_soon.limit(), too_soon.retry_after()), (Limit::Rate, Some(MINUTE)));
    assert_eq!(words(&too_soon), "rate limit reached: retry in 60s");
    limiter.pause(2 * MINUTE);
    assert_eq!(words(&limiter.try_acquire().unwrap_err()), "the limiter is paused: retry in 120s");
    assert_eq!(Limit::Paused.to_string(), "paused");
}

#[test]
fn a_rate_that_is_not_there_is_named() {
    assert!(words(&NoSuchRateError).contains("no rate of this number"));
}
