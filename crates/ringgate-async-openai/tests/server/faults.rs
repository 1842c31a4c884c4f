//! Servers that refuse, stop, and break off.

use crate::scene::{HOUR, SLOTS, Scene, request, until};
use async_openai::error::OpenAIError;
use futures_util::StreamExt;
use ringgate::{Limit, StopReason};
use ringgate_async_openai::refused;
use ringgate_mock_provider::{After, Fault, MockProvider, Stop};
use std::time::Duration;
use tokio::time::timeout;

/// Broken by: one permit for all attempts.
#[tokio::test]
async fn a_429_pauses_and_its_retry_takes_a_permit_of_its_own() {
    let scene = Scene::with(MockProvider::builder().max_in_flight(1), 1).await;
    scene.provider.close_for(Duration::from_secs(2));
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    until(|| scene.limiter.paused_for()).await;
    call.await.unwrap().unwrap();
    let counts = scene.provider.counts();
    assert_eq!((counts.accepted, counts.refused()), (1, 1));
    assert_eq!(scene.requests(), 2);
    scene.until_free().await;
}

/// Broken by: a permit that goes with the body of an error.
#[tokio::test]
async fn an_overload_is_repeated_though_there_is_one_slot() {
    let scene = Scene::with(MockProvider::builder(), 1).await;
    let terms = scene.provider.terms();
    scene.provider.overload(0);
    let client = scene.client();
    let call = tokio::spawn(async move { client.chat().create(request()).await });
    scene.until(|counts| counts.overloaded >= 1).await;
    scene.provider.set_terms(terms);
    let answer = timeout(HOUR / 60, call).await.expect("it waits for ever");
    answer.unwrap().unwrap();
    let counts = scene.provider.counts();
    assert_eq!(counts.accepted, 1);
    assert_eq!(scene.requests(), 1 + counts.overloaded);
    scene.until_free().await;
}

#[tokio::test]
async fn an_overload_lowers_the_calls_in_flight() {
    let scene = Scene::new().await;
    scene.provider.overload(0);
    let error = scene.client().chat().create(request()).await.unwrap_err();
    assert!(matches!(error, OpenAIError::ApiError(_)), "{error:?}");
    assert_eq!((scene.provider.counts().overloaded, scene.requests()), (4, 4));
    assert!(scene.limiter.concurrency_limit() < SLOTS);
    scene.until_free().await;
}

#[tokio::test]
async fn a_stop_refuses_all_calls_that_follow() {
    for (stop, reason) in [
        (Stop::QuotaExhausted, StopReason::QuotaExhausted),
        (Stop::SpendLimit, StopReason::SpendLimit),
        (Stop::PaymentRequired, StopReason::PaymentRequired),
    ] {
        let scene = Scene::new().await;
        scene.provider.stop_with(stop);
        let client = scene.client();
        let error = client.chat().create(request()).await.unwrap_err();
        // A stop that async-openai repeats is refused by the limiter then.
        assert!(matches!(error, OpenAIError::ApiError(_) | OpenAIError::Boxed(_)), "{error:?}");
        let error = client.chat().create(request()).await.unwrap_err();
        assert_eq!(refused(&error).unwrap().limit(), Limit::Stopped(reason));
        assert_eq!((scene.provider.counts().stopped, scene.requests()), (1, 1));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_gives_its_permit_back_and_counts_as_reserved() {
    for bytes in [0, 20, 200] {
        let scene = Scene::new().await;
        scene.provider.fail_next(1, Fault::BreakOff(After::Bytes(bytes)));
        let error = scene.client().chat().create(request()).await.unwrap_err();
        assert!(matches!(error, OpenAIError::Reqwest(_)), "{error:?}");
        assert_eq!((scene.limiter.available_permits(), scene.requests()), (SLOTS, 1));
        assert!(scene.tokens() > 300);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_gives_its_permit_back_and_counts_as_reserved() {
    for after in [After::Frames(0), After::Frames(2), After::Bytes(333)] {
        let scene = Scene::new().await;
        scene.provider.fail_next(1, Fault::BreakOff(after));
        let mut stream = scene.asking().chat().create_stream(request()).await.unwrap();
        let mut errors = 0;
        while let Some(chunk) = stream.next().await {
            errors += usize::from(chunk.is_err());
        }
        assert_eq!(errors, 1);
        scene.until_free().await;
        assert_eq!(scene.requests(), 1);
        assert!(scene.tokens() > 300);
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_observed() {
    let scene = Scene::new().await;
    scene.provider.fail_next(1, Fault::ErrorEvent(After::Frames(2)));
    let mut stream = scene.client().chat().create_stream(request()).await.unwrap();
    while stream.next().await.is_some() {}
    assert!(
        until(|| Some(scene.limiter.concurrency_limit()).filter(|limit| *limit < SLOTS)).await > 0
    );
    scene.until_free().await;
}
