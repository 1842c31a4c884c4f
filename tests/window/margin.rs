//! The default margin of a limiter.

use ringgate::time::ManualClock;
use ringgate::{Limiter, LimiterBuilder, Rate, RateLimitPolicy, SlidingWindow};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn wait(limiter: &Limiter) -> Duration {
    while limiter.try_acquire().is_ok() {}
    limiter.try_acquire().unwrap_err().retry_after().unwrap()
}

fn builder() -> LimiterBuilder {
    Limiter::builder().clock(ManualClock::new())
}

/// The README's first example got a 429 in one run of three on an idle loopback. Broken by: a margin of
/// zero in `Limiter::builder`; a fortieth without its maximum.
#[test]
fn a_limiter_without_a_margin_of_its_own_was_refused_by_the_provider() {
    for (window, margin) in [
        (SECOND, Duration::from_millis(25)),
        (10 * SECOND, Duration::from_millis(250)),
        (MINUTE, Duration::from_millis(250)),
    ] {
        assert_eq!(wait(&builder().rate(Rate::new(1, window)).build()), window + margin);
        let zero = builder().rate(Rate::new(1, window)).margin(Duration::ZERO).build();
        assert_eq!(wait(&zero), window);
    }
    let policy = |policy| wait(&LimiterBuilder::from(&policy).clock(ManualClock::new()).build());
    assert_eq!(policy(RateLimitPolicy::rpm(1)), MINUTE + Duration::from_millis(250));
    assert_eq!(policy(RateLimitPolicy::per_second(1)), SECOND + Duration::from_millis(25));
}

/// Broken by: the first rate's margin for all rates.
#[test]
fn each_rate_has_the_margin_of_its_own_window_also_after_a_change() {
    let limiter = builder().rate(Rate::per_minute(2)).rate(Rate::per_second(1)).build();
    assert_eq!(wait(&limiter), SECOND + Duration::from_millis(25));
    limiter.set_rate_at(1, Rate::new(1, 2 * SECOND)).unwrap();
    assert_eq!(wait(&limiter), 2 * SECOND + Duration::from_millis(50));
    limiter.set_rate_at(1, Rate::new(1, Duration::ZERO)).unwrap();
    assert_eq!(wait(&limiter), MINUTE + Duration::from_millis(250));
}

/// Broken by: `Margin::Default` in `SlidingWindow::new`.
#[test]
fn a_bare_window_is_as_long_as_it_says() {
    let window = SlidingWindow::with_clock(Rate::per_second(1), ManualClock::new());
    window.try_acquire().unwrap();
    assert_eq!(window.try_acquire().unwrap_err().retry_after(), Some(SECOND));
}
