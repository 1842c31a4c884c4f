//! Retries outside, where they belong, and inside.

use crate::scene::{admitted, bare, chat, limiter, messages, provider};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::{ExponentialBackoff, ExponentialBackoffTimed};
use ringgate::{Limit, Limiter, StopReason};
use ringgate_mock_provider::Stop;
use ringgate_reqwest::{LimiterMiddleware, refused};
use std::time::Duration;

fn again() -> RetryTransientMiddleware<ExponentialBackoffTimed> {
    let millis = Duration::from_millis;
    let policy = ExponentialBackoff::builder().retry_bounds(millis(1), millis(2));
    let policy = policy.build_with_total_retry_duration(Duration::from_secs(10));
    RetryTransientMiddleware::new_with_policy(policy)
}

fn outside(limiter: &Limiter) -> ClientWithMiddleware {
    let limiter = LimiterMiddleware::new(limiter.clone());
    ClientBuilder::new(bare()).with(again()).with(limiter).build()
}

/// Broken by: an attempt without a permit; a pause that is not observed, or that ends too early.
#[tokio::test]
async fn each_attempt_takes_a_permit_if_retries_are_outside() {
    for form in [chat(true), messages(true)] {
        let (limiter, provider) = (limiter(), provider().await);
        provider.close_for(Duration::from_millis(150));
        let answer = form.by(&outside(&limiter), &provider).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let counts = provider.counts();
        assert_eq!((counts.closed, counts.accepted), (1, 1), "the pause was observed");
        assert_eq!((admitted(&limiter), limiter.available_permits()), (2, 7));
        answer.bytes().await.unwrap();
        assert_eq!(limiter.available_permits(), 8);
    }
}

/// Broken by: documentation that is not true. The provider counts each attempt, the limiter one of them.
#[tokio::test]
async fn all_attempts_share_a_permit_if_retries_are_inside() {
    let (limiter, provider) = (limiter(), provider().await);
    let middleware = LimiterMiddleware::new(limiter.clone());
    let client = ClientBuilder::new(bare()).with(middleware).with(again()).build();
    provider.close_for(Duration::from_millis(500));
    let answer = chat(false).by(&client, &provider).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(provider.counts().closed > 1);
    assert_eq!(admitted(&limiter), 1);
}

/// Broken by: the slot of an error that has come, kept through the time before the next attempt.
#[tokio::test]
async fn no_slot_is_held_between_attempts() {
    let (limiter, provider) = (limiter(), provider().await);
    let policy = ExponentialBackoff::builder().retry_bounds(Duration::MAX / 4, Duration::MAX / 4);
    let again = RetryTransientMiddleware::new_with_policy(policy.build_with_max_retries(1));
    let middleware = LimiterMiddleware::new(limiter.clone());
    let client = ClientBuilder::new(bare()).with(again).with(middleware).build();
    provider.overload(0);
    let call = tokio::spawn(chat(false).by(&client, &provider).send());
    crate::scene::until(|| provider.counts().overloaded == 1).await;
    crate::scene::until(|| limiter.available_permits() == limiter.concurrency_limit()).await;
    assert!(!call.is_finished());
    call.abort();
}

/// Broken by: a refusal that is tried again, or cannot be found behind the error of the retries.
#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let (limiter, provider) = (limiter(), provider().await);
    let client = outside(&limiter);
    provider.stop_with(Stop::QuotaExhausted);
    for _ in 0..2 {
        // First after a retry, then without one.
        let error = chat(false).by(&client, &provider).send().await.unwrap_err();
        let refused = refused(&error).unwrap_or_else(|| panic!("no refusal: {error:?}"));
        assert_eq!(refused.limit(), Limit::Stopped(StopReason::QuotaExhausted));
    }
    assert_eq!((provider.counts().stopped, admitted(&limiter)), (1, 1));
}
