//! The engine of token limits: at most T tokens in any window of time, where calls bring different weights, are estimated
//! before and known after.
//!
//! It is given times, reads no clock, and knows nothing of limiters. The files import one another downwards only:
//!
//! | file | what it holds |
//! |---|---|
//! | `held_tokens` | weights that are held until they are settled |
//! | `raw_tokens` | weights that count from their admission |
//! | `chain` | the wheels, one after the other |
//! | `claim` | counting, giving back |
//! | `others`, `baselines` | what others have used, of which a provider tells |
//! | `forecast`, `count` | when a weight fits; what a window holds |
//! | `history` | what is remembered, for a window that continues in another process |
//! | `succession` | how a wheel takes over another one's counts |
//! | `wheel`, `scale`, `word` | the words of a wheel; ticks and units; how words are packed |
//! | `offset` | how far a wheel's time is ahead of the clock's |
//!
//! # The picture
//!
//! ```text
//!   head   [ tick 37 | sum of all that has ever been counted ]
//!
//!            block 1         │ block 2
//!   ticks    32   33 ..  36  │ 37          (of a block of five here)
//!          ┌────┬────┬────┬──┼────┐
//!   ends   │ 80 │    │ 95 │  │    │        sum at the end of a tick that the head was in, and has left
//!          └────┴────┴────┴──┴────┘
//!   starts   71              │ 95          sum before a block in which something was counted
//!   credits, block credits                 what was given back of a tick, of a block
//! ```
//!
//! Time is in ticks of a 1004th of the window. What the window holds is the head's sum, less the sum before its first tick
//! (`count.rs`), less its credits. All sums are modulo 2^32.
//!
//! # Invariants
//!
//! * **Check and claim are one.** Every admission is one compare-and-swap on the head, so while that succeeds nothing else
//!   has been counted since it was read.
//! * **What is behind the head is final.** The end of a tick is written before the head leaves that tick, and grows until
//!   then. The head enters a block with nothing counted in it, then the start of the block is written, and only then may
//!   something be counted there. So slots hold only ticks and blocks that the head was in, with sums that are exact. A slot
//!   is taken by a later lap only when the head is there: whoever finds one begins again.
//! * **Nothing is carried between two steps that others need.** A thread that stops for ever takes its own reservation with
//!   it, or its own credit.
//! * **Only counting moves the head.** A refusal writes nothing. (A call that fits, enters a block, and loses the room then
//!   leaves the head in its tick. That moves time on and counts nothing.)
//!
//! # The races that matter
//!
//! **A later clock is refused, a staler one asks.** Thread A's window is later than the head; A is refused. B, with a staler
//! clock, must find all of its own window. There is no hint where A's began: B searches from its own first tick. What an
//! admission notes down is only which blocks behind the head are empty, and those stay empty for everybody.
//!
//! **A clock that is a wheel ahead.** A's tick has the slot of the head's. A enters its tick by the exchange of the head,
//! and writes to the slot only after that. B, which has read the old head, finds the later lap, or fails to claim.
//!
//! **A settlement during a search.** Under one head credits only grow. A refusal adds them up before and after, and holds
//! if they are equal. An admission may count fewer than there are: that is safe.
//!
//! **A settlement during a change.** `succession.rs`: head and credits are closed first. A settlement that finds a closed
//! credit goes to the successor, where its tick is found by the time that all wheels share.
//!
//! # Clocks
//!
//! A stale reading counts at the head's tick. A clock that jumps ahead moves the head, and what was before has left the
//! window. After a jump back calls wait until the clock has caught up, or, if the caller notices (`restart_time`), for one
//! window at most.
//!
//! A restart makes a new wheel, whose offset to the clock is fixed by the first reading that is made for it (`offset.rs`). By then
//! the old wheel is closed, so that reading is later than all that was counted. Readings from before it are never used with it.
//! Where time would come to its end (a reading at the end of time, and a jump back), the new wheel's time begins at the clock's
//! instead; then reservations from before give nothing back.
//!
//! What is held until it is settled has a time as well: when it fitted. By a step back it is settled at that time, not earlier.
//! If that time is more than a second ahead, the clock has jumped back since, and it is settled at the clock's time: a head so far
//! ahead would take everything else out of the window.
//!
//! # Changes and resets
//!
//! A new window takes over each tick by its last moment, so nothing leaves early. A shorter one has its head at the end of the old
//! head's tick, which may be later than the clock. That is no jump of the clock: `Latest` tells it by how much (`slack`).
//!
//! A reset is a successor that takes nothing over. Reservations from before are of an older generation than those it gives back
//! (`gives_back_since`), so they can only add. So after it there is room for the limit less what has been counted since, or less.
//!
//! # Widths
//!
//! A tick has 31 bits: 25 days at a window of a second, 4 years at a minute, 71 minutes at the shortest tick (1 µs, windows up
//! to a millisecond). Then, or when a clock jumps that far, one call makes a new wheel whose numbers begin anew: it
//! allocates 17 KiB, and nothing changes for anybody. Sums have 32 bits, limits 21: above two million tokens a unit is
//! several of them. Up to 2^29 units may be admitted in a window and given back; more waits until some have left.
//!
//! The first answer of a provider about a wheel allocates 8 KiB more (`baselines.rs`). A limit that a provider tells stays in the
//! units there are.
//!
//! Old wheels are kept until the whole is dropped: 17 KiB for each change of the window, each new number range, each restart or
//! reset, and each change of the limit to other units. Other changes of the limit are one store.
//!
//! After more than one such change a late settlement may give back for up to a tick less, and nothing across a change to
//! finer units.

mod baselines;
mod chain;
mod claim;
mod count;
mod forecast;
mod held_tokens;
mod history;
mod offset;
mod others;
mod raw_tokens;
mod refusal;
mod scale;
mod succession;
mod wheel;
mod word;

pub(crate) use super::mark::Mark;
pub(crate) use held_tokens::HeldTokens;
pub(crate) use offset::Now;
pub(crate) use raw_tokens::RawTokens;
pub(crate) use refusal::{Admission, Latest, Refusal, Reservation};
