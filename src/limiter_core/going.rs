//! A call in line, and how it goes: it takes its slot and its stamp, or waits again.

use super::ask::Ask;
use super::budgets::Share;
use super::counts::Counted;
use super::hand_out::Reason;
use super::in_line::Rank;
use super::line::{Lane, Number};
use super::place::{Found, Place, Stand};
use super::reserved::Reserved;
use super::reserving::Tokens;
use super::shared::Core;
use super::slot::Slot;
use crate::error::Refused;
use crate::semaphore::SemaphorePermit;
use crate::time::{SleepUntil, Time, Timestamp};
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;

pin_project! {
    /// A call in line. Fields are dropped in this order: a call that leaves stops being counted before it
    /// passes its turn on.
    pub(super) struct Queued<'a> {
        pub(super) core: &'a Core,
        pub(super) ask: Ask,
        pub(super) number: Number<'a>,
        pub(super) counted: Option<Counted<'a>>,
        // Among those that need as large a part of the tokens.
        pub(super) share: Option<Share<'a>>,
        // It is in line only because its task's budget was spent. It takes one of the limited places when it
        // really has to wait.
        pub(super) has_yet_to_be_counted: bool,
        pub(super) state: State<'a>,
        // How many had gone when it last found room that was not for it.
        pub(super) unused_since: Option<u64>,
        // When it looks for room itself, or while it stands for permits of silent calls.
        #[pin]
        pub(super) alarm: Option<SleepUntil<&'a Time>>,
        // The end of the timeout.
        #[pin]
        pub(super) timeout: Option<SleepUntil<&'a Time>>,
    }
}

/// The end of a timeout.
pub(super) struct Deadline {
    pub(super) at: Timestamp,
    /// The clock when it was set.
    pub(super) set_at: Timestamp,
}

pub(super) enum State<'a> {
    Waiting(Place<'a>),
    Standing(Stand<'a>),
    Done,
}

/// How a call tries to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was given a turn.
    Given,
    /// It is the first in line, and looks by itself.
    Own,
    /// It stood for a permit of the shared semaphore.
    Stood,
}

impl Queued<'_> {
    /// Tries to go. `None` if there is no room: then it waits.
    pub(super) fn go(
        mut self: Pin<&mut Self>,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Option<Result<Reserved, Refused>> {
        let core = self.core;
        if core.is_closed() {
            return Some(self.refuse(Refused::closed()));
        }
        if let Err(busy) = core.peek_for(&self.ask) {
            let refused = core.refused(busy);
            return self.wait_again(turn, refused, cx);
        }
        // What it needs fits, but a larger call before it waits for more.
        let is_behind = turn != Turn::Own && self.is_behind_another();
        // MUTANTS: go
        if is_behind {
            return self.wait_again(turn, Refused::until_released(), cx);
        }
        let Some(shared) = core.concurrency().shared() else {
            let slot = Slot::take_own(core);
            return self.stamp(slot, turn, cx);
        };
        // Else it would stand in vain.
        if core.gate.free() == Some(0) {
            return self.wait_again(turn, core.no_slot(), cx);
        }
        let mut claim = shared.claim();
        let mut polled = claim.poll(cx);
        if polled.is_pending()
            && let Some(lapsed) = core.claim_lapsed()
        {
            core.give_on(lapsed);
            polled = claim.poll(cx);
        }
        let Poll::Ready(permit) = polled else {
            core.show(self.share.as_ref(), Rank::Stands(self.number.ahead()));
            let stand = Stand::new(core, claim, self.number.ahead());
            let before = mem::replace(self.as_mut().project().state, State::Standing(stand));
            self.project().alarm.set(None);
            drop(before);
            return None;
        };
        self.go_with(permit, turn, cx)
    }

    /// Whether a call before it waits for its tokens. Without limits on tokens no call needs more than another.
    fn is_behind_another(&self) -> bool {
        let (core, number) = (self.core, &self.number);
        core.budgets().is_some()
            && (number.is_behind_those_in_front() || core.is_behind_the_watch(number.nth()))
    }

    /// Tries to go with a permit of the shared semaphore. Without one it waits again, or is refused if there can be none.
    pub(super) fn go_with(
        self: Pin<&mut Self>,
        permit: Option<SemaphorePermit<'_>>,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Option<Result<Reserved, Refused>> {
        let core = self.core;
        // While it stood a larger call before it has begun to wait for tokens.
        if core.is_behind_the_watch(self.number.nth()) {
            drop(permit);
            return self.wait_again(turn, Refused::until_released(), cx);
        }
        let slot = permit.and_then(|permit| Slot::with_shared(core, permit));
        self.stamp(slot, turn, cx)
    }

    /// Reserves its tokens and stamps, with the slot in hand. `None` if there was none, another call was faster or the
    /// clock stepped back.
    fn stamp(
        mut self: Pin<&mut Self>,
        slot: Option<Slot<'_>>,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Option<Result<Reserved, Refused>> {
        let Some(slot) = slot else {
            let refused = self.core.no_slot();
            return self.wait_again(turn, refused, cx);
        };
        let this = self.as_mut().project();
        let core = *this.core;
        // MUTANTS: stamp 1
        // Once it is in the log it must not be counted as waiting, too.
        this.number.count_out();
        // MUTANTS: stamp 2
        if core.is_closed() {
            return Some(self.refuse(Refused::closed()));
        }
        let mut tokens = Tokens::default();
        match core.reserve(this.ask, &mut tokens).and_then(|()| core.stamp()) {
            Ok(stamp) => {
                core.line.went.made();
                // MUTANTS: stamp 3
                // Before the guard lets go of the slot: leaving runs user code, which may panic (the next call's
                // waker, the drop of a timer).
                self.leave();
                slot.keep();
                Some(Ok(tokens.keep().with_stamp(stamp)))
            }
            Err(busy) => {
                self.as_mut().project().number.count_in();
                drop(tokens);
                // MUTANTS: stamp 4
                drop(slot);
                self.wait_again(turn, core.refused(busy), cx)
            }
        }
    }

    /// There is no room. It waits in front of the others, or is refused for good.
    fn wait_again(
        mut self: Pin<&mut Self>,
        turn: Turn,
        refused: Refused,
        cx: &mut Context<'_>,
    ) -> Option<Result<Reserved, Refused>> {
        if refused.ends_the_wait() {
            return Some(self.refuse(refused));
        }
        // MUTANTS: wait_again 1
        if turn == Turn::Own {
            return None;
        }
        let mut this = self.as_mut().project();
        let core = *this.core;
        this.alarm.set(None);
        let is_behind = core.is_behind_the_watch(this.number.nth());
        let lane = this.number.lane_ahead(is_behind);
        let mut place = Place::new(core, lane, this.number.nth());
        // Before its turn is answered: otherwise those behind it could get the next one.
        let found = place.poll(cx);
        let vain = match () {
            () if is_behind => Reason::VainBehind,
            () if place.is_first() => Reason::VainFirst,
            () => Reason::Vain,
        };
        if let State::Standing(stand) = this.state
            && is_behind
        {
            stand.is_left_behind();
        }
        if let State::Waiting(before) = this.state {
            // MUTANTS: wait_again 2
            // If older ones stand before it that had no turn together with it, none of them may look at the time.
            let is_in_front = lane == Lane::Front && core.line.late() == 0;
            let is_unwatched = before.is_ahead() && is_in_front && !place.is_first();
            if is_behind || !is_unwatched {
                before.is_left_in_vain(vain);
            }
        }
        *this.unused_since = None;
        drop(mem::replace(this.state, State::Waiting(place)));
        match found {
            Found::Closed => Some(Err(Refused::closed())),
            Found::Turn | Found::Nothing { .. } => None,
        }
    }

    fn refuse(self: Pin<&mut Self>, refused: Refused) -> Result<Reserved, Refused> {
        self.leave();
        Err(refused)
    }

    /// Leaves the line, and answers its turn: others get what is left.
    pub(super) fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.number.count_out();
        (*this.counted, *this.share) = (None, None);
        *this.state = State::Done;
        this.alarm.set(None);
        this.timeout.set(None);
    }
}
