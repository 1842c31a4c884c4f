//! What a window holds: the sum behind the head, less what has been given back.
//!
//! The sum before tick s is the end of the latest tick before s that the head was in. If that tick lies in the block of
//! s, its slot is at most a block back. If not, nothing was counted in this block before s, so the sum is that before
//! the block; and if nothing was counted in the block at all, that before the next block in which something was.

use super::scale::{block, first_of};
use super::wheel::{Moved, Track, Wheel};
use super::word::{Word, between};

/// So many empty blocks are not worth a note.
const FEW: u32 = if cfg!(ringgate_loom) { 1 } else { 4 };

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
    /// The first block in which something was counted.
    pub(super) first_block: u32,
}

impl Wheel {
    /// The window behind this head.
    #[inline]
    pub(super) fn window(&self, head: Word, tick: u32) -> Result<Window, Moved> {
        let now = tick.max(head.tick());
        let from = now - (self.scale.ticks - 1);
        let (before, first_block) = self.search_before(from, head)?;
        let sum = between(before, head.amount());
        Ok(Window { head, now, from, sum, first_block })
    }

    /// The sum of all that was counted before this tick.
    #[inline]
    pub(super) fn sum_before(&self, tick: u32, head: Word) -> Result<u32, Moved> {
        self.search_before(tick, head).map(|(sum, _)| sum)
    }

    /// The same, and the first block from the tick's on in which something was counted.
    #[inline]
    fn search_before(&self, tick: u32, head: Word) -> Result<(u32, u32), Moved> {
        if tick > head.tick() {
            return Ok((head.amount(), block(tick)));
        }
        let (first, last) = (block(tick), block(head.tick()));
        let begin = self.after_empty(first, last);
        if begin == first {
            for earlier in (first_of(first)..tick).rev() {
                if let Some(sum) = self.amount(Track::Ends, earlier)? {
                    return Ok((sum, first));
                }
            }
        }
        for at in begin..=last {
            if let Some(sum) = self.amount(Track::Starts, at)? {
                return Ok((sum, at));
            }
        }
        Ok((head.amount(), last))
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
    /// Spares others the search, after something has been counted. A refusal writes nothing.
    #[inline]
    pub(super) fn note(&self, wheel: &Wheel) {
        let (first, last) = (block(self.from), block(self.head.tick()));
        if self.first_block.saturating_sub(wheel.after_empty(first, last)) >= FEW {
            wheel.note_empty(first, self.first_block);
        }
    }

    /// Whether the head is still this one, so that all that was read holds together.
    pub(super) fn holds(&self, wheel: &Wheel) -> bool {
        wheel.head_word() == self.head
    }
}
