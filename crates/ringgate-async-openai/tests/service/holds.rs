//! What an attempt holds, from when to when.

use crate::scene::{Answer, RATE, SLOTS, answer, at_once, broken, chat, ok, pieces, scene, url};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::{FutureExt, StreamExt};
use reqwest::{Body, Response, ResponseBuilderExt};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use tower::{Service, ServiceExt};

#[test]
fn a_permit_goes_with_a_success_to_its_bodys_end() {
    let scene = scene();
    let response = at_once(scene.service(|_| ok("hello")).oneshot(chat())).unwrap();
    assert_eq!((scene.free(), scene.requests()), (SLOTS - 1, 1));
    assert_eq!(at_once(response.text()).unwrap(), "hello");
    assert_eq!((scene.free(), scene.requests()), (SLOTS, 1));
    // The call itself was over before its answer was.
    assert_eq!(scene.free_at_drop(), Some(SLOTS - 1));
}

#[test]
fn a_permit_comes_back_wherever_the_answer_is_dropped() {
    for read in 0..=3 {
        let scene = scene();
        let service = scene.service(|_| answer(200, &[], pieces(&["one", "two", "three"])));
        let response = at_once(service.oneshot(chat())).unwrap();
        let mut body = response.bytes_stream();
        for _ in 0..read {
            assert!(at_once(body.next()).unwrap().is_ok());
        }
        assert_eq!(scene.free(), SLOTS - 1, "after {read}");
        drop(body);
        assert_eq!((scene.free(), scene.requests()), (SLOTS, 1), "after {read}");
    }
}

#[test]
fn a_permit_comes_back_if_the_answer_breaks_off() {
    let scene = scene();
    let service = scene.service(|_| answer(200, &[], broken(&["one"])));
    let mut body = at_once(service.oneshot(chat())).unwrap().bytes_stream();
    assert_eq!(at_once(body.next()).unwrap().unwrap(), "one");
    let error = at_once(body.next()).unwrap().unwrap_err();
    assert_eq!(scene.free(), SLOTS);
    let mut source: &dyn std::error::Error = &error;
    while let Some(next) = source.source() {
        source = next;
    }
    assert_eq!(source.to_string(), "broken");
}

#[test]
fn an_error_does_not_hold_its_permit() {
    let errors: [fn(usize) -> Answer; 5] = [
        |_| answer(301, &[], "no"),
        |_| answer(400, &[], "no"),
        |_| answer(429, &[("retry-after", "7")], "no"),
        |_| answer(500, &[], "no"),
        |_| answer(503, &[], "no"),
    ];
    for error in errors {
        let scene = scene();
        let response = at_once(scene.service(error).oneshot(chat())).unwrap();
        // An overload lowers how many there are.
        let slots = scene.limiter.concurrency_limit();
        assert_eq!((scene.free(), scene.requests()), (slots, 1), "{}", response.status());
        assert_eq!(at_once(response.text()).unwrap(), "no");
    }
}

#[test]
fn nothing_is_held_before_the_first_poll() {
    let scene = scene();
    let mut service = scene.service(|_| ok("hello"));
    let calls = [(); 2 * SLOTS].map(|()| {
        at_once(service.ready()).unwrap();
        service.call(chat())
    });
    assert_eq!((scene.free(), scene.requests(), scene.limiter.waiters()), (SLOTS, 0, 0));
    assert_eq!(scene.calls(), 0);
    drop(calls);
    assert_eq!((scene.free(), scene.requests()), (SLOTS, 0));
}

#[test]
fn the_service_that_is_called_was_ready() {
    let scene = scene();
    let mut service = scene.service(|_| ok("hello"));
    for calls in 1..=3 {
        drop(at_once(at_once(service.ready()).unwrap().call(chat())).unwrap());
        assert_eq!(scene.calls(), calls);
    }
}

#[test]
fn a_waiting_attempt_that_is_dropped_has_counted_nothing() {
    let scene = scene();
    let held = [(); SLOTS].map(|()| scene.limiter.try_acquire().unwrap());
    {
        let mut waits = pin!(scene.service(|_| ok("hello")).oneshot(chat()));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(scene.limiter.waiters(), 1);
    }
    assert_eq!(scene.limiter.waiters(), 0);
    drop(held);
    assert_eq!((scene.free(), scene.calls()), (SLOTS, 0));
    assert_eq!(scene.limiter.remaining(), RATE - u32::try_from(SLOTS).unwrap());
}

#[test]
fn a_call_that_is_dropped_goes_before_its_permit() {
    let scene = scene();
    {
        let mut call = pin!(scene.service(|_| Answer::Hangs).oneshot(chat()));
        assert!(call.as_mut().now_or_never().is_none());
        assert_eq!((scene.free(), scene.calls()), (SLOTS - 1, 1));
    }
    assert_eq!(scene.free_at_drop(), Some(SLOTS - 1));
    assert_eq!((scene.free(), scene.requests()), (SLOTS, 1));
}

#[test]
fn a_permit_comes_back_if_the_call_fails() {
    let scene = scene();
    let error = at_once(scene.service(|_| Answer::Fails).oneshot(chat())).unwrap_err();
    assert!(matches!(error, OpenAIError::InvalidArgument(_)), "{error:?}");
    assert_eq!((scene.free(), scene.requests()), (SLOTS, 1));
}

#[test]
fn a_permit_comes_back_if_the_call_panics() {
    let scene = scene();
    let call = scene.service(|_| Answer::Panics).oneshot(chat());
    assert!(at_once(AssertUnwindSafe(call).catch_unwind()).is_err());
    assert_eq!((scene.free(), scene.requests()), (SLOTS, 1));
}

#[test]
fn a_request_that_cannot_be_built_counts_nothing() {
    let scene = scene();
    let factory = HttpRequestFactory::new(|| async {
        Err(OpenAIError::InvalidArgument("there is no such file".into()))
    });
    let error = at_once(scene.service(|_| ok("hello")).oneshot(factory)).unwrap_err();
    assert!(matches!(error, OpenAIError::InvalidArgument(_)), "{error:?}");
    assert_eq!((scene.free(), scene.requests(), scene.calls()), (SLOTS, 0, 0));
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark(u8);

fn marked(status: u16) -> Answer {
    let response = http::Response::builder()
        .status(status)
        .version(http::Version::HTTP_2)
        .header("x-request-id", "7")
        .extension(Mark(7))
        .url(url("/redirected"));
    Answer::Is(response.body(Body::from("hello")).unwrap().into())
}

#[test]
fn an_answer_stays_as_it_is() {
    for is_success in [true, false] {
        let scene = scene();
        let service = scene.service(if is_success { |_| marked(201) } else { |_| marked(404) });
        let response: Response = at_once(service.oneshot(chat())).unwrap();
        assert_eq!(response.status(), if is_success { 201 } else { 404 });
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.headers()["x-request-id"], "7");
        assert_eq!(response.extensions().get(), Some(&Mark(7)));
        assert_eq!(response.url(), &url("/redirected"));
        assert_eq!(response.content_length(), Some(5));
        assert_eq!(at_once(response.text()).unwrap(), "hello");
    }
}
