//! What a `LimiterLayer` adds to a service: `cargo bench --features tower,http --bench tower` (a minute; `-- --quick`: seconds).
//!
//! The service answers at once, and its body is read to its end. Allocations per call are printed first.

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]

#[path = "../tests/common/counting.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod counting;

use bytes::Bytes;
use counting::{Counting, allocations};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use ringgate::tower::LimiterLayer;
use ringgate::{Limiter, Usage};
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ANSWER: &[u8] =
    br#"{"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0, "message":
    {"role": "assistant", "content": "Hello! How can I help you today?"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}}"#;

/// As OpenAI sends them.
const LEFT: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests", "5000"),
    ("x-ratelimit-remaining-requests", "4999"),
    ("x-ratelimit-reset-requests", "12ms"),
    ("x-ratelimit-limit-tokens", "160000"),
    ("x-ratelimit-remaining-tokens", "159976"),
    ("x-ratelimit-reset-tokens", "9ms"),
];

#[derive(Clone)]
struct Stub(Arc<HeaderMap>);

impl Service<Request<()>> for Stub {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
        *response.headers_mut() = HeaderMap::clone(&self.0);
        ready(Ok(response))
    }
}

fn stub(headers: &[(&'static str, &str)]) -> Stub {
    let parsed =
        |&(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
    Stub(Arc::new(headers.iter().map(parsed).collect()))
}

fn limiter() -> Limiter {
    Limiter::builder().max_concurrent(64).build()
}

/// With a limit that the bench does not reach.
fn with_tokens() -> Limiter {
    Limiter::builder().max_concurrent(64).tokens(1 << 50, Duration::from_secs(60)).build()
}

/// One call, to the end of its answer.
fn call<S, B>(service: &mut S) -> usize
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: Debug,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let answer = service.call(black_box(Request::new(()))).now_or_never();
    let body = answer.expect("it answers at once").expect("it answers").into_body();
    body.collect().now_or_never().expect("all is there").expect("no error").to_bytes().len()
}

fn side<S, B>(criterion: &mut Criterion, name: &str, mut service: S)
where
    S: Service<Request<()>, Response = Response<B>>,
    S::Error: Debug,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    call(&mut service);
    println!("{name}: {} allocations", allocations(|| call(&mut service)));
    criterion.bench_function(name, |bencher| bencher.iter(|| call(&mut service)));
}

/// What a permit costs without the layer.
fn permit(criterion: &mut Criterion) {
    let limiter = limiter();
    let take = || drop(limiter.acquire_owned().now_or_never().expect("a slot is free"));
    criterion.bench_function("a permit alone", |bencher| bencher.iter(take));
}

fn layers(criterion: &mut Criterion) {
    for (headers, told) in [(&[][..], ""), (&LEFT[..], ", six quota headers")] {
        let stub = || stub(headers);
        let cost = |_: &Request<()>| Usage::new(20, 500);
        side(criterion, &format!("bare{told}"), stub());
        let layer = LimiterLayer::new(limiter());
        side(
            criterion,
            &format!("layer, without_observing{told}"),
            layer.clone().without_observing().layer(stub()),
        );
        side(criterion, &format!("layer{told}"), layer.layer(stub()));
        let layer = LimiterLayer::new(with_tokens()).cost(cost).read_usage();
        side(criterion, &format!("layer, cost, read_usage{told}"), layer.layer(stub()));
    }
}

criterion_group!(benches, permit, layers);
criterion_main!(benches);
