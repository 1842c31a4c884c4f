//! What requests expect to use, and what they have used.

use crate::common::at_once;
use crate::scene::{Body, Data, request, scene};
use http::Request;
use http_body_util::BodyExt;
use ringgate::tower::LimiterLayer;
use ringgate::{HeldBody, Usage};
use tower::{Layer, ServiceExt};

fn by_length(request: &Request<&'static str>) -> Usage {
    Usage::new(request.body().len() as u64, 500)
}

fn in_trailers(frame: &Data) -> Option<Usage> {
    let used = frame.trailers_ref()?.get("x-used")?.to_str().ok()?;
    Some(Usage::new(5, used.parse().ok()?))
}

#[test]
fn a_call_counts_what_its_request_expects() {
    let scene = scene();
    let service = LimiterLayer::new(scene.limiter.clone()).cost(by_length).layer(scene.inner());
    let answer = at_once(service.clone().oneshot(request("hello"))).unwrap();
    assert_eq!(scene.used(), (1, 505));
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (1, 505));
    let refused = LimiterLayer::new(scene.limiter.clone()).cost(by_length).without_waiting();
    let refused = at_once(refused.layer(scene.inner()).oneshot(request("hello"))).unwrap_err();
    assert!(refused.is::<ringgate::Refused>());
    assert_eq!(scene.used(), (1, 505));
}

#[test]
fn a_call_is_settled_at_what_its_frames_say() {
    let scene = scene();
    let layer = LimiterLayer::new(scene.limiter.clone()).cost(by_length).settle_with(in_trailers);
    let answer = at_once(layer.layer(scene.inner()).oneshot(request("hello"))).unwrap();
    assert_eq!(scene.used(), (1, 505));
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (1, 35));
}

#[test]
fn each_answer_has_a_clone_of_the_function() {
    let scene = scene();
    let mut frames = 0;
    let layer = LimiterLayer::new(scene.limiter.clone()).settle_with(move |_: &Data| {
        frames += 1;
        Some(Usage::new(frames, 0))
    });
    for calls in 1..=2 {
        let answer = at_once(layer.layer(scene.inner()).oneshot(request("hello"))).unwrap();
        at_once(answer.into_body().collect()).unwrap();
        // The data, and the trailers.
        assert_eq!(scene.used(), (calls, 2 * calls));
    }
}

#[test]
fn a_function_sees_the_status_and_holds_the_body_its_own_way() {
    let scene = scene();
    let layer = LimiterLayer::new(scene.limiter.clone()).cost(by_length).hold_with(
        |status, body: HeldBody<Body>| {
            if status.is_success() { body.settle_with(in_trailers) } else { body }
        },
    );
    let service = layer.layer(scene.inner());
    let answer = at_once(service.clone().oneshot(request("hello"))).unwrap();
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (1, 35));
    let answer = at_once(service.oneshot(request("deny"))).unwrap();
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (2, 35 + 504));
}
