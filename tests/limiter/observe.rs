//! What a provider says, taken over by the limiter.

use crate::bells::limiter;
use crate::pause::tries;
use ringgate::{Feedback, Limit, LimiterBuilder, Rate, StopReason};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn rate(builder: LimiterBuilder) -> LimiterBuilder {
    builder.rate(Rate::per_minute(60))
}

/// Broken by: a signal that is taken for another one.
#[test]
fn each_signal_does_what_it_says() {
    let (limiter, bells) = limiter(rate);
    limiter.observe(&Feedback::new());
    limiter.observe(&Feedback::new().with_retry_after(MINUTE));
    limiter.observe(&Feedback::overload().with_retry_after(MINUTE));
    assert_eq!(limiter.paused_for(), None);

    limiter.observe(&Feedback::cool_down(7 * SECOND));
    let refused = tries(&limiter).unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Paused, Some(7 * SECOND)));
    bells.advance(7 * SECOND);
    tries(&limiter).unwrap();
    tries(&limiter).unwrap();

    limiter.observe(&Feedback::cool_down(7 * SECOND).ramp());
    assert_eq!(limiter.paused_for(), Some(7 * SECOND));
    bells.advance(7 * SECOND);
    tries(&limiter).unwrap();
    assert_eq!(tries(&limiter).unwrap_err().limit(), Limit::Paused);
    limiter.resume();

    let reason = StopReason::PaymentRequired;
    limiter.observe(&Feedback::stop(reason));
    let refused = tries(&limiter).unwrap_err();
    assert!(refused.limit() == Limit::Stopped(reason) && refused.is_permanent());
    limiter.resume();
    limiter.observe(&Feedback::stop(StopReason::DailyQuota).with_retry_after(MINUTE));
    assert_eq!(tries(&limiter).unwrap_err().retry_after(), Some(MINUTE));
}

/// A 429 without a time, or with none to wait. Broken by: pauses that grow while one lasts; that do not grow; that grow without end;
/// that a success does not end.
#[test]
fn a_pause_of_a_length_that_was_not_told_doubles_until_a_call_succeeds() {
    for cool_down in [Feedback::cool_down(None), Feedback::cool_down(Duration::ZERO).ramp()] {
        let (limiter, bells) = limiter(rate);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            // The answers of calls that were under way together.
            for _ in 0..5 {
                limiter.observe(&cool_down);
            }
            assert_eq!(limiter.paused_for(), Some(seconds * SECOND));
            bells.advance(seconds * SECOND);
        }
        limiter.observe(&Feedback::new());
        limiter.observe(&cool_down);
        assert_eq!(limiter.paused_for(), Some(SECOND));
    }
}

/// Each way to observe reaches all. Broken by: a permit whose feedback goes nowhere.
#[test]
fn what_one_call_was_told_holds_for_all() {
    let (limiter, bells) = limiter(|builder| rate(builder).tokens(1_000, MINUTE));
    let cool_down = Feedback::cool_down(SECOND);
    let permit = limiter.try_acquire().unwrap();
    permit.observe(&cool_down);
    assert_eq!(tries(&limiter).unwrap_err().limit(), Limit::Paused);
    bells.advance(SECOND);
    let owned = limiter.try_acquire_owned().unwrap();
    owned.observe(&cool_down);
    assert_eq!(tries(&limiter).unwrap_err().limit(), Limit::Paused);
    drop((permit, owned));
}
