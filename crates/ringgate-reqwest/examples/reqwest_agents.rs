//! Twenty agents behind one limiter, at a provider that counts. It fails if the provider has refused a call.

use reqwest_middleware::ClientBuilder;
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_mock_provider::{Counting, MockProvider};
use ringgate_reqwest::LimiterMiddleware;
use serde_json::json;
use std::error::Error;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let window = Duration::from_secs(2);
    let terms = MockProvider::builder().requests(40, window).max_in_flight(8);
    let provider = terms.tokens(Counting::AtArrival { total: 9_000 }).start().await?;

    let limits =
        Limiter::builder().rate(Rate::new(40, window)).max_concurrent(8).margin(window / 4);
    let limiter = limits.token_limit(TokenLimit::total(9_000, window).without_refunds()).build();
    let client = ClientBuilder::new(reqwest::Client::new()) // the adapter
        .with(LimiterMiddleware::new(limiter))
        .build();

    let agents = (0..20).map(async |agent| {
        for turn in 0..4 {
            let body = json!({ "model": "m", "max_tokens": 200, "messages":
                [{ "role": "user", "content": format!("Agent {agent}, turn {turn}: what is a ring?") }] });
            let request = client.post(provider.url() + "/chat/completions").json(&body);
            request.send().await?.error_for_status()?.text().await?;
        }
        Ok::<_, reqwest_middleware::Error>(())
    });
    futures_util::future::try_join_all(agents).await?;

    let counts = provider.counts();
    println!("{} calls answered, {} refused", counts.answered, counts.refused());
    if counts.refused() == 0 { Ok(()) } else { Err("the provider has refused calls".into()) }
}
