//! The lock-free engines. They read no clock and know nothing of limiters.

pub(crate) mod semaphore;
// No limiter uses it yet; the exemption goes when one does.
#[cfg_attr(not(test), expect(dead_code, reason = "the limiter comes next"))]
pub(crate) mod tokens;
pub(crate) mod window;
