//! The lock-free engines. They read no clock and know nothing of limiters.

pub(crate) mod semaphore;
// The checkers use a part of it.
#[cfg_attr(
    any(ringgate_loom, ringgate_shuttle, ringgate_freeze),
    allow(dead_code, unused_imports, reason = "as above")
)]
pub(crate) mod tokens;
pub(crate) mod window;
