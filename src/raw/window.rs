//! The engine of the sliding window: stamps in rings, and the log that replaces one size by another.

mod cell;
mod chunks;
pub(crate) mod log;
mod reclaim;
mod ring;
mod select;
pub(crate) mod shards;
mod split;
