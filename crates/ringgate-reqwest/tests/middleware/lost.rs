//! What was lost of an answer, or counted wrongly.

use crate::scene::{MINUTE, admitted, answered, chat, limiter, silent_after};
use futures_util::FutureExt;
use ringgate::{Limiter, StopReason};
use ringgate_reqwest::LimiterMiddleware;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

const LEFT: [(&str, &str); 3] = [
    ("x-ratelimit-limit-requests", "1000"),
    ("x-ratelimit-remaining-requests", "400"),
    ("x-ratelimit-reset-requests", "36s"),
];

fn with_quotas(status: u16, body: reqwest::Body) -> http::Response<reqwest::Body> {
    let mut response = http::Response::builder().status(status);
    for (name, value) in LEFT {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

/// Broken by: an error that is observed only after its body, which a caller need not wait for.
#[tokio::test]
async fn an_error_is_observed_though_the_caller_leaves_while_its_body_comes() {
    let limiter = limiter();
    let client = answered(LimiterMiddleware::new(limiter.clone()), || {
        let refusal = http::Response::builder().status(429).header("retry-after", "60");
        refusal.body(silent_after(&[])).unwrap()
    });
    assert!(client.get("http://there.test/").send().now_or_never().is_none());
    assert!(limiter.paused_for() > Some(Duration::from_secs(50)));
    assert_eq!((limiter.available_permits(), admitted(&limiter)), (8, 1));

    let stops = answered(LimiterMiddleware::new(limiter.clone()), || {
        let body = silent_after(&[r#"{"error":{"code":"insufficient_quota"}}"#]);
        http::Response::builder().status(429).body(body).unwrap()
    });
    limiter.resume();
    assert!(stops.get("http://there.test/").send().now_or_never().is_none());
    assert_eq!(limiter.stopped(), Some(StopReason::QuotaExhausted));
    assert_eq!(limiter.stats().observed.stops, 1);
}

/// Broken by: headers that wait for the first part of the body. It may come much later, or never.
#[tokio::test]
async fn what_is_left_is_known_at_the_headers() {
    let limiter = limiter();
    let client =
        answered(LimiterMiddleware::new(limiter.clone()), || with_quotas(200, silent_after(&[])));
    let answer = client.get("http://there.test/").send().now_or_never().unwrap().unwrap();
    assert!(limiter.remaining() <= 400, "{}", limiter.remaining());
    drop(answer);
}

/// Broken by: an error in the first part of a body that hides what the headers say.
#[tokio::test]
async fn what_is_left_is_known_though_the_body_begins_with_an_error() {
    let limiter = limiter();
    let client = answered(LimiterMiddleware::new(limiter.clone()), || {
        let error = "data: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 90s.\"}}\n\n";
        with_quotas(200, error.into())
    });
    let answer = client.get("http://there.test/").send().now_or_never().unwrap().unwrap();
    answer.bytes().await.unwrap();
    assert!(limiter.paused_for() > Some(Duration::from_secs(50)));
    limiter.resume();
    assert!(limiter.remaining() <= 400, "{}", limiter.remaining());
}

/// Broken by: answers that are neither a success nor an error, and are not looked at.
#[tokio::test]
async fn what_is_left_is_read_from_a_redirect() {
    for body in ["", "Moved"] {
        let limiter = limiter();
        let middleware = LimiterMiddleware::new(limiter.clone());
        let client = if body.is_empty() {
            answered(middleware, || with_quotas(304, "".into()))
        } else {
            answered(middleware, || with_quotas(302, "Moved".into()))
        };
        let answer = client.get("http://there.test/").send().now_or_never().unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), body);
        assert!(limiter.remaining() <= 400, "{body}: {}", limiter.remaining());
        assert_eq!(limiter.available_permits(), 8);
    }
}

fn counting() -> Limiter {
    Limiter::builder().tokens(10_000, MINUTE).build()
}

/// Broken by: a stream that counts as broken off if its reader stops where it says that it is done, as clients do.
#[tokio::test]
async fn a_stream_that_is_not_observed_is_settled_at_its_done() {
    let limiter = counting();
    let middleware = LimiterMiddleware::new(limiter.clone()).without_observing();
    let client = answered(middleware, || {
        http::Response::new(silent_after(&[
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":30}}\n\n",
            "data: [DONE]\n\n",
        ]))
    });
    let request = client.post("http://there.test/v1/chat/completions").json(&chat(true).body);
    let mut answer = request.send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(limiter.remaining_tokens(), 10_000 - 39);
}

/// Broken by: a default for output where none is written.
#[tokio::test]
async fn a_moderation_expects_no_output() {
    let limiter = counting();
    let client = answered(LimiterMiddleware::new(limiter.clone()), || {
        http::Response::new(silent_after(&[]))
    });
    let request = client.post("http://there.test/v1/moderations");
    let request = request.json(&serde_json::json!({ "input": "What is a ring?" }));
    let answer = request.send().await.unwrap();
    assert!(limiter.remaining_tokens() > 9_900, "{}", limiter.remaining_tokens());
    drop(answer);
}

/// Broken by: a permit that is leaked where a function of the user's panics.
#[tokio::test]
async fn a_function_that_panics_loses_no_permit() {
    let limiter = limiter();
    let new = || LimiterMiddleware::new(limiter.clone());
    let panicking = [
        new().hold_with(|_, _| panic!("it holds")),
        new().settle_with(|_| panic!("it settles")),
        new().hold_with(|_, body| body.observe_with(|_| panic!("it observes"))),
    ];
    for middleware in panicking {
        let client = answered(middleware, || http::Response::new("Hello".into()));
        let call = async { client.get("http://there.test/").send().await.unwrap().bytes().await };
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
        assert_eq!(limiter.available_permits(), 8);
    }
    assert_eq!(admitted(&limiter), 3);
}
