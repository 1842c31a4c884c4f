//! A provider for what measures the pool alone.

use async_trait::async_trait;
use futures_util::stream;
use oxi_ai::{Context, Model, Provider, ProviderError, ProviderEvent, StreamOptions};
use ringgate::EventStream;

/// Ready at once, with a stream that has ended.
pub(crate) struct Ready;

#[async_trait]
impl Provider for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    async fn stream(
        &self,
        _: &Model,
        _: &Context,
        _: Option<StreamOptions>,
    ) -> Result<EventStream<ProviderEvent>, ProviderError> {
        Ok(Box::pin(stream::iter(Vec::new())))
    }
}
