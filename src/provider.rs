//! What a pool wraps.

use crate::feedback::Feedback;
use crate::tokens::Usage;
use async_trait::async_trait;
use core::pin::Pin;
use futures_core::Stream;

/// A stream of a provider's events.
pub type EventStream<Event> = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Something that answers requests with streams of events, such as an LLM's API.
///
/// Object-safe: `Arc<dyn Provider<Request = …, Event = …, Error = …>>` is a provider to wrap.
///
/// ```
/// use async_trait::async_trait;
/// use futures_util::stream;
/// use ringgate::{EventStream, Provider, Refused};
///
/// struct Echo;
///
/// #[async_trait]
/// impl Provider for Echo {
///     type Request = String;
///     type Event = char;
///     type Error = Refused;
///
///     fn name(&self) -> &str {
///         "echo"
///     }
///
///     async fn stream(&self, request: String) -> Result<EventStream<char>, Refused> {
///         Ok(Box::pin(stream::iter(request.chars().collect::<Vec<_>>())))
///     }
/// }
/// ```
#[async_trait]
pub trait Provider: Send + Sync {
    /// What is asked.
    type Request: Send + 'static;
    /// What the answer is made of.
    type Event: Send + 'static;
    /// Why there is no answer.
    type Error: Send + 'static;

    /// The provider's name.
    fn name(&self) -> &str;

    /// Sends a request; the answer comes as a stream.
    ///
    /// # Errors
    ///
    /// The provider's own.
    async fn stream(&self, request: Self::Request)
    -> Result<EventStream<Self::Event>, Self::Error>;

    /// What a request will use at most: its input, and as much output as the answer may have (its `max_tokens`).
    ///
    /// A pool that limits tokens reserves it. Zero, the default, is never refused by a limit on tokens, and counts afterwards
    /// only. [`estimate_tokens`](crate::estimate_tokens) estimates a text. One pool may [replace](crate::ProviderPool::with_estimate)
    /// it.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use ringgate::{EventStream, Provider, Refused};
    /// use ringgate::{Usage, estimate_tokens};
    ///
    /// struct Chat {
    ///     max_tokens: u64,
    /// }
    ///
    /// #[async_trait]
    /// impl Provider for Chat {
    ///     # type Error = Refused;
    ///     type Request = String;
    ///     type Event = serde_json::Value;
    ///
    ///     fn estimate(&self, request: &String) -> Usage {
    ///         Usage::new(estimate_tokens(request), self.max_tokens)
    ///     }
    ///
    ///     fn usage(&self, event: &serde_json::Value) -> Option<Usage> {
    ///         let usage = event.get("usage")?;
    ///         let part = |name: &str| usage[name].as_u64().unwrap_or(0);
    ///         Some(Usage::new(part("prompt_tokens"), part("completion_tokens")))
    ///     }
    ///     // …
    ///     # fn name(&self) -> &str { "chat" }
    ///     # async fn stream(&self, _: String) -> Result<EventStream<serde_json::Value>, Refused> {
    ///     #     unimplemented!()
    ///     # }
    /// }
    ///
    /// let chat = Chat { max_tokens: 500 };
    /// assert_eq!(chat.estimate(&"What is a ring?".into()), Usage::new(5, 500));
    /// let last = serde_json::json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 80 } });
    /// assert_eq!(chat.usage(&last), Some(Usage::new(5, 80)));
    /// ```
    fn estimate(&self, request: &Self::Request) -> Usage {
        let _ = request;
        Usage::default()
    }

    /// What has been used so far, if the event says so.
    ///
    /// A pool that limits tokens asks for each event, and [settles](crate::LimiterPermit::settle) the call when its stream has
    /// ended. Several events may each say a part: the largest input and the largest output count. What no event says counts as
    /// zero if another event says the other part. If none says anything, which is the default, the call counts as
    /// [estimated](Self::estimate).
    fn usage(&self, event: &Self::Event) -> Option<Usage> {
        let _ = event;
        None
    }

    /// What a failed call's error says for all calls: a 429, an overload, what is left of the limits.
    ///
    /// A pool [observes](crate::Limiter::observe) it, so that one 429 pauses all its calls, and may
    /// [send the call again](crate::ProviderPool::with_retries). `None`, the default, changes nothing.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use ringgate::{EventStream, Provider, Refused};
    /// use ringgate::Feedback;
    /// use std::time::Duration;
    ///
    /// enum Error {
    ///     Http { status: u16, retry_after: Option<Duration> },
    ///     Network,
    ///     Refused(Refused), // the pool's own
    /// }
    /// # impl From<Refused> for Error {
    /// #     fn from(refused: Refused) -> Self { Self::Refused(refused) }
    /// # }
    ///
    /// struct Chat;
    ///
    /// #[async_trait]
    /// impl Provider for Chat {
    ///     # type Request = String;
    ///     # type Event = char;
    ///     type Error = Error;
    ///
    ///     fn feedback(&self, error: &Error) -> Option<Feedback> {
    ///         match *error {
    ///             Error::Http { status: 429, retry_after } => Some(Feedback::cool_down(retry_after)),
    ///             Error::Http { status: 503 | 529, .. } => Some(Feedback::overload()),
    ///             _ => None,
    ///         }
    ///     }
    ///     // …
    ///     # fn name(&self) -> &str { "chat" }
    ///     # async fn stream(&self, _: String) -> Result<EventStream<char>, Error> {
    ///     #     unimplemented!()
    ///     # }
    /// }
    ///
    /// let error = Error::Http { status: 429, retry_after: Some(Duration::from_secs(7)) };
    /// assert_eq!(Chat.feedback(&error), Some(Feedback::cool_down(Duration::from_secs(7))));
    /// # let _ = Error::Network;
    /// ```
    fn feedback(&self, error: &Self::Error) -> Option<Feedback> {
        let _ = error;
        None
    }

    /// The same for an event of a stream: an error that comes after the stream has begun, or what is left of the limits, if the
    /// first event has the answer's headers.
    ///
    /// A pool asks for each event. It observes the first that tells an error, and the first of the others that has quotas. A stream
    /// that ends without an error is a success.
    ///
    /// A pool knows of no other errors. If events are `Result`s, an `Err` of which this says nothing is an event as any other: at the
    /// stream's end the call is settled at what was said before it, and counts as a success. For an error that concerns no other call
    /// let the stream [end at it](crate::PoolStream::end_at_error).
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use ringgate::{EventStream, Provider, Refused};
    /// use ringgate::{Feedback, Signal};
    ///
    /// struct Chat;
    ///
    /// #[async_trait]
    /// impl Provider for Chat {
    ///     # type Request = String;
    ///     type Event = serde_json::Value;
    ///     # type Error = Refused;
    ///
    ///     fn event_feedback(&self, event: &serde_json::Value) -> Option<Feedback> {
    ///         (event["error"]["type"] == "overloaded_error").then(Feedback::overload)
    ///     }
    ///     // …
    ///     # fn name(&self) -> &str { "chat" }
    ///     # async fn stream(&self, _: String) -> Result<EventStream<serde_json::Value>, Refused> {
    ///     #     unimplemented!()
    ///     # }
    /// }
    ///
    /// let event = serde_json::json!({ "error": { "type": "overloaded_error" } });
    /// assert_eq!(Chat.event_feedback(&event).map(|said| said.signal()), Some(Signal::Overload));
    /// ```
    fn event_feedback(&self, event: &Self::Event) -> Option<Feedback> {
        let _ = event;
        None
    }
}
