//! Policies that are read from files.

#![cfg(feature = "serde")]

use ringgate::{Rate, RateLimitPolicy, TokenLimit};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_policy_is_what_it_was_after_writing_and_reading_it() {
    let policies = [
        RateLimitPolicy::rpm(60),
        RateLimitPolicy::per_second(5).with_margin(Duration::from_millis(10)),
        RateLimitPolicy::unlimited().with_max_concurrent(7),
        RateLimitPolicy::rpm(1).with_tpm(2).with_input_tpm(3).with_output_tpm(u64::MAX),
        RateLimitPolicy::openai(500, 30_000).with_rate(Rate::per_day(10_000)),
        RateLimitPolicy::anthropic(50, 30_000, 8_000),
        RateLimitPolicy::bedrock(50, 200_000, 5).with_rate(Rate::new(1, Duration::MAX)),
        RateLimitPolicy::azure(600, 0),
    ];
    for policy in policies {
        let written = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<RateLimitPolicy>(&written).unwrap(), policy, "{written}");
    }
}

/// Broken by: required fields that have a default.
#[test]
fn what_is_not_given_is_as_in_rpm() {
    let policy: RateLimitPolicy =
        serde_json::from_str(r#"{"rpm": 60, "max_concurrent": 10}"#).unwrap();
    assert_eq!(policy, RateLimitPolicy::rpm(60));
    for wrong in [r#"{"rpm": -1, "max_concurrent": 1}"#, r#"{"rpm": 60, "max_concurent": 1}"#] {
        assert!(serde_json::from_str::<RateLimitPolicy>(wrong).is_err(), "{wrong}");
    }
}

/// Broken by: a field that is written where it is not used; another name for one that is.
#[test]
fn a_policy_is_written_as_documented_and_as_before_where_nothing_new_is_used() {
    let written = |policy: RateLimitPolicy| serde_json::to_value(policy).unwrap();
    assert_eq!(written(RateLimitPolicy::rpm(60)), json!({ "rpm": 60, "max_concurrent": 10 }));
    let old = RateLimitPolicy::per_second(5).with_margin(Duration::from_millis(10));
    let margin = json!({ "secs": 0, "nanos": 10_000_000 });
    let expected = json!({ "rpm": 300, "max_concurrent": 5, "per_second": 5, "margin": margin });
    assert_eq!(written(old), expected);

    let day = Duration::from_secs(86_400);
    let new = RateLimitPolicy::rpm(60)
        .with_tpm(1)
        .with_input_tpm(2)
        .with_output_tpm(3)
        .with_rate(Rate::per_second(4))
        .with_token_limit(TokenLimit::total(5, day))
        .with_token_limit(TokenLimit::input(6, day).without_refunds())
        .with_token_limit(TokenLimit::output(7, day).with_output_factor(8));
    let window = json!({ "secs": 86_400, "nanos": 0 });
    let expected = json!({
        "rpm": 60, "max_concurrent": 10, "tpm": 1, "input_tpm": 2, "output_tpm": 3,
        "rates": [{ "limit": 4, "window": { "secs": 1, "nanos": 0 } }],
        "token_limits": [
            { "counts": "total", "limit": 5, "window": window },
            { "counts": "input", "limit": 6, "window": window, "without_refunds": true },
            { "counts": "output", "limit": 7, "window": window, "output_factor": 8 },
        ],
    });
    assert_eq!(written(new.clone()), expected);
    assert_eq!(serde_json::from_value::<RateLimitPolicy>(expected).unwrap(), new);
}

/// Broken by: no `deny_unknown_fields` for `Rate` or `TokenLimit`.
#[test]
fn a_mistyped_limit_is_an_error() {
    let window = json!({ "secs": 1, "nanos": 0 });
    for wrong in [
        json!({ "rates": [{ "limit": 1, "windw": window }] }),
        json!({ "rates": [{ "limit": 1, "window": window, "counts": "total" }] }),
        json!({ "token_limits": [{ "limit": 1, "window": window }] }),
        json!({ "token_limits": [{ "counts": "all", "limit": 1, "window": window }] }),
        json!({ "token_limits": [{ "counts": "total", "limit": -1, "window": window }] }),
        json!({ "token_limits": [{ "counts": "total", "limit": 1, "window": window, "refunds": false }] }),
        json!({ "tpm": "many" }),
    ] {
        let mut policy = json!({ "rpm": 60, "max_concurrent": 10 });
        policy.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert!(serde_json::from_value::<RateLimitPolicy>(policy).is_err(), "{wrong}");
    }
}
