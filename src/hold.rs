//! A permit goes with a call's answer: with a stream, a body or a future.
//!
//! ```text
//! stream · body · future         the public types
//! holding                        what is held, and the call; both end together, in this order
//! call                           an admitted call, and what its answer has said so far
//! closures · idle                who reads the answer; how long it may stand still
//! error_body                     the first bytes of an error
//! exclusive                      a function that only its owner calls
//! guard                          the permits that can be held
//! ```
//!
//! One rule holds in all of it: what is held is dropped first, and its slot is free only after that. It holds at the end, at an
//! error, on drop and if the code of others panics, and once it has ended nothing of it is polled again.

#[cfg(feature = "http-body")]
mod body;
mod call;
mod closures;
#[cfg(all(feature = "http", feature = "http-body"))]
mod error_body;
mod exclusive;
mod future;
mod guard;
mod holding;
mod idle;
mod stream;

#[cfg(feature = "http-body")]
pub use body::HeldBody;
pub use future::HeldFuture;
pub use idle::StalledError;
pub use stream::HeldStream;

pub(crate) use call::Reads;
pub(crate) use closures::Closures;
pub(crate) use holding::Holding;
pub(crate) use idle::Idle;
pub(crate) use stream::{poll_next, size_hint};
