//! The settings that are left.

use crate::scene::{Server, admitted, answer, chat, client, limiter, messages, provider, until};
use ringgate::{Dialect, FeedbackReader, Limit, Limiter, Priority, Rate};
use ringgate_mock_provider::{After, Event, Fault};
use ringgate_reqwest::{LimiterMiddleware, refused};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Broken by: a priority that is not passed on, from the settings or from the request.
#[tokio::test]
async fn urgent_requests_go_first() {
    for says_request in [true, false] {
        let provider = provider().await;
        let limiter = Limiter::new(Rate::per_minute(1_000), 1);
        let permit = limiter.try_acquire_owned().unwrap();
        let (low, high) = (Priority::Low, Priority::High);
        let middleware = LimiterMiddleware::new(limiter.clone());
        let calls = [("first", low), ("second", low), ("third", high)].map(|(user, priority)| {
            let middleware = middleware.clone();
            let middleware = if says_request { middleware } else { middleware.priority(priority) };
            let mut form = chat(false);
            form.body["user"] = user.into();
            let request = form.by(&client(middleware), &provider);
            if says_request { request.with_extension(priority) } else { request }
        });
        let mut tasks = Vec::new();
        for (waiters, call) in calls.into_iter().enumerate() {
            tasks.push(tokio::spawn(async { call.send().await.unwrap().bytes().await.unwrap() }));
            until(|| limiter.waiters() > waiters).await;
        }
        drop(permit);
        for task in tasks {
            task.await.unwrap();
        }
        let users = provider.log().events.into_iter().filter_map(|(_, event)| match event {
            Event::Accepted { user, .. } => user,
            _ => None,
        });
        let users = users.map(|user| user.to_string()).collect::<Vec<_>>();
        // The first in front has its turn already.
        assert_eq!(users, ["first", "third", "second"], "{says_request}");
    }
}

/// Broken by: a timeout that is not passed on.
#[tokio::test]
async fn a_wait_that_would_be_too_long_is_refused() {
    let limiter = Limiter::new(Rate::per_minute(1), 1);
    let middleware =
        LimiterMiddleware::new(limiter.clone()).acquire_timeout(Duration::from_secs(5));
    drop(limiter.try_acquire().unwrap());
    let error = client(middleware).get("http://127.0.0.1:1/").send().await.unwrap_err();
    let refused = refused(&error).expect("a refusal");
    assert_eq!(refused.limit(), Limit::Rate);
    assert!(refused.retry_after() > Some(Duration::from_secs(50)));
}

/// Broken by: a 429 that is read all the same.
#[tokio::test]
async fn observing_can_be_turned_off() {
    let busy = || answer("429 Too Many Requests", "retry-after: 30\r\n", "");
    for (observes, expected) in [(true, true), (false, false)] {
        let server = Server::start(vec![busy()]).await;
        let limiter = limiter();
        let middleware = LimiterMiddleware::new(limiter.clone());
        let middleware = if observes { middleware } else { middleware.without_observing() };
        client(middleware).get(server.url("/")).send().await.unwrap();
        assert_eq!(limiter.paused_for().is_some(), expected);
    }
}

/// Broken by: a reader that is asked for errors, and not for the errors in streams or for successes.
#[tokio::test]
async fn answers_are_read_as_the_reader_reads_them() {
    let reader = FeedbackReader::new().dialect(Dialect::OpenAi).max_pause(Duration::from_secs(7));
    let said =
        r#"data: {"error":{"code":"rate_limit_exceeded","message":"Please try again in 90s."}}"#;
    for text in [
        answer("429 Too Many Requests", "retry-after: 30\r\n", ""),
        answer("200 OK", "content-type: text/event-stream\r\n", &format!("{said}\n\n")),
    ] {
        let server = Server::start(vec![text]).await;
        let limiter = limiter();
        let client = client(LimiterMiddleware::new(limiter.clone()).observe_by(reader));
        client.get(server.url("/")).send().await.unwrap().bytes().await.unwrap();
        let paused = limiter.paused_for().expect("a pause");
        assert!(paused <= Duration::from_secs(7), "{paused:?}");
    }
}

/// Broken by: what the headers of a success say being lost, because its body is read, is not read, or is empty.
#[tokio::test]
async fn what_is_left_is_read_from_any_success() {
    let headers = "x-ratelimit-limit-requests: 1000\r\nx-ratelimit-remaining-requests: 400\r\nx-ratelimit-reset-requests: 36s\r\n";
    for body in ["", "{}"] {
        for reads in [true, false] {
            let server = Server::start(vec![answer("200 OK", headers, body)]).await;
            let limiter = limiter();
            let middleware = LimiterMiddleware::new(limiter.clone());
            let middleware = if reads { middleware } else { middleware.without_reading_usage() };
            let client = client(middleware);
            client.get(server.url("/")).send().await.unwrap().bytes().await.unwrap();
            assert!(limiter.remaining() <= 400, "{body} {reads}: {}", limiter.remaining());
        }
    }
}

/// Broken by: a stall that holds its slot, or an error that reqwest's users do not know.
#[tokio::test]
async fn an_answer_that_stalls_is_ended() {
    let (limiter, provider) = (limiter(), provider().await);
    let middleware =
        LimiterMiddleware::new(limiter.clone()).idle_timeout(Duration::from_millis(50));
    provider.fail_next(1, Fault::Stall(After::Frames(2)));
    let answer = messages(true).by(&client(middleware), &provider).send().await.unwrap();
    assert_eq!(limiter.available_permits(), 7);
    let error = answer.bytes().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(limiter.available_permits(), 8);
}

/// Broken by: a function that is not asked, or asked for what holds nothing.
#[tokio::test]
async fn the_body_can_be_changed() {
    let (limiter, seen) = (limiter(), Arc::new(AtomicUsize::new(0)));
    let middleware = LimiterMiddleware::new(limiter.clone()).hold_with({
        let seen = Arc::clone(&seen);
        move |status, body| {
            seen.store(status.as_u16().into(), Ordering::SeqCst);
            body
        }
    });
    let client = client(middleware);
    for (status, expected) in [("200 OK", 200), ("302 Found", 302), ("500 No", 302)] {
        let server = Server::start(vec![answer(status, "", "x")]).await;
        let text = client.get(server.url("/")).send().await.unwrap().text().await.unwrap();
        assert_eq!((text.as_str(), seen.load(Ordering::SeqCst)), ("x", expected));
    }
    assert_eq!(admitted(&limiter), 3);
}
