//! A strict LLM provider on loopback, for tests of whatever calls one.
//!
//! It speaks to clients of OpenAI and of Anthropic, keeps limits on requests, tokens and calls in flight to the letter,
//! and does on demand what real providers do without: 429s, overloads, stops, answers that stall or break off. It
//! knows no limiter: its windows are plain lists behind a lock.
//!
//! ```
//! use core::time::Duration;
//! use ringgate_mock_provider::{Counting, MockProvider};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let provider = MockProvider::builder()
//!     .requests(40, Duration::from_secs(2))
//!     .tokens(Counting::AtArrival { total: 30_000 })
//!     .max_in_flight(16)
//!     .start()
//!     .await?;
//! // … a client calls `provider.url()` …
//! assert_eq!(provider.counts().refused(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What it answers
//!
//! | path | answer |
//! |---|---|
//! | `POST /v1/chat/completions` | OpenAI: JSON, or with `stream` events; usage in them with `stream_options.include_usage` |
//! | `POST /v1/responses` | OpenAI: JSON, or with `stream` events |
//! | `POST /v1/embeddings` | OpenAI: a short vector of numbers for each text |
//! | `POST /v1/messages` | Anthropic: JSON, or with `stream` events |
//!
//! All other requests, and bodies that cannot be read, get an error of their dialect and count as
//! [`invalid`](Counts::invalid). No key is asked for. An answer is a text of no meaning, and depends on nothing but the
//! request and the number of its call.
//!
//! # How it counts
//!
//! A call counts when its body has been read, in `(now - window, now]`. Refused calls count nothing. In flight is a call
//! until the last part of its answer is made, or until its client closes the connection, which shows at once.
//!
//! A token is four bytes of text ([`count_tokens`], [`count_prompt`]), and answers tell exactly these numbers as
//! their usage. [`Counting`] says when they count. Which limits there are is told in [`Terms`].
//!
//! # What it says
//!
//! Each answer and each refusal says in its headers what is left: `x-ratelimit-*` with durations as Go writes them
//! (OpenAI), `anthropic-ratelimit-*` with the moment of full replenishment in whole seconds (Anthropic, but remaining tokens
//! are not rounded). A 429 says when there is room: `retry-after` in whole seconds, rounded up, and for OpenAI's clients
//! `retry-after-ms`. What stops and overloads look like is told at [`Stop`] and [`Surprise::Overload`].
//!
//! # Surprises
//!
//! ```
//! # use core::time::Duration;
//! # use ringgate_mock_provider::{After, Fault, MockProvider, Script, Stop, Surprise};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let script = Script::new().at(Duration::from_secs(5), Surprise::Overload { capacity: 2 });
//! let provider = MockProvider::builder().script(script).start().await?;
//! provider.fail_next(1, Fault::BreakOff(After::Frames(3)));
//! provider.close_for(Duration::from_millis(200));
//! provider.stop_with(Stop::QuotaExhausted);
//! provider.resume(); // neither stopped nor closed nor overloaded
//! # Ok(())
//! # }
//! ```
//!
//! # Cost
//!
//! One task for each connection, one short lock for each call and each part of an answer. The [log](MockProvider::log) keeps every
//! call until the provider is dropped. It is a tool for tests, on the system's clock: a paused tokio clock stops the
//! answers' pauses, not the windows.
//!
//! # Cancel safety
//!
//! Dropping [`MockProviderBuilder::start`] starts nothing or stops what it has started. Dropping a [`MockProvider`]
//! closes its port and all its connections, and ends its script.
//!
//! # Errors
//!
//! Only the start can fail. Numbers that make no sense are taken as far as they go: a time of more than a year counts as a
//! year, a range that ends before it starts as its start.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the ban on clocks and locks is about the limiter; this must be simple"
)]

mod anthropic;
mod builder;
mod call;
mod dialect;
mod errors;
mod flight;
mod headers;
mod ledger;
mod log;
mod meter;
mod openai;
mod plan;
mod provider;
mod responses;
mod routes;
mod sending;
mod server;
mod settings;
mod sse;
mod surprise;
mod terms;
mod time;
mod tokens;

pub use builder::MockProviderBuilder;
pub use log::{Counts, End, Event, InWindow, Log, Reason};
pub use provider::{MockProvider, Playing};
pub use surprise::{After, Fault, Script, Stop, Surprise};
pub use terms::{Counting, Terms};
pub use tokens::{count_prompt, count_tokens, text_of};
