//! The core of a limiter: one line before all its limits.
//!
//! A call that cannot go at once joins the line and sleeps. Whoever sees room hands out turns, to as many calls as
//! there is room for:
//!
//! ```text
//! await a turn, holding nothing ──► look at the rate, take a slot, tokens ──► stamp ──► admitted, look for more room
//!        ▲                                     │ no room after all
//!        └──── wait in front of others ◄───────┘
//! ```
//!
//! A turn is a hint. A call takes its slot, its tokens and its stamp itself, when it goes. So a turn that nobody uses holds up
//! nothing: after a while it does not count any more, and others get turns beside it. Every call in line sleeps at most
//! until some time after it could have gone itself (`grace.rs`), and then hands out turns past those that are silent.
//!
//! Tokens are reserved before the stamp, which cannot be taken back (`reserving.rs`). A call with a turn that finds fewer than it
//! needs waits in front, and those behind it wait, too (`watch.rs`).
//!
//! A pause (`pausing.rs`) is one more time before which there is no room. It changes nothing else.
//!
//! If calls in flight are limited, a stamp is taken only with a slot in hand. Otherwise calls could start later than
//! their stamps, and the provider would see more calls than the limit. If the line is empty, a slot free and the rate
//! open, a call passes straight through: one load for the line, one compare-and-swap for each limit.

mod admission;
mod aimd;
mod ask;
mod bell;
mod budgets;
mod ceiling;
mod ceilings;
mod concurrency;
mod counting;
mod counts;
mod demand;
mod direct;
mod estimates;
mod gate;
mod going;
mod grace;
mod hand_out;
mod history;
mod in_line;
mod in_use;
mod lapsed;
mod leased;
mod leasing;
mod level;
mod line;
mod not_until;
mod observing;
mod observing_more;
mod others;
mod panics;
mod pause;
mod pause_word;
mod pausing;
mod place;
mod priority;
mod queue;
mod queued;
mod quotas;
mod ramp;
mod refused_calls;
mod reserved;
mod reserving;
mod shared;
mod slot;
mod stands;
mod tally;
mod telling;
mod turns;
mod untold;
mod watch;
mod which;

pub(crate) use crate::raw::left::Sent;
pub(crate) use admission::{Admission, Handle};
pub(crate) use ask::Ask;
pub(crate) use budgets::Budgets;
pub(crate) use concurrency::Concurrency;
pub(crate) use grace::Grace;
pub(crate) use in_use::InUse;
pub(crate) use leasing::{Leased, Leasing};
pub(crate) use panics::Panics;
pub use priority::Priority;
pub(crate) use reserved::{Kept, Reserved, Stamp};
pub(crate) use shared::Core;
pub(crate) use tally::Counts;
