//! Retries stand above the limiter.

#![expect(clippy::disallowed_methods, reason = "these read tokio's clock, which is paused")]

use crate::scene::{Answer, RATE, SLOTS, Scene, answer, chat, ok, port_without_server};
use async_openai::error::OpenAIError;
use async_openai::middleware::retry::SimpleRetryPolicy;
use ringgate::{Limit, Limiter, Rate, StopReason};
use ringgate_async_openai::{LimiterService, refused};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tower::{ServiceBuilder, ServiceExt};

const SLOWER: &str = r#"{"error":{"message":"Slower.","code":"rate_limit_exceeded"}}"#;
const NO_CREDIT: &str = r#"{"error":{"message":"No credit.","type":"insufficient_quota"}}"#;

fn refused_once(call: usize) -> Answer {
    if call > 0 { ok("hello") } else { answer(429, &[("retry-after", "7")], SLOWER) }
}

fn overloaded_once(call: usize) -> Answer {
    if call > 0 { ok("hello") } else { answer(503, &[("retry-after", "7")], "busy") }
}

/// What must not take for ever.
async fn in_time<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(3600), future).await.expect("it waits for ever")
}

/// The text of the answer.
async fn text(scene: &Scene, answers: fn(usize) -> Answer) -> Result<String, OpenAIError> {
    let service = scene.service(answers).with_retries();
    let response = in_time(service.oneshot(chat())).await?;
    Ok(response.text().await?)
}

#[tokio::test(start_paused = true)]
async fn each_attempt_takes_a_permit_after_the_other() {
    let scene = Scene::in_tokios_time(SLOTS);
    let start = Instant::now();
    let service = scene.service(refused_once).with_retries();
    let attempts = tokio::spawn(service.oneshot(chat()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Between the attempts: nothing is held, and everybody pauses.
    assert_eq!((scene.free(), scene.requests(), scene.calls()), (SLOTS, 1, 1));
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(6)));
    let response = in_time(attempts).await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert_eq!((scene.free(), scene.requests(), scene.calls()), (SLOTS - 1, 2, 2));
    assert_eq!(response.text().await.unwrap(), "hello");
    assert_eq!(scene.free(), SLOTS);
    let free: Vec<_> = scene.sent().iter().map(|sent| sent.free).collect();
    assert_eq!(free, [SLOTS - 1; 2]);
}

/// Broken by: a permit that goes with the body of an error. The retries keep a 503 until the next attempt is over.
#[tokio::test(start_paused = true)]
async fn an_attempt_does_not_wait_for_the_slot_of_the_one_before() {
    let scene = Scene::in_tokios_time(1);
    assert_eq!(text(&scene, overloaded_once).await.unwrap(), "hello");
    assert_eq!((scene.requests(), scene.calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_in_line_like_the_others() {
    let scene = Scene::in_tokios_time(1);
    let retries = tokio::spawn(scene.service(refused_once).with_retries().oneshot(chat()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let newcomer = scene.limiter.acquire().await.unwrap(); // at the pause's end
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.calls(), 1);
    drop(newcomer);
    assert!(in_time(retries).await.unwrap().is_ok());
    assert_eq!(scene.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_repeated() {
    let scene = Scene::in_tokios_time(1);
    let held = scene.limiter.try_acquire().unwrap();
    let service = scene.service(|_| ok("hello")).without_waiting().with_retries();
    let start = Instant::now();
    let error = in_time(service.oneshot(chat())).await.unwrap_err();
    assert_eq!(refused(&error).unwrap().limit(), Limit::Concurrency);
    assert_eq!((start.elapsed(), scene.calls()), (Duration::ZERO, 0));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_all_calls() {
    let scene = Scene::in_tokios_time(SLOTS);
    let answers = |_| answer(429, &[("retry-after", "1")], NO_CREDIT);
    let error = text(&scene, answers).await.unwrap_err();
    assert!(matches!(error, OpenAIError::ApiError(_)), "{error:?}");
    let error = text(&scene, answers).await.unwrap_err();
    let limit = refused(&error).unwrap().limit();
    assert_eq!(limit, Limit::Stopped(StopReason::QuotaExhausted));
    assert_eq!(scene.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_each_time_takes_four_permits() {
    let scene = Scene::in_tokios_time(1);
    let error = text(&scene, |_| answer(429, &[], SLOWER)).await.unwrap_err();
    assert!(matches!(error, OpenAIError::ApiError(_)), "{error:?}");
    assert_eq!((scene.calls(), scene.requests(), scene.free()), (4, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn another_retry_layer_can_stand_above_it() {
    let scene = Scene::in_tokios_time(1);
    let service = ServiceBuilder::new()
        .retry(SimpleRetryPolicy::default())
        .service(scene.service(refused_once));
    let response = in_time(service.oneshot(chat())).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "hello");
    assert_eq!((scene.calls(), scene.requests(), scene.free()), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_retries_the_answer_is_passed_on() {
    let scene = Scene::in_tokios_time(1);
    let response = scene.service(refused_once).oneshot(chat()).await.unwrap();
    assert_eq!((response.status().as_u16(), scene.calls()), (429, 1));
    assert_eq!(response.text().await.unwrap(), SLOWER);
}

/// reqwest's own error, which only async-openai's retries can tell from others: it must reach them as it is.
#[tokio::test(start_paused = true)]
async fn attempts_that_find_no_server_are_repeated() {
    let (_taken, port) = port_without_server();
    let limiter = Limiter::new(Rate::per_minute(RATE), 1);
    let service = LimiterService::new(limiter.clone(), reqwest::Client::new()).with_retries();
    let factory = async_openai::middleware::HttpRequestFactory::new(move || async move {
        let url = reqwest::Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        Ok(reqwest::Request::new(reqwest::Method::GET, url))
    });
    let error = service.oneshot(factory).await.unwrap_err();
    assert!(matches!(&error, OpenAIError::Reqwest(error) if error.is_connect()), "{error:?}");
    assert_eq!((limiter.remaining(), limiter.available_permits()), (RATE - 4, 1));
}
