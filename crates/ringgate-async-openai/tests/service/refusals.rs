//! What a refused attempt gets.

use crate::scene::{Answer, Inner, SLOTS, at_once, chat, ok, scene};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::FutureExt;
use ringgate::{Limit, Limiter, Priority, Refused, Usage};
use ringgate_async_openai::{LimiterService, refused};
use std::pin::pin;
use std::time::Duration;
use tower::{Service, ServiceExt};

fn refusal_of(service: LimiterService<Inner>) -> OpenAIError {
    at_once(service.oneshot(chat())).unwrap_err()
}

#[test]
fn a_refusal_can_be_downcast() {
    let scene = scene();
    scene.limiter.close();
    let error = refusal_of(scene.service(|_| ok("hello")));
    assert_eq!(refused(&error).map(Refused::limit), Some(Limit::Closed));
    let OpenAIError::Boxed(boxed) = error else { panic!("{error:?}") };
    assert!(boxed.downcast::<Refused>().unwrap().is_permanent());
    assert_eq!(scene.calls(), 0);
}

#[test]
fn other_errors_are_no_refusals() {
    let scene = scene();
    assert!(refused(&refusal_of(scene.service(|_| Answer::Fails))).is_none());
    assert!(refused(&OpenAIError::Boxed("another".into())).is_none());
}

#[test]
fn without_waiting_it_is_refused_at_once() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let service = scene.service(|_| ok("hello")).without_waiting();
    let error = refusal_of(service.clone());
    assert_eq!(refused(&error).map(Refused::limit), Some(Limit::Concurrency));
    drop(held);
    assert!(at_once(service.oneshot(chat())).is_ok());
}

#[test]
fn a_wait_ends_at_its_timeout() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let service = scene.service(|_| ok("hello")).acquire_timeout(Duration::from_secs(7));
    let mut waits = pin!(service.oneshot(chat()));
    assert!(waits.as_mut().now_or_never().is_none());
    scene.clock.advance(Duration::from_secs(7));
    let error = at_once(waits).unwrap_err();
    assert_eq!(refused(&error).map(Refused::limit), Some(Limit::Concurrency));
    drop(held);
}

/// The first in line has been in front since it came.
#[test]
fn an_urgent_call_goes_before_those_behind_the_first() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    let service = scene.service(|_| ok("hello"));
    let urgent = service.clone().priority(Priority::High);
    let mut first = pin!(service.clone().oneshot(chat()));
    let mut second = pin!(service.oneshot(chat()));
    let mut urgent = pin!(urgent.oneshot(chat()));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    assert!(urgent.as_mut().now_or_never().is_none());
    drop(held);
    let first = at_once(first).unwrap();
    assert!(second.as_mut().now_or_never().is_none());
    assert!(at_once(urgent).is_ok());
    assert!(at_once(second).is_ok());
    drop(first);
}

/// What it must be to be given to a client.
#[test]
fn the_service_can_be_shared_and_its_future_sent() {
    fn is_fit<S>(_: &S)
    where
        S: Service<HttpRequestFactory> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
    }
    let limiter = Limiter::builder().max_concurrent(1).build();
    is_fit(&LimiterService::new(limiter.clone(), reqwest::Client::new()));
    is_fit(&ringgate_async_openai::service(&limiter));
    is_fit(&scene().service(|_| Answer::Hangs).cost(|_| Usage::new(1, 1)));
}
