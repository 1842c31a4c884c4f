//! A provider for anything that speaks the OpenAI protocol.

use crate::ticket::Ticket;
use async_trait::async_trait;
use core::fmt;
use core::time::Duration;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::StreamExt;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode};
use ringgate::{EventStream, Provider, Refused};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the agents ask for.
pub(crate) const MODEL: &str = "loopback";

/// A message of a conversation.
#[derive(Debug, Clone, Serialize)]
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
}

/// A request, and the ticket by which its owner learns when it was admitted.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Message>,
    pub(crate) ticket: Arc<Ticket>,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Event {
    /// Text to append.
    Delta(String),
    /// The answer is complete.
    Done,
    /// It will not be.
    Failed(Error),
}

/// Why there is no answer, or only half of one.
#[derive(Debug)]
pub(crate) enum Error {
    /// The limiter's: no call will ever be admitted.
    Refused(Refused),
    /// The pool's: not now.
    TurnedAway { retry_after: Option<Duration> },
    /// The server's 429, and when to come again.
    TooManyRequests { retry_after: Option<Duration> },
    /// Any other status that is no success.
    Status(StatusCode),
    /// The connection failed.
    Http(reqwest::Error),
    /// The answer is not what the protocol says.
    Protocol(String),
}

impl Error {
    /// Whether the pool has refused, and the server knows nothing of it.
    pub(crate) fn turned_away(&self) -> bool {
        matches!(self, Self::TurnedAway { .. })
    }

    /// Whether a limit is the reason, the pool's or the server's: the call may come again.
    pub(crate) fn is_not_now(&self) -> bool {
        matches!(self, Self::TurnedAway { .. } | Self::TooManyRequests { .. })
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
            Self::Status(status) => write!(f, "the server says {status}"),
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

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}

/// A server that speaks the OpenAI protocol.
#[derive(Debug)]
pub(crate) struct OpenAiCompatible {
    client: Client,
    url: String,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: &'a [Message],
}

impl OpenAiCompatible {
    /// The API that begins at `base`.
    pub(crate) fn new(base: String) -> Result<Self, Error> {
        // A proxy of the environment would have no way to this machine's loopback.
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { client, url: base + "/chat/completions" })
    }

    async fn send(&self, messages: &[Message]) -> Result<Response, Error> {
        let body = Body { model: MODEL, stream: true, messages };
        let response = self.client.post(&self.url).json(&body).send().await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::TOO_MANY_REQUESTS => Err(too_many_requests(response).await),
            status => Err(Error::Status(status)),
        }
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

    /// The pool calls this when it has admitted the call: here the wait in line ends.
    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        request.ticket.admit();
        let response = self.send(&request.messages).await?;
        let events = response.bytes_stream().eventsource();
        Ok(Box::pin(events.map(|event| read(event).unwrap_or_else(Event::Failed))))
    }
}

async fn too_many_requests(response: Response) -> Error {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.parse().ok());
    let retry_after = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Read to its end, so that the connection can be used again; what it says is known.
    let _ = response.bytes().await;
    Error::TooManyRequests { retry_after }
}

#[derive(Debug, Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Debug, Deserialize)]
struct Delta {
    #[serde(default)]
    content: String,
}

type Received = Result<eventsource_stream::Event, EventStreamError<reqwest::Error>>;

fn read(received: Received) -> Result<Event, Error> {
    let data = received.map_err(|error| Error::Protocol(error.to_string()))?.data;
    if data == "[DONE]" {
        return Ok(Event::Done);
    }
    let chunk: Chunk =
        serde_json::from_str(&data).map_err(|error| Error::Protocol(error.to_string()))?;
    Ok(Event::Delta(chunk.choices.into_iter().map(|choice| choice.delta.content).collect()))
}
