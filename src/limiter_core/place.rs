//! A call's place in a lane, and its stand in the line of a shared semaphore.

use super::counts::Counted;
use super::hand_out::Reason;
use super::line::Lane;
use super::shared::Core;
use super::stands::Standing;
use crate::semaphore::{Claim, Closed, Semaphore, SemaphorePermit, Waiting};
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// A place in a lane. Fields are dropped in this order.
pub(super) struct Place<'a> {
    waiting: Waiting<'a>,
    /// While it waits for a turn, if that is counted.
    counted: Option<Counted<'a>>,
    leaving: Leaving<'a>,
    /// Watches for the close of the shared semaphore.
    closed: Option<Closed<'a>>,
}

/// What a poll of a place finds.
pub(super) enum Found {
    Turn,
    Closed,
    /// It has no turn. `is_new`: it has just taken its place.
    Nothing {
        is_new: bool,
    },
}

impl<'a> Place<'a> {
    /// It is taken at the first poll.
    pub(super) fn new(core: &'a Core, lane: Lane, nth: u64) -> Self {
        Self {
            waiting: core.line.wait(lane),
            counted: core.line.count_in(lane),
            leaving: Leaving { core, lane, nth, is_taken: false, has_turn: false, vain: None },
            closed: core.concurrency().shared().map(Semaphore::closed),
        }
    }

    /// A turn that it finds is answered when the place is dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Found {
        if self.closed.as_mut().is_some_and(|closed| Pin::new(closed).poll(cx).is_ready()) {
            return Found::Closed;
        }
        if self.leaving.has_turn {
            return Found::Turn;
        }
        match Pin::new(&mut self.waiting).poll(cx) {
            Poll::Ready(Ok(turn)) => {
                turn.keep();
                self.counted = None;
                (self.leaving.is_taken, self.leaving.has_turn) = (false, true);
                Found::Turn
            }
            Poll::Ready(Err(_)) => Found::Closed,
            Poll::Pending if self.leaving.is_taken => Found::Nothing { is_new: false },
            Poll::Pending => {
                self.leaving.is_taken = true;
                self.leaving.core.gate.form_line();
                Found::Nothing { is_new: true }
            }
        }
    }

    /// There was no room at its turn, and the call watches in front of the others now.
    pub(super) fn is_left_in_vain(&mut self, vain: Reason) {
        self.leaving.vain = Some(vain);
    }

    /// Whether it is in front of the classes.
    pub(super) fn is_ahead(&self) -> bool {
        self.leaving.lane.is_ahead()
    }

    /// Whether it is the first in line.
    pub(super) fn is_first(&self) -> bool {
        self.leaving.core.line.is_first(self.leaving.lane, &self.waiting)
    }

    /// How many turns it takes until this call has one; `None` if it has one.
    pub(super) fn turns_until(&self) -> Option<u64> {
        self.leaving.core.line.turns_until(self.leaving.lane, &self.waiting)
    }

    /// How many calls wait for a turn before it; `None` if it has one.
    pub(super) fn position(&self) -> Option<u64> {
        self.leaving.core.line.position(self.leaving.lane, &self.waiting)
    }
}

impl Drop for Place<'_> {
    /// A turn that was granted and not found yet must not pass to the next in this lane: others may be ahead.
    fn drop(&mut self) {
        if self.leaving.is_taken && self.waiting.is_served() {
            self.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Looks for others after a call has left its place.
struct Leaving<'a> {
    core: &'a Core,
    lane: Lane,
    /// The call's number.
    nth: u64,
    is_taken: bool,
    /// Found. It is answered when this is dropped.
    has_turn: bool,
    /// Why others look then, if the call waits again.
    vain: Option<Reason>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if !self.is_taken && !self.has_turn {
            return;
        }
        // It may have been granted a turn, and nobody waits behind it in the lane.
        let unused = self.core.line.take_back_from(self.lane) + u64::from(self.has_turn);
        self.core.end_watch(self.nth);
        // MUTANTS: drop 1
        if self.lane.is_ahead() && self.vain.is_none() {
            self.core.hand_out_after(unused, Reason::Successor);
        } else if unused > 0 {
            self.core.hand_out_after(unused, self.vain.unwrap_or(Reason::Room));
        }
    }
}

/// A stand in the line of the shared semaphore. It holds nothing: a permit that it is granted goes on if nobody polls it.
/// Fields are dropped in this order.
pub(super) struct Stand<'a> {
    claim: Claim<'a>,
    closed: Closed<'a>,
    standing: Standing<'a>,
    has_given_way: bool,
    leaving: LeavingStand<'a>,
}

/// What a poll of a stand finds.
pub(super) enum Stood<'a> {
    Permit(SemaphorePermit<'a>),
    /// Another call has claimed its permit, or there can be none.
    Nothing,
    Closed,
}

impl<'a> Stand<'a> {
    /// `claim` is in that line already.
    pub(super) fn new(core: &'a Core, claim: Claim<'a>, ahead: u64) -> Self {
        let standing = core.line.stands.count(core.ticks(), ahead);
        core.line.went.made();
        // The line may have ended since it was given its turn.
        core.gate.form_line();
        Self {
            claim,
            closed: core.line.any_lane().closed(),
            standing,
            has_given_way: false,
            leaving: LeavingStand { core, reason: Reason::Room },
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stood<'a>> {
        if Pin::new(&mut self.closed).poll(cx).is_ready() {
            return Poll::Ready(Stood::Closed);
        }
        self.claim.poll(cx).map(|permit| permit.map_or(Stood::Nothing, Stood::Permit))
    }

    /// The call is polled, behind `ahead` others.
    pub(super) fn show(&mut self, ahead: u64) {
        self.standing.show(self.leaving.core.ticks(), ahead);
    }

    /// An older call waits for its tokens, and this one behind it.
    pub(super) fn is_left_behind(&mut self) {
        self.leaving.reason = Reason::VainBehind;
    }

    /// Looks for the permit of a silent call. The first one goes to the first in that line, who came before. That may be
    /// a silent call, too, so the next one is the looker's own.
    pub(super) fn look(&mut self) -> Option<SemaphorePermit<'a>> {
        let core = self.leaving.core;
        let Some(permit) = core.claim_lapsed() else {
            // What it gave on was claimed.
            self.has_given_way &= core.has_unclaimed();
            return None;
        };
        if mem::replace(&mut self.has_given_way, true) {
            return Some(permit);
        }
        core.give_on(permit);
        None
    }
}

struct LeavingStand<'a> {
    core: &'a Core,
    reason: Reason,
}

impl Drop for LeavingStand<'_> {
    fn drop(&mut self) {
        self.core.hand_out(self.reason);
    }
}
