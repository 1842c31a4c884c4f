//! Callers that leave at any point, and many that stay.

use crate::scene::{
    Server, admitted, answer, bare, chat, client, give_up, limiter, messages, until,
};
use reqwest_middleware::ClientBuilder;
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_mock_provider::{After, Counting, Fault, MockProvider};
use ringgate_reqwest::LimiterMiddleware;
use std::time::Duration;

/// Broken by: a permit that is kept for an answer that nobody reads any more.
#[tokio::test]
async fn a_caller_that_leaves_at_any_wait_gives_its_permit_back() {
    let times = Duration::from_millis(12)..=Duration::from_millis(12);
    let provider = MockProvider::builder().output_tokens(60).answer_time(times).start().await;
    let provider = provider.expect("a port");
    for form in [chat(true), chat(false), messages(true), messages(false)] {
        let limiter = limiter();
        let client = client(LimiterMiddleware::new(limiter.clone()));
        let call = async || {
            let mut answer = form.by(&client, &provider).send().await.unwrap();
            while answer.chunk().await.unwrap().is_some() {}
        };
        let mut waits = 0;
        while give_up(call(), waits).await.is_none() {
            assert_eq!((limiter.available_permits(), limiter.waiters()), (8, 0), "{waits}");
            waits += 1;
        }
        assert!(waits > 2, "it has never waited");
        assert_eq!(limiter.available_permits(), 8);
        assert!(admitted(&limiter) as usize > waits, "each has begun");
    }
    until(|| provider.counts().in_flight == 0).await;
    assert_eq!(provider.counts().refused(), 0);
}

/// Broken by: a permit that outlives its answer, where that stops after any of its bytes.
#[tokio::test]
async fn a_caller_that_leaves_after_any_part_gives_its_permit_back() {
    let provider = MockProvider::builder().output_tokens(12).start().await.expect("a port");
    let limiter = limiter();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let form = chat(true);
    let length = form.by(&client, &provider).send().await.unwrap().bytes().await.unwrap().len();
    for (call, bytes) in (0..length).step_by(97).enumerate() {
        provider.fail_next(1, Fault::Stall(After::Bytes(bytes)));
        let mut answer = form.by(&client, &provider).send().await.unwrap();
        let mut read = 0;
        while read < bytes {
            read += answer.chunk().await.unwrap().expect("more comes").len();
        }
        assert_eq!(limiter.available_permits(), 7);
        drop(answer);
        assert_eq!(limiter.available_permits(), 8, "after {bytes}");
        until(|| provider.counts().in_flight == 0).await;
        assert_eq!(provider.counts().broken_off + provider.counts().hung_up, call + 1);
    }
}

/// Broken by: a permit that stays with an answer which has failed.
#[tokio::test]
async fn an_answer_that_breaks_off_gives_its_permit_back() {
    let provider = MockProvider::builder().output_tokens(12).start().await.expect("a port");
    let limiter = limiter();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    for frames in 0..6 {
        provider.fail_next(1, Fault::BreakOff(After::Frames(frames)));
        if let Ok(mut answer) = messages(true).by(&client, &provider).send().await {
            while let Ok(chunk) = answer.chunk().await {
                assert!(chunk.is_some(), "it has not broken off");
            }
            assert_eq!(limiter.available_permits(), 8, "{frames}");
        }
        assert_eq!(limiter.available_permits(), 8, "{frames}");
    }
}

/// Broken by: a caller in line that is still counted when it has left, before the headers and before its turn.
#[tokio::test]
async fn a_caller_that_leaves_before_the_headers_gives_up_its_place() {
    let limiter = Limiter::new(Rate::per_minute(1_000), 1);
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let mut server = Server::start(vec![String::new(), answer("200 OK", "", "x")]).await;
    let silent = tokio::spawn(client.get(server.url("/")).send());
    server.requests.recv().await.expect("it was sent");
    let waiting = tokio::spawn(client.get(server.url("/")).send());
    until(|| limiter.waiters() == 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!((limiter.waiters(), limiter.available_permits()), (0, 0));
    silent.abort();
    assert!(silent.await.unwrap_err().is_cancelled());
    assert_eq!((admitted(&limiter), limiter.available_permits()), (1, 1));
    let answer = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "x");
}

/// Broken by: a limit that is not asked; a slot that is free at the headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_provider_refuses_none_of_many_calls() {
    let window = Duration::from_secs(1);
    let times = Duration::from_millis(5)..=Duration::from_millis(60);
    let provider = MockProvider::builder()
        .requests(50, window)
        .tokens(Counting::AtArrival { total: 6_000 })
        .max_in_flight(8)
        .answer_time(times)
        .start()
        .await
        .expect("a port");
    let limiter = Limiter::builder()
        .rate(Rate::new(50, window))
        .token_limit(TokenLimit::total(6_000, window).without_refunds())
        .max_concurrent(8)
        .margin(Duration::from_secs(1))
        .build();
    let middleware = LimiterMiddleware::new(limiter.clone());
    let client = ClientBuilder::new(bare()).with(middleware).build();
    let calls = (0..100).map(|call| {
        let form = if call % 2 == 0 { chat(call % 4 == 0) } else { messages(call % 4 == 1) };
        let request = form.by(&client, &provider);
        tokio::spawn(async move { request.send().await.unwrap().bytes().await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("it was answered");
    }
    let counts = provider.counts();
    assert_eq!((counts.refused(), counts.answered), (0, 100), "{counts:?}");
    assert!(counts.peak_in_flight > 2, "they went one by one: {counts:?}");
    assert_eq!(limiter.available_permits(), 8);
}
