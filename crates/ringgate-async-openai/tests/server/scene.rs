//! A strict server, and a client with a limiter.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use ringgate::{Limiter, Rate};
use ringgate_async_openai::LimiterService;
use ringgate_mock_provider::{Counts, MockProvider, MockProviderBuilder};
use std::time::Duration;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const SLOTS: usize = 4;
/// Requests in an hour.
pub(crate) const RATE: u32 = 1_000;
/// Tokens in an hour.
pub(crate) const TOKENS: u64 = 1_000_000;
/// The most that an answer may have.
pub(crate) const MOST: u32 = 300;

pub(crate) type OpenAI = Client<OpenAIConfig>;

pub(crate) struct Scene {
    pub(crate) provider: MockProvider,
    pub(crate) limiter: Limiter,
}

impl Scene {
    /// The limiter is never short of anything but slots.
    pub(crate) async fn with(provider: MockProviderBuilder, slots: usize) -> Self {
        let limiter = Limiter::builder()
            .rate(Rate::new(RATE, HOUR))
            .tokens(TOKENS, HOUR)
            .max_concurrent(slots)
            .build();
        Self { provider: provider.start().await.unwrap(), limiter }
    }

    pub(crate) async fn new() -> Self {
        Self::with(MockProvider::builder().max_in_flight(SLOTS), SLOTS).await
    }

    pub(crate) fn config(&self) -> OpenAIConfig {
        OpenAIConfig::new().with_api_key("any").with_api_base(self.provider.url())
    }

    /// As most will make it.
    pub(crate) fn client(&self) -> OpenAI {
        let service = ringgate_async_openai::service(&self.limiter);
        Client::with_config(self.config()).with_http_service(service)
    }

    /// One that asks for usage.
    pub(crate) fn asking(&self) -> OpenAI {
        let service = LimiterService::new(self.limiter.clone(), reqwest::Client::new());
        let service = service.ask_for_usage().with_retries();
        Client::with_config(self.config()).with_http_service(service)
    }

    pub(crate) fn requests(&self) -> usize {
        usize::try_from(RATE - self.limiter.remaining()).unwrap()
    }

    pub(crate) fn tokens(&self) -> u64 {
        TOKENS - self.limiter.remaining_tokens()
    }

    /// Looks again and again until the server's counts are so.
    pub(crate) async fn until(&self, is_so: impl Fn(Counts) -> bool) -> Counts {
        until(|| Some(self.provider.counts()).filter(|counts| is_so(*counts))).await
    }

    /// Until all slots are free: streams are read by a task of async-openai's.
    pub(crate) async fn until_free(&self) {
        until(|| {
            let free = self.limiter.available_permits();
            (free == self.limiter.concurrency_limit()).then_some(())
        })
        .await;
    }
}

/// A minute is longer than it ever takes.
pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HOUR / 60, seen).await.expect("it does not come about")
}

pub(crate) fn request() -> CreateChatCompletionRequest {
    CreateChatCompletionRequestArgs::default()
        .model("any")
        .max_completion_tokens(MOST)
        .messages([ChatCompletionRequestUserMessage::from("What is a ring?").into()])
        .build()
        .unwrap()
}
