//! What the window holds at moments to come, less the sum of the head: see `others.rs`.

use super::scale::block;
use super::word::Word;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::zeros;
use core::ptr;

/// Ticks for which there is a word.
const WORDS: usize = if cfg!(ringgate_loom) { 4 } else { 1024 };
/// Ticks to come, of these.
pub(super) const AHEAD: u32 = if cfg!(ringgate_loom) { 2 } else { 512 };

/// The baselines of a wheel. Without an answer of a provider there are none, and they take no memory.
pub(super) struct Baselines {
    /// That of the beginning, if all that the window held then is known.
    pub(super) first: Option<u32>,
    /// `Noted`; null before the first answer.
    noted: AtomicPtr<Noted>,
}

struct Noted {
    /// The block in which they were noted last.
    block: AtomicU32,
    /// `[tick | baseline]`
    words: Box<[AtomicU64]>,
}

impl Baselines {
    pub(super) fn new() -> Self {
        Self { first: None, noted: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The baseline for this tick, or the latest from before.
    pub(super) fn at(&self, tick: u32) -> Option<u32> {
        let latest = self.noted().and_then(|noted| noted.at(tick));
        latest.or(self.first)
    }

    /// Notes what `baselines` tells of the ticks after this one, unless that has been done in this block.
    pub(super) fn note(&self, tick: u32, baselines: impl Iterator<Item = u32>) {
        let Some(noted) = self.noted().or_else(|| self.begin()) else { return };
        // ORDERING: Relaxed, both: two threads may do it, each with right numbers.
        if noted.block.load(Ordering::Relaxed) != block(tick) {
            // ORDERING: Relaxed, as above.
            noted.block.store(block(tick), Ordering::Relaxed);
            for (tick, baseline) in (tick + 1..).zip(baselines) {
                noted.write(Word::new(tick, baseline));
            }
        }
    }

    fn noted(&self) -> Option<&Noted> {
        // ORDERING: Acquire pairs with the Release in `begin`: the words are seen.
        let noted = self.noted.load(Ordering::Acquire);
        // SAFETY: null, or published whole, and freed with `self`.
        unsafe { noted.as_ref() }
    }

    #[cold]
    fn begin(&self) -> Option<&Noted> {
        let noted = Noted { block: AtomicU32::new(0), words: zeros(WORDS) };
        let noted = Box::into_raw(Box::new(noted));
        let null = ptr::null_mut();
        // ORDERING: Release publishes the words to the Acquire in `noted`. Relaxed on failure: nothing is read.
        let published =
            self.noted.compare_exchange(null, noted, Ordering::Release, Ordering::Relaxed);
        if published.is_err() {
            // SAFETY: it came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(noted) });
        }
        self.noted()
    }
}

impl Noted {
    fn at(&self, tick: u32) -> Option<u32> {
        let word = self.word(tick);
        if word.tick() == tick {
            return Some(word.amount());
        }
        let all = (0..).take(WORDS).map(|number| self.word(number));
        let earlier = all.filter(|word| word.tick() > 0 && word.tick() < tick);
        earlier.max_by_key(|word| word.tick()).map(Word::amount)
    }

    fn slot(&self, tick: u32) -> &AtomicU64 {
        &self.words[tick as usize % WORDS]
    }

    fn word(&self, tick: u32) -> Word {
        // ORDERING: Relaxed: a word is right by itself, as of before its tick. The head that it is used with is claimed by an
        // exchange.
        Word(self.slot(tick).load(Ordering::Relaxed))
    }

    /// Writes a word, unless there is one of a later lap.
    fn write(&self, word: Word) {
        let known = self.word(word.tick());
        if known.tick() <= word.tick() {
            // ORDERING: Relaxed, both, as in `word`. If it fails another thread has written one.
            let _ = self.slot(word.tick()).compare_exchange(
                known.0,
                word.0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }
}

impl Drop for Baselines {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let noted = self.noted.load(Ordering::Relaxed);
        if !noted.is_null() {
            // SAFETY: it came from `Box::into_raw` in `begin`, and no other thread is left.
            drop(unsafe { Box::from_raw(noted) });
        }
    }
}
