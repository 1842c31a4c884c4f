//! Which clock is the default.

#[cfg(not(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown")))))]
use super::system::SystemClock;
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
use super::tokio::TokioClock;

/// The clock a limiter uses unless it is given another.
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
pub type DefaultClock = TokioClock;
/// The clock a limiter uses unless it is given another.
#[cfg(not(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown")))))]
pub type DefaultClock = SystemClock;
