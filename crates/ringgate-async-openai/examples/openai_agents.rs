//! Agents that share a key, before a strict server that must refuse none of their calls.

use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs,
};
use async_openai::{Client, config::OpenAIConfig};
use futures_util::future::try_join_all;
use ringgate::{Limiter, Rate, TokenLimit};
use ringgate_mock_provider::{Counting, MockProvider};
use std::{error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let second = Duration::from_secs(1);
    let server = MockProvider::builder().requests(20, second).max_in_flight(4);
    let server = server.tokens(Counting::AtArrival { total: 5_000 }).start().await?;
    let config = OpenAIConfig::new().with_api_key("any").with_api_base(server.url());

    let tokens = TokenLimit::total(5_000, second).without_refunds();
    let limiter = Limiter::builder().rate(Rate::per_second(20)).token_limit(tokens);
    let limiter = limiter.margin(second / 2).max_concurrent(4).build();
    let service = ringgate_async_openai::service(&limiter);
    let client = Client::with_config(config).with_http_service(service);

    try_join_all((0..50).map(async |agent| {
        let message = ChatCompletionRequestUserMessage::from(format!("I am agent {agent}."));
        let mut request = CreateChatCompletionRequestArgs::default();
        request.model("any").max_completion_tokens(200_u32).messages([message.into()]);
        client.chat().create(request.build()?).await
    }))
    .await?;

    let (counts, free) = (server.counts(), limiter.available_permits());
    println!("{} answers, {} refused, {free} of 4 slots free", counts.answered, counts.refused());
    let is_good = counts.refused() == 0 && free == 4;
    is_good.then_some(()).ok_or_else(|| "it was not as it should be".into())
}
