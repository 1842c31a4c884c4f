//! A provider for any server that speaks the OpenAI protocol.

use crate::heard::{feedback, retry_after};
use crate::ticket::Ticket;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response, StatusCode};
use core::fmt;
use core::time::Duration;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::future::ready;
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ringgate::{EventStream, Feedback, Provider, Refused, Usage, estimate_tokens};
use ringgate_mock_provider::{Counting, count_tokens};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the agents ask for.
pub(crate) const MODEL: &str = "loopback";

/// A message of a conversation.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

impl Message {
    pub(crate) fn user(content: String) -> Self {
        Self { role: "user", content }
    }

    pub(crate) fn assistant(content: String) -> Self {
        Self { role: "assistant", content }
    }

    fn to_json(&self) -> Value {
        json!({ "role": self.role, "content": self.content })
    }
}

/// A request, and the ticket by which its owner learns when it was admitted.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Message>,
    /// The most tokens that the answer may have, if that is limited.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) ticket: Arc<Ticket>,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Event {
    /// Text to append.
    Delta(String),
    /// What the call has used.
    Usage(Usage),
    /// The answer is complete.
    Done,
    /// The answer will not be complete.
    Failed(Error),
}

/// Why there is no answer, or only part of one.
#[derive(Debug)]
pub(crate) enum Error {
    /// The limiter refuses all calls permanently.
    Refused(Refused),
    /// The pool refuses the call for now.
    TurnedAway { retry_after: Option<Duration> },
    /// The server answers 429, and when to retry.
    TooManyRequests { retry_after: Option<Duration> },
    /// The server answers 503: fewer calls at a time.
    Overloaded,
    /// The server answers another error.
    Status(StatusCode),
    /// The client did not send it, because its admission was too old by then.
    TooLate,
    /// The connection failed.
    Http(Box<dyn std::error::Error + Send + Sync>),
    /// The answer does not follow the protocol.
    Protocol(String),
}

impl Error {
    /// True if the pool refused the call and did not send it.
    pub(crate) fn turned_away(&self) -> bool {
        matches!(self, Self::TurnedAway { .. })
    }

    /// True if a limit of the pool or the server is the reason, so that the call may be retried.
    pub(crate) fn is_not_now(&self) -> bool {
        matches!(self, Self::TurnedAway { .. } | Self::TooManyRequests { .. } | Self::Overloaded)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "the limiter refuses: {refused}"),
            Self::TurnedAway { retry_after } => {
                write!(f, "the pool turns it away, retry after {retry_after:?}")
            }
            Self::TooManyRequests { retry_after } => write!(f, "429, retry after {retry_after:?}"),
            Self::Overloaded => f.write_str("503, overloaded"),
            Self::Status(status) => write!(f, "the server says {status}"),
            Self::TooLate => f.write_str("admitted too long ago to be sent"),
            Self::Http(error) => write!(f, "{error}"),
            Self::Protocol(what) => write!(f, "the answer is broken: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A server that speaks the OpenAI protocol.
#[derive(Debug)]
pub(crate) struct OpenAiCompatible {
    client: Client<HttpConnector, Body>,
    url: String,
    tokens: Counting,
    /// The name by which it calls itself, if the server should know.
    user: Option<Arc<str>>,
    /// How long after its admission a call may be sent at most.
    send_within: Option<Duration>,
}

impl OpenAiCompatible {
    /// The API that begins at `base`, and how it counts tokens.
    pub(crate) fn new(base: &str, tokens: Counting) -> Self {
        let mut connector = HttpConnector::new();
        // Requests are small: without this the system would hold them back to fill packets.
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self {
            client,
            url: format!("{base}/chat/completions"),
            tokens,
            user: None,
            send_within: None,
        }
    }

    /// The same, with a name of its own.
    pub(crate) fn with_user(self, user: &str) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// The same, but calls that were admitted longer ago are not sent: [`Error::TooLate`].
    ///
    /// It looks when the bytes are about to be written. A process that is stopped between the look and the
    /// writing sends late all the same; nothing but the server can tell.
    pub(crate) fn sending_within(self, most: Duration) -> Self {
        Self { send_within: Some(most), ..self }
    }

    /// What the answer says to all callers, and the answer.
    pub(crate) async fn call(
        &self,
        request: &ChatRequest,
    ) -> (Feedback, Result<EventStream<Event>, Error>) {
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(error) => return (Feedback::new(), Err(error)),
        };
        let feedback = feedback(response.status(), response.headers());
        (feedback, answer(response).await)
    }

    async fn send(&self, request: &ChatRequest) -> Result<Response<Body>, Error> {
        let ticket = &request.ticket;
        let request = self.request(request).map_err(|error| Error::Http(error.into()))?;
        let response = self.client.request(request).await.map_err(|error| {
            if ticket.is_too_late() { Error::TooLate } else { Error::Http(error.into()) }
        })?;
        Ok(response.map(Body::new))
    }

    fn request(&self, request: &ChatRequest) -> axum::http::Result<Request<Body>> {
        let messages: Vec<_> = request.messages.iter().map(Message::to_json).collect();
        let mut question = json!({ "model": MODEL, "stream": true, "messages": messages });
        if let Some(max_tokens) = request.max_tokens {
            question["max_tokens"] = max_tokens.into();
            question["stream_options"] = json!({ "include_usage": true });
        }
        if let Some(user) = &self.user {
            question["user"] = (**user).into();
        }
        let question = question.to_string();
        let body = match self.send_within {
            Some(most) => in_time(question, &request.ticket, most),
            None => question.into(),
        };
        Request::post(&self.url).header(CONTENT_TYPE, "application/json").body(body)
    }
}

#[async_trait]
impl Provider for OpenAiCompatible {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &str {
        &self.url
    }

    /// Where all counts at arrival, an estimate that is too high is lost for good: the prompt is
    /// counted as the server does it, as a tokenizer would. Elsewhere the library's estimate does;
    /// it is too high by a third here, and corrected when the answer ends.
    fn estimate(&self, request: &ChatRequest) -> Usage {
        let texts = request.messages.iter().map(|message| message.content.as_str());
        let input = match self.tokens {
            Counting::AsSent { .. } => texts.map(estimate_tokens).sum(),
            _ => count_tokens(&texts.collect::<String>()),
        };
        Usage::new(input, request.max_tokens.unwrap_or(0))
    }

    fn usage(&self, event: &Event) -> Option<Usage> {
        if let Event::Usage(usage) = event { Some(*usage) } else { None }
    }

    /// The pool calls this when it has admitted the call: the wait in line ends here.
    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        request.ticket.admit();
        answer(self.send(&request).await?).await
    }
}

/// A body that looks at the time when it is asked for its bytes. If it is too late the request is not sent: its
/// head is written together with these.
fn in_time(bytes: String, ticket: &Arc<Ticket>, most: Duration) -> Body {
    let ticket = Arc::clone(ticket);
    Body::from_stream(stream::once(async move {
        if ticket.in_time(most) { Ok(bytes) } else { Err(Error::TooLate) }
    }))
}

async fn answer(response: Response<Body>) -> Result<EventStream<Event>, Error> {
    let error = match response.status() {
        StatusCode::OK => {
            let events = response.into_body().into_data_stream().eventsource();
            return Ok(Box::pin(events.map(|event| read(event).unwrap_or_else(Event::Failed))));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Error::TooManyRequests { retry_after: retry_after(response.headers()) }
        }
        StatusCode::SERVICE_UNAVAILABLE => Error::Overloaded,
        status => return Err(Error::Status(status)),
    };
    // Read to its end, so that the connection can be used again. Its content is known.
    let _ = response.into_body().into_data_stream().try_for_each(|_| ready(Ok(()))).await;
    Err(error)
}

type Received = Result<eventsource_stream::Event, EventStreamError<axum::Error>>;

fn read(received: Received) -> Result<Event, Error> {
    let data = received.map_err(|error| Error::Protocol(error.to_string()))?.data;
    if data == "[DONE]" {
        return Ok(Event::Done);
    }
    let chunk: Value =
        serde_json::from_str(&data).map_err(|error| Error::Protocol(error.to_string()))?;
    if let Some(usage) = chunk["usage"].as_object() {
        let part = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
        return Ok(Event::Usage(Usage::new(part("prompt_tokens"), part("completion_tokens"))));
    }
    let choices = chunk["choices"].as_array().ok_or(Error::Protocol(data))?;
    let texts = choices.iter().filter_map(|choice| choice["delta"]["content"].as_str());
    Ok(Event::Delta(texts.collect()))
}
