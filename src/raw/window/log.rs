//! The log of admissions: shards of one size, and the shards that have replaced them.
//!
//! **Changing a rule.** Every later admission obeys the new rule, and counts the admissions from before. An admission
//! under way that had read the old rule still obeys that one. The log counts what it remembers: as many stamps as it has cells, and at
//! least all that were in the window by the old rule. If a window becomes longer, older stamps may have been forgotten.
//!
//! **Growing** beyond the cells there are: larger shards are linked behind the old ones, whose rings are then closed and
//! copied. Any thread that finds a closed ring helps to copy it; every step is idempotent (`shards/succession.rs`). So no
//! thread waits for one that has stalled.
//!
//! **Leaving coarse cells.** Shared cells are too coarse for a limit that was lowered far. As soon as the admissions in
//! the window, by their stamps alone, fit into finer cells, the ring is closed. That fixes what has to be kept. Any thread
//! that finds the ring closed links a successor of that size.
//!
//! **Old shards.** A stalled thread may be reading them. Up to 2^20 capacities double, so old shards together take little
//! more memory than the newest: they stay until the log is dropped, and readers need not announce themselves. Shards
//! with shared cells, those that follow such, and those made by a reset or a jump are freed earlier, like all that follow
//! them. Readers pin them (`reclaim.rs`).
//!
//! **Time.** After the clock has jumped back, new shards replace the old ones, and their time continues from the newest
//! stamp.
//! 1. The old shards are closed, so no later claim goes by the old time.
//! 2. The first thread that asks the new shards reads the clock and fixes their offset.
//! 3. Each reading belongs to one time base, which is read before the clock. A thread that meets shards of another base
//!    reads both again.
//!
//! With several rings, some may have been stamped by the clock after it had jumped. So every stamp is
//! raised to the newest, even if the rings were merged in between.

mod acquire;
mod change;
mod current;
mod history;
mod in_use;
mod look_back;

pub(crate) use acquire::Reservation;
pub(crate) use current::Log;
pub(crate) use look_back::Counted;
