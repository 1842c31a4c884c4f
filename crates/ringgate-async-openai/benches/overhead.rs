//! What the service adds to a call of async-openai's client: `cargo bench -p ringgate-async-openai`.
//!
//! Nothing is sent: a service that builds the request and has the answer takes the place of reqwest's client, so only the client, its
//! retries and the service are seen. Both sides take turns; the times are medians.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]

#[allow(dead_code, reason = "a part of it is for the library's tests")]
#[path = "../../../tests/common/counting.rs"]
mod counting;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::middleware::retry::OpenAIRetryLayer;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use counting::{Counting, tally};
use futures_util::stream::{self, StreamExt};
use reqwest::{Body, Request, Response};
use ringgate::{Limiter, LimiterBuilder, Rate};
use ringgate_async_openai::LimiterService;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceBuilder, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type OpenAI = Client<OpenAIConfig>;

const ROUNDS: usize = 2_001;
/// So few that most rounds are over before another thread has its turn on the processor.
const CALLS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(3600);

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"A ring is a circle of metal, and much else besides."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":30,"total_tokens":39}}"#;
const CHUNK: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a circle\"}}]}\n\n";
const USAGE: &str = "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":30,\"total_tokens\":39}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
/// Of a stream, `USAGE` and `DONE` besides.
const CHUNKS: usize = 30;

fn answer(request: &Request) -> Response {
    let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
    let body = if body.windows(13).any(|part| part == br#""stream":true"#) {
        let chunks = std::iter::repeat_n(CHUNK, CHUNKS).chain([USAGE, DONE]);
        Body::wrap_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))
    } else {
        ANSWER.into()
    };
    let mut response = http::Response::new(body);
    let limit = http::HeaderValue::from_static("5000");
    response.headers_mut().insert("x-ratelimit-limit-requests", limit);
    response.into()
}

fn bare() -> OpenAI {
    let service = service_fn(async |factory: HttpRequestFactory| {
        Ok::<_, OpenAIError>(answer(&factory.build().await?))
    });
    let service = ServiceBuilder::new().layer(OpenAIRetryLayer::default()).service(service);
    client().with_http_service(service)
}

fn limited(limits: LimiterBuilder) -> OpenAI {
    let send = service_fn(async |request: Request| Ok::<_, OpenAIError>(answer(&request)));
    client().with_http_service(LimiterService::new(limits.build(), send).with_retries())
}

fn client() -> OpenAI {
    Client::with_config(OpenAIConfig::new().with_api_key("any"))
}

fn request() -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessage::from("What is a ring? ".repeat(60));
    let mut request = CreateChatCompletionRequestArgs::default();
    let request = request.model("m").max_completion_tokens(500_u32);
    request.messages([message.into()]).build().expect("a request")
}

async fn whole(client: &OpenAI) {
    client.chat().create(request()).await.expect("an answer");
}

async fn streamed(client: &OpenAI) {
    let mut stream = client.chat().create_stream(request()).await.expect("a stream");
    while stream.next().await.is_some() {}
}

/// Nanoseconds and allocations of a call.
#[derive(Clone, Copy)]
struct Cost {
    nanos: f64,
    allocations: f64,
}

fn cost(runtime: &Runtime, client: &OpenAI, call: &impl AsyncFn(&OpenAI)) -> Cost {
    let (start, before) = (Instant::now(), tally().allocations);
    runtime.block_on(async {
        for _ in 0..CALLS {
            call(client).await;
        }
    });
    let nanos = start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
    let allocations = u32::try_from(tally().allocations - before).expect("not that many");
    Cost { nanos, allocations: f64::from(allocations) / f64::from(CALLS) }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn row(name: &str, limits: LimiterBuilder, call: &impl AsyncFn(&OpenAI)) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sides = [bare(), limited(limits)];
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for side in [round % 2, 1 - round % 2] {
            costs[side].push(cost(&runtime, &sides[side], call));
        }
    }
    let of = |side: usize, part: fn(&Cost) -> f64| median(costs[side].iter().map(part).collect());
    let [bare, limited] = [0, 1].map(|side| (of(side, |c| c.nanos), of(side, |c| c.allocations)));
    let added = (limited.0 - bare.0, limited.1 - bare.1);
    println!(
        "{name:24} {:6.2} µs {:6.1} allocations, of these added {:5.2} µs {:5.1} allocations",
        limited.0 / 1e3,
        limited.1,
        added.0 / 1e3,
        added.1
    );
}

fn main() {
    let requests = Limiter::builder().rate(Rate::new(u32::MAX, WINDOW)).max_concurrent(64);
    let tokens = requests.clone().tokens(u64::MAX >> 8, WINDOW);
    row("whole", requests.clone(), &whole);
    row("whole, with tokens", tokens.clone(), &whole);
    row("streamed", requests, &streamed);
    row("streamed, with tokens", tokens, &streamed);
}
