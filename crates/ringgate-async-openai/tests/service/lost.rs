//! What was lost of an answer, or counted wrongly.

use crate::scene::{
    Answer, CHAT, RATE, Scene, answer, at_once, broken, chat, port_without_server, scene, url,
};
use async_openai::middleware::HttpRequestFactory;
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::{Body, Method, Request};
use ringgate::{FeedbackReader, Limit, Limiter, StopReason, UsageReader};
use ringgate_async_openai::LimiterService;
use std::time::Duration;
use tower::ServiceExt;

const LEFT: [(&str, &str); 3] = [
    ("x-ratelimit-limit-requests", "100"),
    ("x-ratelimit-remaining-requests", "40"),
    ("x-ratelimit-reset-requests", "36s"),
];

const SLOWER: &str = r#"{"error":{"message":"Please try again in 34.5s.","type":"tokens","code":"rate_limit_exceeded"}}"#;
const NO_CREDIT: &str = r#"{"error":{"code":"insufficient_quota"}}"#;

/// A body in this piece, after which nothing comes any more.
fn silent_after(piece: &'static str) -> Body {
    let piece = stream::iter([Ok::<_, std::io::Error>(piece)]);
    Body::wrap_stream(piece.chain(stream::pending()))
}

fn read(scene: &Scene, answers: fn(usize) -> Answer) {
    let response = at_once(scene.service(answers).oneshot(chat())).unwrap();
    at_once(response.bytes()).unwrap();
}

/// Broken by: headers that wait for the first part of the body. It may come much later, or never.
#[test]
fn what_is_left_is_known_at_the_headers() {
    let scene = scene();
    let service = scene.service(|_| answer(200, &LEFT, silent_after("")));
    let response = at_once(service.oneshot(chat())).unwrap();
    assert_eq!(scene.limiter.remaining(), 40);
    drop(response);
}

/// Broken by: an error in the first part of a body that hides what the headers say.
#[test]
fn what_is_left_is_known_though_the_body_begins_with_an_error() {
    let scene = scene();
    read(&scene, |_| {
        answer(200, &LEFT, "data: {\"error\":{\"code\":\"server_is_overloaded\"}}\n\n")
    });
    assert_eq!(scene.limiter.stats().observed.overloads, 1);
    assert_eq!(scene.limiter.remaining(), 40);
}

/// Broken by: an error that is observed once by its headers and again by its body.
#[test]
fn an_error_that_tells_its_time_in_the_body_is_one_refusal() {
    let scene = scene();
    read(&scene, |_| answer(429, &[], SLOWER));
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_millis(34_500)));
    assert_eq!(scene.limiter.stats().observed.cool_downs, 1);
}

/// Broken by: an overload that lowers the calls in flight twice, because its body tells more than its headers.
#[test]
fn an_overload_that_tells_a_time_in_its_body_counts_once() {
    let scene = Scene::in_tokios_time(16);
    let held = [(); 7].map(|()| scene.limiter.try_acquire().unwrap());
    read(&scene, |_| answer(503, &[], SLOWER));
    assert_eq!(scene.limiter.stats().observed.overloads, 1);
    drop(held);
}

/// Broken by: a body that tells nothing if its reader stops before its end.
#[test]
fn an_errors_body_tells_what_has_come_of_it() {
    let scene = scene();
    let service = scene.service(|_| answer(429, &[], silent_after(NO_CREDIT)));
    let mut body = at_once(service.oneshot(chat())).unwrap().bytes_stream();
    assert_eq!(at_once(body.next()).unwrap().unwrap(), NO_CREDIT);
    drop(body);
    let limit = scene.limiter.try_acquire().unwrap_err().limit();
    assert_eq!(limit, Limit::Stopped(StopReason::QuotaExhausted));
}

fn failing_stream() -> Answer {
    let events = [
        "data: {}\n\n",
        "data: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 34.5s.\"}}\n\n",
    ];
    answer(200, &[], events.concat())
}

/// Broken by: a reader that is asked for errors, and not for those in streams.
#[test]
fn an_error_in_a_stream_is_read_as_the_reader_reads_it() {
    let short = FeedbackReader::new().max_pause(Duration::from_secs(3));
    let of_usage = UsageReader::new().feedback_reader(short);
    let with: [fn(LimiterService<_>, FeedbackReader, UsageReader) -> LimiterService<_>; 2] = [
        |service, short, _| service.observe_by(short),
        |service, _, usage| service.read_usage_by(usage),
    ];
    for with in with {
        let scene = scene();
        let service = with(scene.service(|_| failing_stream()), short, of_usage.clone());
        at_once(at_once(service.oneshot(chat())).unwrap().bytes()).unwrap();
        assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(3)));
    }
}

/// Broken by: an answer that is observed though that was turned off, or is not settled then.
#[test]
fn without_observing_an_error_in_a_stream_says_nothing() {
    let scene = scene();
    let service = scene.service(|_| failing_stream()).without_observing();
    at_once(at_once(service.oneshot(chat())).unwrap().bytes()).unwrap();
    assert_eq!(scene.limiter.paused_for(), None);

    let service = scene
        .service(|_| answer(200, &[], r#"{"usage":{"prompt_tokens":9,"completion_tokens":30}}"#));
    let before = scene.tokens();
    at_once(at_once(service.without_observing().oneshot(chat())).unwrap().bytes()).unwrap();
    assert_eq!(scene.tokens() - before, 39);
}

/// Broken by: a call that is never sent and counts.
#[tokio::test]
async fn a_call_without_a_connection_gives_its_tokens_back() {
    let (_taken, port) = port_without_server();
    let limiter = Limiter::builder().tokens(10_000, Duration::from_secs(60)).build();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let service = LimiterService::new(limiter.clone(), http);
    let factory = HttpRequestFactory::new(move || async move {
        let mut url = url("/");
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        let mut request = Request::new(Method::POST, url);
        *request.body_mut() = Some(CHAT.into());
        Ok(request)
    });
    assert!(service.oneshot(factory).await.is_err());
    assert_eq!(limiter.remaining_tokens(), 10_000);
}

/// Broken by: any error being taken for one of the connection.
#[test]
fn a_call_that_fails_later_counts_as_reserved() {
    let scene = scene();
    assert!(at_once(scene.service(|_| Answer::Fails).oneshot(chat())).is_err());
    assert!(scene.tokens() > 500);
    assert_eq!(scene.limiter.remaining(), RATE - 1);
}

/// Broken by: a pause that is made up at the headers, and is longer than what the body tells.
#[test]
fn a_429_without_a_time_in_its_headers_pauses_for_that_in_its_body() {
    let scene = scene();
    for _ in 0..3 {
        read(&scene, |_| {
            answer(
                429,
                &[],
                r#"{"error":{"message":"Please try again in 20ms.","code":"rate_limit_exceeded"}}"#,
            )
        });
        assert_eq!(scene.limiter.paused_for(), Some(Duration::from_millis(20)));
        scene.clock.advance(Duration::from_millis(20));
    }
    assert_eq!(scene.limiter.stats().observed.cool_downs, 3);
}

/// Broken by: a call that can never be answered, and holds up all others.
#[test]
fn a_request_that_is_too_large_pauses_nobody() {
    let scene = scene();
    read(&scene, |_| {
        answer(
            429,
            &[],
            r#"{"error":{"message":"Request too large for m on tokens per min (TPM): Limit 10000, Requested 20000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        )
    });
    assert_eq!(scene.limiter.paused_for(), None);
}

/// Broken by: a refusal that waits for a body which nobody reads.
#[test]
fn a_429_that_is_dropped_unread_pauses() {
    let answers: [fn(usize) -> Answer; 3] = [
        |_| answer(429, &[], ""),
        |_| answer(429, &[], SLOWER),
        |_| answer(429, &[], silent_after("")),
    ];
    for answer in answers {
        let scene = scene();
        drop(at_once(scene.service(answer).oneshot(chat())).unwrap());
        assert!(scene.limiter.paused_for().is_some());
        assert_eq!(scene.limiter.stats().observed.cool_downs, 1);
    }
}

/// Broken by: a slot that is free before the limiter is paused: the next call would be refused, too.
#[test]
fn a_429_without_a_time_pauses_before_another_goes_in_its_slot() {
    let scene = scene();
    let response = at_once(scene.service(|_| answer(429, &[], SLOWER)).oneshot(chat())).unwrap();
    let held = scene.limiter.try_acquire().unwrap();
    assert_eq!(scene.limiter.try_acquire().unwrap_err().limit(), Limit::Concurrency);
    let mut body = response.bytes_stream();
    at_once(body.next()).unwrap().unwrap();
    assert_eq!(scene.free(), 1);
    assert_eq!(scene.limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
    drop(held);
}

/// Broken by: a body that breaks off and tells nothing until it is dropped.
#[test]
fn a_429_that_breaks_off_gives_its_permit_back() {
    let scene = scene();
    let service = scene.service(|_| answer(429, &[], broken(&["{"])));
    let mut body = at_once(service.oneshot(chat())).unwrap().bytes_stream();
    assert!(at_once(body.next()).unwrap().is_ok());
    assert_eq!(scene.free(), 1);
    assert!(at_once(body.next()).unwrap().is_err());
    assert_eq!(scene.free(), 2);
    assert!(scene.limiter.paused_for().is_some());
}
