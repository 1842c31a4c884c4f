//! What a limiter tells of itself: every number, through scenes in which it changes.

use crate::bells::{Woken, limiter};
use crate::common::at_once;
use ringgate::{
    Feedback, Limit, LimitStats, Limiter, LimiterStats, Priority, Quota, QuotaKind, QuotaWindow,
    Rate, Semaphore, StopReason, Usage,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `(limit, configured, used, left)` of the first limit of this kind.
#[track_caller]
fn of(stats: &LimiterStats, kind: Limit) -> (u64, u64, u64, u64) {
    let LimitStats { limit, configured, used, left, .. } =
        *stats.limits.iter().find(|limit| limit.kind == kind).expect("it has no such limit");
    (limit, configured, used, left)
}

// ---- calls -----------------------------------------------------------------------------------------

/// Broken by: a permit that is made without a count; a count at the end of a call.
#[test]
fn every_way_of_admission_counts_once() {
    for slots in [None, Some(64)] {
        let builder = Limiter::builder().rate(Rate::per_minute(1_000)).tokens(1_000_000, MINUTE);
        let limiter = match slots {
            Some(slots) => builder.max_concurrent(slots).build(),
            None => builder.build(),
        };
        let call = limiter.call().input_tokens(1);
        drop(limiter.try_acquire().unwrap());
        drop(limiter.try_acquire_owned().unwrap());
        drop(at_once(limiter.acquire()).unwrap());
        drop(at_once(limiter.acquire_owned()).unwrap());
        drop(call.try_acquire().unwrap());
        drop(call.try_acquire_owned().unwrap());
        drop(at_once(call.acquire()).unwrap());
        drop(at_once(call.acquire_owned()).unwrap());
        drop(limiter.blocking_acquire().unwrap());
        assert_eq!(limiter.stats().admitted, 9);
        assert_eq!(limiter.clone().stats().admitted, 9, "of a clone");
        assert_eq!(limiter.stats().refused.total(), 0);
    }
}

/// Broken by: a count of two steps; one stripe that is left out of the sum; a stripe for another thread.
#[test]
fn no_admission_and_no_refusal_is_lost_between_threads() {
    const TRIES: u64 = 2_000;
    for slots in [usize::MAX, 2] {
        let limiter = Limiter::builder().rate(Rate::per_day(5_000)).max_concurrent(slots).build();
        let went: u64 = thread::scope(|scope| {
            let tries = || (0..TRIES).filter(|_| limiter.try_acquire().is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(tries)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap() as u64).sum()
        });
        let stats = limiter.stats();
        assert_eq!((stats.admitted, stats.refused.total()), (went, 4 * TRIES - went));
        assert!(stats.refused.by(Limit::Rate) > 0);
    }
}

/// Broken by: two limits with one place among the counts; a refusal of a future that does not count, or counts twice.
#[test]
fn a_refusal_counts_for_the_limit_that_it_tells() {
    let one = || Limiter::builder().margin(Duration::ZERO);
    let with_a_call = |limiter: Limiter| {
        std::mem::forget(limiter.try_acquire_owned());
        limiter
    };
    let paused = one().max_concurrent(1).build();
    paused.pause(MINUTE);
    let stopped = one().max_concurrent(1).build();
    stopped.stop(StopReason::SpendLimit, None);
    let closed = one().max_concurrent(1).build();
    closed.close();
    let all = [
        (Limit::Rate, with_a_call(one().rate(Rate::per_minute(1)).build())),
        (Limit::Concurrency, with_a_call(one().max_concurrent(1).build())),
        (Limit::Tokens, one().tokens(5, MINUTE).build()),
        (Limit::InputTokens, one().input_tokens(5, MINUTE).build()),
        (Limit::OutputTokens, one().output_tokens(5, MINUTE).build()),
        (Limit::Queue, with_a_call(one().max_concurrent(1).max_waiters(0).build())),
        (Limit::Paused, paused),
        (Limit::Stopped(StopReason::SpendLimit), stopped),
        (Limit::Closed, closed),
    ];
    for (limit, limiter) in &all {
        let call = limiter.call().tokens(Usage::new(6, 6));
        let refused = match limit {
            Limit::Queue => at_once(call.acquire()).unwrap_err(),
            _ => call.try_acquire().unwrap_err(),
        };
        assert_eq!(refused.limit(), *limit);
        let refusals = limiter.stats().refused;
        assert_eq!((refusals.by(*limit), refusals.total()), (1, 1), "{limit:?}");
        let refused = at_once(call.timeout(Duration::ZERO).acquire_owned()).unwrap_err();
        let refusals = limiter.stats().refused;
        assert_eq!(refusals.total(), 2, "{limit:?}");
        assert!(refusals.by(refused.limit()) > 0, "{limit:?}");
    }
}

/// Broken by: `waiters_by_class` in another order; a call that counts after it went or left.
#[test]
fn those_in_line_are_told_by_their_priority() {
    let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(1)));
    drop(limiter.try_acquire().unwrap());
    let wait = |priority| {
        let mut call = Woken::new(limiter.call().priority(priority).acquire());
        assert!(call.poll().is_pending());
        call
    };
    let mut first = wait(Priority::Low);
    let others =
        [Priority::Low, Priority::Normal, Priority::Low, Priority::High, Priority::Low].map(wait);
    let waiting = limiter.stats().waiting;
    assert_eq!((waiting.high, waiting.normal, waiting.low), (1, 1, 4));
    assert_eq!(waiting.of(Priority::Low), 4);
    assert_eq!(waiting.total(), 6);

    bells.advance(MINUTE);
    drop(first.run(9).expect("it waits").unwrap());
    assert_eq!(limiter.stats().waiting.low, 3);
    drop(others);
    let stats = limiter.stats();
    assert_eq!(stats.waiting.total(), 0);
    assert_eq!((stats.admitted, stats.refused.total()), (2, 0), "to leave is no refusal");
}

/// Broken by: `in_flight` from the free slots; a permit whose slot is released that counts.
#[test]
fn calls_in_flight_are_those_that_hold_a_slot() {
    let limiter = Limiter::builder().max_concurrent(4).build();
    assert_eq!(limiter.stats().in_flight, Some(0));
    let [first, second, third] = [(); 3].map(|()| limiter.try_acquire().unwrap());
    assert_eq!(limiter.stats().in_flight, Some(3));
    let tokens = first.release_slot();
    assert_eq!(limiter.stats().in_flight, Some(2));
    drop((second, third, tokens));
    let stats = limiter.stats();
    assert_eq!((stats.in_flight, stats.admitted), (Some(0), 3));
    assert_eq!(Limiter::new(Rate::per_minute(1), usize::MAX).stats().in_flight, None);
}

// ---- limits ----------------------------------------------------------------------------------------

/// Broken by: the tightest rate told for each; the margin in the window; a count of all that is remembered.
#[test]
fn each_rate_tells_what_is_used_and_left_of_it() {
    let (limiter, bells) =
        limiter(|builder| builder.rate(Rate::per_minute(5)).rate(Rate::per_second(2)));
    drop([limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap()]);
    bells.advance(SECOND);
    drop(limiter.try_acquire().unwrap());
    let rates: Vec<_> =
        limiter.stats().limits.iter().map(|rate| (rate.window, rate.used, rate.left)).collect();
    assert_eq!(rates, [(Some(MINUTE), 3, 2), (Some(SECOND), 1, 1)]);
    bells.advance(59 * SECOND);
    assert_eq!(limiter.stats().limits[0].used, 1);
}

/// Broken by: `later_than` of one ring alone; the number of cells in the place of the limit.
#[test]
fn the_rate_of_a_large_limit_tells_the_same() {
    for (limit, calls) in [(100_u32, 60_u32), (1_000, 777), (5_000, 5_000)] {
        let (limiter, bells) = limiter(|builder| builder.rate(Rate::per_minute(limit)));
        thread::scope(|scope| {
            scope.spawn(|| (0..calls / 2).for_each(|_| drop(limiter.try_acquire().unwrap())));
        });
        (calls / 2..calls).for_each(|_| drop(limiter.try_acquire().unwrap()));
        let (limit, calls) = (u64::from(limit), u64::from(calls));
        assert_eq!(of(&limiter.stats(), Limit::Rate), (limit, limit, calls, limit - calls));
        bells.advance(MINUTE);
        assert_eq!(of(&limiter.stats(), Limit::Rate), (limit, limit, 0, limit));
    }
}

/// Broken by: what is held left out of `used`; the limits in another order.
#[test]
fn each_limit_on_tokens_tells_what_is_used_and_left_of_it() {
    let (limiter, bells) = limiter(|builder| {
        builder.output_tokens(1_000, MINUTE).input_tokens(2_000, MINUTE).max_concurrent(8)
    });
    let permit = limiter.call().tokens(Usage::new(700, 300)).try_acquire().unwrap();
    let stats = limiter.stats();
    let kinds: Vec<_> = stats.limits.iter().map(|limit| limit.kind).collect();
    assert_eq!(kinds, [Limit::OutputTokens, Limit::InputTokens, Limit::Concurrency]);
    assert_eq!(of(&stats, Limit::OutputTokens), (1_000, 1_000, 300, 700));
    assert_eq!(of(&stats, Limit::InputTokens), (2_000, 2_000, 700, 1_300));
    assert_eq!(of(&stats, Limit::Concurrency), (8, 8, 1, 7));
    assert!(stats.limits.iter().all(|limit| limit.window.is_none_or(|window| window == MINUTE)));

    permit.settle(Usage::new(400, 1_100));
    let stats = limiter.stats();
    assert_eq!(of(&stats, Limit::OutputTokens), (1_000, 1_000, 1_100, 0), "more than was expected");
    assert_eq!(of(&stats, Limit::InputTokens), (2_000, 2_000, 400, 1_600));
    bells.advance(2 * MINUTE);
    assert_eq!(of(&limiter.stats(), Limit::OutputTokens), (1_000, 1_000, 0, 1_000));
}

/// Broken by: `configured` that is what is in force; a limit of the provider that is not told.
#[test]
fn what_the_provider_lowers_is_told_beside_what_was_set() {
    let (limiter, _bells) = limiter(|builder| {
        builder.rate(Rate::per_minute(60)).tokens(10_000, MINUTE).max_concurrent(8)
    });
    let said = |kind, limit| Quota::new(kind, QuotaWindow::Minute).with_limit(limit);
    let feedback = Feedback::new()
        .with_quota(said(QuotaKind::Requests, 30))
        .with_quota(said(QuotaKind::Tokens, 7_000));
    limiter.observe(&feedback);
    limiter.observe(&Feedback::overload());
    let stats = limiter.stats();
    assert_eq!(of(&stats, Limit::Rate), (30, 60, 0, 30));
    assert_eq!(of(&stats, Limit::Tokens), (7_000, 10_000, 0, 7_000));
    assert_eq!(of(&stats, Limit::Concurrency), (1, 8, 0, 1));
    assert_eq!(stats.concurrency_limit, Some(1));

    limiter.set_rate(Rate::new(6, SECOND)).unwrap();
    let stats = limiter.stats();
    assert_eq!(of(&stats, Limit::Rate), (6, 6, 0, 6));
    assert_eq!(stats.limits[0].window, Some(SECOND));
}

/// Broken by: a window of zero that is told; a limit of zero that is not.
#[test]
fn what_limits_nothing_is_left_out() {
    let limiter = Limiter::builder()
        .rate(Rate::new(5, Duration::ZERO))
        .tokens(5, Duration::ZERO)
        .max_concurrent(usize::MAX)
        .build();
    assert_eq!(limiter.stats().limits, []);
    let none = Limiter::builder().rate(Rate::per_minute(0)).max_concurrent(0).build();
    let stats = none.stats();
    assert_eq!(of(&stats, Limit::Rate), (0, 0, 0, 0));
    assert_eq!(of(&stats, Limit::Concurrency), (0, 0, 0, 0));
}

/// Broken by: the semaphore's permits told as the limiter's own slots.
#[test]
fn permits_of_a_shared_semaphore_are_told_by_themselves() {
    let shared = Arc::new(Semaphore::new(3));
    let limiter = Limiter::builder().semaphore(Arc::clone(&shared)).build();
    let elsewhere = shared.try_acquire().unwrap();
    let permit = limiter.try_acquire().unwrap();
    let stats = limiter.stats();
    assert_eq!((stats.shared_permits, stats.in_flight, stats.admitted), (Some(1), None, 1));
    assert_eq!(stats.limits, []);
    drop((elsewhere, permit));
}

// ---- tokens ----------------------------------------------------------------------------------------

/// Broken by: an end that is not counted, or twice; a settlement that counts what was expected.
#[test]
fn tokens_are_reserved_until_they_are_settled() {
    for held in [false, true] {
        let builder = Limiter::builder().max_concurrent(8).input_tokens(10_000, MINUTE);
        let builder = if held { builder.output_tokens(10_000, MINUTE) } else { builder };
        let limiter = builder.build();
        let expected = Usage::new(100, 50);
        let call = || limiter.call().tokens(expected).try_acquire_owned().unwrap();
        let tokens = || (limiter.stats().tokens.reserved, limiter.stats().tokens.settled);
        let [first, second, third, fourth] = [(); 4].map(|()| call());
        assert_eq!(tokens(), (600, 0));
        first.settle(Usage::new(90, 1));
        assert_eq!(tokens(), (450, 91), "settled at what was used");
        second.cancel();
        assert_eq!(tokens(), (300, 91), "cancelled");
        drop(third);
        assert_eq!(tokens(), (150, 241), "dropped");
        let rest = fourth.release_slot();
        assert_eq!(tokens(), (150, 241), "the slot alone");
        rest.settle(Usage::new(0, 300));
        assert_eq!(tokens(), (0, 541), "settled later");
        drop(limiter.try_acquire());
        assert_eq!(tokens(), (0, 541), "without tokens");
    }
}

/// Broken by: `fetch_add` of what a server says.
#[test]
fn a_lie_does_not_fill_the_count_of_tokens() {
    let most = u64::from(u32::MAX);
    let limiter = Limiter::builder().tokens(u64::MAX, MINUTE).build();
    for calls in 1..=3 {
        let permit = limiter.call().input_tokens(1 << 40).try_acquire().unwrap();
        assert_eq!(limiter.stats().tokens.reserved, most);
        permit.settle(Usage::new(u64::MAX, u64::MAX));
        let tokens = limiter.stats().tokens;
        assert_eq!((tokens.reserved, tokens.settled), (0, calls * most));
        limiter.reset();
    }
}

/// Broken by: a stripe of each thread that is told by itself.
#[test]
fn tokens_may_be_settled_by_another_thread() {
    let limiter = Limiter::builder().rate(Rate::per_day(5_000)).tokens(1_000_000, MINUTE).build();
    let call = |_| limiter.call().input_tokens(10).try_acquire_owned().unwrap();
    let permits: Vec<_> = (0..100).map(call).collect();
    assert_eq!(limiter.stats().tokens.reserved, 1_000);
    thread::spawn(|| permits.into_iter().for_each(|permit| permit.settle(Usage::new(3, 0))))
        .join()
        .unwrap();
    let tokens = limiter.stats().tokens;
    assert_eq!((tokens.reserved, tokens.settled), (0, 300));
}

// ---- the provider ----------------------------------------------------------------------------------

/// Broken by: a signal that counts as another.
#[test]
fn what_was_observed_is_counted_by_its_signal() {
    let limiter = Limiter::builder().max_concurrent(8).build();
    let cool_down = Feedback::cool_down(SECOND);
    let ramp = Feedback::cool_down(SECOND).ramp();
    let answers = [(0, Feedback::new()), (4, cool_down), (3, ramp), (2, Feedback::overload())];
    for (times, answer) in &answers {
        (0..*times).for_each(|_| limiter.observe(answer));
    }
    limiter.observe(&Feedback::stop(StopReason::DailyQuota));
    let observed = limiter.stats().observed;
    let counts = (observed.cool_downs, observed.ramps, observed.overloads, observed.stops);
    assert_eq!(counts, (4, 3, 2, 1));
}

/// Broken by: a pause that is over and told; a reason without a stop.
#[test]
fn a_pause_and_a_stop_are_told_with_what_is_left() {
    let (limiter, bells) = limiter(|builder| builder.max_concurrent(1));
    let told = |limiter: &Limiter| {
        let stats = limiter.stats();
        (stats.paused_for, stats.stopped, stats.closed)
    };
    assert_eq!(told(&limiter), (None, None, false));
    limiter.pause(MINUTE);
    bells.advance(SECOND);
    assert_eq!(told(&limiter), (Some(59 * SECOND), None, false));
    limiter.stop(StopReason::DailyQuota, 2 * MINUTE);
    assert_eq!(told(&limiter), (Some(2 * MINUTE), Some(StopReason::DailyQuota), false));
    bells.advance(2 * MINUTE);
    assert_eq!(told(&limiter), (None, None, false));
    limiter.close();
    assert_eq!(told(&limiter), (None, None, true));
}

// ---- its name, and its form ------------------------------------------------------------------------

/// Broken by: a name of the last clone; `Debug` without it.
#[test]
fn a_limiter_has_the_name_that_it_was_given() {
    let builder = Limiter::builder().max_concurrent(1).name("small");
    let (small, large) = (builder.clone().build(), builder.name(String::from("large")).build());
    assert_eq!((small.name(), large.clone().name()), (Some("small"), Some("large")));
    assert!(format!("{large:?}").contains("large"));
    assert_eq!(large.stats().name.as_deref(), Some("large"));
    let unnamed = Limiter::new(Rate::per_minute(1), 1);
    assert_eq!((unnamed.name(), unnamed.stats().name), (None, None));
}

/// Broken by: a key of another name; a limit told by what `Display` says.
#[cfg(feature = "serde")]
#[test]
fn stats_can_be_written() {
    let (limiter, _bells) =
        limiter(|builder| builder.name("gpt").input_tokens(100, MINUTE).max_concurrent(2));
    drop(limiter.call().input_tokens(40).try_acquire().unwrap());
    limiter.stop(StopReason::SpendLimit, None);
    let written = serde_json::to_value(limiter.stats()).unwrap();
    assert_eq!(written["name"], "gpt");
    assert_eq!((&written["admitted"], &written["in_flight"]), (&1.into(), &0.into()));
    assert_eq!(written["stopped"], "spend limit reached");
    assert_eq!(written["refused"]["input_tokens"], 0);
    assert_eq!(written["waiting"]["high"], 0);
    assert_eq!(written["observed"]["cool_downs"], 0);
    let minute = serde_json::json!({ "secs": 60, "nanos": 0 });
    let limit = serde_json::json!({
        "kind": "input_tokens", "limit": 100, "configured": 100, "window": minute,
        "used": 40, "left": 60,
    });
    assert_eq!(written["limits"][0], limit);
    assert_eq!(written["limits"][1]["window"], serde_json::Value::Null);
    assert_eq!(written["tokens"], serde_json::json!({ "reserved": 0, "settled": 40 }));
}
