//! Among other layers.

use crate::common::{at_once, poll_once};
use crate::scene::{Broken, SLOTS, request, scene};
use http::{Request, Response};
use ringgate::tower::{BoxError, LimiterLayer};
use ringgate::{HeldBody, Limiter};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use tower::retry::{Policy, RetryLayer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

#[tokio::test]
async fn requests_pass_a_buffer_and_wait_behind_it() {
    let scene = scene();
    let service = ServiceBuilder::new()
        .buffer::<Request<&'static str>>(1)
        .layer(LimiterLayer::new(scene.limiter.clone()))
        .service(scene.inner());
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    // More than the buffer has places: its worker is not held up.
    let calls = [(); 5].map(|()| tokio::spawn(service.clone().oneshot(request("hello"))));
    while scene.limiter.waiters() < 5 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((scene.seen.calls(), scene.free()), (5, SLOTS));
}

#[test]
fn a_limit_of_concurrency_may_stand_on_either_side() {
    let scene = scene();
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(LimiterLayer::new(scene.limiter.clone()))
        .concurrency_limit(1)
        .service(scene.inner());
    let mut first = Box::pin(service.clone().oneshot(request("wait")));
    let mut second = pin!(service.oneshot(request("hello")));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());
    // Only what the other limit lets through comes to the limiter.
    assert_eq!((scene.free(), scene.limiter.waiters()), (SLOTS - 1, 0));
    drop(first);
    assert!(at_once(second).is_ok());
    assert_eq!(scene.free(), SLOTS);
}

/// As often as it says, whatever comes.
#[derive(Clone)]
struct Again(u32);

impl<B> Policy<Request<&'static str>, Response<B>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<&'static str>,
        _: &mut Result<Response<B>, BoxError>,
    ) -> Option<Ready<()>> {
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<&'static str>) -> Option<Request<&'static str>> {
        Some(request.clone())
    }
}

/// With one slot: an attempt that is given up has freed it before the next one waits for it.
#[test]
fn with_a_retry_outside_each_attempt_takes_a_permit() {
    for does in ["hello", "fail"] {
        let scene = scene();
        let limiter = Limiter::builder().max_concurrent(1).rate(ringgate::Rate::per_minute(9));
        let limiter = limiter.clock(scene.clock.clone()).build();
        let service = ServiceBuilder::new()
            .layer(RetryLayer::new(Again(2)))
            .layer(LimiterLayer::new(limiter.clone()))
            .service(scene.inner());
        let answer = at_once(service.oneshot(request(does)));
        assert_eq!(answer.is_ok(), does == "hello");
        assert_eq!((scene.seen.calls(), limiter.remaining()), (3, 6));
    }
}

#[test]
fn with_a_retry_inside_all_attempts_share_one() {
    let scene = scene();
    let service = ServiceBuilder::new()
        .layer(LimiterLayer::new(scene.limiter.clone()))
        .layer(RetryLayer::new(Again(2)))
        .map_err(BoxError::from)
        .service(scene.inner());
    assert!(at_once(service.oneshot(request("hello"))).is_ok());
    assert_eq!((scene.seen.calls(), scene.used()), (3, (1, 0)));
}

/// What axum's `Router::layer` asks of a layer.
fn layers_a_route<L, S>(layer: &L, route: S) -> L::Service
where
    L: Layer<S> + Clone + Send + Sync + 'static,
    L::Service: Service<Request<&'static str>> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request<&'static str>>>::Error: Into<Infallible> + 'static,
    <L::Service as Service<Request<&'static str>>>::Future: Send + 'static,
{
    layer.layer(route)
}

#[test]
fn a_server_can_use_it_as_a_layer_of_its_routes() {
    let scene = scene();
    let never = |error: Broken| -> Infallible { panic!("{error}") };
    let route = ServiceExt::<Request<_>>::map_err(scene.inner(), never);
    let layer = LimiterLayer::new(scene.limiter.clone()).refuse_with_429().without_waiting();
    let service = layers_a_route(&layer, route);
    let held: Vec<Response<HeldBody<_>>> =
        (0..SLOTS).map(|_| at_once(service.clone().oneshot(request("hello"))).unwrap()).collect();
    assert_eq!(at_once(service.clone().oneshot(request("hello"))).unwrap().status(), 429);
    drop(held);
    assert_eq!(at_once(service.oneshot(request("hello"))).unwrap().status(), 200);
}
