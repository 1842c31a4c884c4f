//! The engine of the sliding window: stamps in rings, and logs that replace one another.
//!
//! It is given times, or a function that reads the clock, and knows nothing of limiters. The files import one another downwards only:
//!
//! | room | what it holds |
//! |---|---|
//! | [`log`] | the whole log: one admission, a change of a rule, a reset; `reclaim` frees replaced logs |
//! | [`shards`] | the rings of one size with their rules, and how they get a successor; `split` and `chunks` serve them |
//! | `reading` | how a log's time follows the clock's |
//! | `select` | several rings read as one history |
//! | [`ring`] | one ring of stamped cells: the exact sliding log |
//! | `cell` | how the words of cells and rules are packed |
//!
//! # The picture
//!
//! ```text
//! Log ── first ──► Shards ── successor ──► Shards ── successor ──► …
//!  └──── current ───────────────────────────┘
//!
//! Shards: one rule and its shares; one ring, or several side by side
//!
//!            lap 1    lap 1    lap 0    lap 0    lap 0
//!          ┌────────┬────────┬────────┬────────┬────────┐
//!   ring   │ 12:07  │ 12:09  │ 11:15  │ 11:20  │ 11:58  │
//!          └────────┴────────┴────────┴────────┴────────┘
//!                     newest ▲        ▲ oldest: the boundary between two laps; the next to be stamped
//! ```
//!
//! # States
//!
//! A ring's state is in its newest cell.
//!
//! | ring | the newest cell | who may act | leaves it |
//! |---|---|---|---|
//! | open | a clock's time; the n-th newest has left the window | Any thread may stamp, seal or touch. | The n-th newest is in the window: full. A close: closing or closed. |
//! | full | a clock's time; the n-th newest is in the window | No thread may stamp. Any thread may touch or seal. | Time passes: open. A close: closing or closed. |
//! | closing | `closed`; the cell before it is shared and still has room | A claim that has read the shared cell may still win it. Any thread may bump that cell. | The bump, then `settled`: closed. |
//! | closed | `settled` | No thread may write. Any thread may read and copy. | Never. |
//!
//! A log of one size (a `Shards`) follows its rings.
//!
//! | shards | how to tell | who may act | leaves it |
//! |---|---|---|---|
//! | current | `Log::current` points to them, no successor, rings open | Any thread may claim and set rules. | A larger limit, or a change that finds no slot for its rule, links a successor: succeeded. Finer cells, a reset or a jump of the clock close the rings: closed. |
//! | closed | rings closed, no successor | Any thread may link a successor. | The first link: succeeded. |
//! | succeeded | the `successor` pointer is set | Any thread may close the rings and copy rules and cells; all of it can be done twice. | The exchange of `Log::current`: retired. |
//! | retired | `Log::current` points past them | Readers that came before may still read. | The last reader unpins, or the whole log is dropped: freed. |
//! | freed | no pointer to them is left | No thread. | Never. |
//!
//! # The races that matter
//!
//! **Two claims of one cell.**
//! 1. Thread A reads the boundary and finds the n-th newest stamp older than the window.
//! 2. Thread B stamps the oldest cell. The n-th newest is now another cell.
//! 3. A's exchange of the oldest cell fails, because it expects the word of step 1. A checks again.
//!
//! **A lap passes between two reads.**
//! 1. Thread A reads the newest cell.
//! 2. Other threads stamp a lap, or any number of laps.
//! 3. A reads the next cell. Its lap bit happens to mark a boundary.
//! 4. A reads the newest cell again. It has another stamp, because stamps in a cell strictly grow. A starts over.
//!
//! **A refusal that goes by the wrong cell.**
//! 1. Thread A reads the boundary.
//! 2. Thread B stamps the oldest cell.
//! 3. A reads the n-th newest cell by the old boundary: it is the (n + 1)-th newest now, or it has just been stamped.
//! 4. A reads the oldest cell again and finds B's stamp. A checks again instead of refusing.
//!
//! **A claim against a close.**
//! 1. Thread A reads the oldest cell and may stamp it.
//! 2. Thread B closes the ring: it exchanges the same cell's word for the end of time.
//! 3. A's exchange fails. A finds the ring closed and helps to replace it.
//!
//! **A late claim against new shares** (`split.rs`).
//! 1. Thread A reads `state`, a ring's share and the ring's oldest cell.
//! 2. Thread B proposes a change and touches every ring, which gives each oldest cell another word.
//! 3. If A read the cell before the touch, its exchange fails. If A read it after the touch, A reads `state` again and
//!    finds the proposal. Either way A stamps nothing by the old share.
//!
//! **A rule set while the log is replaced** (`has_successor`).
//! 1. Thread A sets a rule. Thread B links a successor.
//! 2. A does a compare-and-swap on `successor` that changes nothing, so that one of the two comes first.
//! 3. If A's comes first, every thread that copies after B's link sees A's rule. If B's comes first, A sees the successor
//!    and sets the rule there.
//!
//! **A reader against a free** (`reclaim.rs`).
//! 1. Thread A pins, then loads which shards are current.
//! 2. Thread B replaces them and retires them.
//! 3. B frees them only if its own unpin is the last. A is still pinned, so they stay on the list.
//! 4. A reader that pins after the free loads what B put in their place.
//!
//! # Sources
//!
//! The sliding log is Redis's "sorted set" limiter, and the exact alternative to counters of Nginx and Cloudflare.
//! The ring with laps is Vyukov's bounded queue without its tickets. Reclamation is the scheme of a single epoch:
//! simpler than crossbeam-epoch or hazard pointers.

pub(crate) mod cell;
mod chunks;
mod log;
mod reading;
mod reclaim;
mod ring;
mod select;
mod shards;
mod split;

pub(crate) use log::{Counted, Log, Reservation};
pub(crate) use reading::{LogFull, Reading};
#[cfg(test)]
pub(crate) use shards::Layout;
