//! rig's OpenAI client behind the middleware.

use futures_util::StreamExt;
use reqwest_middleware::ClientBuilder;
use rig_core::ProviderError;
use rig_core::completion::CompletionRequest;
use rig_core::providers::openai::{OpenAI, OpenAIConfig};
use rig_reqwest::ReqwestMiddlewareClient;
use ringgate::{Limit, Limiter, Rate};
use ringgate_mock_provider::MockProvider;
use ringgate_reqwest::{LimiterMiddleware, refused};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

fn openai(limiter: &Limiter, provider: &MockProvider) -> OpenAI {
    let limited = LimiterMiddleware::new(limiter.clone()).without_waiting();
    let http = ClientBuilder::new(reqwest::Client::new()).with(limited).build();
    let config = OpenAIConfig::new("key").with_base_url(provider.url());
    config.connect(ReqwestMiddlewareClient::from(http))
}

fn request() -> CompletionRequest {
    CompletionRequest::new("What is a ring?").max_tokens(100)
}

/// Broken by: an answer of rig's that does not pass the middleware, or whose usage is not asked for.
#[tokio::test]
async fn calls_are_settled_at_what_the_provider_counts() {
    for streamed in [false, true] {
        for by_responses in [false, true] {
            let provider = MockProvider::builder().output_tokens(30).start().await.unwrap();
            let limiter = Limiter::builder().tokens(10_000, MINUTE).max_concurrent(1).build();
            let openai = openai(&limiter, &provider);
            match (streamed, by_responses) {
                (false, false) => drop(openai.chat("m").call(request()).await.unwrap()),
                (false, true) => drop(openai.responses("m").call(request()).await.unwrap()),
                (true, false) => {
                    let mut events = openai.chat("m").stream(request()).unwrap();
                    while let Some(event) = events.next().await {
                        event.unwrap();
                    }
                }
                (true, true) => {
                    let mut events = openai.responses("m").stream(request()).unwrap();
                    while let Some(event) = events.next().await {
                        event.unwrap();
                    }
                }
            }
            let counts = provider.counts();
            let used = counts.input_tokens + counts.output_tokens;
            assert!(counts.output_tokens > 0 && counts.accepted == 1);
            assert_eq!(10_000 - limiter.remaining_tokens(), used, "{streamed} {by_responses}");
            assert_eq!(limiter.available_permits(), 1);
        }
    }
}

/// Broken by: an error of rig's that does not tell its cause.
#[tokio::test]
async fn a_refusal_can_be_found_in_the_error() {
    let provider = MockProvider::builder().start().await.unwrap();
    let limiter = Limiter::new(Rate::per_minute(1), 1);
    let model = openai(&limiter, &provider).chat("m");
    model.call(request()).await.unwrap();
    // Its `source` is not told, so it has to be taken out.
    let Err(ProviderError::Http(error)) = model.call(request()).await else {
        panic!("not an error of the transport")
    };
    assert_eq!(refused(&*error).expect("a refusal").limit(), Limit::Rate);
    assert_eq!(provider.counts().accepted, 1);
}
