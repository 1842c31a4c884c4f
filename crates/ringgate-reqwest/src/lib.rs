//! A middleware for [`reqwest`] 0.13 that gives each request a permit of a limiter of [`ringgate`], to the end of its answer.
//!
//! ```
//! use reqwest_middleware::ClientBuilder;
//! use ringgate::{Limiter, RateLimitPolicy};
//! use ringgate_reqwest::LimiterMiddleware;
//!
//! let limiter = Limiter::from(&RateLimitPolicy::openai(500, 30_000));
//! let client = ClientBuilder::new(reqwest::Client::new())
//!     .with(LimiterMiddleware::new(limiter))
//!     .build();
//! # drop(client);
//! ```
//!
//! All requests of this client, and of its clones, then keep the limits together. Nothing else changes for its callers, except that
//! a request may be [refused](#errors). It needs [`reqwest_middleware`] 0.5. rig's `ReqwestMiddlewareClient` is made of such a client.
//!
//! # What happens to a request
//!
//! 1. If the limiter has limits on tokens, the request reserves what its JSON body [says](ringgate::Usage::estimate_from_request):
//!    see [`cost`](LimiterMiddleware::cost).
//! 2. It waits in line for its permit, and is sent.
//! 3. What the answer says is [observed](ringgate::Limiter::observe): a 429 or a 529 concerns all callers, and what is left by its
//!    headers, too. The body of an error (a status of 400 or more) is read ahead for this, up to 64 KiB and for a second at most, because
//!    a stop may look like any other 429 without it; the caller gets it as it is.
//! 4. The body of the answer holds the permit to its end, or until it is dropped or fails. An error that has come as a whole
//!    frees it at once. An answer that nobody reads or drops keeps its slot; one that is read and stalls is ended by
//!    [`idle_timeout`](LimiterMiddleware::idle_timeout).
//! 5. The call is settled at the usage that stands in its answer, streamed or not, in the forms of OpenAI and Anthropic. Ask OpenAI's
//!    chat completions for `stream_options: {"include_usage": true}`: the middleware does not change requests. A call that tells no
//!    usage, or whose answer is not read to its end, counts as reserved. One that got no connection gives its tokens back.
//!
//! # Where it stands
//!
//! * **Retries** belong outside, so that each attempt takes a permit: add the middleware of the crate `reqwest-retry` first. Inside, all
//!   attempts of a call would share one permit, and the provider counts each of them. It does not try a refusal again. The limiter
//!   itself waits for the time that a 429 tells, so the retries' own back-off can be short.
//! * **reqwest's own** redirects and retries (`reqwest::retry`) are inside of it. They are one call here.
//! * **reqwest's timeouts** do not include the wait for a permit. [`acquire_timeout`](LimiterMiddleware::acquire_timeout) is for that.
//!
//! ```
//! use reqwest_middleware::ClientBuilder;
//! use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};
//! use ringgate::{Limiter, RateLimitPolicy};
//! use ringgate_reqwest::LimiterMiddleware;
//!
//! let limiter = Limiter::from(&RateLimitPolicy::openai(500, 30_000));
//! let retries = ExponentialBackoff::builder().build_with_max_retries(3);
//! let client = ClientBuilder::new(reqwest::Client::new())
//!     .with(RetryTransientMiddleware::new_with_policy(retries))
//!     .with(LimiterMiddleware::new(limiter))
//!     .build();
//! # drop(client);
//! ```
//!
//! # One request's own settings
//!
//! `RequestBuilder::with_extension` takes an [`Expect`] and a [`Priority`](ringgate::Priority):
//!
//! ```no_run
//! # async fn example(client: reqwest_middleware::ClientWithMiddleware) -> reqwest_middleware::Result<()> {
//! use ringgate::{Priority, Usage};
//! use ringgate_reqwest::Expect;
//!
//! let request = client.post("https://api.example/v1/audio").body("…");
//! let request = request.with_extension(Priority::High).with_extension(Expect(Usage::new(2_000, 300)));
//! let answer = request.send().await?;
//! # drop(answer);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! A refused request is not sent. Its error is `reqwest_middleware::Error::Middleware`, and [`refused`] finds the
//! [`Refused`](ringgate::Refused) in it, which says why and when to ask again, also behind the error of a retry layer. All other errors
//! are those of the layers inside.
//!
//! The answer keeps its status, version, headers, URL, extensions (with them the remote address) and length. The errors of its
//! body have two more levels in their chain of sources; what `is_timeout` and the like say stays.
//!
//! # Fairness and cancel safety
//!
//! Requests are admitted in the order in which their futures are first polled, by priority. The future can be dropped at any
//! point. While it waits it gives up its place, and nothing is counted. After that the call is dropped and then its slot is free; its
//! request and its tokens count as reserved.
//!
//! # Cost
//!
//! What a call adds to the same client without the limiter, in microseconds and allocations, with nothing to wait for:
//!
//! | a call | µs | allocations |
//! |---|---|---|
//! | requests and calls in flight limited, answer of 2 kB | 4.6 | 21 |
//! | and tokens, request of 2 kB | 8.1 | 21 |
//! | an error of the server | 2.1 | 22 |
//!
//! Of `cargo bench -p ringgate-reqwest`, on two cores of an AMD EPYC. The client alone takes 1.3 µs and 10
//! allocations there, because its innermost layer makes the answers. Most of it is for reading: the estimate takes about 1.7 ns for
//! each byte of the request, if there are limits on tokens. A request that has to wait allocates its place in line, and keeps its body in
//! memory: bound how many wait by [`max_waiters`](ringgate::LimiterBuilder::max_waiters).
//!
//! # Limits
//!
//! It turns on no feature of reqwest. TLS, compression and HTTP/2 are those of your own dependency on reqwest.
//!
//! It is not for `wasm32`: reqwest's answers cannot be built anew there.

mod answer;
mod body;
mod error;
mod middleware;
mod settings;

pub use body::AnswerBody;
pub use error::refused;
pub use middleware::LimiterMiddleware;
pub use settings::{DEFAULT_OUTPUT, Expect};
