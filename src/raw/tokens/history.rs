//! What a window of tokens remembers, for one that continues in another process.
//!
//! An entry's age is that of the beginning of its tick; all of it was counted in that tick. In a window of the same length
//! the ticks lie as they lay before, so nothing changes its age by being written and read, however often. In another window
//! an entry counts in the tick of its last moment.

use super::chain::Chain;
use super::offset::{Now, Offset};
use super::raw_tokens::{RawTokens, kept};
use super::scale::Scale;
use super::succession::Filling;
use super::wheel::{Track, Wheel};
use super::word::{Word, between};
use crate::raw::entry::Entry;
use crate::time::{Timestamp, in_nanos};
use core::time::Duration;

impl RawTokens {
    /// The length of a tick, and what counts in the window: the youngest first. `held` counts from now on. (The tick under way is
    /// there even if nothing has been counted in it: it tells how the ticks lie.)
    ///
    /// What was counted before the call is told, less what has been given back. It reads the wheel once, then the clock.
    pub(crate) fn entries(&self, now: impl Now, held: u64) -> (u64, Vec<Entry>) {
        let wheel = self.chain.current();
        let counted = wheel.counted_by_tick();
        let scale = wheel.scale;
        let (_, time) = wheel.read(now);
        // A clock that has stepped back makes it younger, not older.
        let age = |tick: u32| time.saturating_sub(scale.begin(tick));
        let entries = counted.into_iter().map(|(tick, amount)| Entry { age: age(tick), amount });
        let held = Entry { age: scale.tick_at(time).map_or(0, age), amount: held };
        let entries =
            entries.filter(|entry| entry.age / scale.tick < scale.ticks.into()).chain([held]);
        (scale.tick, Entry::in_order(entries.collect()))
    }

    /// A window that counts these entries, the youngest first, from ticks of this length. Their ages are those at `now`.
    pub(crate) fn restored(
        (limit, window): (u64, Duration),
        (tick, entries): (u64, &[Entry]),
        now: Timestamp,
    ) -> Self {
        let limit = kept(limit);
        let scale = Scale::new(limit, in_nanos(window), 0);
        // So long ago a tick began.
        let phase = entries.first().map_or(0, |entry| entry.age % scale.tick);
        // The wheel's time is a window ahead of the clock's, because its ticks may have begun before the clock did.
        let ahead = scale.in_window().saturating_add(scale.tick);
        let began = now.as_nanos().saturating_add(ahead).saturating_sub(phase);
        let scale = scale.with_origin(began);
        let mut wheel = Wheel::new(scale, Offset::fixed(ahead), limit, 0);
        let first = scale.first();
        let mut filling = Filling::new(&wheel, first);
        let mut sum = 0_u64;
        for entry in entries {
            let last_moment = entry.age.saturating_sub(tick.saturating_sub(1));
            let ticks = last_moment.saturating_sub(phase).div_ceil(scale.tick);
            let ticks = u32::try_from(ticks).unwrap_or(u32::MAX).min(scale.ticks);
            sum = sum.saturating_add(entry.amount);
            if !filling.add(first - ticks, scale.units(sum)) {
                break;
            }
        }
        filling.complete();
        let head = Word::new(first, 0);
        wheel.start(head);
        wheel.baselines.first = wheel.window(head, first).ok().map(|window| window.sum);
        Self { chain: Chain::of(wheel) }
    }
}

impl Wheel {
    /// What has been counted in each tick of the window behind the head, in tokens, less what has been given back: the
    /// latest first.
    ///
    /// What is behind the head is final. A slot that a later lap has taken shows that the head is a wheel further by now, so
    /// its tick and all before have left the window.
    fn counted_by_tick(&self) -> Vec<(u32, u64)> {
        // Of the head's own tick more can be counted and given back meanwhile. So its credits are read before the head:
        // they are of what has been counted by then.
        let open = self.head_word().tick();
        let open_credit = self.credit_of(open);
        let head = self.head_word();
        let head = Word::new(head.tick(), head.amount());
        let cut = self.word(Track::Cut, 0).tick();
        let mut all = Vec::new();
        for tick in (head.tick().saturating_sub(self.scale.ticks - 1)..=head.tick()).rev() {
            let (end, credit) = if tick == head.tick() {
                (Ok(Some(head.amount())), if tick == open { open_credit } else { 0 })
            } else {
                (self.amount(Track::Ends, tick), self.credit_of(tick))
            };
            let (Ok(end), Ok(before)) = (end, self.sum_before(tick, head)) else { break };
            let Some(end) = end else { continue };
            let kept = between(before, end).saturating_sub(credit);
            // Of a tick that was cut off more was counted than is known: a full window.
            let amount = if tick <= cut { u64::MAX } else { self.scale.amount(kept) };
            all.push((tick, amount));
        }
        all
    }

    fn credit_of(&self, tick: u32) -> u32 {
        self.amount(Track::Credits, tick).ok().flatten().unwrap_or(0)
    }
}
