//! Twenty agents with rig's OpenAI client behind one limiter, at a provider that counts. It fails if the provider has refused a call.

use futures_util::future::try_join_all;
use reqwest_middleware::ClientBuilder;
use rig_core::{completion::CompletionRequest, providers::openai::OpenAIConfig};
use rig_reqwest::ReqwestMiddlewareClient;
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_mock_provider::{Counting, MockProvider};
use ringgate_reqwest::LimiterMiddleware;
use std::{error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let window = Duration::from_secs(2);
    let terms = MockProvider::builder().requests(40, window).max_in_flight(8);
    let provider = terms.tokens(Counting::AtArrival { total: 9_000 }).start().await?;

    let limits =
        Limiter::builder().rate(Rate::new(40, window)).max_concurrent(8).margin(window / 4);
    let limiter = limits.token_limit(TokenLimit::total(9_000, window).without_refunds()).build();
    let limited = LimiterMiddleware::new(limiter); // the adapter
    let http = ClientBuilder::new(reqwest::Client::new()).with(limited).build();
    let openai = OpenAIConfig::new("key").with_base_url(provider.url());
    let model = openai.connect(ReqwestMiddlewareClient::from(http)).chat("m");

    let agents = (0..20).map(async |agent| {
        for turn in 0..4 {
            let text = format!("Agent {agent}, turn {turn}: what is a ring?");
            model.call(CompletionRequest::new(text).max_tokens(200)).await?;
        }
        Ok::<_, rig_core::ProviderError>(())
    });
    try_join_all(agents).await?;

    let counts = provider.counts();
    println!("{} calls answered, {} refused", counts.answered, counts.refused());
    if counts.refused() == 0 { Ok(()) } else { Err("the provider has refused calls".into()) }
}
