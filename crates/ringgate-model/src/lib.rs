//! Sequential models that the tests and the fuzz targets of `ringgate` compare it with.
//!
//! They are written from the documentation of `ringgate` and do not use its code. They are plain and slow.
//!
//! | module        | models                                                  | used by                                               |
//! |---------------|---------------------------------------------------------|-------------------------------------------------------|
//! | [`window`]    | a sliding window: the list of all stamps                | `tests/window`, the fuzz targets, [`limiter`]         |
//! | [`semaphore`] | permits and a first-in, first-out queue                 | `tests/semaphore`, the fuzz target `semaphore`        |
//! | [`limiter`]   | limiters: a queue, rates, and shared concurrency limits | `tests/limiter`, `tests/pool`                         |
//!
//! Times are in nanoseconds.

pub mod limiter;
mod pause;
mod rates;
pub mod semaphore;
pub mod window;
