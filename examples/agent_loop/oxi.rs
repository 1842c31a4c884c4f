//! The agents' calls through oxi-ai: its types, its own provider, and any pool that is one of its providers.

use crate::client::{ChatRequest, Error, Event, MODEL, Message};
use crate::tally::Tally;
use crate::ticket::Ticket;
use async_trait::async_trait;
use axum::http::StatusCode;
use futures_util::{StreamExt, future};
use oxi_ai::{
    Api, AssistantMessage, ContentBlock, Context, Model, OpenAiProvider, ProviderError,
    ProviderEvent, StreamOptions, TextContent, UserMessage,
};
use ringgate::{EventStream, Provider};
use std::sync::Arc;
use tokio::task_local;

task_local! {
    /// The ticket of the call that this task makes: oxi-ai's requests have no field for it.
    static TICKET: Arc<Ticket>;
}

/// oxi-ai's provider for this server, as the pools wrap it.
pub(crate) fn provider(url: &str) -> Arc<dyn oxi_ai::Provider> {
    Arc::new(Watched(OpenAiProvider::with_base_url_and_key(url, Some("any key".to_owned()))))
}

/// A provider that records when a call is admitted and when its stream is dropped.
struct Watched(OpenAiProvider);

#[async_trait]
impl oxi_ai::Provider for Watched {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(
        &self,
        model: &Model,
        context: &Context,
        options: Option<StreamOptions>,
    ) -> Result<EventStream<ProviderEvent>, ProviderError> {
        let flight = TICKET.with(|ticket| {
            ticket.admit();
            Flight::new(ticket.tally())
        });
        let events = self.0.stream(model, context, options).await?;
        Ok(Box::pin(events.inspect(move |_| {
            let _until_the_stream_goes = &flight;
        })))
    }
}

/// A call between its admission and the end of its stream.
struct Flight(Arc<Tally>);

impl Flight {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.take_off();
        Self(Arc::clone(tally))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.land();
    }
}

/// A pool of oxi-ai's kind, for agents that know only this example's requests.
pub(crate) struct ByOxiAi {
    pool: Arc<dyn oxi_ai::Provider>,
    model: Model,
}

impl ByOxiAi {
    pub(crate) fn new(pool: Arc<dyn oxi_ai::Provider>) -> Self {
        let model = Model::new(MODEL, MODEL, Api::OpenAiCompletions, "openai", "");
        Self { pool, model }
    }
}

#[async_trait]
impl Provider for ByOxiAi {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &str {
        self.pool.name()
    }

    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        let context = Context::from(request.messages.iter().map(translate).collect::<Vec<_>>());
        let call = self.pool.stream(&self.model, &context, None);
        let events = TICKET.scope(request.ticket, call).await?;
        Ok(Box::pin(events.filter_map(|event| future::ready(read(event)))))
    }
}

fn translate(message: &Message) -> oxi_ai::Message {
    if message.role == "user" {
        return oxi_ai::Message::User(UserMessage::new(message.content.as_str()));
    }
    let mut said = AssistantMessage::new(Api::OpenAiCompletions, "openai", MODEL);
    said.content.push(ContentBlock::Text(TextContent::new(message.content.as_str())));
    oxi_ai::Message::Assistant(said)
}

/// `None` for events that the agents do not read.
fn read(event: ProviderEvent) -> Option<Event> {
    match event {
        ProviderEvent::TextDelta { delta, .. } => Some(Event::Delta(delta)),
        ProviderEvent::Done { .. } => Some(Event::Done),
        ProviderEvent::Error { error, .. } => {
            Some(Event::Failed(Error::Protocol(format!("{error:?}"))))
        }
        _ => None,
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        let retry_after = error.retry_after();
        match error {
            ProviderError::RateLimited { .. } => Self::TurnedAway { retry_after },
            ProviderError::HttpError(429, _) => Self::TooManyRequests { retry_after },
            ProviderError::RequestFailed(error) => Self::Http(error.into()),
            ProviderError::HttpError(status, text) => {
                StatusCode::from_u16(status).map_or_else(|_| Self::Protocol(text), Self::Status)
            }
            error => Self::Protocol(error.to_string()),
        }
    }
}
