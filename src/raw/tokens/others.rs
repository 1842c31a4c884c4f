//! What others have used of a limit, of which a provider tells.
//!
//! The provider has counted at some moment between the admission of the call that it answers (`sent`) and now. What it misses
//! was used by others, if it is more than all of ours that it can have counted: what was counted here in a window before
//! `sent`, and since. (What others have used and has been counted here is among that.)
//!
//! ```text
//!            a window              since
//!   ├──────────────────────┤├──────────────────┤
//!                       baseline   sent       now        all of ours ≤ held at the baseline + counted since
//! ```
//!
//! The wheel has forgotten what was counted a window before `sent`. So it keeps *baselines*: of some moments, what the window
//! held then, less the head's sum then. With the head's sum of now added, that is what was in the window then and all that was
//! counted since. It is the more, the older the baseline is; so it is never too little. They are taken when a provider tells
//! something, at most one in a block of ticks, and each is one word. The first one is that of the beginning.
//!
//! What was given back before the baseline is not in it: the provider has been told by then as well, or counts it still, and then
//! it is missing indeed. What was given back since is in it, as the provider may have counted before.
//!
//! **Two observers.** The claim is an exchange of the head that was looked at. So while it succeeds nothing else has been counted
//! since, neither by a call nor by another observer.
//!
//! Sums are modulo 2^32. So where two thousand full windows are counted between two answers, it may be too little. Even so no
//! less is left afterwards than the provider says.

use super::offset::Now;
use super::raw_tokens::RawTokens;
use super::scale::{MAX_SUM, block};
use super::wheel::{Closed, Wheel};
use super::word::Word;
use crate::raw::left::Left;
use crate::sync::atomic::Ordering;

/// How often one call tries. Others count something each time.
const TRIES: u32 = 16;

impl RawTokens {
    /// Counts at `now` what others have used, until no more is left than a provider says, beside what is taken otherwise.
    /// Returns how much that is, in units.
    pub(super) fn count_others(&self, now: impl Now, left: Left, beside: u64) -> u32 {
        self.chain.with_tick(now, |wheel, now, tick| {
            let now = now.as_nanos();
            let age = left.age(now, wheel.scale.window);
            let sent = wheel.scale.tick_at(wheel.time(now.saturating_sub(age))).unwrap_or(tick);
            wheel.count_others(tick, sent, left.amount, wheel.scale.units(beside))
        })
    }

    /// The same beside nothing.
    pub(crate) fn count_all_others(&self, now: impl Now, left: Left) -> u32 {
        self.count_others(now, left, 0)
    }
}

impl Wheel {
    fn count_others(&self, tick: u32, sent: u32, left: u64, beside: u32) -> Result<u32, Closed> {
        for _ in 0..TRIES {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            let Ok(credits) = self.credits(window.from, head) else { continue };
            if !window.holds(self) {
                continue;
            }
            let held = window.sum.saturating_sub(credits);
            let ours = self.baseline_before(sent).map(|base| base.wrapping_add(head.amount()));
            self.note_baseline(Word::new(window.now, held.wrapping_sub(head.amount())));
            let used = self.scale.limit_units(self.limit()).saturating_sub(self.scale.units(left));
            let ours = ours.map_or(u32::MAX, |ours| ours.max(held).saturating_add(beside));
            // As an admission: sums must not wrap.
            let missing = used.saturating_sub(ours).min(MAX_SUM.saturating_sub(window.sum));
            // MUTANTS: count_others
            if missing == 0 || self.count(head, window.now, missing) {
                return Ok(missing);
            }
        }
        Ok(0)
    }

    /// The latest baseline from before this tick. Within a tick it is not known what came first.
    fn baseline_before(&self, tick: u32) -> Option<u32> {
        let words = self.baselines.iter().map(|slot| {
            // ORDERING: Acquire pairs with the Release in `note_baseline`: the head is at least as new as what the word was made
            // of, or the exchange of the one that was read before fails.
            Word(slot.load(Ordering::Acquire))
        });
        let earlier = words.filter(|word| word.tick() > 0 && word.tick() < tick);
        earlier.max_by_key(|word| word.tick()).map(Word::amount)
    }

    /// Keeps a baseline, the first one of each block.
    pub(super) fn note_baseline(&self, word: Word) {
        let at = block(word.tick());
        let slot = &self.baselines[at as usize % self.baselines.len()];
        // ORDERING: Relaxed: only compared.
        let known = slot.load(Ordering::Relaxed);
        if known == 0 || block(Word(known).tick()) < at {
            // ORDERING: Release pairs with the Acquire in `baseline_before`. Relaxed on failure: another thread has kept one.
            let _ = slot.compare_exchange(known, word.0, Ordering::Release, Ordering::Relaxed);
        }
    }
}
