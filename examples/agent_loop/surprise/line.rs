//! What `ProviderPool` does, in the open: one limiter before all calls, and what each answer says goes to it.

use super::record::Record;
use crate::client::{ChatRequest, Error, Event, OpenAiCompatible};
use futures_util::StreamExt;
use ringgate::{EventStream, Limiter, PoolStream, Provider, Usage};
use std::sync::Arc;

/// All agents of a run send their calls through one of these.
pub(crate) struct Line {
    limiter: Limiter,
    provider: OpenAiCompatible,
    listens: bool,
    record: Arc<Record>,
}

impl Line {
    /// If it listens, the limiter is told what each answer says.
    pub(crate) fn new(
        limiter: Limiter,
        provider: OpenAiCompatible,
        listens: bool,
        record: &Arc<Record>,
    ) -> Self {
        Self { limiter, provider, listens, record: Arc::clone(record) }
    }

    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Sends a call when the limiter allows it.
    pub(crate) async fn ask(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        let expected = self.provider.estimate(&request);
        let permit = self.limiter.call().tokens(expected).acquire_owned().await?;
        request.ticket.admit();
        let flight = self.record.take_off();
        let (feedback, answer) = self.provider.call(&request).await;
        if self.listens {
            permit.observe(&feedback);
        }
        match answer {
            Ok(events) => {
                let events = PoolStream::with_usage(events, permit, usage);
                // In flight until the stream is dropped.
                Ok(Box::pin(events.inspect(move |_| flight.goes_on())))
            }
            Err(error) => {
                if error.is_not_now() {
                    self.record.refused(&flight);
                }
                // This server counts no call that it refuses.
                permit.cancel();
                Err(error)
            }
        }
    }
}

fn usage(event: &Event) -> Option<Usage> {
    if let Event::Usage(usage) = event { Some(*usage) } else { None }
}
