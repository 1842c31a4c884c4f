//! One call's way through the gate, as a future that can be asked where it stands.

use super::{Gate, Later, Slots, Waiting, keep};
use crate::error::{Limit, Refused};
use crate::semaphore::{Acquire, Closed, SemaphorePermit};
use crate::time::{SleepUntil, Timestamp};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use pin_project_lite::pin_project;

pin_project! {
    /// A call. Small until it has to wait.
    pub(crate) struct Admission<'a> {
        gate: &'a Gate,
        patience: Option<Duration>,
        is_over: bool,
        #[pin]
        place: Option<Place<'a>>,
    }
}

pin_project! {
    /// A place in line. Fields are dropped in this order: who leaves is not counted any more when its
    /// turn goes on.
    struct Place<'a> {
        gate: &'a Gate,
        waiting: Option<Waiting<'a>>,
        stage: Stage<'a>,
        // The line's one timer: only the first in line has it.
        #[pin]
        sleep: Option<SleepUntil<'a>>,
        // The end of patience.
        #[pin]
        alarm: Option<SleepUntil<'a>>,
        turn: Option<SemaphorePermit<'a>>,
    }
}

enum Stage<'a> {
    /// In line.
    Line(Acquire<'a>),
    /// First in line, until the rate is open.
    Rate(Interruptions<'a>),
    /// First in line, until there is a slot (`None`: none is needed).
    Slot(Option<Acquire<'a>>, Changes<'a>),
    Over,
}

/// What makes the first in line look at the rate before its time.
struct Interruptions<'a> {
    closed: Option<Closed<'a>>,
    changes: Changes<'a>,
}

/// The next change of the rate.
struct Changes<'a> {
    gate: &'a Gate,
    next: Acquire<'a>,
}

impl<'a> Admission<'a> {
    #[inline]
    pub(crate) fn new(gate: &'a Gate, patience: Option<Duration>) -> Self {
        Self { gate, patience, is_over: false, place: None }
    }

    pub(crate) fn gate(&self) -> &'a Gate {
        self.gate
    }

    /// How many stand before this one; `None` unless it waits.
    pub(crate) fn position(&self) -> Option<usize> {
        match &self.place.as_ref()?.stage {
            // Behind those in line and the one at its head, or just made the head itself.
            Stage::Line(line) => Some(line.position().map_or(0, |ahead| ahead + 1)),
            Stage::Rate(_) | Stage::Slot(..) => Some(0),
            Stage::Over => None,
        }
    }

    /// How long until the rate lets it through; `None` unless it waits, and if that is never.
    pub(crate) fn expected_wait(&self) -> Option<Duration> {
        let ahead = u64::try_from(self.position()?).unwrap_or(u64::MAX);
        match self.gate.rate_turn(ahead) {
            None => Some(Duration::ZERO),
            Some(later) => Refused::from(later).retry_after(),
        }
    }

    /// Tries without a place in line; joins it where that may help.
    #[inline]
    fn begin(self: Pin<&mut Self>) -> Poll<Result<(), Refused>> {
        let gate = self.gate;
        let deadline = self.patience.map(|patience| gate.time.now().saturating_add(patience));
        let in_vain = || gate.hopeless().err().map(Err);
        match if gate.is_lined_up() { in_vain() } else { Some(gate.go()) } {
            None => {}
            Some(Err(refused)) if !refused.is_permanent() => {}
            Some(decided) => return Poll::Ready(decided),
        }
        self.join(deadline)
    }

    #[cold]
    fn join(self: Pin<&mut Self>, deadline: Option<Timestamp>) -> Poll<Result<(), Refused>> {
        let gate = self.gate;
        if let Some(deadline) = deadline {
            let turn = gate.newcomers_turn();
            if turn.is_some_and(|later| !later.comes_by(deadline)) {
                return Poll::Ready(Err(gate.refusal(turn)));
            }
        }
        let place = Place {
            gate,
            waiting: Some(Waiting::new(&gate.waiting)),
            stage: Stage::Line(gate.line.acquire()),
            sleep: None,
            alarm: deadline.map(|deadline| gate.time.sleep_until(deadline)),
            turn: None,
        };
        self.project().place.set(Some(place));
        Poll::Pending
    }
}

impl Future for Admission<'_> {
    type Output = Result<(), Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_over {
            return Poll::Pending;
        }
        if self.place.is_none()
            && let Poll::Ready(decided) = self.as_mut().begin()
        {
            *self.project().is_over = true;
            return Poll::Ready(decided);
        }
        let this = self.project();
        let place = this.place.as_pin_mut().map_or(Poll::Pending, |place| place.poll(cx));
        *this.is_over = place.is_ready();
        place
    }
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Place<'_> {
    /// Goes on from stage to stage.
    fn advance(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        loop {
            let this = self.as_mut().project();
            let gate = *this.gate;
            match this.stage {
                Stage::Over => return Poll::Pending,
                Stage::Line(line) => match ready!(Pin::new(line).poll(cx)) {
                    Ok(turn) => {
                        *this.turn = Some(turn);
                        *this.stage = Stage::Rate(Interruptions::of(gate));
                    }
                    // The line is private and never closed; were it, nobody would be admitted.
                    Err(_) => return Poll::Ready(Err(Refused::for_ever(Limit::Concurrency))),
                },
                Stage::Rate(interruptions) => {
                    ready!(wait_for_rate(gate, interruptions, this.sleep, cx))?;
                    let slot = gate.slots.semaphore().map(|semaphore| semaphore.acquire());
                    *this.stage = Stage::Slot(slot, Changes::of(gate));
                }
                Stage::Slot(slot, changes) => match wait_for_slot(gate, slot.as_mut(), cx) {
                    Poll::Ready(slot) => match self.as_mut().stamp(slot?) {
                        Some(decided) => return Poll::Ready(decided),
                        None => return again(cx),
                    },
                    // By a new rate it may have to wait again, or for ever.
                    Poll::Pending => {
                        if !changes.has_come(cx) {
                            return Poll::Pending;
                        }
                        if gate.peek().is_err() {
                            *this.stage = Stage::Rate(Interruptions::of(gate));
                        }
                    }
                },
            }
        }
    }

    /// Both limits are open, the slot is had; `None` if somebody was faster, or the clock stepped
    /// back: then the slot goes back meanwhile.
    fn stamp(
        mut self: Pin<&mut Self>,
        slot: Option<SemaphorePermit<'_>>,
    ) -> Option<Result<(), Refused>> {
        let this = self.as_mut().project();
        let gate = *this.gate;
        // Not counted as waiting any more when it is found in the log.
        *this.waiting = None;
        match gate.stamp() {
            Ok(()) => {
                // While the slot is still a guard: the next in line may have a waker that panics,
                // and so may what its timers keep.
                self.leave();
                keep(slot);
                Some(Ok(()))
            }
            Err(later) => {
                *this.waiting = Some(Waiting::new(&gate.waiting));
                *this.stage = Stage::Rate(Interruptions::of(gate));
                drop(slot);
                later.free_at.is_none().then(|| Err(later.into()))
            }
        }
    }

    /// Leaves the line, for whatever reason.
    fn leave(self: Pin<&mut Self>) {
        let mut this = self.project();
        *this.waiting = None;
        *this.stage = Stage::Over;
        this.sleep.set(None);
        this.alarm.set(None);
        *this.turn = None;
    }
}

impl Future for Place<'_> {
    type Output = Result<(), Refused>;

    #[cold]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(decided) = self.as_mut().advance(cx) {
            self.leave();
            return Poll::Ready(decided);
        }
        let alarm = self.as_mut().project().alarm.as_pin_mut();
        let Some(Poll::Ready(())) = alarm.map(|alarm| alarm.poll(cx)) else { return Poll::Pending };
        // What it waits for may have come with the alarm.
        let last = self.as_mut().advance(cx);
        let gate = self.gate;
        self.leave();
        Poll::Ready(match last {
            Poll::Ready(decided) => decided,
            Poll::Pending => gate.try_admit(),
        })
    }
}

impl<'a> Interruptions<'a> {
    fn of(gate: &'a Gate) -> Self {
        let closed = gate.slots.semaphore().map(|semaphore| semaphore.closed());
        Self { closed, changes: Changes::of(gate) }
    }

    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        self.closed.as_mut().is_some_and(|closed| Pin::new(closed).poll(cx).is_ready())
    }
}

impl<'a> Changes<'a> {
    fn of(gate: &'a Gate) -> Self {
        Self { gate, next: gate.changes.acquire() }
    }

    fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(change) = Pin::new(&mut self.next).poll(cx) else { return false };
        if let Ok(change) = change {
            change.forget();
        }
        self.next = self.gate.changes.acquire();
        true
    }
}

/// Looks again when others have run. A clock that shows now this and now that must not keep the
/// thread.
fn again<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Ready when the rate lets one call through.
fn wait_for_rate<'a>(
    gate: &'a Gate,
    interruptions: &mut Interruptions<'a>,
    mut sleep: Pin<&mut Option<SleepUntil<'a>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Refused>> {
    loop {
        // Changes that came before this look at the rate need no further one.
        gate.changes.forget_permits(usize::MAX);
        let Err(later) = gate.peek() else {
            sleep.set(None);
            return Poll::Ready(Ok(()));
        };
        let free_at = wake_time(&gate.slots, later)?;
        if sleep.as_ref().as_pin_ref().is_none_or(|sleep| sleep.deadline() != free_at) {
            sleep.set(Some(gate.time.sleep_until(free_at)));
        }
        if sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready()) {
            sleep.set(None);
            return again(cx);
        }
        if interruptions.is_closed(cx) {
            return Poll::Ready(Err(Refused::for_ever(Limit::Concurrency)));
        }
        if !interruptions.changes.has_come(cx) {
            return Poll::Pending;
        }
    }
}

/// When to look again, if that can help.
fn wake_time(slots: &Slots, later: Later) -> Result<Timestamp, Refused> {
    let refused = slots.outweigh(later.into());
    match later.free_at {
        Some(free_at) if !refused.is_permanent() => Ok(free_at),
        _ => Err(refused),
    }
}

/// Ready when there is a slot, or none is needed.
fn wait_for_slot<'a>(
    gate: &'a Gate,
    slot: Option<&mut Acquire<'a>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<SemaphorePermit<'a>>, Refused>> {
    match (&gate.slots, slot) {
        (Slots::Of(_), Some(slot)) => {
            let slot = ready!(Pin::new(slot).poll(cx));
            Poll::Ready(slot.map(Some).map_err(|_| Refused::for_ever(Limit::Concurrency)))
        }
        (Slots::Open, _) => Poll::Ready(Ok(None)),
        _ => Poll::Ready(Err(Refused::for_ever(Limit::Concurrency))),
    }
}
