//! Refusals among a client's errors.

use ringgate::Refused;
use std::error::Error;

/// The refusal of the limiter that a client's error tells of, if it does: behind layers of retries, and of libraries that pass
/// on their client's error, too.
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use ringgate::{Limit, Limiter, Rate};
/// use ringgate_reqwest::{LimiterMiddleware, refused};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limiter = Limiter::new(Rate::per_minute(60), 1);
/// let client = ClientBuilder::new(reqwest::Client::new())
///     .with(LimiterMiddleware::new(limiter.clone()).without_waiting())
///     .build();
///
/// let permit = limiter.acquire().await.unwrap();
/// let error = client.get("http://localhost").send().await.unwrap_err();
/// assert_eq!(refused(&error).unwrap().limit(), Limit::Concurrency);
/// # drop(permit);
/// # }
/// ```
#[must_use]
pub fn refused<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

/// The error of a request that has got no permit. The refusal is not its first cause: who passes an error on `transparent`ly
/// passes on only what is behind the first.
pub(crate) fn not_sent(refused: Refused) -> reqwest_middleware::Error {
    let error = anyhow::Error::new(refused);
    reqwest_middleware::Error::Middleware(error.context("the limiter has refused the request"))
}
