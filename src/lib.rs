//! A lock-free limiter that many LLM agents share, so that together they never exceed a provider's
//! limits and lose next to no time to the limiter itself.
//!
//! * [`Limiter`]: requests and tokens in any window of time and calls in flight, with one fair line.
//! * [`ProviderPool`]: a [`Provider`] behind a limiter, by a [`RateLimitPolicy`].
//! * [`HeldStream`] and [`HeldFuture`]: a permit that goes with an answer.
//! * [`SlidingWindow`], [`TokenWindow`] and [`Semaphore`]: the lock-free parts, each of use by itself.
//! * [`Feedback`]: what a provider says in an answer, as a value.
//! * [`time`]: choosing a clock, and a [`ManualClock`](time::ManualClock) for tests.
//!
//! The [`guide`] shows them in agent loops, with clients and servers in use, and in tests, and how to choose limits.
//!
//! ```
//! use ringgate::{Limit, Limiter, Rate};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ringgate::Refused> {
//! // 60 requests in any minute, 4 at a time, for all clones together.
//! let limiter = Limiter::new(Rate::per_minute(60), 4);
//!
//! let permit = limiter.acquire().await?;
//! // … the call …
//! drop(permit);
//!
//! match limiter.try_acquire() {
//!     Ok(_permit) => { /* the call */ }
//!     Err(refused) if refused.limit() == Limit::Rate => {
//!         println!("retry in {:?}", refused.retry_after());
//!     }
//!     Err(_) => println!("too many calls in flight"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! **Exact.** Never more admissions in any window than the limit, by the recorded stamps, and never
//! a refusal while there is room (with limits above 2^20, within a stated granularity). **Fair.** First in, first out. **Cancel-safe.** Any future can be
//! dropped at any point. **Lock-free.** No operation waits for another thread. Each type says in
//! which sense; [`verification`] says how to check.
//!
//! # Features
//!
//! `tokio` (default): the default clock follows tokio's, paused time included. `quanta`: a clock on
//! the processor's time-stamp counter. `serde`: policies and
//! [snapshots](LimiterSnapshot) can be read and written, and [`LimiterStats`] can be written. `http`: [`Feedback`] and
//! [`Usage`] are read from the answers of providers. `http-body`: a permit goes with an HTTP body.
//! `tower`: a layer that gives each request of a service a permit. `tracing`: events for waits, refusals, pauses and what
//! a provider refuses. `metrics`: what [`Limiter::stats`] says, for a recorder.
//!
//! Crates beside this one: [`ringgate-reqwest`](guide::reqwest) for reqwest's and [rig's](guide::rig) clients,
//! [`ringgate-async-openai`](guide::async_openai), `ringgate-oxi-ai` with a drop-in replacement for oxi-ai's `ProviderPool`, and
//! [`ringgate-mock-provider`](guide::testing#a-provider-that-refuses) for tests.
//!
//! # Targets
//!
//! Any with 64-bit atomic operations, 32-bit ones included; on `wasm32-unknown-unknown` the browser's
//! clock takes the place of the system's. Threads that wait (`blocking_acquire`) need `std`'s threads.
//!
//! # Layers
//!
//! ```text
//! pool · provider · policy       a provider behind a limiter
//! tower                          a limiter before a service
//! hold                           a permit that goes with a call's answer
//! limiter · window               the public types `Limiter` and `SlidingWindow`
//! limiter_core                   one line before rates, tokens and slots
//! semaphore · tokens · usage     the public types `Semaphore` and `TokenWindow`; usage that an answer tells
//! raw                            the lock-free engines; they read no clock themselves
//! blocking · coop · rate · events · error · feedback · time
//!                                parking, tokio's budget, limits, what watchers are told, errors, what a provider says,
//!                                the one door to clocks
//! sync                           the one door to primitives
//! ```

#[cfg(not(target_has_atomic = "64"))]
compile_error!("ringgate needs a target with 64-bit atomic operations");

mod blocking;
mod coop;
mod error;
mod events;
mod feedback;
#[cfg(doc)]
pub mod guide;
mod hold;
mod limiter;
mod limiter_core;
mod policy;
mod pool;
mod provider;
mod rate;
mod raw;
mod semaphore;
mod sync;
#[cfg(test)]
mod tests;
pub mod time;
mod token_window;
mod tokens;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(doc)]
#[doc = include_str!("../docs/verification.md")]
pub mod verification {}
#[cfg(feature = "http")]
mod usage;
mod window;

pub use error::{AcquireError, Limit, NoSuchRateError, OverLimit, Refused, TryAcquireError};
#[cfg(feature = "http")]
pub use feedback::{Dialect, FeedbackReader};
pub use feedback::{Feedback, Quota, QuotaKind, QuotaWindow, Signal, StopReason};
#[cfg(feature = "http-body")]
pub use hold::HeldBody;
pub use hold::{HeldFuture, HeldStream, StalledError};
#[cfg(feature = "metrics")]
pub use limiter::describe_metrics;
pub use limiter::{
    BuildLeasedError, Demand, LeasedLimit, Lessee, LimitStats, Limiter, LimiterAcquire,
    LimiterAcquireOwned, LimiterBuilder, LimiterCall, LimiterPermit, LimiterReservation,
    LimiterSnapshot, LimiterStats, ObservedAnswers, OwnedLimiterPermit, OwnedLimiterReservation,
    Priority, RefusedCalls, Rouser, TokenStats, WaitingCalls,
};
pub use policy::RateLimitPolicy;
pub use pool::{PoolStream, ProviderPool};
pub use provider::{EventStream, Provider};
pub use rate::Rate;
pub use semaphore::{Acquire, AcquireOwned, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use token_window::{
    OwnedTokenReservation, TokenAcquire, TokenAcquireOwned, TokenReservation, TokenWindow,
    TokenWindowBuilder,
};
pub use tokens::{TokenLimit, Usage, estimate_tokens};
#[cfg(feature = "http")]
pub use usage::UsageReader;
pub use window::{SlidingWindow, SlidingWindowBuilder, WindowAcquire, WindowAcquireOwned};

#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
