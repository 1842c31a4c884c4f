//! A middleware for [`reqwest`] that gives each request a permit of a limiter of [`ringgate`], to the end of its answer.
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

mod answer;
mod body;
mod error;
mod middleware;
mod settings;

pub use body::AnswerBody;
pub use error::refused;
pub use middleware::LimiterMiddleware;
pub use settings::{DEFAULT_OUTPUT, Expect};
