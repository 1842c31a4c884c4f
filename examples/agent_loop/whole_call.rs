//! The cost that a pool adds to a call that does not wait.

use async_trait::async_trait;
use core::time::Duration;
use futures_util::stream;
use oxi_ai::{Api, Context, Model, Provider, ProviderError, ProviderEvent, StreamOptions};
use ringgate::EventStream;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: usize = 1000;
const CALLS_PER_ROUND: u32 = 64;

/// The cost of one whole call minus the cost without a pool, with a provider that is ready at once. Returns
/// the mean of each of many rounds, sorted. Every round has a new pool, and at most one call for each place
/// of its window.
pub(crate) async fn measure(
    limit: u32,
    pool: &dyn Fn(Arc<dyn Provider>) -> Arc<dyn Provider>,
) -> Vec<Duration> {
    let calls = limit.min(CALLS_PER_ROUND);
    let no_pool: Arc<dyn Provider> = Arc::new(Ready);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.extend(round(calls, &pool(Arc::new(Ready))).await);
        without.extend(round(calls, &no_pool).await);
    }
    with.sort_unstable();
    without.sort_unstable();
    let bare = without.get(without.len() / 2).copied().unwrap_or_default();
    with.into_iter().map(|time| time.saturating_sub(bare)).collect()
}

async fn round(calls: u32, pool: &Arc<dyn Provider>) -> Option<Duration> {
    let (model, context) = (Model::new("", "", Api::OpenAiCompletions, "", ""), Context::new());
    let start = Instant::now();
    for _ in 0..calls {
        drop(pool.stream(&model, &context, None).await.ok()?);
    }
    start.elapsed().checked_div(calls)
}

/// Ready at once, with a stream that has ended.
struct Ready;

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
