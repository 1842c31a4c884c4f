//! Faults that were found in the layer, and that must not come back.

use crate::common::{at_once, poll_once};
use crate::scene::{Broken, SLOTS, Scene, request, scene};
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use ringgate::tower::{BoxError, LimiterLayer};
use ringgate::{Feedback, FeedbackReader, HeldBody, Limiter, StopReason, Usage};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

type Parts = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<&'static [u8]>, Infallible>>>>;

/// A body that does not know its end before it comes.
fn parts(parts: &[&'static str]) -> Parts {
    let frames: Vec<_> = parts.iter().map(|part| Ok(Frame::data(part.as_bytes()))).collect();
    StreamBody::new(stream::iter(frames))
}

/// 49 requests are left of 50.
const LEFT: [(&str, &str); 2] =
    [("x-ratelimit-limit-requests", "50"), ("x-ratelimit-remaining-requests", "49")];

fn answer<B>(status: u16, headers: &[(&'static str, &str)], body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// What a layer makes of an answer.
macro_rules! through {
    ($layer:expr, $answer:expr) => {{
        let stub = service_fn(|_: Request<&'static str>| ready(Ok::<_, Infallible>($answer)));
        at_once($layer.layer(stub).oneshot(request("hello"))).unwrap()
    }};
}

/// The same, with its body read to its end.
macro_rules! read_through {
    ($layer:expr, $answer:expr) => {
        at_once(through!($layer, $answer).into_body().collect()).unwrap().to_bytes()
    };
}

fn layer(scene: &Scene) -> LimiterLayer {
    LimiterLayer::new(scene.limiter.clone())
}

const OVERLOADED: &str = r#"{"error": {"type": "overloaded_error", "message": "Overloaded"}}"#;

// ---- what the headers of a success say -------------------------------------------------------------

#[test]
fn what_is_left_was_lost_with_a_body_that_was_not_read() {
    let scene = scene();
    drop(through!(layer(&scene).read_usage(), answer(200, &LEFT, parts(&["hello"]))));
    assert_eq!(scene.limiter.remaining(), 49);
}

#[test]
fn what_is_left_was_lost_with_an_answer_that_has_no_body() {
    for status in [200, 204] {
        let scene = scene();
        let empty = || answer(status, &LEFT, Full::<&[u8]>::default());
        drop(through!(layer(&scene).read_usage(), empty()));
        assert_eq!(scene.limiter.remaining(), 49, "{status}");
    }
}

#[test]
fn what_is_left_was_lost_if_the_first_frame_told_an_error() {
    let scene = scene();
    let layer = layer(&scene).read_usage();
    read_through!(layer, answer(200, &LEFT, parts(&[OVERLOADED])));
    assert_eq!(scene.limiter.remaining(), 49);
}

#[test]
fn what_is_left_was_lost_where_a_function_observes_the_body() {
    let scene = scene();
    let watch = |_, body: HeldBody<Parts>| body.observe_with(|_| None);
    let layer = layer(&scene).read_usage().hold_with(watch);
    read_through!(layer, answer(200, &LEFT, parts(&["hello"])));
    assert_eq!(scene.limiter.remaining(), 49);
}

/// Successes raise the number of calls in flight again.
#[test]
fn an_answer_without_a_body_was_no_success() {
    let scene = scene();
    let limiter = Limiter::builder().max_concurrent(2).clock(scene.clock.clone()).build();
    let call = limiter.try_acquire().unwrap();
    limiter.observe(&Feedback::overload());
    assert_eq!(limiter.concurrency_limit(), 1);
    drop(call);
    let layer = LimiterLayer::new(limiter.clone()).read_usage();
    drop(through!(layer, answer(204, &[], Full::<&[u8]>::default())));
    assert_eq!(limiter.concurrency_limit(), 2);
}

// ---- who observes ------------------------------------------------------------------------------------

#[test]
fn an_answer_that_was_not_to_be_observed_was_observed_as_its_usage_was_read() {
    const SPENT: &str = r#"{"error": {"code": "insufficient_quota", "message": "Spent."}}"#;
    let scene = scene();
    read_through!(
        layer(&scene).without_observing().read_usage(),
        answer(200, &[], parts(&[SPENT]))
    );
    read_through!(
        layer(&scene).read_usage().without_observing(),
        answer(200, &[], parts(&[SPENT]))
    );
    read_through!(layer(&scene).refuse_with_429().read_usage(), answer(200, &[], parts(&[SPENT])));
    assert_eq!(scene.limiter.stopped(), None);
}

#[test]
fn an_error_in_a_success_was_not_read_by_the_layers_reader() {
    const WAIT: &str =
        r#"{"error": {"code": "rate_limit_exceeded", "message": "Please try again in 90s."}}"#;
    let scene = scene();
    let reader = FeedbackReader::new().max_pause(Duration::from_secs(3));
    let layer = layer(&scene).observe_by(reader).read_usage();
    read_through!(layer, answer(200, &[], parts(&[WAIT])));
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(3)));
}

#[test]
fn a_reader_that_was_named_before_the_mode_of_a_server_was_forgotten() {
    let scene = scene();
    let layer = layer(&scene).observe_by(FeedbackReader::new()).refuse_with_429();
    drop(through!(layer, answer(429, &[("retry-after", "7")], parts(&[]))));
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(7)));
}

// ---- the body of an error ----------------------------------------------------------------------------

#[test]
fn a_stop_that_stood_in_a_429s_body_was_taken_for_a_pause() {
    const SPENT: &str = r#"{"error": {"code": "insufficient_quota", "message": "Spent."}}"#;
    let scene = scene();
    let body = read_through!(layer(&scene), answer(429, &[("retry-after", "7")], parts(&[SPENT])));
    assert_eq!((&*body, scene.free()), (SPENT.as_bytes(), SLOTS));
    assert_eq!(scene.limiter.stopped(), Some(StopReason::QuotaExhausted));
}

#[test]
fn a_delay_that_stood_in_a_429s_body_was_lost() {
    let scene = scene();
    // As Gemini says it, in two frames.
    let body = [
        r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDe"#,
        r#"lay": "45s"}]}}"#,
    ];
    let mut held = pin!(through!(layer(&scene), answer(429, &[], parts(&body))).into_body());
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(1)));
    at_once(held.as_mut().frame()).unwrap().unwrap();
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(1)));
    at_once(held.collect()).unwrap();
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(45)));
}

// ---- a connection that is lost in line ---------------------------------------------------------------

/// As a bare connection: asked whether it is ready it connects anew, and without one a call fails.
#[derive(Clone)]
struct Connection(Arc<AtomicBool>);

impl Service<Request<&'static str>> for Connection {
    type Response = Response<Parts>;
    type Error = Broken;
    type Future = Ready<Result<Self::Response, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.store(true, SeqCst);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<&'static str>) -> Self::Future {
        let is_open = self.0.load(SeqCst);
        ready(if is_open { Ok(answer(200, &[], parts(&["hello"]))) } else { Err(Broken) })
    }
}

/// A server closes idle connections; a request may stand in line for a minute.
#[test]
fn a_service_that_was_no_longer_ready_after_the_wait_was_called_all_the_same() {
    let scene = scene();
    let is_open = Arc::new(AtomicBool::new(false));
    let service = layer(&scene).layer(Connection(Arc::clone(&is_open)));
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let mut call = pin!(service.oneshot(request("hello")));
    assert!(poll_once(call.as_mut()).is_pending());
    is_open.store(false, SeqCst);
    drop(held);
    assert_eq!(at_once(call).unwrap().status(), 200);
}

type Asked = fn(usize) -> Poll<Result<(), Broken>>;

/// Is ready as `1` says of each time that it is asked.
#[derive(Clone)]
struct AsksAgain(Arc<AtomicUsize>, Asked);

impl Service<Request<&'static str>> for AsksAgain {
    type Response = Response<Parts>;
    type Error = Broken;
    type Future = Ready<Result<Self::Response, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.1(self.0.fetch_add(1, SeqCst))
    }

    fn call(&mut self, _: Request<&'static str>) -> Self::Future {
        ready(Ok(answer(200, &[], parts(&["hello"]))))
    }
}

/// A call that has waited for its slot, at a service that answers so when it is asked again.
fn after_a_wait(
    scene: &Scene,
    asked: Asked,
) -> impl Future<Output = Result<Response<HeldBody<Parts>>, BoxError>> {
    let layer = LimiterLayer::new(scene.limiter.clone());
    let layer = layer.cost(|_: &Request<&'static str>| Usage::new(100, 0));
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let call = layer.layer(AsksAgain(Arc::default(), asked)).oneshot(request("hello"));
    let mut call = Box::pin(call);
    assert!(poll_once(call.as_mut()).is_pending());
    drop(held);
    call
}

/// Broken by: a permit that counts as reserved, though nothing was sent.
#[test]
fn a_service_that_fails_after_the_wait_costs_no_tokens() {
    let scene = scene();
    let asked = |n| Poll::Ready(if n == 0 { Ok(()) } else { Err(Broken) });
    let error = at_once(after_a_wait(&scene, asked)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Broken));
    assert_eq!((scene.free(), scene.used().1), (SLOTS, 0));
}

/// Broken by: a service that is called before it is ready; one that is asked once.
#[test]
fn a_service_that_is_not_ready_at_once_after_the_wait_is_waited_for() {
    let scene = scene();
    let asked = |n| if n == 1 { Poll::Pending } else { Poll::Ready(Ok(())) };
    let mut call = pin!(after_a_wait(&scene, asked));
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!((scene.free(), scene.used().1), (SLOTS - 1, 100));
    assert_eq!(at_once(call).unwrap().status(), 200);
    assert_eq!(scene.free(), SLOTS);
}
