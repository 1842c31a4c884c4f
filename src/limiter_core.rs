//! The core of a limiter: one line before all its limits.
//!
//! A call that cannot go at once joins the line. In the line only the call at the head looks at the limits; the
//! others sleep:
//!
//! ```text
//! await the rate, holding nothing ──► take a slot ──► stamp ──► admitted, the next moves up
//!        ▲                                              │ another call stamped first
//!        └─────────────── give the slot back ───────────┘
//! ```
//!
//! If calls in flight are limited, a stamp is taken only with a slot in hand. Otherwise calls could start later than their stamps, and the
//! provider would see more calls than the limit. A call holds no slot while it awaits the rate: that would
//! waste the slot and block other limiters that share the semaphore. If the line is empty, a slot free and the
//! rate open, a call passes straight through: one load for the line, one compare-and-swap for each limit.

mod admission;
mod concurrency;
mod not_until;
mod queue;
mod queued;
mod shared;
mod wake_sources;

pub(crate) use admission::{Admission, Handle};
pub(crate) use concurrency::Concurrency;
pub(crate) use shared::Core;
