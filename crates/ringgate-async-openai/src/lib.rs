//! A [`ringgate`] limiter for the client of the crate async-openai 0.43.
//!
//! ```
//! use async_openai::{Client, config::OpenAIConfig};
//! use ringgate::{Limiter, RateLimitPolicy};
//!
//! let limiter = Limiter::from(&RateLimitPolicy::openai(500, 30_000).with_max_concurrent(8));
//! let client = Client::with_config(OpenAIConfig::new())
//!     .with_http_service(ringgate_async_openai::service(&limiter));
//! # drop(client);
//! ```
//!
//! Each request of the client takes a permit, and holds it until its answer has been read to the end, streamed or not. All clients that are given the
//! limiter share it. For settings see [`LimiterService`].
//!
//! # Retries
//!
//! async-openai's client repeats what was refused with a 429, a 5xx, or no connection, up to three times. [`service`] has these retries
//! above the limiter, as the client has them without it: each attempt takes a permit of its own, and none is held while they wait.
//! A 429 pauses all calls of the limiter. The retry waits for `retry-after` itself, in whole seconds (the limiter also reads
//! `retry-after-ms`); then its next attempt waits in line like the others.
//!
//! A [`LimiterService`] alone repeats nothing. Put it below another retry layer, for
//! [`SimpleRetryPolicy`](async_openai::middleware::retry::SimpleRetryPolicy) or one of your own. `with_http_service` replaces
//! what `with_http_client` has set: give a client of your own to [`LimiterService::new`].
//!
//! # Tokens
//!
//! If the limiter has limits on tokens, a call reserves [an estimate](ringgate::Usage::estimate_from_request) from the request's JSON body. It is settled at the `usage` in
//! its answer. An answer that tells none, breaks off, or is dropped before it is complete counts as reserved. A call that got no
//! connection gives its tokens back.
//!
//! A streamed chat completion tells its usage only if the request has `stream_options.include_usage`. The request is not changed for that
//! unless you say so: see [`LimiterService::ask_for_usage`]. Streamed responses tell it always.
//!
//! Bodies that are not JSON (uploads) reserve no tokens. Requests without a body take a permit, too.
//!
//! # What the provider says
//!
//! The limiter [observes](Limiter::observe) the status and the headers of each answer, and an error in a stream that has begun. The permit
//! of an error is released at its headers; that of a 429 which tells there no time to wait at its body's end. The body is read along
//! when the client reads it: so a 429 that says `insufficient_quota` stops all calls. The body of a 5xx that is repeated is not read.
//!
//! # Errors
//!
//! A call that the limiter refuses ends with [`OpenAIError::Boxed`]. The error in it is a [`Refused`], and [`refused`] finds it. It is not
//! repeated. Other errors are those of the client. One that comes while an answer is read has one `reqwest::Error` more in its
//! chain of sources.
//!
//! # Fairness and cancel safety
//!
//! Attempts are admitted in the order in which they are first polled, by [priority](LimiterService::priority). A call can be dropped at any point. While it
//! waits it gives up its place, and nothing is counted. After that its slot is free; its request and its tokens count as reserved.
//!
//! A stream of async-openai's is read by a task that it spawns, whether you poll the stream or not. So its permit ends with the answer, or when that task
//! sees that the stream has been dropped.
//!
//! # Cost
//!
//! What the service adds to a call of async-openai's client, where nothing is sent:
//!
//! | | client alone | added | allocations alone | added |
//! |---|---|---|---|---|
//! | an answer of 300 bytes | 6 µs | 6 µs | 47 | 25 |
//! | the same, with an estimate from a body of 1 KB | 6 µs | 8 µs | 47 | 25 |
//! | a stream of 32 events, 150 bytes each | 52 µs | 58 µs | 387 | 25 |
//!
//! Medians of `cargo bench -p ringgate-async-openai` on two cores of an AMD EPYC. Each byte of an answer
//! is looked at for the usage; that is what a stream costs.
//!
//! A call that has to wait keeps its request in memory: bound how many wait by
//! [`max_waiters`](ringgate::LimiterBuilder::max_waiters).
//!
//! # Targets
//!
//! It turns on no TLS. That is a feature of your own dependency on async-openai: `rustls` by default.
//!
//! Not for wasm: the futures of reqwest cannot be sent there.

mod ask;
mod attempt;
mod error_body;
mod service;

pub use attempt::DEFAULT_OUTPUT;
pub use service::{AttemptFuture, LimiterService};

use async_openai::error::OpenAIError;
use async_openai::middleware::retry::OpenAIRetry;
use ringgate::{Limiter, Refused};

/// A service for [`Client::with_http_service`](async_openai::Client::with_http_service): a client of reqwest's behind the limiter,
/// and above it the retries that async-openai's client has by default.
///
/// # Panics
///
/// As [`reqwest::Client::new`], which async-openai's client calls itself: if its TLS backend cannot be initialised.
///
/// ```
/// use async_openai::{Client, config::OpenAIConfig};
/// use ringgate::{Limiter, Rate};
///
/// let limiter = Limiter::new(Rate::per_minute(60), 4);
/// let service = ringgate_async_openai::service(&limiter);
/// let client = Client::with_config(OpenAIConfig::new()).with_http_service(service);
/// # drop(client);
/// ```
#[must_use]
pub fn service(limiter: &Limiter) -> OpenAIRetry<LimiterService> {
    LimiterService::new(limiter.clone(), reqwest::Client::new()).with_retries()
}

/// The limiter's refusal, if the error is one.
///
/// ```
/// use async_openai::{Client, config::OpenAIConfig};
/// use async_openai::types::chat::CreateChatCompletionRequest;
/// use ringgate::{Limit, Limiter, Rate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limiter = Limiter::new(Rate::per_minute(60), 4);
/// let client = Client::with_config(OpenAIConfig::new())
///     .with_http_service(ringgate_async_openai::service(&limiter));
/// limiter.close();
/// let error = client.chat().create(CreateChatCompletionRequest::default()).await.unwrap_err();
/// assert_eq!(ringgate_async_openai::refused(&error).unwrap().limit(), Limit::Closed);
/// # }
/// ```
#[must_use]
pub fn refused(error: &OpenAIError) -> Option<&Refused> {
    match error {
        OpenAIError::Boxed(error) => error.downcast_ref(),
        _ => None,
    }
}
