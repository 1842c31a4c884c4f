//! What a call reserves, and what it is settled at.

use crate::scene::{CHAT, Scene, answer, at_once, broken, chat, ok, pieces, post, scene};
use async_openai::middleware::HttpRequestFactory;
use futures_util::StreamExt;
use reqwest::{Body, Method, Request, Response};
use ringgate::{Limiter, Rate, Usage, UsageReader};
use ringgate_async_openai::{DEFAULT_OUTPUT, LimiterService};
use tower::ServiceExt;

const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":4}}}"#;

const EVENTS: [&str; 3] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"a ring\"}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":30}}\n\n",
    "data: [DONE]\n\n",
];

fn expected() -> u64 {
    let expected = Usage::estimate_from_json(CHAT.as_bytes(), 0).unwrap();
    assert_eq!(expected.output, 500);
    expected.total()
}

fn open(scene: &Scene, service: LimiterService<crate::scene::Inner>) -> Response {
    let response = at_once(service.oneshot(chat())).unwrap();
    assert_eq!(scene.tokens(), expected());
    response
}

#[test]
fn a_call_is_settled_at_what_its_answer_tells() {
    let scene = scene();
    let response = open(&scene, scene.service(|_| ok(ANSWER)));
    assert_eq!(at_once(response.text()).unwrap(), ANSWER);
    assert_eq!(scene.tokens(), 39);
}

/// async-openai stops reading there, and drops the answer.
#[test]
fn a_stream_is_settled_though_it_is_read_no_further_than_to_done() {
    let scene = scene();
    let response = open(&scene, scene.service(|_| answer(200, &[], pieces(&EVENTS))));
    let mut body = response.bytes_stream();
    for event in EVENTS {
        assert_eq!(at_once(body.next()).unwrap().unwrap(), event);
    }
    drop(body);
    assert_eq!(scene.tokens(), 39);
}

#[test]
fn a_stream_that_tells_no_usage_counts_as_reserved() {
    let scene = scene();
    let response =
        open(&scene, scene.service(|_| answer(200, &[], pieces(&[EVENTS[0], EVENTS[2]]))));
    at_once(response.bytes()).unwrap();
    assert_eq!(scene.tokens(), expected());
}

#[test]
fn an_answer_that_is_not_complete_counts_as_reserved() {
    let scene = scene();
    let response = open(&scene, scene.service(|_| answer(200, &[], pieces(&EVENTS))));
    let mut body = response.bytes_stream();
    at_once(body.next()).unwrap().unwrap();
    at_once(body.next()).unwrap().unwrap();
    drop(body);
    assert_eq!(scene.tokens(), expected());

    let scene = crate::scene::scene();
    let response = open(&scene, scene.service(|_| answer(200, &[], broken(&[ANSWER]))));
    assert!(at_once(response.bytes()).is_err());
    assert_eq!(scene.tokens(), expected());
}

#[test]
fn a_usage_in_an_error_does_not_settle() {
    let scene = scene();
    let response = open(&scene, scene.service(|_| answer(400, &[], ANSWER)));
    at_once(response.bytes()).unwrap();
    assert_eq!(scene.tokens(), expected());
}

#[test]
fn a_reader_of_other_settings_reads_the_usage() {
    let scene = scene();
    let reader = UsageReader::new().count_cached(false);
    let response = open(&scene, scene.service(|_| ok(ANSWER)).read_usage_by(reader));
    at_once(response.bytes()).unwrap();
    assert_eq!(scene.tokens(), 35);
}

/// What is reserved for a request with this path and body.
fn reserved(path: &'static str, body: &'static str) -> Usage {
    let scene = scene();
    let service = scene.service(|_| ok("")).default_output(70);
    drop(at_once(service.oneshot(post(path, body))).unwrap());
    let input = Usage::estimate_from_json(body.as_bytes(), 0).unwrap_or_default().input;
    Usage::new(input, scene.tokens().checked_sub(input).unwrap())
}

#[test]
fn output_is_expected_where_there_is_some() {
    let unbound = r#"{"model":"m","input":"What is a ring?"}"#;
    assert!(reserved("/v1/responses", unbound).input > 10);
    assert_eq!(reserved("/v1/responses", unbound).output, 70);
    assert_eq!(reserved("/v1/chat/completions", r#"{"max_completion_tokens":5}"#).output, 5);
    assert_eq!(reserved("/v1/embeddings", unbound).output, 0);
    assert_eq!(reserved("/v1/moderations", unbound).output, 0);
    // No JSON.
    assert_eq!(reserved("/v1/audio/transcriptions", "--boundary"), Usage::default());
    assert_eq!(reserved("/v1/chat/completions", ""), Usage::default());
}

#[test]
fn without_a_bound_the_default_is_expected() {
    let scene = scene();
    drop(at_once(scene.service(|_| ok("")).oneshot(post("/v1/responses", "{}"))).unwrap());
    assert_eq!(scene.tokens(), 1 + DEFAULT_OUTPUT);
}

#[test]
fn a_request_without_a_body_reserves_no_tokens() {
    let scene = scene();
    let get = HttpRequestFactory::new(|| async {
        Ok(Request::new(Method::GET, crate::scene::url("/v1/models")))
    });
    drop(at_once(scene.service(|_| ok("[]")).oneshot(get)).unwrap());
    assert_eq!((scene.requests(), scene.tokens()), (1, 0));
}

/// Its bytes are not there to be read.
#[test]
fn a_streamed_request_reserves_no_tokens() {
    let scene = scene();
    let upload = HttpRequestFactory::new(|| async {
        let mut request = Request::new(Method::POST, crate::scene::url("/v1/files"));
        *request.body_mut() = Some(pieces(&["{\"max_tokens\":", "5}"]));
        Ok(request)
    });
    drop(at_once(scene.service(|_| ok("{}")).oneshot(upload)).unwrap());
    assert_eq!((scene.requests(), scene.tokens()), (1, 0));
}

#[test]
fn a_function_says_what_a_call_expects() {
    let scene = scene();
    let service = scene.service(|_| ok("{}")).cost(|request| {
        let length = request.body().and_then(Body::as_bytes).unwrap_or_default().len();
        Usage::new(length as u64, 1_000)
    });
    drop(at_once(service.oneshot(chat())).unwrap());
    assert_eq!(scene.tokens(), CHAT.len() as u64 + 1_000);
}

#[test]
fn without_limits_on_tokens_nothing_is_estimated() {
    let limiter = Limiter::new(Rate::per_minute(60), 4);
    let service = LimiterService::new(limiter, scene().inner(|_| ok("{}")));
    let service = service.cost(|_| panic!("it was asked for the cost"));
    assert!(at_once(service.oneshot(chat())).is_ok());
}
