//! Snapshots that are written to files, and read from files that somebody else has written.

#![cfg(feature = "serde")]

use crate::common::random::cases;
use proptest::prelude::*;
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{Limiter, LimiterBuilder, LimiterSnapshot, Rate, TokenLimit, Usage};
use serde_json::{Value, json};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// For what a tick of a minute's window may add.
const GRAIN: Duration = Duration::from_millis(300);

fn read(written: Value) -> LimiterSnapshot {
    serde_json::from_value(written).unwrap()
}

fn calls(taken_at: u64, admissions: &Value) -> LimiterSnapshot {
    read(json!({ "version": 1, "taken_at": taken_at, "admissions": admissions, "tokens": [] }))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

#[test]
fn a_snapshot_is_what_it_was_after_writing_and_reading_it() {
    let builder = || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().rate(Rate::per_day(500)).rate(Rate::per_minute(20));
        (builder.tokens(9_000_000, DAY).output_tokens(900, MINUTE).clock(clock.clone()), clock)
    };
    let (empty, clock) = builder();
    let limiter = empty.build();
    let snapshots = (0..30).map(|n: u64| {
        let snapshot = limiter.snapshot();
        clock.advance(Duration::from_millis(n * n * 977));
        let call = limiter.call().input_tokens(n * 1_003).output_tokens(2 * n).try_acquire();
        if let Ok(permit) = call {
            permit.settle(Usage::new(n * 1_000, n));
        }
        snapshot
    });
    for snapshot in snapshots.collect::<Vec<_>>() {
        let written = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<LimiterSnapshot>(&written).unwrap(), snapshot);
    }
}

/// Broken by: another name or another unit for something; calls of one moment that are written one by one.
#[test]
fn a_snapshot_is_written_as_documented() {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::per_minute(60)).margin(Duration::ZERO);
    let builder = builder.tokens(1_000, Duration::from_micros(1_004)).output_tokens(100, MINUTE);
    let limiter = builder.clock(clock.clone()).build();
    let call = |input, output| {
        let call = limiter.call().input_tokens(input).output_tokens(output);
        call.try_acquire().unwrap()
    };
    let permits = [call(10, 20), call(0, 0)];
    clock.advance(Duration::from_nanos(1_500));
    let [first, second] = permits;
    first.settle(Usage::new(10, 5));
    let streaming = call(0, 7);
    clock.advance(Duration::from_nanos(250));
    let written = serde_json::to_value(limiter.snapshot()).unwrap();
    let taken_at = written["taken_at"].as_u64().unwrap();
    assert!(taken_at > 1_700_000_000_000_000_000);
    // Ticks of a microsecond, and of a 1004th of a minute.
    let expected = json!({
        "version": 1,
        "taken_at": taken_at,
        "admissions": [[250, 1], [1_750, 2]],
        "tokens": [
            {
                "limit": {
                    "counts": "total", "limit": 1_000, "window": { "secs": 0, "nanos": 1_004_000 },
                },
                "tick": 1_000,
                "used": [[750, 7], [1_750, 15]],
            },
            {
                "limit": { "counts": "output", "limit": 100, "window": { "secs": 60, "nanos": 0 } },
                "tick": 59_760_957,
                "used": [[1_750, 12]],
            },
        ],
    });
    assert_eq!(written, expected);
    assert_eq!(read(expected).taken_at(), Duration::from_nanos(taken_at));
    drop((second, streaming));
    assert!(serde_json::to_string(&Limiter::builder().build().snapshot()).unwrap().len() < 99);
}

/// Broken by: a version that is not looked at; no `deny_unknown_fields`.
#[test]
fn what_is_no_snapshot_of_this_version_is_an_error() {
    let right = json!({ "version": 1, "taken_at": 5, "admissions": [], "tokens": [] });
    assert!(serde_json::from_value::<LimiterSnapshot>(right.clone()).is_ok());
    for (key, wrong) in [
        ("version", json!(2)),
        ("version", json!(-1)),
        ("version", json!(null)),
        ("taken_at", json!(-1)),
        ("admissions", json!([[0]])),
        ("admissions", json!([[0, -1]])),
        ("admissions", json!([[0.5, 1]])),
        ("tokens", json!([{}])),
        ("slots", json!(1)),
    ] {
        let mut written = right.clone();
        written[key] = wrong;
        assert!(serde_json::from_value::<LimiterSnapshot>(written.clone()).is_err(), "{written}");
    }
    let mut newer = right;
    newer["version"] = json!(2);
    let error = serde_json::from_value::<LimiterSnapshot>(newer).unwrap_err().to_string();
    assert_eq!(error, "a snapshot of version 2; only version 1 is known");
}

/// Broken by: an age that is the difference of two clocks without a look at which is later.
#[test]
fn a_wall_clock_that_was_set_back_or_is_certainly_wrong_lets_no_time_pass() {
    let remaining = |taken_at: u64| {
        let snapshot = calls(taken_at, &json!([[nanos(MINUTE / 2), 1]]));
        Limiter::builder().rate(Rate::per_minute(1)).restore(&snapshot).build().remaining()
    };
    let now = u64::try_from(Limiter::builder().build().snapshot().taken_at().as_nanos()).unwrap();
    assert_eq!(remaining(now), 0);
    assert_eq!(remaining(now + nanos(DAY)), 0);
    assert_eq!(remaining(u64::MAX), 0);
    // The years after 1970 are what a computer shows that has just been switched on.
    assert_eq!(remaining(0), 0);
    assert_eq!(remaining(nanos(DAY)), 0);
    assert_eq!(remaining(now - nanos(MINUTE)), 1);
}

/// Broken by: `entries` that are taken as they come; sums that overflow.
#[test]
fn a_list_without_order_counts_as_one_with_order() {
    let second = 1_000_000_000_u64;
    let unsorted = json!([
        [70 * second, 9],
        [20 * second, 1],
        [0, 0],
        [40 * second, u64::MAX],
        [20 * second, 1]
    ]);
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .rate(Rate::per_minute(4))
        .margin(Duration::ZERO)
        .clock(clock.clone())
        .restore_after(&calls(0, &unsorted), Duration::from_secs(10))
        .build();
    let wait = limiter.try_acquire().unwrap_err().retry_after();
    assert_eq!(wait, Some(Duration::from_secs(10)));
    clock.advance(wait.unwrap());
    assert_eq!(limiter.remaining(), 2);
    clock.advance(Duration::from_secs(20));
    assert_eq!(limiter.remaining(), 4);
}

// ---- whatever a file says ------------------------------------------------------------------------

/// Small numbers, large ones, and those at the ends.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..100,
        0..200_000_000_000_u64,
        any::<u64>(),
        (0_u32..64).prop_map(|bit| 1 << bit),
        (0_u64..3).prop_map(|less| u64::MAX - less),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((number(), number()), 0..30)
}

fn limit() -> impl Strategy<Value = Value> {
    let counts = prop::sample::select(vec!["total", "input", "output"]);
    let window = prop_oneof![Just(60), number()];
    (counts, number(), window).prop_map(|(counts, limit, secs)| {
        json!({ "counts": counts, "limit": limit, "window": { "secs": secs, "nanos": 0 } })
    })
}

fn snapshot() -> impl Strategy<Value = LimiterSnapshot> {
    let history = (limit(), number(), entries())
        .prop_map(|(limit, tick, used)| json!({ "limit": limit, "tick": tick, "used": used }));
    let tokens = prop::collection::vec(history, 0..4);
    (number(), entries(), tokens).prop_map(|(taken_at, admissions, tokens)| {
        read(json!({
            "version": 1, "taken_at": taken_at, "admissions": admissions, "tokens": tokens,
        }))
    })
}

fn elapsed() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![Just(None), number().prop_map(|n| Some(Duration::from_secs(n)))]
}

fn with(
    builder: LimiterBuilder,
    snapshot: &LimiterSnapshot,
    elapsed: Option<Duration>,
) -> LimiterBuilder {
    match elapsed {
        None => builder.restore(snapshot),
        Some(elapsed) => builder.restore_after(snapshot, elapsed),
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Broken by: an age below the clock's epoch that wraps; `restored` that does not stop at the window.
    #[test]
    fn whatever_a_snapshot_says_nobody_waits_longer_than_a_window(
        snapshot in snapshot(),
        elapsed in elapsed(),
        start in 0_u64..1 << 60,
        limits in (1_u32..300, 1_u64..5_000_000),
    ) {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_nanos(start));
        let (calls, tokens) = limits;
        let builder = Limiter::builder().rate(Rate::per_minute(calls)).margin(Duration::ZERO);
        let builder = builder.tokens(tokens, MINUTE).output_tokens(tokens, MINUTE);
        let limiter = with(builder, &snapshot, elapsed).clock(clock.clone()).build();
        let most = limiter.remaining();
        prop_assert!(most <= calls && limiter.remaining_tokens() <= tokens);
        prop_assert!(limiter.snapshot().taken_at() > MINUTE);
        let one = || limiter.call().input_tokens(1).output_tokens(1).try_acquire();
        if let Err(refused) = one().map(drop) {
            prop_assert!(!refused.is_permanent() || tokens < 2, "{refused:?}");
            let wait = refused.retry_after();
            prop_assert!(tokens < 2 || wait.unwrap() <= MINUTE + GRAIN, "{refused:?}");
        }
        clock.advance(MINUTE + GRAIN);
        prop_assert_eq!(limiter.remaining(), calls);
        prop_assert!(limiter.remaining_tokens() >= tokens - tokens / 60_000);
        prop_assert!(tokens < 2 || one().is_ok());
    }

    /// Broken by: any arithmetic that overflows.
    #[test]
    fn whatever_a_snapshot_and_the_limits_say_there_is_an_answer(
        snapshot in snapshot(),
        elapsed in elapsed(),
        start in number(),
        rates in prop::collection::vec((0_u32..3_000, number()), 0..3),
        limits in prop::collection::vec(limit(), 0..3),
        passes in number(),
    ) {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_nanos(start));
        let mut builder = with(Limiter::builder(), &snapshot, elapsed).clock(clock.clone());
        for (limit, window) in rates {
            builder = builder.rate(Rate::new(limit, Duration::from_nanos(window)));
        }
        for limit in limits {
            let limit: TokenLimit = serde_json::from_value(limit).unwrap();
            builder = builder.token_limit(limit);
        }
        let limiter = builder.clone().build();
        for _ in 0..3 {
            let call = limiter.call().input_tokens(2).output_tokens(1).try_acquire();
            if let Ok(permit) = call {
                permit.settle(Usage::new(1, 2));
            }
            let again = builder.clone().restore_after(&limiter.snapshot(), Duration::ZERO).build();
            prop_assert_eq!(again.remaining(), limiter.remaining());
            prop_assert_eq!(again.remaining_tokens(), limiter.remaining_tokens());
            clock.advance(Duration::from_nanos(passes));
        }
    }
}
