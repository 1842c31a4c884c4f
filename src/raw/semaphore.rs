//! The engine of the semaphore: permits in one word, waiters in a lock-free queue.

mod chunks;
pub(crate) mod line;
mod node;
mod store;
mod wakes;
