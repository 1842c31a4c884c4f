//! The lock-free engines. They read no clock and know nothing of limiters.

pub(crate) mod entry;
pub(crate) mod leases;
pub(crate) mod left;
pub(crate) mod mark;
pub(crate) mod semaphore;
pub(crate) mod tokens;
pub(crate) mod window;
