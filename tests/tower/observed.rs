//! What the answers say for all calls.

use crate::common::at_once;
use crate::scene::{Body, Data, TOKENS, request, scene};
use http_body_util::BodyExt;
use ringgate::tower::LimiterLayer;
use ringgate::{Feedback, FeedbackReader, HeldBody, Limiter, Usage};
use std::time::Duration;
use tower::{Layer, ServiceExt};

#[test]
fn a_429_pauses_the_limiter_before_its_body_is_read() {
    let scene = scene();
    let service = LimiterLayer::new(scene.limiter.clone()).layer(scene.inner());
    let answer = at_once(service.oneshot(request("refuse"))).unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(7)));
}

#[test]
fn a_reader_of_other_settings_reads_the_answers() {
    let scene = scene();
    let reader = FeedbackReader::new().max_pause(Duration::from_secs(3));
    let layer = LimiterLayer::new(scene.limiter.clone()).observe_by(reader);
    drop(at_once(layer.layer(scene.inner()).oneshot(request("refuse"))).unwrap());
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(3)));
}

#[test]
fn nothing_is_observed_where_that_is_not_wanted() {
    let scene = scene();
    let layer = LimiterLayer::new(scene.limiter.clone());
    drop(at_once(
        layer.clone().without_observing().layer(scene.inner()).oneshot(request("refuse")),
    ));
    // The server's own answers.
    drop(at_once(layer.clone().refuse_with_429().layer(scene.inner()).oneshot(request("refuse"))));
    assert_eq!((scene.seen.calls(), scene.limiter.paused_for()), (2, None));
    let layer = layer.refuse_with_429().observe_by(FeedbackReader::new());
    drop(at_once(layer.layer(scene.inner()).oneshot(request("refuse"))));
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(7)));
}

#[test]
fn usage_is_read_from_the_body_of_a_success_only() {
    let scene = scene();
    let layer = LimiterLayer::new(scene.limiter.clone())
        .cost(|_: &http::Request<&'static str>| Usage::new(100, 200))
        .read_usage();
    let service = layer.layer(scene.inner());
    let answer = at_once(service.clone().oneshot(request("use"))).unwrap();
    assert_eq!(scene.used(), (1, 300));
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (1, 42));
    let answer = at_once(service.oneshot(request("deny"))).unwrap();
    at_once(answer.into_body().collect()).unwrap();
    assert_eq!(scene.used(), (2, 342));
}

#[test]
fn what_is_left_is_observed_before_the_body_is_read() {
    let [plain, reads] = [scene(), scene()];
    let layer = LimiterLayer::new(plain.limiter.clone());
    let answer = at_once(layer.layer(plain.inner()).oneshot(request("tell"))).unwrap();
    let layer = LimiterLayer::new(reads.limiter.clone()).read_usage();
    let other = at_once(layer.layer(reads.inner()).oneshot(request("tell"))).unwrap();
    assert_eq!((plain.limiter.remaining(), reads.limiter.remaining()), (49, 49));
    drop((answer, other));
}

/// Broken by: a setting that takes the place of the one before.
#[test]
fn what_is_done_with_a_body_adds_up() {
    let scene = scene();
    let minute = Duration::from_secs(60);
    let stalls = |_, body: HeldBody<Body>| body.idle_timeout(minute, |_| unreachable!());
    let layer = LimiterLayer::new(scene.limiter.clone())
        .cost(|_: &http::Request<&'static str>| Usage::new(100, 200))
        .read_usage()
        .settle_with(|_: &Data| Some(Usage::new(0, 5)))
        .hold_with(stalls);
    let answer = at_once(layer.layer(scene.inner()).oneshot(request("tell"))).unwrap();
    assert_eq!(scene.limiter.remaining(), 49);
    at_once(answer.into_body().collect()).unwrap();
    // The larger of what both say.
    assert_eq!(TOKENS - scene.limiter.remaining_tokens(), 45);
}

/// Broken by: a success that is told by the headers, and once more by the body's end.
#[test]
fn one_answer_is_one_success() {
    for (does, reads) in [("use", false), ("use", true), ("tell", false), ("tell", true)] {
        let scene = scene();
        let limiter = Limiter::builder().max_concurrent(8).clock(scene.clock.clone()).build();
        let calls = [(); 4].map(|()| limiter.try_acquire().unwrap());
        limiter.observe(&Feedback::overload());
        assert_eq!(limiter.concurrency_limit(), 4);
        drop(calls);
        let layer = LimiterLayer::new(limiter.clone());
        for answers in 1..=4 {
            if reads {
                let service = layer.clone().read_usage().layer(scene.inner());
                let answer = at_once(service.oneshot(request(does))).unwrap();
                at_once(answer.into_body().collect()).unwrap();
            } else {
                let answer = at_once(layer.layer(scene.inner()).oneshot(request(does))).unwrap();
                at_once(answer.into_body().collect()).unwrap();
            }
            let raised = usize::from(answers == 4);
            assert_eq!(limiter.concurrency_limit(), 4 + raised, "{does} {reads} {answers}");
        }
    }
}
