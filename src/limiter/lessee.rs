//! The one who grants leases to a limiter.

mod needs;

use super::Limiter;
use super::leased_limit::LeasedLimit;
use super::permit::LimiterTime;
use super::rouser::Rouser;
use crate::limiter_core::{Core, Leased, Leasing};
use crate::raw::leases::Granter;
use crate::time::{JUMP, SleepUntil, Timestamp};
use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::sync::Arc;

/// The granter's side of a limiter whose limits are kept somewhere else. From [`LimiterBuilder::build_leased`](crate::LimiterBuilder::build_leased).
///
/// There is one for each limiter. It has leases to grant, and learns what calls need, use and give back. All times are those of the
/// limiter's clock. Limits are named by their index in [`limits`](Self::limits); one that is not there has no leases and no demand.
///
/// What it does never waits for a call, and no call waits for it: a granter that stops in the middle of a grant holds up nobody. If it is
/// dropped, calls go on while there are leases, and then wait for good (with a timeout, until that ends). What it
/// [refuses](Self::refuse_all) then stays refused.
///
/// ```
/// use ringgate::{Limiter, Rate};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Limiter::builder().rate(Rate::per_minute(60)).max_concurrent(8);
/// let (limiter, mut lessee) = builder.build_leased()?;
/// let call = tokio::spawn(async move { limiter.acquire().await.map(drop) });
///
/// lessee.changed().await; // the call is in line
/// assert_eq!(lessee.demand(0).first, 1);
/// lessee.set_slots(1);
/// lessee.grant(0, 1, lessee.now().saturating_add(Duration::from_secs(5)));
/// call.await??;
/// # Ok(())
/// # }
/// ```
///
/// # The clock
///
/// A lease ends by the limiter's clock. If that jumps back by more than a second, at once or in small steps, leases would last longer.
/// Once the lessee grants, takes back or looks for [changes](Self::changed) after that, all of them end, and times that were
/// [told](Self::not_before) are forgotten. A grant that notices the jump has a time of before it: its lease has ended, too. No lease lasts
/// longer than the limit is [kept](LeasedLimit::kept), or an hour if that is more. A jump that the clock has caught up with by then is
/// not seen: until then leases last longer by as much. A call that has read the clock just before the end may still go just after it.
pub struct Lessee {
    core: Arc<Core>,
    leasing: Arc<Leasing>,
    limits: Vec<LeasedLimit>,
    /// For each limit.
    granting: Vec<Granting>,
    /// How many there are for all.
    slots: Option<usize>,
    /// The newest reading of the clock since it has jumped back.
    seen: Timestamp,
}

/// Unless the limit is kept for longer.
const LONGEST_LEASE: Duration = Duration::from_secs(3_600);

struct Granting {
    by: Granter,
    /// As it was set. In force from each grant on until it is told.
    mark: u64,
    newest: Option<u64>,
}

impl Lessee {
    pub(super) fn new(
        core: Arc<Core>,
        leasing: Arc<Leasing>,
        granters: Vec<Granter>,
        slots: Option<usize>,
    ) -> Self {
        let limits = leasing.limits().iter().map(LeasedLimit::of).collect();
        let granting =
            granters.into_iter().map(|by| Granting { by, mark: 0, newest: None }).collect();
        let seen = core.time().now();
        Self { core, leasing, limits, granting, slots, seen }
    }

    /// The limiter that it grants to: another handle of it.
    #[must_use]
    pub fn limiter(&self) -> Limiter {
        Limiter { core: Arc::clone(&self.core) }
    }

    /// The leased limits: the rates, then the limits on tokens, each in the builder's order. Those with a window of zero are none.
    #[must_use]
    pub fn limits(&self) -> &[LeasedLimit] {
        &self.limits
    }

    /// How many slots there are for all processes together, as the builder's
    /// [`max_concurrent`](crate::LimiterBuilder::max_concurrent) says; `None` if calls in flight are not limited.
    #[must_use]
    pub fn slots(&self) -> Option<usize> {
        self.slots
    }

    /// The limiter's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.core.time().now()
    }

    /// Sleeps for so long by the limiter's clock. The future borrows nothing.
    pub fn sleep(&self, length: Duration) -> impl Future<Output = ()> + Send + use<> {
        let now = self.now();
        let time = LimiterTime::new(Arc::clone(&self.core));
        SleepUntil::new(time, now.saturating_add(length), now)
    }

    // ---- granting ------------------------------------------------------------------------------

    /// `amount` of limit `n` may be used before `until`, beside what is left already. Returns the lease's number: from 1, one more
    /// with each lease of that limit. `None` if nothing was granted: the amount is zero, there is no such limit, or no number is left.
    ///
    /// An amount above the limit counts as the limit. Seven leases of a limit are live at a time: an eighth ends the oldest, of which
    /// the rest comes back as [unused](Self::take_unused). An earlier `until` than that of older leases holds for these, too. One that has
    /// come already is granted, and comes back. One that is later than the limit is [kept](LeasedLimit::kept), and than an hour, counts as
    /// the later of these.
    ///
    /// It wakes those in line for whom there is room.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then the lease is granted, and [`newest_lease`](Self::newest_lease) tells its number.
    pub fn grant(&mut self, n: usize, amount: u64, until: Timestamp) -> Option<u64> {
        let now = self.now();
        let has_jumped = self.notice_jump(now);
        let leased = self.leasing.limits().get(n)?;
        let longest = now.saturating_add(leased.kept().max(LONGEST_LEASE));
        let until = until.min(if has_jumped { now } else { longest });
        let Granting { by, mark, newest } = self.granting.get_mut(n)?;
        let number = leased.leases().grant(by, amount.min(leased.rule().limit()), until)?;
        *newest = Some(number);
        leased.set_not_before(None);
        leased.leases().set_mark(*mark);
        // MUTANTS: leases grant 3
        self.core.look_for_leases_again();
        Some(number)
    }

    /// The number of the last lease of limit `n` that was granted, also if a waker has panicked then; `None` if there was none.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let (_, mut lessee) = Limiter::builder().rate(Rate::per_minute(60)).build_leased()?;
    /// assert_eq!(lessee.newest_lease(0), None);
    /// let until = lessee.now().saturating_add(Duration::from_secs(5));
    /// let number = lessee.grant(0, 3, until);
    /// assert_eq!(lessee.newest_lease(0), number);
    /// # Ok::<(), ringgate::BuildLeasedError>(())
    /// ```
    #[must_use]
    pub fn newest_lease(&self, n: usize) -> Option<u64> {
        self.granting.get(n)?.newest
    }

    /// What could be used of limit `n` now.
    #[must_use]
    pub fn left(&self, n: usize) -> u64 {
        self.limit(n).map_or(0, |leased| leased.leases().left(self.now()))
    }

    /// Takes up to `amount` of what is left of limit `n` out of use, the oldest leases first. It comes back as
    /// [unused](Self::take_unused). Returns how much it is.
    pub fn reclaim(&mut self, n: usize, amount: u64) -> u64 {
        let now = self.now_after_jumps();
        let leased = self.leasing.limits().get(n).zip(self.granting.get_mut(n));
        leased
            .map_or(0, |(leased, granting)| leased.leases().reclaim(&mut granting.by, now, amount))
    }

    /// So many slots may be in use from now on, of those that the builder has and at most 32 767. If more are in use, the next that end
    /// free none.
    ///
    /// It wakes those in line for whom there is a slot.
    ///
    /// Slots have no end of their own: if nobody takes them back they are there, and calls hold theirs for as long as they last. A granter
    /// who needs an end gives every call a limit with leases beside them: without a lease it does not go, whatever slots there are.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then the slots are there.
    pub fn set_slots(&mut self, slots: usize) {
        self.core.lease_slots(u32::try_from(slots).unwrap_or(u32::MAX));
    }

    /// How many more slots may be in use than [`set_slots`](Self::set_slots) allows: those of calls that were in flight when it was called with
    /// less. So as many slots are in use at most as were set, and this many.
    #[must_use]
    pub fn slots_owed(&self) -> usize {
        usize::try_from(self.core.slots_owed()).unwrap_or(usize::MAX)
    }

    /// Refusals by limit `n` tell this time, until the next grant of it or until it has come. `None`: no time is known.
    pub fn not_before(&mut self, n: usize, at: Option<Timestamp>) {
        if let Some(leased) = self.limit(n) {
            leased.set_not_before(at);
        }
    }

    /// All calls are refused with [`Limit::Lease`](crate::Limit::Lease), for good and those in line included, until it is called
    /// with `false`. Those that stand for a permit of a shared [semaphore](crate::LimiterBuilder::semaphore) are refused when they look at
    /// the time next, as with [`stop`](Limiter::stop).
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then all calls are refused.
    pub fn refuse_all(&mut self, refuses: bool) {
        self.core.refuse_all(refuses);
    }

    // ---- what comes back -----------------------------------------------------------------------

    /// What comes back of limit `n`: up to `most` pairs of a lease's number and an amount of it that will not be used. It has run
    /// out, was [reclaimed](Self::reclaim), or calls have used less than they had reserved. The oldest leases come first.
    ///
    /// Nothing is told twice. Only the newest 512 leases are told of: what comes back of older ones is lost, so it counts as used.
    /// So does what a call gives back of a third lease, if it was of more than two, and of the second newest what is above 2^24 − 1. It
    /// allocates if something has come back. Of limits that
    /// [count as produced](LeasedLimit::counts_as_produced) nothing is told here: see [`held`](Self::held).
    #[must_use = "what it tells is not told again"]
    pub fn take_unused(&mut self, n: usize, most: usize) -> Vec<(u64, u64)> {
        let now = self.now_after_jumps();
        let leased = self.leasing.limits().get(n).zip(self.granting.get_mut(n));
        leased.map_or_else(Vec::new, |(leased, granting)| {
            leased.leases().take_unused(&mut granting.by, now, most)
        })
    }

    /// What calls have used of limit `n` beyond what they had reserved, since the limiter was built. If it
    /// [counts as produced](LeasedLimit::counts_as_produced): all that was used and is settled. It only grows, and saturates.
    #[must_use]
    pub fn used(&self, n: usize) -> u64 {
        self.limit(n).map_or(0, |leased| leased.leases().used())
    }

    /// Of a limit that [counts as produced](LeasedLimit::counts_as_produced): what was granted, and has neither run out, come back nor
    /// been settled. 0 of others.
    ///
    /// Ask for this before [`used`](Self::used): then a settlement in between is in both, and never in none.
    #[must_use]
    pub fn held(&self, n: usize) -> u64 {
        let leased = self.limit(n).zip(self.granting.get(n));
        leased.map_or(0, |(leased, granting)| leased.leases().held(&granting.by, self.now()))
    }

    // ---- what has changed (what is needed: `needs.rs`) -----------------------------------------

    /// [`changed`](Self::changed) completes when less than this is left of limit `n`: once, and again after the next
    /// [grant](Self::grant) of it or the next call of this. 0, as at first, is never.
    pub fn set_mark(&mut self, n: usize, mark: u64) {
        if let Some(granting) = self.granting.get_mut(n) {
            granting.mark = mark;
        }
        if let Some(leased) = self.limit(n) {
            leased.leases().set_mark(mark);
        }
    }

    /// What all processes have used of limit `n`, for [`Limiter::stats`] alone.
    pub fn tell_used(&mut self, n: usize, used: u64) {
        if let Some(leased) = self.limit(n) {
            leased.tell_used(used);
        }
    }

    /// Completes when something has changed since it last completed:
    ///
    /// * a call has joined the line, or another is the first in it;
    /// * a call was refused, at once or at the end of its timeout, for lack of a lease or a slot;
    /// * less is left of a limit than its [mark](Self::set_mark);
    /// * the limiter was paused, stopped, resumed or closed;
    /// * a [`Rouser`] was called.
    ///
    /// The end of a lease is no change: whoever wants to know sleeps until then. It may also complete without a change. Of several changes it completes once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change: the next call of it completes.
    pub async fn changed(&mut self) {
        loop {
            // After it is armed: whoever changes something later rings.
            let (has_rung, now) = self.leasing.bell().arm_and(|| self.now());
            self.notice_jump(now);
            if self.take_low(now) || has_rung {
                self.leasing.bell().disarm();
                return;
            }
            if let Ok(ring) = self.leasing.bell().wait().await {
                ring.keep();
            }
        }
    }

    /// Whether less is left of a limit than its mark. That is told once.
    fn take_low(&self, now: Timestamp) -> bool {
        let mut is_low = false;
        for leased in self.leasing.limits() {
            let leases = leased.leases();
            let mark = leases.mark();
            if mark > 0 && leases.left(now) < mark {
                leases.set_mark(0);
                is_low = true;
            }
        }
        is_low
    }

    /// What makes [`changed`](Self::changed) complete, from anywhere.
    #[must_use]
    pub fn rouser(&self) -> Rouser {
        Rouser { core: Arc::clone(&self.core) }
    }

    fn limit(&self, n: usize) -> Option<&Leased> {
        self.leasing.limits().get(n)
    }

    /// If the clock has jumped back, leases would last longer: they end. Returns whether it has.
    fn notice_jump(&mut self, now: Timestamp) -> bool {
        let has_jumped = self.seen.saturating_duration_since(now) > JUMP;
        if has_jumped {
            self.leasing.forget_first();
            for (leased, granting) in self.leasing.limits().iter().zip(&mut self.granting) {
                leased.leases().reclaim(&mut granting.by, now, u64::MAX);
                leased.set_not_before(None);
            }
        }
        // Small steps back add up.
        self.seen = if has_jumped { now } else { self.seen.max(now) };
        has_jumped
    }

    fn now_after_jumps(&mut self) -> Timestamp {
        let now = self.now();
        self.notice_jump(now);
        now
    }
}

/// The limits and the line.
impl fmt::Debug for Lessee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lessee")
            .field("limits", &self.limits)
            .field("slots", &self.slots())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}
