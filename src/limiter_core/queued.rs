//! A call in line.
//!
//! | state | what it waits for | goes on to |
//! |---|---|---|
//! | `Waiting` | a turn; the first in line also for the time that the log gives and for a close | `Done`; `Standing`; `Waiting` in front of others, if there is no room at its turn |
//! | `Standing` | a permit of the shared semaphore, in that one's line | `Done`; `Waiting` in front of others, if the rate refuses |
//! | `Done` | – | – |

use super::concurrency::Slot;
use super::hand_out::Reason;
use super::line::{Counted, Lane, Number};
use super::not_until::NotUntil;
use super::place::{Found, Place, Stand};
use super::priority::Priority;
use super::shared::Core;
use crate::error::Refused;
use crate::time::{SleepUntil, Timestamp};
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;

pin_project! {
    /// A call in line. Fields are dropped in this order: a call that leaves stops being counted before it
    /// passes its turn on.
    pub(super) struct Queued<'a> {
        core: &'a Core,
        number: Number<'a>,
        counted: Option<Counted<'a>>,
        // It is in line only because its task's budget was spent. It takes one of the limited places when it
        // really has to wait.
        has_yet_to_be_counted: bool,
        state: State<'a>,
        // How many had gone when it last found room that was not for it.
        unused_since: Option<u64>,
        // When it looks for room itself.
        #[pin]
        alarm: Option<SleepUntil<'a>>,
        // The end of the timeout.
        #[pin]
        timeout: Option<SleepUntil<'a>>,
    }
}

/// The end of a timeout.
pub(super) struct Deadline {
    pub(super) at: Timestamp,
    /// The clock when it was set.
    pub(super) set_at: Timestamp,
}

enum State<'a> {
    Waiting(Place<'a>),
    Standing(Stand<'a>),
    Done,
}

/// How a call tries to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It was given a turn, in this lane.
    Given(Lane),
    /// It is the first in line, and looks by itself.
    Own,
    /// It has a permit of the shared semaphore.
    Stood,
}

/// How often one poll tries. With a clock that steps back at each reading it would never end.
const MAX_TRIES: u32 = 4;

impl<'a> Queued<'a> {
    /// Joins the line of `core`. `is_counted`: it takes one of the limited places now.
    pub(super) fn new(
        core: &'a Core,
        class: Priority,
        deadline: Option<Deadline>,
        is_counted: bool,
    ) -> Result<Self, Refused> {
        let counted = if is_counted { core.take_place()? } else { None };
        let number = core.line.join(class);
        let lane = if number.came_first() { number.lane_ahead() } else { Lane::Class(class) };
        Ok(Self {
            core,
            number,
            counted,
            has_yet_to_be_counted: !is_counted,
            state: State::Waiting(Place::new(core, lane)),
            unused_since: None,
            alarm: None,
            timeout: deadline.map(|deadline| core.time.sleep_until(deadline.at, deadline.set_at)),
        })
    }

    /// How many calls are ahead in line; `None` once it is done.
    pub(super) fn position(&self) -> Option<u64> {
        match &self.state {
            State::Waiting(place) => Some(place.position()),
            State::Standing(_) => Some(0),
            State::Done => None,
        }
    }

    /// Takes its place in line, and decides later.
    pub(super) fn take_place(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), Refused> {
        let this = self.project();
        let State::Waiting(place) = this.state else { return Ok(()) };
        match place.poll(cx) {
            Found::Closed => return Err(Refused::closed()),
            // It has met what another call has left.
            Found::Turn => place.keep_turn(),
            Found::Nothing { .. } => this.core.hand_out(Reason::Room),
        }
        Ok(())
    }

    /// Goes from state to state.
    fn advance(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        for _ in 0..MAX_TRIES {
            let this = self.as_mut().project();
            let turn = match this.state {
                State::Done => return Poll::Pending,
                State::Standing(stand) => match stand.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(slot) => {
                        if let Some(decided) = self.as_mut().stamp(slot?, Turn::Stood, cx) {
                            return Poll::Ready(decided);
                        }
                        continue;
                    }
                },
                State::Waiting(place) => match place.poll(cx) {
                    Found::Closed => {
                        let refused = this.core.concurrency().permanent_refusal();
                        return Poll::Ready(Err(refused.unwrap_or_else(Refused::closed)));
                    }
                    Found::Turn => Turn::Given(place.lane()),
                    Found::Nothing { is_new: true } => {
                        // MUTANTS: advance 1
                        this.core.hand_out(Reason::Room);
                        continue;
                    }
                    Found::Nothing { is_new: false } if place.is_first() => {
                        // MUTANTS: advance 2
                        // Those that have a turn came before it.
                        if !this.core.has_room_beside_turns() {
                            if self.as_mut().sleep(true, cx)?.is_pending() {
                                return Poll::Pending;
                            }
                            // They may be silent, and those that stand for a shared permit count on.
                            self.as_mut().look_past_silent();
                            continue;
                        }
                        Turn::Own
                    }
                    Found::Nothing { is_new: false } => {
                        if self.as_mut().sleep(false, cx)?.is_pending() {
                            return Poll::Pending;
                        }
                        self.as_mut().look_past_silent();
                        continue;
                    }
                },
            };
            if let Some(decided) = self.as_mut().go(turn, cx) {
                return Poll::Ready(decided);
            }
            // MUTANTS: advance 3
            if turn == Turn::Own
                && matches!(self.state, State::Waiting(_))
                && self.as_mut().sleep(true, cx)?.is_pending()
            {
                return Poll::Pending;
            }
        }
        yield_now(cx)
    }

    /// If there is room, and nobody has used it since this call saw that before, those ahead are silent.
    fn look_past_silent(self: Pin<&mut Self>) {
        let this = self.project();
        let core = *this.core;
        let went = core.has_room().then(|| core.line.went.so_far());
        // MUTANTS: look_past_silent
        if went.is_some() && went == *this.unused_since {
            // Enough that this call gets one, too, if all calls of its class before it and others' shares go first.
            let ahead = this.number.ahead();
            let others = core.line.before(this.number.class(), ahead + 1);
            core.hand_out(Reason::Silent(ahead.saturating_add(others).max(1)));
        }
        *this.unused_since = went;
    }

    /// Sleeps until it is time to look for room. An error if that is never.
    fn sleep(
        self: Pin<&mut Self>,
        is_first: bool,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Refused> {
        let mut this = self.project();
        let core = *this.core;
        let by_rate = core.peek();
        let waits_for_rate = is_first && by_rate.is_err();
        let wanted = match by_rate {
            Err(busy) if busy.free_at.is_none() => return Err(refusal(core, busy)),
            Err(NotUntil { free_at, now }) if is_first => free_at.map(|at| (at, now)),
            by_rate => {
                let now = core.time.now();
                let from = by_rate.err().and_then(|busy| busy.free_at).unwrap_or(now);
                let ahead = if is_first { 0 } else { this.number.ahead().max(1) };
                // Nobody else is in line: whoever frees a slot gives it to this one.
                let is_alone = is_first && core.line.len() == 1;
                if is_alone {
                    core.line.sleep_untimed();
                }
                (!is_alone).then(|| (from.saturating_add(core.grace.patience(ahead)), now))
            }
        };
        let Some((at, now)) = wanted else {
            this.alarm.set(None);
            return Ok(Poll::Pending);
        };
        let set = this.alarm.as_ref().as_pin_ref().map(|alarm| alarm.deadline());
        // One that looks whether others are silent keeps its time, else it would never come.
        if set.is_none_or(|set| if waits_for_rate { set != at } else { set > at }) {
            this.alarm.set(Some(core.time.sleep_until(at, now)));
        }
        let Some(alarm) = this.alarm.as_mut().as_pin_mut() else { return Ok(Poll::Pending) };
        let rung = alarm.poll(cx);
        if rung.is_ready() {
            this.alarm.set(None);
        }
        Ok(rung)
    }

    /// Tries to go. `None` if there is no room: then it waits.
    fn go(
        mut self: Pin<&mut Self>,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Refused>> {
        let core = self.core;
        if core.is_closed() {
            return Some(self.refuse(turn, Refused::closed()));
        }
        if let Err(busy) = core.peek() {
            let refused = refusal(core, busy);
            return self.wait_again(turn, refused, cx);
        }
        let Some(mut slot) = Slot::take_own(core) else {
            return self.wait_again(turn, core.no_slot(), cx);
        };
        if let Some(shared) = core.concurrency().shared() {
            let mut waiting = shared.wait();
            match Pin::new(&mut waiting).poll(cx) {
                Poll::Ready(Ok(permit)) => slot.shared = Some(permit),
                Poll::Ready(Err(_)) => return Some(self.refuse(turn, core.no_slot())),
                Poll::Pending => {
                    let stand = State::Standing(Stand::new(core, waiting, slot));
                    let before = mem::replace(self.as_mut().project().state, stand);
                    self.project().alarm.set(None);
                    drop(before);
                    answer(core, turn);
                    return None;
                }
            }
        }
        self.stamp(slot, turn, cx)
    }

    /// Stamps with the slot in hand. `None` if another call was faster or the clock stepped back.
    fn stamp(
        mut self: Pin<&mut Self>,
        slot: Slot<'_>,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Refused>> {
        let this = self.as_mut().project();
        let core = *this.core;
        // MUTANTS: stamp 1
        // Once it is in the log it must not be counted as waiting, too.
        this.number.count_out();
        // MUTANTS: stamp 2
        if core.is_closed() {
            return Some(self.refuse(turn, Refused::closed()));
        }
        match core.stamp() {
            Ok(()) => {
                core.line.went.made();
                // MUTANTS: stamp 3
                // Before the guard lets go of the slot: leaving runs user code, which may panic (the next call's
                // waker, the drop of a timer).
                self.leave();
                answer(core, turn);
                slot.keep();
                Some(Ok(()))
            }
            Err(busy) => {
                self.as_mut().project().number.count_in();
                // MUTANTS: stamp 4
                drop(slot);
                self.wait_again(turn, refusal(core, busy), cx)
            }
        }
    }

    /// There is no room. It waits in front of the others, or is refused for good.
    fn wait_again(
        mut self: Pin<&mut Self>,
        turn: Turn,
        refused: Refused,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), Refused>> {
        if refused.is_permanent() {
            return Some(self.refuse(turn, refused));
        }
        // MUTANTS: wait_again
        if turn == Turn::Own {
            return None;
        }
        let mut this = self.as_mut().project();
        let core = *this.core;
        this.alarm.set(None);
        let mut place = Place::new(core, this.number.lane_ahead());
        // Before its turn is answered: otherwise those behind it could get the next one.
        let found = place.poll(cx);
        if let Found::Turn = found {
            // It has met what another call has left.
            place.keep_turn();
        }
        drop(mem::replace(this.state, State::Waiting(place)));
        if let Turn::Given(_) = turn {
            // This call watches for the others now.
            core.hand_out_after(1, Reason::Room);
        }
        match found {
            Found::Closed => Some(Err(Refused::closed())),
            Found::Turn | Found::Nothing { .. } => None,
        }
    }

    /// It leaves without being admitted, and the next one looks.
    fn refuse(self: Pin<&mut Self>, turn: Turn, refused: Refused) -> Result<(), Refused> {
        let core = self.core;
        self.leave();
        if let Turn::Given(_) = turn {
            core.hand_out_after(1, Reason::Successor);
        }
        Err(refused)
    }

    /// Leaves the line.
    fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.number.count_out();
        *this.counted = None;
        *this.state = State::Done;
        this.alarm.set(None);
        this.timeout.set(None);
    }
}

/// The turn is used.
fn answer(core: &Core, turn: Turn) {
    if let Turn::Given(lane) = turn {
        let reason = if lane.is_ahead() { Reason::Successor } else { Reason::Room };
        core.hand_out_after(1, reason);
    }
}

fn refusal(core: &Core, busy: NotUntil) -> Refused {
    core.concurrency().escalate_if_permanent(busy.into())
}

/// Looks again after other tasks have run: an erratic clock must not keep the thread.
fn yield_now<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl Future for Queued<'_> {
    type Output = Result<(), Refused>;

    #[cold]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(decided) = self.as_mut().advance(cx) {
            self.leave();
            return Poll::Ready(decided);
        }
        let this = self.as_mut().project();
        if mem::take(this.has_yet_to_be_counted) {
            match this.core.take_place() {
                Ok(counted) => *this.counted = counted,
                Err(refused) => {
                    self.leave();
                    return Poll::Ready(Err(refused));
                }
            }
        }
        let timeout = self.as_mut().project().timeout.as_pin_mut();
        let Some(Poll::Ready(())) = timeout.map(|timeout| timeout.poll(cx)) else {
            return Poll::Pending;
        };
        // MUTANTS: poll
        // What it waits for may have come together with the end of the timeout.
        let last = self.as_mut().advance(cx);
        let (core, class) = (self.core, self.number.class());
        self.leave();
        Poll::Ready(match last {
            Poll::Ready(decided) => decided,
            Poll::Pending => core.try_admit(class),
        })
    }
}
