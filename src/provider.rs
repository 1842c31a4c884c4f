//! What a pool wraps.

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
}
