//! The lock-free engines. They take time as an argument and know nothing of limiters.

pub(crate) mod semaphore;
pub(crate) mod window;
