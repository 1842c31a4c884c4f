//! The engine of leases: amounts that may be taken, each until a time. Who grants them, and by which rules, is not known here.
//!
//! It is given times and reads no clock. The files import one another downwards only:
//!
//! | file | what it holds |
//! |---|---|
//! | `granting` | granting, taking back: the one who grants |
//! | `raw_leases` | taking, giving back |
//! | `view` | the leases as one look finds them |
//! | `unused` | what comes back of each lease |
//!
//! What a call has taken is told by a [`Mark`](super::mark::Mark).
//!
//! # The picture
//!
//! Everything that was ever granted lies on one line, lease after lease. All of it before `spent` is gone: taken, run out, or
//! taken back.
//!
//! ```text
//!                 lease 5         │ lease 6 │ lease 7
//!   ──────────────────────────────┼─────────┼───────────────┤
//!        taken         ▲          ▲         ▲               ▲
//!                    spent      cap 5     cap 6           cap 7
//!                                 until 5   until 6         until 7
//! ```
//!
//! A lease that has run out moves the beginning of what is left to its cap, whether `spent` has been moved there or not. So
//! nothing has to happen at its end. Older leases end with it: what is left is one piece. Whoever takes next skips what has run
//! out, in the same exchange.
//!
//! # Invariants
//!
//! * **Check and claim are one.** Every call is one compare-and-swap on `spent`, which only grows. So while that succeeds, nothing
//!   has been taken, skipped or taken back since it was read.
//! * **`spent` never passes the newest cap**, so what is taken of a lease is at most what it was granted.
//! * **Each amount is counted once**: it was taken by the call whose exchange passed it, or skipped by one, who adds it to what is
//!   unused.
//! * **At most [`LIVE`] leases are left.** Before one more is shown, `spent` is moved to the end of the oldest of them. So a look
//!   that knows the newest needs no lease older than that, and the slot that is written next is one that no look needs.
//!
//! # The races that matter
//!
//! **A look while leases are granted.** A reads number 7, and then the slots. Meanwhile B grants more, and writes to a slot of which
//! A has read half. A lease's number is shown after its slot was written, and the slot that is written next is one that no look at
//! that number needs. So if A finds number 7 again at the end, nothing that it has read was written over; else it looks again. By
//! that, a refusal also means that there was not enough at one moment, however takers and the granter interleave.
//!
//! **A stale reading of the clock.** A reads the clock and sleeps. The lease runs out, and A takes of it. If anybody has taken,
//! skipped or taken back since, A's exchange fails. Otherwise A's call counts as of the time at which it was looked at, as with all
//! limits: the margin is for that.
//!
//! **A thread that stops for ever** between its exchange and what it skipped: that amount does not come back. Nobody else misses
//! anything.
//!
//! # Bounds
//!
//! A call looks at the newest two first, once: mostly what comes next is of one of them. A whole look reads [`LIVE`] leases at most; mostly
//! one or two, because it ends at the first that is spent. It looks again only if
//! leases were granted meanwhile, an exchange only fails if another has succeeded. Nothing is allocated after the beginning.

mod granting;
mod raw_leases;
mod unused;
mod view;

pub(crate) use granting::Granter;
#[allow(unused_imports, reason = "for the checks")]
pub(crate) use raw_leases::Lack;
pub(crate) use raw_leases::{RawLeases, Taken};
#[allow(unused_imports, reason = "for the checks")]
pub(crate) use unused::KEPT;
#[allow(unused_imports, reason = "for the checks")]
pub(crate) use view::LIVE;
pub(crate) use view::Rest;

/// The most that one lease may be of, and the most that a call may take.
pub(crate) const MOST: u64 = (1 << 40) - 1;
