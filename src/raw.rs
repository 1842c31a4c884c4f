//! The lock-free engines. They read no clock and know nothing of limiters.

pub(crate) mod semaphore;
// No limiter uses it yet, and the checkers use a part of it. The exemption goes when a limiter does.
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the limiter comes next"))]
#[cfg_attr(
    any(ringgate_loom, ringgate_shuttle, ringgate_freeze),
    allow(dead_code, unused_imports, reason = "as above")
)]
pub(crate) mod tokens;
pub(crate) mod window;
