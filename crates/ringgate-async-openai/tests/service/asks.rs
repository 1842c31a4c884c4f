//! Asking streamed completions for their usage.

use crate::scene::{at_once, ok, post, scene, url};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Request};
use ringgate::Limiter;
use ringgate_async_openai::LimiterService;
use std::future::ready;
use tower::ServiceExt;

/// What is sent of a request with this path and body.
fn sent(path: &'static str, body: &'static str, asks: bool) -> String {
    let scene = scene();
    let service = scene.service(|_| ok("{}"));
    let service = if asks { service.ask_for_usage() } else { service };
    drop(at_once(service.oneshot(post(path, body))).unwrap());
    let [sent] = <[_; 1]>::try_from(scene.sent()).unwrap();
    assert_eq!(sent.path, path);
    sent.body
}

const CHAT: &str = "/v1/chat/completions";
const STREAMED: &str = r#" {"model":"m","schema":{"z":1,"a":2},"stream":true}"#;

#[test]
fn a_streamed_completion_is_asked_for_its_usage() {
    let asked = r#" {"stream_options":{"include_usage":true},"model":"m","schema":{"z":1,"a":2},"stream":true}"#;
    assert_eq!(sent(CHAT, STREAMED, true), asked);
    assert_eq!(sent("/v1/completions", STREAMED, true), asked);
    assert_eq!(sent("/openai/deployments/m/chat/completions", STREAMED, true), asked);
}

#[test]
fn requests_stay_as_they_are_unless_that_was_said() {
    assert_eq!(sent(CHAT, STREAMED, false), STREAMED);
}

#[test]
fn other_requests_stay_as_they_are() {
    assert_eq!(sent("/v1/responses", STREAMED, true), STREAMED);
    for body in [
        r#"{"model":"m"}"#,
        r#"{"stream":false}"#,
        r#"{"stream":null}"#,
        r#"{"stream":"true"}"#,
        r#"{"messages":[{"stream":true}]}"#,
        r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"stream":true,"stream_options":null}"#,
        r#"{"stream_options":{},"stream":true}"#,
        r#"{"stream":true,"stream":true}"#,
        r#"{"stream":true"#,
        r"[true]",
        r"[true,{}]",
        "",
        "stream: true",
    ] {
        assert_eq!(sent(CHAT, body, true), body);
    }
}

/// That of the request would be wrong.
#[test]
fn a_length_in_the_headers_goes_if_the_body_grows() {
    for (body, stays) in [(STREAMED, false), ("{}", true)] {
        let service = tower::service_fn(move |request: Request| {
            assert_eq!(request.headers().contains_key(CONTENT_LENGTH), stays);
            ready(Ok::<_, OpenAIError>(http::Response::new("{}").into()))
        });
        let limiter = Limiter::builder().max_concurrent(1).build();
        let service = LimiterService::new(limiter, service).ask_for_usage();
        let factory = HttpRequestFactory::new(move || async move {
            let mut request = Request::new(Method::POST, url(CHAT));
            request.headers_mut().insert(CONTENT_LENGTH, body.len().into());
            *request.body_mut() = Some(body.into());
            Ok(request)
        });
        assert!(at_once(service.oneshot(factory)).is_ok());
    }
}
