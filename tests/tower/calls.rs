//! What a request holds, from when to when.

use crate::common::counting::allocations;
use crate::common::{at_once, poll_once};
use crate::scene::{Broken, Inner, SLOTS, has_panicked, request, scene};
use http_body_util::BodyExt;
use ringgate::Priority;
use ringgate::tower::{LimiterFuture, LimiterLayer, LimiterService};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tower::{Layer, Service, ServiceExt};

#[test]
fn a_permit_goes_with_the_answer_to_its_bodys_end() {
    let scene = scene();
    let service = LimiterLayer::new(scene.limiter.clone()).layer(scene.inner());
    let answer = at_once(service.oneshot(request("hello"))).unwrap();
    assert_eq!((scene.free(), scene.used()), (SLOTS - 1, (1, 0)));
    assert_eq!(at_once(answer.into_body().collect()).unwrap().to_bytes(), "hello");
    assert_eq!((scene.free(), scene.used()), (SLOTS, (1, 0)));
    // The call itself was over before its answer was.
    assert_eq!(scene.seen.free_at_drop(), Some(SLOTS - 1));
}

/// Broken by: a future that takes the clone, and leaves the ready service.
#[test]
fn the_service_that_is_called_was_ready() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    for calls in 1..=3 {
        let ready = at_once(ServiceExt::<http::Request<_>>::ready(&mut service)).unwrap();
        drop(at_once(ready.call(request("hello"))).unwrap());
        assert_eq!(scene.seen.calls(), calls);
    }
}

/// What was asked for one request is not good for another one: the layer must not hide that.
#[test]
#[should_panic(expected = "it was not asked whether it is ready")]
fn a_service_is_ready_for_one_request() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    at_once(ServiceExt::<http::Request<_>>::ready(&mut service)).unwrap();
    drop(at_once(service.call(request("hello"))));
    drop(at_once(service.call(request("hello"))));
}

#[test]
fn nothing_is_held_before_the_first_poll() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let calls = [(); 2 * SLOTS].map(|()| {
        at_once(ServiceExt::<http::Request<_>>::ready(&mut service)).unwrap();
        service.call(request("hello"))
    });
    assert_eq!((scene.free(), scene.used(), scene.limiter.waiters()), (SLOTS, (0, 0), 0));
    assert_eq!(scene.seen.calls(), 0);
    drop(calls);
    assert_eq!((scene.free(), scene.used()), (SLOTS, (0, 0)));
}

/// One that waits for a permit does not make the service less ready.
#[test]
fn readiness_is_that_of_the_inner_service() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    scene.limiter.close();
    let ready = poll_fn(|cx| Service::<http::Request<&str>>::poll_ready(&mut service, cx));
    assert_eq!(poll_once(pin!(ready)).map(|ready| ready.is_ok()), Poll::Ready(true));
}

#[test]
fn requests_wait_in_line_and_go_in_order() {
    let scene = scene();
    let service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let mut first = pin!(service.clone().oneshot(request("first")));
    let mut second = pin!(service.oneshot(request("second")));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    assert_eq!((scene.limiter.waiters(), scene.seen.calls()), (2, 0));
    let [one, other] = held;
    drop(one);
    assert!(poll_once(second.as_mut()).is_pending());
    let answer = at_once(first.as_mut()).unwrap();
    assert!(poll_once(second.as_mut()).is_pending());
    drop(answer);
    assert!(at_once(second.as_mut()).is_ok());
    drop(other);
}

/// The first in line has been in front since it came.
#[test]
fn an_urgent_request_goes_before_those_behind_the_first() {
    let scene = scene();
    let layer = LimiterLayer::new(scene.limiter.clone());
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let normal = layer.layer(scene.inner());
    let mut first = pin!(normal.clone().oneshot(request("first")));
    let mut second = pin!(normal.oneshot(request("second")));
    let urgent = layer.priority(Priority::High).layer(scene.inner());
    let mut urgent = pin!(urgent.oneshot(request("urgent")));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    assert!(poll_once(urgent.as_mut()).is_pending());
    drop(held);
    let first = at_once(first).unwrap();
    assert!(poll_once(second.as_mut()).is_pending());
    assert!(at_once(urgent).is_ok());
    assert!(at_once(second).is_ok());
    drop(first);
}

/// Broken by: a box for the future, or for the settings.
#[test]
fn a_request_that_need_not_wait_allocates_nothing() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    // Of their own. (The first one takes the place of another: what the limiter allocates once is there.)
    drop(at_once(ready_call(&mut service, "hello")));
    let bare = allocations(|| at_once(scene.inner().oneshot(request("hello"))));
    let limited = allocations(|| at_once(ready_call(&mut service, "hello")).is_ok());
    assert_eq!(limited, bare);
}

#[test]
fn a_request_that_is_dropped_in_line_gives_up_its_place() {
    let scene = scene();
    let service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let mut first = Box::pin(service.clone().oneshot(request("first")));
    let mut second = pin!(service.oneshot(request("second")));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    let [one, other] = held;
    // The first is to go, and leaves.
    drop(one);
    drop(first);
    assert!(at_once(second.as_mut()).is_ok());
    drop(other);
    assert_eq!((scene.free(), scene.limiter.waiters(), scene.seen.calls()), (SLOTS, 0, 1));
    assert_eq!(scene.used(), (SLOTS as u64 + 1, 0));
}

#[test]
fn a_request_that_is_dropped_under_way_frees_its_slot_after_its_call() {
    let scene = scene();
    let service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let mut call = Box::pin(service.oneshot(request("wait")));
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!((scene.free(), scene.seen.calls()), (SLOTS - 1, 1));
    drop(call);
    assert_eq!(scene.seen.free_at_drop(), Some(SLOTS - 1));
    assert_eq!((scene.free(), scene.used()), (SLOTS, (1, 0)));
}

#[test]
fn an_answer_that_is_dropped_unread_frees_its_slot() {
    let scene = scene();
    let service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let answer = at_once(service.oneshot(request("hello"))).unwrap();
    assert_eq!(scene.free(), SLOTS - 1);
    drop(answer);
    assert_eq!(scene.free(), SLOTS);
}

#[test]
fn a_call_that_fails_frees_its_slot_and_stays_counted() {
    let scene = scene();
    let service = LimiterService::new(scene.inner(), scene.limiter.clone());
    let error = at_once(service.oneshot(request("fail"))).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Broken));
    assert_eq!(scene.seen.free_at_drop(), Some(SLOTS - 1));
    assert_eq!((scene.free(), scene.used()), (SLOTS, (1, 0)));
}

fn ready_call(service: &mut LimiterService<Inner>, does: &'static str) -> Call {
    at_once(ServiceExt::<http::Request<_>>::ready(service)).unwrap();
    service.call(request(does))
}

type Call =
    LimiterFuture<Inner, &'static str, ringgate::tower::AsReserved, ringgate::tower::AsError>;

#[test]
fn a_call_that_panics_frees_its_slot_before_its_future_is_dropped() {
    for does in ["panic", "panic at once"] {
        let scene = scene();
        let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
        let mut call = pin!(ready_call(&mut service, does));
        assert!(has_panicked(|| poll_once(call.as_mut())), "{does}");
        assert_eq!((scene.free(), scene.used()), (SLOTS, (1, 0)), "{does}");
        if does == "panic" {
            assert_eq!(scene.seen.free_at_drop(), Some(SLOTS - 1));
        }
        assert!(poll_once(call.as_mut()).is_pending());
    }
}

#[test]
fn a_future_that_has_completed_is_pending() {
    let scene = scene();
    let mut service = LimiterService::new(scene.inner(), scene.limiter.clone());
    for does in ["hello", "fail"] {
        let mut call = pin!(ready_call(&mut service, does));
        assert!(poll_once(call.as_mut()).is_ready());
        assert!(poll_once(call.as_mut()).is_pending());
    }
    scene.limiter.close();
    let mut call = pin!(ready_call(&mut service, "hello"));
    assert!(poll_once(call.as_mut()).is_ready());
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(scene.seen.calls(), 2);
}
