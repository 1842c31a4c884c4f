//! What the checks of several parts share, and those that go through all of them. A part's own models
//! and tables of operations stand beside it.

#[cfg(ringgate_freeze)]
mod frozen;
#[cfg(ringgate_shuttle)]
mod linear;
#[cfg(ringgate_shuttle)]
mod mixed;
#[cfg(any(ringgate_loom, ringgate_freeze))]
pub(crate) mod pairs;
#[cfg(ringgate_shuttle)]
mod schedules;
