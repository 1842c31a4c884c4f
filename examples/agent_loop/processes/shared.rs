//! The limiter that the processes share. A stand-in for now: each process has its part of the limits for itself.

use crate::flags::Flags;
use core::error::Error;
use ringgate::Limiter;

/// A limiter whose limits are kept in the store.
pub(crate) type Shared = StandIn;

#[derive(Clone)]
pub(crate) struct StandIn(Limiter);

impl StandIn {
    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0
    }
}

/// Makes it.
#[expect(clippy::unused_async, reason = "a stand-in")]
pub(crate) async fn connect(flags: &Flags, _store: &str) -> Result<Shared, Box<dyn Error>> {
    Ok(StandIn(flags.part_of_limiter()))
}

/// How many requests it has sent to the store.
pub(crate) fn trips(_: &Shared) -> u64 {
    0
}

/// Gives back what it has.
#[expect(clippy::unused_async, reason = "a stand-in")]
pub(crate) async fn leave(_: Shared) {}
