//! What a window holds: the sum behind the head, less what has been given back.
//!
//! The sum before tick s is the end of the latest tick before s that the head was in. If that tick lies in the block of
//! s, its slot is at most a block back. If not, nothing was counted in this block before s, so the sum is that before
//! the block; and if nothing was counted in the block at all, that before the next block in which something was.

use super::scale::{block, first_of};
use super::wheel::{Moved, Track, Wheel};
use super::word::{Word, between};

/// What counts in the window that ends with tick `now`.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) head: Word,
    /// The tick that counts as now: the caller's, or the head's if that is later.
    pub(super) now: u32,
    /// The first tick of the window.
    pub(super) from: u32,
    /// All that was counted, in units.
    pub(super) sum: u32,
}

impl Wheel {
    /// The window behind this head.
    #[inline]
    pub(super) fn window(&self, head: Word, tick: u32) -> Result<Window, Moved> {
        let now = tick.max(head.tick());
        let from = now - (self.scale.ticks - 1);
        let sum = between(self.sum_before(from, head)?, head.amount());
        Ok(Window { head, now, from, sum })
    }

    /// The sum of all that was counted before this tick.
    #[inline]
    pub(super) fn sum_before(&self, tick: u32, head: Word) -> Result<u32, Moved> {
        if tick > head.tick() {
            return Ok(head.amount());
        }
        for earlier in (first_of(block(tick))..tick).rev() {
            if let Some(sum) = self.amount(Track::Ends, earlier)? {
                return Ok(sum);
            }
        }
        for block in block(tick)..=block(head.tick()) {
            if let Some(sum) = self.amount(Track::Starts, block)? {
                return Ok(sum);
            }
        }
        Ok(head.amount())
    }

    /// What has been given back of the ticks from this one to the head's.
    pub(super) fn credits(&self, tick: u32, head: Word) -> Result<u32, Moved> {
        if tick > head.tick() || self.latest_credit() < tick {
            return Ok(0);
        }
        let blocks = self.block_credits(block(tick) + 1, head)?;
        Ok(blocks.saturating_add(self.credits_in_block(tick, head)?))
    }

    /// The same for the rest of this tick's block.
    pub(super) fn credits_in_block(&self, tick: u32, head: Word) -> Result<u32, Moved> {
        let end = first_of(block(tick) + 1).min(head.tick() + 1);
        self.add_up(Track::Credits, tick, end)
    }

    /// The same for whole blocks.
    fn block_credits(&self, from: u32, head: Word) -> Result<u32, Moved> {
        self.add_up(Track::BlockCredits, from, block(head.tick()) + 1)
    }
}

impl Window {
    /// Whether the head is still this one, so that all that was read holds together.
    pub(super) fn holds(&self, wheel: &Wheel) -> bool {
        wheel.head_word() == self.head
    }
}
