//! What others have used of a limit, of which a provider tells.
//!
//! The provider has counted at some moment between the admission of the call that it answers (`sent`) and now. What it misses
//! was used by others, if it is more than all of ours that it can have counted: what was counted here in a window before
//! `sent`, and since. (What others have used and has been counted here is among that.)
//!
//! ```text
//!                a window                  since
//!   ├────────────────────────────────┤├──────────────┤
//!   ▲ sum then: forgotten by now     sent           now        ours = sum now − sum a window before `sent`
//! ```
//!
//! The wheel has forgotten what its sum was a window before `sent`. So *baselines* are kept. A baseline of a tick is what the
//! window that ends with it still holds of what is counted already, less the sum of the head. With the sum of a later head
//! added, that is all in the window then and all that was counted since. When a provider tells something, baselines are noted
//! for the ticks to come, half a window ahead, at most once in a block: each sum that is needed is still there then. The baseline of
//! an earlier tick than `sent` tells more, never less. The first one is that of the beginning.
//!
//! What was given back before a baseline was noted is not in it: the provider has been told by then as well, or counts it still,
//! and then it is missing indeed. What was given back since is in it, as the provider may have counted before.
//!
//! **Two observers.** The claim is an exchange of the head that was looked at. So while it succeeds nothing else has been counted
//! since, neither by a call nor by another observer.
//!
//! Sums are modulo 2^32. So where two thousand full windows are counted between two answers, it may be too little. Even so no
//! less is left afterwards than the provider says.

use super::baselines::AHEAD;
use super::count::Window;
use super::offset::Now;
use super::raw_tokens::RawTokens;
use super::scale::MAX_SUM;
use super::wheel::{Closed, Track, Wheel};
use crate::raw::left::Left;

/// How often one call tries. Others count something each time.
const TRIES: u32 = 16;

impl RawTokens {
    /// Counts at `now` what others have used, until no more is left than a provider says, beside what is taken otherwise.
    pub(crate) fn count_others(&self, now: impl Now, left: Left, beside: u64) {
        self.chain.with_tick(now, |wheel, now, tick| {
            let now = now.as_nanos();
            let age = left.sent.age(now, wheel.scale.window);
            let sent = wheel.scale.tick_at(wheel.time(now.saturating_sub(age))).unwrap_or(tick);
            wheel.count_others(tick, sent, left.amount, wheel.scale.units(beside))
        });
    }
}

impl Wheel {
    fn count_others(&self, tick: u32, sent: u32, left: u64, beside: u32) -> Result<(), Closed> {
        for _ in 0..TRIES {
            let head = self.head()?;
            let Ok(window) = self.window(head, tick) else { continue };
            let Ok(credits) = self.credits(window.from, head) else { continue };
            if !window.holds(self) {
                continue;
            }
            let held = window.sum.saturating_sub(credits);
            let ours = self.baselines.at(sent).map(|base| base.wrapping_add(head.amount()));
            self.baselines.note(window.now, self.held_later(&window, credits));
            let used = self.scale.limit_units(self.limit()).saturating_sub(self.scale.units(left));
            let ours = ours.map_or(u32::MAX, |ours| ours.max(held).saturating_add(beside));
            // As an admission: sums must not wrap.
            let missing = used.saturating_sub(ours).min(MAX_SUM.saturating_sub(window.sum));
            if missing == 0 || self.count(head, window.now, missing) {
                break;
            }
        }
        Ok(())
    }

    /// The baselines of the ticks to come.
    fn held_later(&self, window: &Window, credits: u32) -> impl Iterator<Item = u32> {
        let (head, from) = (window.head, window.from);
        let (mut before, mut credits) = (head.amount().wrapping_sub(window.sum), credits);
        (from..from + AHEAD).map_while(move |leaves| {
            if leaves == head.tick() {
                before = head.amount();
            } else if leaves < head.tick() {
                before = self.amount(Track::Ends, leaves).ok()?.unwrap_or(before);
            }
            if credits > 0 && leaves <= head.tick() {
                let given_back = self.amount(Track::Credits, leaves).ok()?.unwrap_or(0);
                credits = credits.saturating_sub(given_back);
            }
            Some(before.wrapping_neg().wrapping_sub(credits))
        })
    }
}
