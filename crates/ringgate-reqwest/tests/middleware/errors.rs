//! Errors of the provider, and refusals of the limiter.

use crate::scene::{Server, admitted, answer, chat, client, limiter, messages, provider};
use ringgate::{Limit, Limiter, Rate, StopReason};
use ringgate_mock_provider::Stop;
use ringgate_reqwest::{LimiterMiddleware, refused};
use std::time::Duration;

/// Broken by: a refusal that is hidden, or one that is sent.
#[tokio::test]
async fn a_refusal_can_be_found_in_the_error() {
    let limiter = Limiter::new(Rate::per_minute(1), 1);
    let client = client(LimiterMiddleware::new(limiter.clone()).without_waiting());
    drop(limiter.try_acquire().unwrap());
    let error = client.get("http://127.0.0.1:1/").send().await.unwrap_err();
    assert_eq!(refused(&error).unwrap().limit(), Limit::Rate);
    let reqwest_middleware::Error::Middleware(inner) = &error else { panic!("{error:?}") };
    assert_eq!(inner.downcast_ref(), refused(&error));
    assert_eq!(error.to_string(), "the limiter has refused the request");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(cause, refused(&error).unwrap().to_string());
}

/// Broken by: any error being taken for a refusal.
#[tokio::test]
async fn other_errors_are_no_refusals() {
    let limiter = limiter();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let error = client.get("http://127.0.0.1:1/").send().await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(refused(&error), None);
    assert_eq!(limiter.available_permits(), 8);
}

/// Broken by: what was read ahead being lost, changed, or handed on twice.
#[tokio::test]
async fn the_body_of_an_error_is_handed_on_as_it_is() {
    for length in [0, 1, 10_000, 64 * 1024, 64 * 1024 + 1, 300_000] {
        let body: String = ('a'..='z').cycle().take(length).collect();
        let limiter = limiter();
        let server = Server::start(vec![answer("500 Internal Server Error", "", &body)]).await;
        let client = client(LimiterMiddleware::new(limiter.clone()));
        let answer = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(answer.content_length(), Some(length as u64));
        if length < 64 * 1024 {
            assert_eq!(limiter.available_permits(), 8, "it has come");
        }
        assert!(answer.text().await.unwrap() == body, "{length}");
        assert_eq!(limiter.available_permits(), 8);
    }
}

/// Broken by: waiting for the end of a body that does not come.
#[tokio::test]
async fn an_error_that_does_not_end_is_handed_on() {
    let stalls =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 100\r\n\r\nHello";
    let limiter = limiter();
    let server = Server::start(vec![stalls.to_owned()]).await;
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let mut answer = client.get(server.url("/")).send().await.unwrap();
    assert!(limiter.paused_for() > Some(Duration::from_secs(50)));
    assert_eq!(limiter.available_permits(), 7);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "Hello");
    drop(answer);
    assert_eq!(limiter.available_permits(), 8);
}

/// Broken by: an error of a body read ahead that is lost, or that hides what came before it.
#[tokio::test]
async fn an_error_that_breaks_off_is_handed_on() {
    let limiter = limiter();
    let client = client(LimiterMiddleware::new(limiter.clone()));
    let breaks = "HTTP/1.1 500 No\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nHello\r\nno number";
    let server = Server::start(vec![breaks.to_owned()]).await;
    let mut answer = client.get(server.url("/")).send().await.unwrap();
    assert_eq!(limiter.available_permits(), 8);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "Hello");
    assert!(answer.chunk().await.unwrap_err().is_decode());
}

/// Broken by: an error's body that nobody reads: these stops look like other errors.
#[tokio::test]
async fn a_stop_is_known_by_the_body_of_the_error() {
    let forms =
        [(chat(true), StopReason::QuotaExhausted), (messages(false), StopReason::PaymentRequired)];
    for (form, reason) in forms {
        let (limiter, provider) = (limiter(), provider().await);
        let client = client(LimiterMiddleware::new(limiter.clone()));
        provider.stop_with(Stop::QuotaExhausted);
        let answer = form.by(&client, &provider).send().await.unwrap();
        assert!(answer.status().is_client_error());
        drop(answer); // unread
        assert_eq!(limiter.stopped(), Some(reason), "{}", form.path);
        let error = form.by(&client, &provider).send().await.unwrap_err();
        assert_eq!(refused(&error).unwrap().limit(), Limit::Stopped(reason));
        assert_eq!((provider.counts().stopped, admitted(&limiter)), (1, 1));
    }
}

/// Broken by: an overload that counts twice, or not at all.
#[tokio::test]
async fn an_overload_lowers_the_concurrency() {
    for form in [chat(false), messages(true)] {
        let (limiter, provider) = (limiter(), provider().await);
        let client = client(LimiterMiddleware::new(limiter.clone()));
        let permits = [(); 7].map(|()| limiter.try_acquire().unwrap());
        provider.overload(0);
        let answer = form.by(&client, &provider).send().await.unwrap();
        assert!(answer.status().is_server_error());
        assert_eq!(limiter.concurrency_limit(), 4, "{}", form.path);
        drop(permits);
    }
}
