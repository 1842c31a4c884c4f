//! One ring of stamped cells: the exact sliding log.
//!
//! ```text
//!          lap 1    lap 1    lap 0    lap 0    lap 0
//!        ┌────────┬────────┬────────┬────────┬────────┐
//!        │ 12:07  │ 12:09  │ 11:15  │ 11:20  │ 11:58  │      hint ─► somewhere near ▲
//!        └────────┴────────┴────────┴────────┴────────┘
//!                   newest ▲        ▲ oldest: the boundary between the laps, next to be stamped
//! ```
//!
//! **Safety rests on two rules.** An admission stamps the oldest cell, by a compare-and-swap on the word that it
//! read. It may do so only if, for every rule of n admissions, the n-th newest stamp is at least a window old. Cells
//! are stamped in order, so while the oldest cell keeps its word, no later cell is stamped: the newest, the n-th
//! newest and all between are what they were when they were read. One word decides for all rules together. (Where
//! cells are shared and the newest has room, that cell's word decides.)
//!
//! **Stamps never decrease along the ring**, because a stamp is clamped to its predecessor's. So the n-th newest is n
//! − 1 cells back; if it is in the window, so are all after it. In one cell stamps strictly grow: at least one window
//! lies between a stamp and the one a lap later. So there is no ABA.
//!
//! **The boundary.** Let `p` be the predecessor of cell `i`. The boundary lies just before `i` if `i` was not stamped
//! after `p` in the same pass. Then its lap bit is not `lap(p)` (for cell 0: it is). One bit of lap is enough,
//! because `p` is read again after `i`. If `p` has not changed, then `i`, when it was read, was in the lap of `p` or
//! in the one before, because `p` cannot begin its next lap until `i` has been stamped. So a thread cannot mistake
//! one lap for another, however many pass while it is stalled.
//!
//! **The hint is not trusted.** The last winner stores it plainly. From a stale hint the walk takes a few steps, then
//! searches the boundary by halves.
//!
//! **A refusal is true at one moment.** The oldest cell is read again after the n-th newest. If it has not changed,
//! the n-th newest was that cell when it was read, and in the window that ends at `now`. Nothing leaves the window
//! that ends at one `now`, so the answer holds.
//!
//! **There is one spare cell.** No rule needs the oldest cell's stamp, so it may be overwritten. Two operations use
//! that.
//! * A close stamps the oldest cell with the end of time. That takes one compare-and-swap and loses nothing. All other
//!   cells then stand still and can be copied. (Except a shared cell with room: it gets another word afterwards. Only
//!   then do all stand still.)
//! * A change of several rings gives the oldest cell another word, so that claims found before fail. The word holds a
//!   mark that is earlier than any clock's time and grows with each change, so no word comes back.
//!
//! **Shared cells.** In a large log a cell covers several admissions. It counts them down in `room`, and its stamp is
//! that of the last one. Cells before the newest count whole. No cell is begun while the newest has room. The limit
//! is still never exceeded, but an admission's room comes back only when the last admission of its cell leaves the
//! window.
//!
//! Sources: the sliding log is Redis's "sorted set" limiter, and Nginx's and Cloudflare's exact alternative to
//! counters. The ring with laps is Vyukov's bounded queue without its tickets.

mod cells;
mod claim;
mod close;
mod forecast;
mod history;
mod look_back;
mod rules;

pub(super) use cells::{Ring, RingError, RingFull};
pub(super) use claim::{Claim, Fast};
pub(super) use forecast::{Forecast, MAX_SNAPSHOTS};
pub(super) use history::History;
pub(super) use look_back::Later;
pub(super) use rules::Rules;
