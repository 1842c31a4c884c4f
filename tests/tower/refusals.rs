//! Errors, and answers to requests that are refused.

use crate::common::{at_once, poll_once};
use crate::scene::{Broken, SLOTS, request, scene};
use http::{Request, Response};
use http_body::Body as _;
use ringgate::tower::LimiterLayer;
use ringgate::{Limit, Limiter, Rate, Refused, Usage};
use std::pin::pin;
use std::time::Duration;
use tower::{Layer, ServiceExt};

#[test]
fn a_refusal_is_an_error_that_can_be_downcast() {
    let scene = scene();
    scene.limiter.close();
    let service = LimiterLayer::new(scene.limiter.clone()).layer(scene.inner());
    let error = at_once(service.oneshot(request("hello"))).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>().unwrap().limit(), Limit::Closed);
    assert_eq!(scene.seen.calls(), 0);
}

#[test]
fn a_request_waits_for_its_permit_no_longer_than_it_may() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let layer = LimiterLayer::new(scene.limiter.clone()).acquire_timeout(Duration::from_secs(5));
    let mut call = pin!(layer.layer(scene.inner()).oneshot(request("hello")));
    assert!(poll_once(call.as_mut()).is_pending());
    scene.clock.advance(Duration::from_secs(4));
    assert!(poll_once(call.as_mut()).is_pending());
    scene.clock.advance(Duration::from_secs(1));
    let error = at_once(call).unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>().unwrap().limit(), Limit::Concurrency);
    drop(held);
}

type Answered = Response<ringgate::HeldBody<crate::scene::Body>>;

fn told(answer: &Answered) -> (u16, Option<&str>) {
    assert!(answer.body().is_end_stream());
    assert_eq!(answer.body().size_hint().exact(), Some(0));
    let header = answer.headers().get("retry-after");
    (answer.status().as_u16(), header.map(|value| value.to_str().unwrap()))
}

fn ask(limiter: &Limiter, tokens: Usage) -> Result<Answered, Broken> {
    let layer = LimiterLayer::new(limiter.clone())
        .cost(move |_: &Request<&'static str>| tokens)
        .refuse_with_429()
        .without_waiting();
    at_once(layer.layer(scene().inner()).oneshot(request("hello")))
}

#[test]
fn a_server_says_in_whole_seconds_when_to_come_again() {
    let scene = scene();
    let builder = Limiter::builder().rate(Rate::per_minute(1)).margin(Duration::ZERO);
    let limiter = builder.clock(scene.clock.clone()).build();
    let ask = || ask(&limiter, Usage::default()).unwrap();
    assert_eq!(ask().status(), 200);
    assert_eq!(told(&ask()), (429, Some("60")));
    scene.clock.advance(Duration::from_millis(100));
    assert_eq!(told(&ask()), (429, Some("60")));
    scene.clock.advance(Duration::from_millis(900));
    assert_eq!(told(&ask()), (429, Some("59")));
    scene.clock.advance(Duration::from_nanos(58_999_999_999));
    assert_eq!(told(&ask()), (429, Some("1")));
    scene.clock.advance(Duration::from_nanos(1));
    assert_eq!(ask().status(), 200);
}

#[test]
fn a_server_says_no_time_if_none_is_known() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    assert_eq!(told(&ask(&scene.limiter, Usage::default()).unwrap()), (429, None));
    drop(held);
    assert_eq!(ask(&scene.limiter, Usage::default()).unwrap().status(), 200);
}

#[test]
fn a_server_asks_nobody_to_come_again_in_vain() {
    let scene = scene();
    let too_much = Usage::new(1_000_000, u64::MAX);
    assert_eq!(told(&ask(&scene.limiter, too_much).unwrap()), (503, None));
    scene.limiter.close();
    assert_eq!(told(&ask(&scene.limiter, Usage::default()).unwrap()), (503, None));
}

#[test]
fn a_very_long_pause_is_told_as_well() {
    let scene = scene();
    scene.limiter.pause(Duration::MAX);
    let answer = ask(&scene.limiter, Usage::default()).unwrap();
    let (status, seconds) = told(&answer);
    assert!(status == 429 && seconds.is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
}

/// In the mode of a server a full line is a refusal, and a request may wait.
#[test]
fn a_server_may_let_requests_wait() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let layer = LimiterLayer::new(scene.limiter.clone()).refuse_with_429();
    let mut call = pin!(layer.layer(scene.inner()).oneshot(request("hello")));
    assert!(poll_once(call.as_mut()).is_pending());
    drop(held);
    assert_eq!(at_once(call).unwrap().status(), 200);
    let error = at_once(layer.layer(scene.inner()).oneshot(request("fail"))).unwrap_err();
    assert_eq!(error, Broken);
}
