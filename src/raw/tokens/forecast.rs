//! When a weight fits.

use super::count::Window;
use super::scale::{MAX_SUM, block, first_of};
use super::wheel::{Moved, Track, Wheel};
use super::word::between;

/// What an admission asks for, in units.
#[derive(Clone, Copy)]
pub(super) struct Need {
    pub(super) weight: u32,
    pub(super) limit: u32,
}

impl Need {
    #[inline]
    pub(super) fn fits(self, sum: u32, credits: u32) -> bool {
        let counted = u64::from(sum.saturating_sub(credits)) + u64::from(self.weight);
        counted <= u64::from(self.limit)
            && u64::from(sum) + u64::from(self.weight) <= MAX_SUM.into()
    }
}

/// Whether a need fits.
pub(super) enum Fit {
    Fits,
    /// Not even with what has been given back.
    Beyond {
        credits: u32,
    },
}

impl Wheel {
    /// Whether it fits now; reads what was given back only if that decides.
    #[inline]
    pub(super) fn fits(&self, window: &Window, need: Need) -> Result<Fit, Moved> {
        if need.fits(window.sum, 0) {
            return Ok(Fit::Fits);
        }
        let credits = self.credits(window.from, window.head)?;
        Ok(if need.fits(window.sum, credits) { Fit::Fits } else { Fit::Beyond { credits } })
    }

    /// The tick from which on it fits, if nothing else happens. It fits once the window is empty, and not now.
    ///
    /// What was given back only grows under one head. So if it comes to the same before and after, nothing was in between.
    pub(super) fn fits_from(
        &self,
        window: &Window,
        need: Need,
        credits: u32,
    ) -> Result<u32, Moved> {
        let last = self.last_in_the_way(window, need, credits)?;
        // MUTANTS: fits_from
        if credits != self.credits(window.from, window.head)? {
            return Err(Moved);
        }
        Ok(last + self.scale.ticks)
    }

    /// The tick that has to leave the window: its block first.
    fn last_in_the_way(&self, window: &Window, need: Need, credits: u32) -> Result<u32, Moved> {
        let &Window { head, from, .. } = window;
        let (decisive, mut credits, later) = if credits > 0 {
            self.decisive_block(window, need, credits)?
        } else {
            (self.decisive_block_without_credits(window, need)?, 0, 0)
        };
        let (first, last) = (first_of(decisive).max(from), first_of(decisive + 1) - 1);
        let last = last.min(head.tick());
        for tick in first..last {
            if credits > 0 {
                let of_tick = self.amount(Track::Credits, tick)?.unwrap_or(0);
                // A settlement may have reached the tick and not the block yet: it is no credit of later blocks.
                credits = credits.saturating_sub(of_tick).max(later);
            }
            if let Some(end) = self.amount(Track::Ends, tick)?
                && need.fits(between(end, head.amount()), credits)
            {
                return Ok(tick);
            }
        }
        Ok(last)
    }

    /// The block of that tick, and what has been given back from this block on, and after it.
    fn decisive_block(
        &self,
        window: &Window,
        need: Need,
        credits: u32,
    ) -> Result<(u32, u32, u32), Moved> {
        let &Window { head, from, .. } = window;
        let mut decisive = (block(from), credits);
        let mut later = credits.saturating_sub(self.credits_in_block(from, head)?);
        for next in block(from) + 1..=block(head.tick()) {
            if let Some(sum_before) = self.amount(Track::Starts, next)? {
                if need.fits(between(sum_before, head.amount()), later) {
                    break;
                }
                decisive = (next, later);
            }
            later = later.saturating_sub(self.amount(Track::BlockCredits, next)?.unwrap_or(0));
        }
        Ok((decisive.0, decisive.1, later))
    }

    /// The block of that tick, where nothing has been given back. The sums before the blocks only grow, so the search skips
    /// most of them.
    fn decisive_block_without_credits(&self, window: &Window, need: Need) -> Result<u32, Moved> {
        /// Blocks that are skipped at once.
        const STRIDE: u32 = 8;
        let (first, last) = (window.first_block, block(window.head.tick()));
        // Some have nothing counted in them; then the next one that has.
        let is_in_the_way = |at: u32, end: u32| -> Result<Option<(u32, bool)>, Moved> {
            for at in at..=end {
                if let Some(sum_before) = self.amount(Track::Starts, at)? {
                    let sum = between(sum_before, window.head.amount());
                    return Ok(Some((at, !need.fits(sum, 0))));
                }
            }
            Ok(None)
        };
        // Often the newest is: much has come at once.
        if last > first
            && let Some((at, true)) = is_in_the_way(last, last)?
        {
            return Ok(at);
        }
        let (mut decisive, mut next) = (first, first + STRIDE);
        while next < last {
            match is_in_the_way(next, last)? {
                Some((at, true)) => (decisive, next) = (at, at + STRIDE),
                Some((at, false)) => {
                    next = at;
                    break;
                }
                None => break,
            }
        }
        for at in decisive + 1..next.min(last + 1) {
            match is_in_the_way(at, at)? {
                Some((at, true)) => decisive = at,
                Some((_, false)) => break,
                None => {}
            }
        }
        Ok(decisive)
    }
}
