//! A hundred calls of a `tower` client behind a `LimiterLayer`; a strict provider refuses none: `cargo run --example tower`

use axum::http::Request;
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use ringgate::{Limiter, Rate, Usage, estimate_tokens, tower::LimiterLayer};
use ringgate_mock_provider::{Counting, MockProvider};
use std::time::Duration;
use tower::{BoxError, ServiceBuilder, ServiceExt};
const WINDOW: Duration = Duration::from_secs(2);
const CALL: &str = r#"{"model": "m", "max_tokens": 90, "stream": true,
    "messages": [{"role": "user", "content": "Hello!"}]}"#;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let tokens = Counting::AsSent { input: 3_000, output: 2_000 };
    let provider = MockProvider::builder().requests(40, WINDOW).tokens(tokens).max_in_flight(8);
    let provider = provider.start().await?;
    let url = format!("{}/messages", provider.url());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let limiter = Limiter::builder().rate(Rate::new(40, WINDOW)).max_concurrent(8);
    let limiter =
        limiter.input_tokens(3_000, WINDOW).output_tokens(2_000, WINDOW).margin(WINDOW / 4).build();
    let cost = |call: &Request<String>| Usage::new(estimate_tokens(call.body()), 90);
    let layer = LimiterLayer::new(limiter.clone()).cost(cost).read_usage();
    let client = ServiceBuilder::new().layer(layer).service(client);
    let calls = [(); 100].map(|()| {
        let call =
            Request::post(&url).body(CALL.to_owned()).map(|call| client.clone().oneshot(call));
        tokio::spawn(async { call?.await?.into_body().collect().await.map_err(BoxError::from) })
    });
    for call in calls {
        call.await??;
    }
    let (counts, free) = (provider.counts(), limiter.available_permits());
    println!("{} answered, {} refused, {free} slots free", counts.answered, counts.refused());
    let is_right = (counts.answered, counts.refused(), free) == (100, 0, 8);
    is_right.then_some(()).ok_or_else(|| "not all were answered".into())
}
