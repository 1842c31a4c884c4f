//! Policies that are read from files.

#![cfg(feature = "serde")]

use ringgate::RateLimitPolicy;
use std::time::Duration;

#[test]
fn a_policy_is_what_it_was_after_writing_and_reading_it() {
    let policies = [
        RateLimitPolicy::rpm(60),
        RateLimitPolicy::per_second(5).with_margin(Duration::from_millis(10)),
        RateLimitPolicy::unlimited().with_max_concurrent(7),
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
