//! What others with the same key use of a rate.
//!
//! It is a number, not admissions: while our own calls fill the window there is no place for those of others, and a client
//! that uses a third goes on to use a third. The limit is lowered by it (`ceiling.rs`).
//!
//! A provider tells what is left. What it misses beside our own calls was used by others. Which of ours it has counted is known
//! within bounds (`raw/window/log/look_back.rs`), and so is what others use:
//!
//! * It has counted **at some time between the admission of the call that it answers and now**. What is above all that we have
//!   admitted from a window before that call until now was not ours (`surely`). While others are not known, only that is
//!   believed, and a refusal.
//! * Most providers count **calls as they come**. Then it is what the window before that call held, but for calls that overtook
//!   one another (`at_least`, `at_most`). Once others are known, their number is kept between these.
//!
//! So nothing of ours is taken for others' while there are none, whenever the provider counts. With others, one that counts later
//! leaves us less, by the calls that were admitted meanwhile.
//!
//! **A refusal while nothing is left** tells of others, too: it raises the number by one at least, if that is possible.
//!
//! **Refused calls** count in our window, and mostly not in the provider's. So once others are known they are taken off what was ours
//! (`refused_calls.rs`). A provider that counts them, and refuses though others are not there, seems to be used by as many
//! for as long as they are in the window.
//!
//! **When a call was admitted** only its permit knows. Without it the second bound is that of a call that was admitted now, and
//! only refusals and what was surely not ours raise the number.
//!
//! **Time.** The number holds until an answer tells another one. If none confirms it for a window, or until all is there again by the
//! provider's word, it is forgotten: whatever others had used has left the window.

use super::refused_calls::RefusedCalls;
use crate::raw::left::Sent;
use crate::raw::window::Counted;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Of one rule.
#[derive(Debug, Default)]
pub(super) struct Others {
    used: AtomicU64,
    refused: RefusedCalls,
}

/// What an answer says of a rule.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    /// By the provider's count, of what we are allowed.
    pub(super) used: u64,
    /// It has refused the call, ...
    pub(super) is_refusal: bool,
    /// ... and nothing is left.
    pub(super) is_full: bool,
    pub(super) sent: Sent,
}

/// A rule's windows, in ns: the provider's, and with the margin.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) window: u64,
    pub(super) kept: u64,
}

impl Others {
    pub(super) fn used(&self) -> u64 {
        // ORDERING: Relaxed: the number alone. A later answer mends what two that come together make of it.
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        // ORDERING: Relaxed, as in `used`.
        self.used.swap(0, Ordering::Relaxed);
    }

    /// The provider has refused a call.
    pub(super) fn refuse(&self, sent: Sent, now: u64, windows: Windows) {
        self.refused.count(sent.time(now), windows.window);
    }

    pub(super) fn forget_refused(&self) {
        self.refused.forget();
    }

    /// Learns from an answer what others use. Returns whether it tells that there are some.
    pub(super) fn learn(
        &self,
        answer: Answer,
        counted: Counted,
        now: u64,
        windows: Windows,
    ) -> bool {
        let Windows { window, kept } = windows;
        let Answer { used, is_refusal, is_full, sent } = answer;
        let beside = |ours: u64, refused: u64| used.saturating_sub(ours.saturating_sub(refused));
        let surely = counted.until_now.map_or(0, |ours| beside(ours, 0));
        let then = sent.time(now);
        let before = then.saturating_sub(window)..then;
        let refused = self.refused.within(before.clone(), window);
        let is_known = matches!(sent, Sent::At(at) if at <= now);
        let at_least = counted.at_most.filter(|_| is_known).map_or(0, |ours| beside(ours, refused));
        // The call itself was counted unless it was refused. Without a margin it is among them.
        let own = u64::from(kept > window && is_known && !is_refusal);
        let at_most = beside(counted.at_least + own, self.refused.around(before, window));
        let known = self.used();
        let at_least = if known > 0 { at_least.max(surely) } else { surely };
        let others = if is_full {
            known.max(known.saturating_add(1).min(at_most)).max(at_least)
        } else {
            known.min(at_most).max(at_least)
        };
        // ORDERING: Relaxed, as in `used`, in both. If it is another one by now, that is a word as late as this one. It may have been
        // forgotten, and must not come back without a time.
        let _ = self.used.compare_exchange(known, others, Ordering::Relaxed, Ordering::Relaxed);
        others > 0 && (is_full || at_least > 0)
    }
}
