//! A limiter before a [`tower`](https://docs.rs/tower) service that answers HTTP requests.
//!
//! Each request takes a permit, and the permit goes with the answer's body until its end. Needs the feature `tower`.
//!
//! ```
//! use http_body_util::{BodyExt, Full};
//! use ringgate::tower::LimiterLayer;
//! use ringgate::{Limiter, Rate};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # let client = service_fn(|_: http::Request<String>| async {
//! #     Ok::<_, std::io::Error>(http::Response::new(Full::new("hello".as_bytes())))
//! # });
//! let limiter = Limiter::new(Rate::per_minute(60), 4);
//! let service = ServiceBuilder::new().layer(LimiterLayer::new(limiter.clone())).service(client);
//!
//! let answer = service.oneshot(http::Request::new("hi".to_owned())).await?;
//! assert_eq!(limiter.available_permits(), 3);
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
//! assert_eq!(limiter.available_permits(), 4);
//! # Ok(())
//! # }
//! ```
//!
//! # Where it stands
//!
//! * **Retries** belong outside, so that each attempt takes a permit: with `ServiceBuilder` add the retry layer first. Inside, all
//!   attempts of a call would share one permit, and the provider counts each of them. They need no pause of their own where a
//!   pause was observed: the next attempt waits in line. A policy that decides by the status drops the body unread, and with
//!   it what only the body tells.
//! * **`Buffer`** belongs outside, too: its worker only hands requests on, and each waits for its permit in its own future.
//! * **`ConcurrencyLimit`** inside keeps a place of its own taken while a request waits for a permit, because a service must be ready
//!   before it is called. Let the limiter count the calls in flight instead. Outside it bounds how many requests wait, but frees its
//!   place at the answer's headers.
//! * **Decompression** belongs inside: of compressed bytes no usage and no error is read.
//! * **`Timeout`** outside includes the wait for a permit, inside only the call. [`LimiterLayer::acquire_timeout`] is for the wait.
//!
//! # Readiness
//!
//! `poll_ready` asks the inner service and nothing else. So it says nothing of the limiter, and a caller that is ready and does not
//! call holds nothing of it. The request waits in the future of `call`. That future takes the inner service that was ready with it,
//! and leaves a clone in its place. If the request had to wait, the service is asked again before it is called: its connection
//! may have been closed. If it fails then, the call was not sent: its tokens are given back. To shed load instead of waiting use
//! [`without_waiting`](LimiterLayer::without_waiting), or a limiter with [`max_waiters`](crate::LimiterBuilder::max_waiters).
//!
//! # Fairness and cancel safety
//!
//! Requests are admitted in the order in which their futures are first polled, by [priority](LimiterLayer::priority). The future
//! can be dropped at any point. While it waits it gives up its place, and nothing is counted. After that the call is dropped and then
//! its slot is free; its request and its tokens count as reserved. It is the same if the inner service fails or panics.
//!
//! # What it does not hold
//!
//! An answer without a body ends at its headers. So does a 101: a connection that is upgraded goes on without its permit, unless you
//! [hold](crate::OwnedLimiterPermit::hold) one with it.
//!
//! # Cost
//!
//! Each request clones the inner service and a reference to the limiter. The layer allocates nothing for one that need not wait; one
//! that has to wait allocates its place in line. Observed headers that tell quotas are two allocations (six of OpenAI's), and
//! `read_usage` is 14 for a short answer in JSON, which it parses. An error's body costs a copy of its headers and of at most 16 KiB.
//! [`settle_with`](LimiterLayer::settle_with) allocates its function if that captures something. A request
//! that need not wait takes 0.35 µs more than without the layer, 0.56 µs if its answer is observed, 1.3 µs with six headers of quotas,
//! and 3.6 µs with `read_usage` and an answer of 270 bytes. (`cargo bench --features tower,http --bench tower`; AMD EPYC, two cores.) A
//! waiting request keeps its own body in memory: bound how many wait by [`max_waiters`](crate::LimiterBuilder::max_waiters).

mod acquire;
mod calls;
mod future;
mod hooks;
mod layer;
mod observes;
mod refusal;
mod service;

pub use future::LimiterFuture;
#[cfg(feature = "http")]
pub use hooks::ReadAnswer;
pub use hooks::{AsReserved, HoldWith, NoTokens, SettleWith};
pub use layer::LimiterLayer;
pub use refusal::{AsError, AsResponse, BoxError};
pub use service::LimiterService;
