//! Answers of a provider under loom: two that count at once, a call beside one, a change of the user's beside one. Both threads
//! begin with a write, so that loom lets either be first.

use crate::raw::left::{Left, Sent};
use crate::raw::tokens::{HeldTokens, RawTokens};
use crate::raw::window::{Layout, Log};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{model, thread};
use crate::time::{ManualClock, Timestamp};
use crate::{Feedback, Limiter, Quota, QuotaKind, QuotaWindow, Rate};
use core::time::Duration;
use std::sync::Arc;

const WINDOW: Duration = Duration::from_nanos(4);
const NOW: u64 = 9;

/// On another thread: before the caller's next step, beside it or after it.
fn beside<T: Send + Sync + 'static>(
    shared: &Arc<T>,
    work: impl FnOnce(&T) + Send + 'static,
) -> thread::JoinHandle<()> {
    let whistle = Arc::new(AtomicU64::new(0));
    let (there, blows) = (Arc::clone(shared), Arc::clone(&whistle));
    let other = thread::spawn(move || {
        // ORDERING: Relaxed: it publishes nothing.
        blows.fetch_add(1, Ordering::Relaxed);
        work(&there);
    });
    // ORDERING: Relaxed, as above.
    whistle.fetch_add(1, Ordering::Relaxed);
    other
}

fn left(amount: u64) -> Left {
    Left { amount, sent: Sent::At(NOW) }
}

/// One ring, or two.
fn log(limit: u32, rings_log2: u32) -> Arc<Log> {
    let layout = Layout { capacity: limit, rings_log2, ..Layout::of(1, 4, 1) };
    Arc::new(Log::with_layout(&[(limit, WINDOW)], Duration::ZERO, layout))
}

/// An observer sees as many as were admitted before, or one more. Broken by: `later_than` that does not look again when a cell was
/// stamped meanwhile.
#[test]
fn model_a_call_goes_beside_a_look_back() {
    for rings_log2 in [0, 1] {
        model(3, move || {
            let log = log(2, rings_log2);
            for at in [1, 1, NOW] {
                log.try_acquire(at).unwrap();
            }
            let other = beside(&log, |log| assert!(log.try_acquire(NOW).is_ok()));
            let counted = log.counted(0, Sent::At(NOW), &|| NOW).unwrap();
            assert!((1..=2).contains(&counted.at_least), "{counted:?}");
            other.join().unwrap();
            assert_eq!(log.counted(0, Sent::At(NOW), &|| NOW).unwrap().at_least, 2);
        });
    }
}

/// The limit is neither lost nor too high. Broken by: `exchange_limit` that does not compare.
#[test]
fn model_a_limit_is_lowered_while_the_log_grows() {
    model(3, || {
        let log = log(2, 0);
        let other = beside(&log, |log| log.set(0, 4, WINDOW).unwrap());
        let is_lowered = log.exchange_limit(0, 2, 1);
        other.join().unwrap();
        // The user's change comes last, or the exchange has found it.
        assert_eq!(log.rule(0).unwrap().0, 4, "{is_lowered}");
    });
}

fn at(tick: u64) -> Timestamp {
    Timestamp::from_nanos(tick)
}

/// Broken by: `count_others` that counts by `count_anyway`.
#[test]
fn model_two_observers_of_tokens_count_once() {
    model(3, || {
        let tokens = Arc::new(RawTokens::new(5, WINDOW));
        let other = beside(&tokens, |tokens| tokens.count_others(at(NOW), left(2), 0));
        tokens.count_others(at(NOW), left(2), 0);
        other.join().unwrap();
        assert_eq!(tokens.remaining(at(NOW)), 2);
    });
}

/// Broken by: as above.
#[test]
fn model_a_call_goes_beside_an_observer_of_tokens() {
    model(3, || {
        let tokens = Arc::new(RawTokens::new(5, WINDOW));
        let other = beside(&tokens, |tokens| tokens.count_others(at(NOW), left(3), 0));
        let _ = tokens.try_admit(at(NOW), 2).unwrap();
        other.join().unwrap();
        assert!([1, 3].contains(&tokens.remaining(at(NOW))));
    });
}

/// The call that is settled is ours, whether it is still held or counts already. Broken by: what is held left out.
#[test]
fn model_a_call_is_settled_beside_an_observer_of_tokens() {
    model(3, || {
        let tokens = Arc::new(HeldTokens::new(5, WINDOW));
        let held = tokens.reserve(at(NOW), 2).unwrap();
        let other = beside(&tokens, |tokens| tokens.count_others(at(NOW), left(3)));
        tokens.settle_held(at(NOW), held, 2);
        other.join().unwrap();
        assert_eq!(tokens.remaining(at(NOW)), 3);
    });
}

fn says_left(limiter: &Limiter, left: u64) {
    let quota = Quota::new(QuotaKind::Requests, QuotaWindow::Unknown).with_remaining(left);
    limiter.observe(&Feedback::new().with_quota(quota));
}

/// Two answers, of which one tells of others: the limit is right by the one that came later. Broken by: a number that is added up.
#[test]
fn model_two_observers_of_requests() {
    model(3, || {
        let limiter = limiter();
        let other = beside(&limiter, |limiter| says_left(limiter, 2));
        says_left(&limiter, 2);
        other.join().unwrap();
        assert_eq!(limiter.remaining(), 2);
    });
}

/// One answer tells of others, and another one that there are none. Broken by: a limit that is set by a number from before.
#[test]
fn model_one_observer_hears_of_others_and_one_does_not() {
    model(3, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
        let limiter = Arc::new(builder.rate(Rate::new(4, WINDOW)).build());
        let other = beside(&limiter, |limiter| says_left(limiter, 2));
        says_left(&limiter, 4);
        other.join().unwrap();
        assert!([2, 4].contains(&limiter.remaining()));
        clock.advance(WINDOW);
        assert_eq!(limiter.remaining(), 4);
    });
}

/// Broken by: what was counted of ours taken off twice.
#[test]
fn model_a_call_goes_beside_an_observer_of_requests() {
    model(3, || {
        let limiter = limiter();
        let other = beside(&limiter, |limiter| says_left(limiter, 2));
        drop(limiter.try_acquire().unwrap());
        other.join().unwrap();
        assert!((1..=2).contains(&limiter.remaining()));
    });
}

/// One looks when it is time to forget, beside an answer that tells the same anew. Broken by: `look_at_the_earliest` that looks once;
/// a limit that stays lowered by what was forgotten.
#[test]
fn model_others_are_forgotten_beside_an_observer() {
    model(3, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
        let limiter = Arc::new(builder.rate(Rate::new(4, WINDOW)).build());
        says_left(&limiter, 2);
        clock.advance(WINDOW);
        let other = beside(&limiter, |limiter| says_left(limiter, 2));
        assert!((2..=4).contains(&limiter.remaining()));
        other.join().unwrap();
        clock.advance(WINDOW);
        assert_eq!(limiter.remaining(), 4);
    });
}

/// Two rates: others' use of each is forgotten in its time. Broken by: as above.
#[test]
fn model_others_of_two_rates_are_learned_at_once() {
    model(3, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).clock(clock.clone());
        let builder = builder.rate(Rate::new(3, WINDOW)).rate(Rate::new(4, 2 * WINDOW));
        let limiter = Arc::new(builder.build());
        let tells = |limiter: &Limiter, limit| {
            let quota = Quota::new(QuotaKind::Requests, QuotaWindow::Unknown);
            let quota = quota.with_limit(limit).with_remaining(1);
            limiter.observe(&Feedback::new().with_quota(quota));
        };
        let other = beside(&limiter, move |limiter| tells(limiter, 3));
        tells(&limiter, 4);
        other.join().unwrap();
        assert_eq!(limiter.remaining(), 1);
        clock.advance(WINDOW);
        assert_eq!(limiter.remaining(), 1);
        clock.advance(WINDOW);
        assert_eq!(limiter.remaining(), 3);
    });
}

fn says(limiter: &Limiter, kind: QuotaKind, limit: u64) {
    let quota = Quota::new(kind, QuotaWindow::Unknown).with_limit(limit);
    limiter.observe(&Feedback::new().with_quota(quota));
}

fn limiter() -> Arc<Limiter> {
    let builder = Limiter::builder().margin(Duration::ZERO).clock(ManualClock::new());
    Arc::new(builder.rate(Rate::new(4, WINDOW)).tokens(4, WINDOW).build())
}

/// However high the provider says it is. Broken by: `take_over` without `confirm`; `Ceiling::set` after the limit.
#[test]
fn model_the_user_sets_a_rate_beside_the_provider() {
    for lower in [1, 3] {
        model(3, move || {
            let limiter = limiter();
            says(&limiter, QuotaKind::Requests, lower);
            let user = |limiter: &Limiter| limiter.set_rate(Rate::new(2, WINDOW)).unwrap();
            let other = beside(&limiter, user);
            says(&limiter, QuotaKind::Requests, 3 + u64::from(lower == 3));
            other.join().unwrap();
            assert_eq!(limiter.remaining(), 2);
        });
    }
}

/// Broken by: as above.
#[test]
fn model_the_user_sets_a_limit_on_tokens_beside_the_provider() {
    for lower in [1, 3] {
        model(3, move || {
            let limiter = limiter();
            says(&limiter, QuotaKind::Tokens, lower);
            let other = beside(&limiter, |limiter| limiter.set_token_limit(0, 2).unwrap());
            says(&limiter, QuotaKind::Tokens, 3 + u64::from(lower == 3));
            other.join().unwrap();
            assert_eq!(limiter.remaining_tokens(), 2);
        });
    }
}
