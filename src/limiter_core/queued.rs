//! A call in line.
//!
//! | state | who is in it | what it waits for | goes on to |
//! |---|---|---|---|
//! | `Queued` | every call behind the head | the line's one permit, the turn | `AwaitingRate` |
//! | `AwaitingRate` | the head | the time the log gives, a change of a rate, a close | `AwaitingSlot` |
//! | `AwaitingSlot` | the head | a permit of each semaphore, a change of a rate, a close | `Done`; `AwaitingRate` if another call stamped first, or a changed rate refuses |
//! | `Done` | admitted, refused or out of time | – | – |

use super::concurrency::Slot;
use super::queue::Counted;
use super::shared::Core;
use super::wake_sources::{RateChanges, SlotWait, WakeSources, wait_for_rate, yield_now};
use crate::error::Refused;
use crate::semaphore::{SemaphorePermit, Waiting};
use crate::time::{SleepUntil, Timestamp};
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use pin_project_lite::pin_project;

pin_project! {
    /// A call in line. Fields are dropped in this order: a call that leaves stops being counted before it
    /// passes its turn on.
    pub(super) struct Queued<'a> {
        core: &'a Core,
        counted: Option<Counted<'a>>,
        place: Option<Counted<'a>>,
        // It is in line only because its task's budget was spent. It takes one of the limited places when it
        // really has to wait.
        has_yet_to_take_place: bool,
        state: State<'a>,
        // The line's one timer: only the head has it.
        #[pin]
        sleep: Option<SleepUntil<'a>>,
        // The end of the timeout.
        #[pin]
        alarm: Option<SleepUntil<'a>>,
        turn: Option<SemaphorePermit<'a>>,
    }
}

/// The end of a timeout.
pub(super) struct Deadline {
    pub(super) at: Timestamp,
    /// The clock when it was set.
    pub(super) set_at: Timestamp,
}

enum State<'a> {
    Queued(Waiting<'a>),
    AwaitingRate(WakeSources<'a>),
    AwaitingSlot(SlotWait<'a>, RateChanges<'a>),
    Done,
}

impl<'a> Queued<'a> {
    /// Joins the line of `core`. `takes_place`: it takes one of the limited places now.
    pub(super) fn new(
        core: &'a Core,
        deadline: Option<Deadline>,
        takes_place: bool,
    ) -> Result<Self, Refused> {
        let place = if takes_place { core.take_place()? } else { None };
        Ok(Self {
            core,
            counted: Some(core.waiting.count()),
            place,
            has_yet_to_take_place: !takes_place,
            state: State::Queued(core.line.wait()),
            sleep: None,
            alarm: deadline.map(|deadline| core.time.sleep_until(deadline.at, deadline.set_at)),
            turn: None,
        })
    }

    /// How many calls are ahead in line; `None` once it is done.
    pub(super) fn position(&self) -> Option<usize> {
        match &self.state {
            // MUTANTS: position
            // The head is ahead, too. Without a position in the semaphore it has just been granted the turn.
            State::Queued(line) => Some(line.position().map_or(0, |ahead| ahead + 1)),
            State::AwaitingRate(_) | State::AwaitingSlot(..) => Some(0),
            State::Done => None,
        }
    }

    /// Goes from state to state.
    fn advance(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        loop {
            let this = self.as_mut().project();
            let core = *this.core;
            match this.state {
                State::Done => return Poll::Pending,
                State::Queued(_) => ready!(self.as_mut().take_turn(cx))?,
                State::AwaitingRate(sources) => {
                    ready!(wait_for_rate(core, sources, this.sleep, cx))?;
                    *this.state = State::AwaitingSlot(SlotWait::of(core), RateChanges::of(core));
                }
                State::AwaitingSlot(slot, changes) => match slot.poll(core, cx) {
                    Poll::Ready(slot) => match self.as_mut().stamp(slot?) {
                        // MUTANTS: advance 1
                        Some(decided) => return Poll::Ready(decided),
                        None => return yield_now(cx),
                    },
                    // A changed rate may refuse it again, perhaps for good.
                    Poll::Pending => {
                        // MUTANTS: advance 2
                        if !changes.has_come(cx)? {
                            return Poll::Pending;
                        }
                        // MUTANTS: advance 3
                        if core.peek().is_err() {
                            *this.state = State::AwaitingRate(WakeSources::of(core));
                        }
                    }
                },
            }
        }
    }

    /// Waits until it is the head.
    pub(super) fn take_turn(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        let this = self.project();
        if let State::Queued(line) = this.state {
            match ready!(Pin::new(line).poll(cx)) {
                Ok(turn) => {
                    *this.turn = Some(turn);
                    *this.state = State::AwaitingRate(WakeSources::of(this.core));
                }
                Err(_) => return Poll::Ready(Err(Refused::closed())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Stamps with the slot in hand. `None` if another call was faster or the clock stepped back: then the slot
    /// goes back and the call awaits the rate again.
    fn stamp(mut self: Pin<&mut Self>, slot: Slot<'_>) -> Option<Result<(), Refused>> {
        let this = self.as_mut().project();
        let core = *this.core;
        // MUTANTS: stamp 1
        // Once it is in the log it must not be counted as waiting, too.
        *this.counted = None;
        // MUTANTS: stamp 2
        if core.is_closed() {
            return Some(Err(Refused::closed()));
        }
        match core.stamp() {
            Ok(()) => {
                // MUTANTS: stamp 3
                // Before the guard lets go of the slot: leaving runs user code, which may panic (the next call's
                // waker, the drop of a timer).
                self.leave();
                slot.keep();
                Some(Ok(()))
            }
            Err(not_until) => {
                *this.counted = Some(core.waiting.count());
                *this.state = State::AwaitingRate(WakeSources::of(core));
                // MUTANTS: stamp 4
                drop(slot);
                not_until.free_at.is_none().then(|| Err(not_until.into()))
            }
        }
    }

    /// Leaves the line.
    fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.counted = None;
        *this.place = None;
        *this.state = State::Done;
        this.sleep.set(None);
        this.alarm.set(None);
        *this.turn = None;
    }
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
        if mem::take(this.has_yet_to_take_place) {
            match this.core.take_place() {
                Ok(place) => *this.place = place,
                Err(refused) => {
                    self.leave();
                    return Poll::Ready(Err(refused));
                }
            }
        }
        let alarm = self.as_mut().project().alarm.as_pin_mut();
        let Some(Poll::Ready(())) = alarm.map(|alarm| alarm.poll(cx)) else { return Poll::Pending };
        // MUTANTS: poll
        // What it waits for may have come together with the alarm.
        let last = self.as_mut().advance(cx);
        let core = self.core;
        self.leave();
        Poll::Ready(match last {
            Poll::Ready(decided) => decided,
            Poll::Pending => core.try_admit(),
        })
    }
}
