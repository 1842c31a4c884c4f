//! Counting: an admission, an addition that nobody can refuse, and giving back.

use super::count::Window;
use super::forecast::{Fit, Need};
use super::scale::{MAX_IN_TICK, MAX_SUM, MAX_UNITS, block};
use super::wheel::{Closed, Moved, Track, Wheel};
use super::word::{Word, between};

/// What an attempt finds.
pub(super) enum Attempt {
    /// Counted in this tick.
    Counted(u32),
    /// It fits from this tick on.
    Full(u32),
}

impl Wheel {
    /// Counts the weight in the window that ends with `tick`, if it fits. It is at most the limit.
    #[inline]
    pub(super) fn try_count(&self, tick: u32, need: Need) -> Result<Attempt, Closed> {
        loop {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            match self.fits(&window, need) {
                Ok(Fit::Fits) => {
                    if self.count(head, window.now, need.weight) {
                        window.note(self);
                        return Ok(Attempt::Counted(window.now));
                    }
                }
                Ok(Fit::Beyond { credits }) => {
                    let from = self.fits_from(&window, need, credits);
                    // MUTANTS: try_count
                    if let (Ok(from), true) = (from, window.holds(self)) {
                        return Ok(Attempt::Full(from));
                    }
                }
                Err(Moved) => {}
            }
        }
    }

    /// What the window that ends with `tick` holds, and what has been given back of that.
    pub(super) fn counted(&self, tick: u32) -> Result<(Window, u32), Closed> {
        loop {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            let Ok(credits) = self.credits(window.from, head) else { continue };
            let again = self.credits(window.from, head);
            // MUTANTS: counted
            if again.is_ok_and(|again| again == credits) && window.holds(self) {
                return Ok((window, credits));
            }
        }
    }

    /// When the weight fits, without counting it; `None` if now.
    pub(super) fn forecast(&self, tick: u32, need: Need) -> Result<Option<u32>, Closed> {
        loop {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            let found = match self.fits(&window, need) {
                Ok(Fit::Fits) => Ok(None),
                Ok(Fit::Beyond { credits }) => self.fits_from(&window, need, credits).map(Some),
                Err(Moved) => Err(Moved),
            };
            if let (Ok(found), true) = (found, window.holds(self)) {
                return Ok(found);
            }
        }
    }

    /// Counts what has happened already.
    ///
    /// Sums must not wrap in a window, however much that is. So what changes no answer is left out:
    /// * More than a full window at once: that much keeps all others out until it has left the window.
    /// * More than `MAX_IN_TICK` in a tick: at most `MAX_SUM` of that has been admitted and can be given back, so the rest
    ///   is more than a full window.
    /// * More than a full window in a tick with more than `MAX_SUM` before it in the window: nothing of such a tick has
    ///   been admitted.
    ///
    /// (It would change an answer in coarser units, so the tick is noted for a successor that has such.)
    ///
    /// So a window has at most `MAX_SUM` up to some tick, `MAX_IN_TICK` in it, and `MAX_UNITS` in each after it.
    ///
    /// Returns the tick in which it counts.
    pub(super) fn count_anyway(&self, tick: u32, weight: u32) -> Result<u32, Closed> {
        loop {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            let Ok(before) = self.sum_before(window.now, head) else { continue };
            let in_tick = between(before, head.amount());
            let is_flooded = window.sum - in_tick > MAX_SUM;
            let most = if is_flooded { MAX_UNITS } else { MAX_IN_TICK };
            let room = most.saturating_sub(in_tick).min(MAX_UNITS);
            if weight > room {
                self.note_cut(window.now)?;
            }
            // MUTANTS: count_anyway
            if room == 0 || self.count(head, window.now, weight.min(room)) {
                return Ok(window.now);
            }
        }
    }

    #[cold]
    fn note_cut(&self, tick: u32) -> Result<(), Closed> {
        loop {
            let known = self.word(Track::Cut, 0);
            if known.is_closed() {
                return Err(Closed);
            }
            let is_noted = known.tick() >= tick;
            if is_noted || self.swap_word(Track::Cut, 0, known, Word::new(tick, 1)) {
                return Ok(());
            }
        }
    }

    /// Moves the head to this tick and adds the weight, if the head is still this one. Nothing of the order may change:
    /// the end of the tick that the head leaves; a new block, with nothing counted in it yet; the sum before it; the
    /// weight.
    #[inline]
    pub(super) fn count(&self, head: Word, tick: u32, weight: u32) -> bool {
        let mut head = head;
        if tick != head.tick() {
            self.leave(head);
            // MUTANTS: count
            if block(tick) != block(head.tick()) {
                let entered = Word::new(tick, head.amount());
                if !self.swap_head(head, entered) {
                    return false;
                }
                head = entered;
            }
        }
        self.open(head);
        self.swap_head(head, Word::new(tick, head.amount().wrapping_add(weight)))
    }

    // ---- giving back ---------------------------------------------------------------------------

    /// Gives back some of what was counted in tick `of`; nothing if that has left the window that ends with `tick`.
    pub(super) fn give_back(&self, of: u32, units: u32, tick: u32) -> Result<(), Closed> {
        let head = self.head()?.tick();
        // MUTANTS: give_back
        if units == 0 || of > head || head.max(tick) - of >= self.scale.ticks {
            return Ok(());
        }
        self.note_credit(of);
        // The tick first: a thread that stops before the block loses only this credit, in searches that begin earlier.
        if self.credit(Track::Credits, of, units)? {
            // Once the first has succeeded, a seal has nothing to tell: the copy is made from the ticks.
            let _ = self.credit(Track::BlockCredits, block(of), units);
        }
        Ok(())
    }

    /// False if a later lap has the slot.
    fn credit(&self, track: Track, number: u32, units: u32) -> Result<bool, Closed> {
        loop {
            let known = self.word(track, number);
            if known.is_closed() {
                return Err(Closed);
            }
            if known.tick() > number {
                return Ok(false);
            }
            let before = if known.tick() == number { known.amount() } else { 0 };
            let after = Word::new(number, before.saturating_add(units));
            if self.swap_word(track, number, known, after) {
                return Ok(true);
            }
        }
    }
}
