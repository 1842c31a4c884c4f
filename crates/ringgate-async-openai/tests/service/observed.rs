//! What the limiter learns from the answers.

use crate::scene::{Answer, RATE, Scene, answer, at_once, chat, ok, pieces, scene};
use futures_util::StreamExt;
use reqwest::Body;
use ringgate::{Feedback, FeedbackReader, Limit, StopReason};
use std::time::Duration;
use tower::ServiceExt;

const QUOTA: (&str, &str) = ("x-ratelimit-limit-requests", "100");
const LEFT: (&str, &str) = ("x-ratelimit-remaining-requests", "40");
const NO_CREDIT: &str =
    r#"{"error":{"message":"No credit.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
const SLOWER: &str = r#"{"error":{"message":"Please try again in 34.5s.","type":"tokens","code":"rate_limit_exceeded"}}"#;

/// The body of the answer to one call.
fn text(scene: &Scene, answers: fn(usize) -> Answer) -> String {
    let response = at_once(scene.service(answers).oneshot(chat())).unwrap();
    at_once(response.text()).unwrap()
}

fn remaining() -> Answer {
    answer(200, &[QUOTA, LEFT, ("x-ratelimit-reset-requests", "36s")], "{}")
}

#[test]
fn the_headers_of_a_success_say_what_is_left() {
    let scene = scene();
    text(&scene, |_| remaining());
    assert_eq!(scene.limiter.remaining(), 40);
}

/// It has no frame that could bring it.
#[test]
fn a_success_without_a_body_is_observed_too() {
    let scene = scene();
    text(&scene, |_| answer(200, &[QUOTA, LEFT, ("x-ratelimit-reset-requests", "36s")], ""));
    assert_eq!(scene.limiter.remaining(), 40);
}

#[test]
fn without_observing_the_headers_say_nothing() {
    let scene = scene();
    for service in [scene.service(|_| remaining()), scene.service(|_| answer(429, &[], NO_CREDIT))]
    {
        let response = at_once(service.without_observing().oneshot(chat())).unwrap();
        at_once(response.text()).unwrap();
    }
    assert_eq!((scene.limiter.remaining(), scene.limiter.paused_for()), (RATE - 2, None));
    assert!(scene.limiter.try_acquire().is_ok());
}

#[test]
fn a_429_pauses_everybody_at_its_headers() {
    let scene = scene();
    let service = scene.service(|_| answer(429, &[("retry-after", "7")], SLOWER));
    let response = at_once(service.oneshot(chat())).unwrap();
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(7)));
    drop(response);
    assert_eq!(scene.limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
}

#[test]
fn the_longest_pause_is_the_readers() {
    let scene = scene();
    let reader = FeedbackReader::new().max_pause(Duration::from_secs(3));
    let service = scene.service(|_| answer(429, &[("retry-after", "7")], SLOWER));
    let response = at_once(service.observe_by(reader).oneshot(chat())).unwrap();
    assert_eq!(at_once(response.text()).unwrap(), SLOWER);
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(3)));
}

#[test]
fn an_errors_body_can_tell_of_a_longer_pause() {
    let scene = scene();
    assert_eq!(text(&scene, |_| answer(429, &[], SLOWER)), SLOWER);
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_millis(34_500)));
}

#[test]
fn an_errors_body_can_stop_all_calls() {
    let scene = scene();
    assert_eq!(text(&scene, |_| answer(429, &[("retry-after", "1")], NO_CREDIT)), NO_CREDIT);
    let limit = scene.limiter.try_acquire().unwrap_err().limit();
    assert_eq!(limit, Limit::Stopped(StopReason::QuotaExhausted));
}

/// Each half of it says nothing.
#[test]
fn an_errors_body_may_come_in_pieces() {
    let scene = scene();
    let body = text(&scene, |_| {
        answer(429, &[], pieces(&[r#"{"error":{"code":"insuffi"#, r#"cient_quota"}}"#]))
    });
    assert_eq!(body, r#"{"error":{"code":"insufficient_quota"}}"#);
    let limit = scene.limiter.try_acquire().unwrap_err().limit();
    assert_eq!(limit, Limit::Stopped(StopReason::QuotaExhausted));
}

/// Who reads a body of known length need not ask for what comes after it.
#[test]
fn an_errors_body_has_ended_with_its_last_byte() {
    let scene = scene();
    let service = scene.service(|_| answer(429, &[], NO_CREDIT));
    let mut body = at_once(service.oneshot(chat())).unwrap().bytes_stream();
    assert_eq!(at_once(body.next()).unwrap().unwrap(), NO_CREDIT);
    drop(body);
    let limit = scene.limiter.try_acquire().unwrap_err().limit();
    assert_eq!(limit, Limit::Stopped(StopReason::QuotaExhausted));
}

/// Broken by: an error that is observed at its headers and, though it says the same, again at its body's end.
#[test]
fn an_errors_body_does_not_begin_its_pause_again() {
    let answers: [fn(usize) -> Answer; 2] = [
        |_| answer(429, &[("retry-after", "40")], SLOWER),
        |_| answer(429, &[("retry-after", "7")], r#"{"error":{"code":"rate_limit_exceeded"}}"#),
    ];
    for answer in answers {
        let scene = scene();
        let response = at_once(scene.service(answer).oneshot(chat())).unwrap();
        let pause = scene.limiter.paused_for().unwrap();
        scene.clock.advance(pause);
        at_once(response.bytes()).unwrap();
        assert_eq!(scene.limiter.paused_for(), None);
    }
}

/// A server may send what it likes. 64 KiB of it are read.
#[test]
fn a_long_error_stays_as_it_is() {
    const LONG: usize = 1 << 20;
    let scene = scene();
    let body = text(&scene, |_| answer(400, &[], Body::from(vec![b'x'; LONG])));
    assert_eq!(body.len(), LONG);
    assert!(body.bytes().all(|byte| byte == b'x'));
    let cut = text(&scene, |_| {
        let body =
            format!(r#"{{"a":"{}","error":{{"code":"insufficient_quota"}}}}"#, "x".repeat(LONG));
        answer(429, &[], body)
    });
    assert!(cut.ends_with(r#"{"code":"insufficient_quota"}}"#));
    assert!(!matches!(scene.limiter.try_acquire().unwrap_err().limit(), Limit::Stopped(_)));
}

#[test]
fn an_error_in_a_stream_is_observed() {
    let scene = scene();
    text(&scene, |_| {
        answer(
            200,
            &[],
            pieces(&[
                "data: {}\n\n",
                "event: error\ndata: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Please try again in 34.5s.\"}}\n\n",
            ]),
        )
    });
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_millis(34_500)));
}

/// One answer is one success, whether its headers say something or not.
#[test]
fn a_success_counts_once() {
    let answers: [fn(usize) -> Answer; 3] =
        [|_| ok("{}"), |_| answer(200, &[QUOTA], "{}"), |_| answer(200, &[QUOTA], "")];
    for answer in answers {
        let scene = lowered();
        let lowered = scene.limiter.concurrency_limit();
        let successes = (1..100).find(|_| {
            text(&scene, answer);
            scene.limiter.concurrency_limit() > lowered
        });
        assert_eq!(successes, Some(lowered));
    }
}

/// After an overload that came while five calls were in flight.
fn lowered() -> Scene {
    let scene = Scene::in_tokios_time(16);
    let held = [(); 5].map(|()| scene.limiter.try_acquire().unwrap());
    scene.limiter.observe(&Feedback::overload());
    drop(held);
    scene
}
