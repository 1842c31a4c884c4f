//! One call's way through the gate, as a future that can be asked where it stands.

use super::{Gate, Later, Slot, Slots, TakenPlace, Waiting, never_again};
use crate::coop;
use crate::error::Refused;
use crate::semaphore::{Closed, Semaphore, SemaphorePermit, Waiting as InLine};
use crate::time::{SleepUntil, Timestamp};
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use pin_project_lite::pin_project;
use std::sync::Arc;

/// What a call keeps its gate by.
///
/// # Safety
///
/// The gate stays where it is for as long as this lives, also if this is moved.
pub(crate) unsafe trait Handle: Deref<Target = Gate> {}

// SAFETY: what is borrowed does not move.
unsafe impl Handle for &Gate {}
// SAFETY: the gate is in the allocation, which an `Arc` keeps.
unsafe impl Handle for Arc<Gate> {}

/// A call. Small until it has to wait: then its place in line is an allocation of its own.
pub(crate) struct Admission<G: Handle> {
    /// Borrows the gate, so it comes before it: fields are dropped in their order.
    place: Option<Pin<Box<Place<'static>>>>,
    /// `None` once it is over.
    gate: Option<G>,
    timeout: Option<Duration>,
    /// Decided when the task's budget was spent, to be told at the next poll.
    untold: Option<Refused>,
}

pin_project! {
    /// A place in line. Fields are dropped in this order: who leaves is not counted any more when its
    /// turn goes on.
    struct Place<'a> {
        gate: &'a Gate,
        waiting: Option<Waiting<'a>>,
        taken: Option<TakenPlace<'a>>,
        // It stands in line only because its task's budget was spent: it takes one of the limited places
        // when it really has to wait.
        has_yet_to_take: bool,
        stage: Stage<'a>,
        // The line's one timer: only the first in line has it.
        #[pin]
        sleep: Option<SleepUntil<'a>>,
        // The end of timeout.
        #[pin]
        alarm: Option<SleepUntil<'a>>,
        turn: Option<SemaphorePermit<'a>>,
    }
}

enum Stage<'a> {
    /// In line.
    Line(InLine<'a>),
    /// First in line, until the rate is open.
    Rate(Interruptions<'a>),
    /// First in line, until there is a slot.
    Slot(TakingSlot<'a>, Changes<'a>),
    Over,
}

/// One permit after the other.
struct TakingSlot<'a> {
    first: Option<SemaphorePermit<'a>>,
    /// `None`: no permit is needed.
    next: Option<InLine<'a>>,
}

/// What makes the first in line look at the rate before its time.
struct Interruptions<'a> {
    closed: [Option<Closed<'a>>; 2],
    changes: Changes<'a>,
}

/// The next change of the rate.
struct Changes<'a> {
    gate: &'a Gate,
    next: InLine<'a>,
}

impl<G: Handle> Admission<G> {
    #[inline]
    pub(crate) fn new(gate: G, timeout: Option<Duration>) -> Self {
        Self { place: None, gate: Some(gate), timeout, untold: None }
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
    pub(crate) fn estimated_wait(&self) -> Option<Duration> {
        let ahead = u64::try_from(self.position()?).unwrap_or(u64::MAX);
        match self.gate.as_ref()?.rate_turn(ahead) {
            None => Some(Duration::ZERO),
            Some(later) => Refused::from(later).retry_after(),
        }
    }

    /// Once it has completed it stays pending.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<G, Refused>> {
        if self.gate.is_none() {
            return Poll::Pending;
        }
        let Poll::Ready(unit) = coop::poll_unit(cx) else {
            self.line_up(cx);
            return Poll::Pending;
        };
        let decided = ready!(self.decide(cx));
        unit.made_progress();
        self.place = None;
        Poll::Ready(match (decided, self.gate.take()) {
            (Ok(()), Some(gate)) => Ok(gate),
            (Err(refused), _) => Err(refused),
            (Ok(()), None) => Err(Refused::closed()),
        })
    }

    #[inline]
    fn decide(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        if self.place.is_none() {
            match self.untold.take() {
                Some(refused) => return Poll::Ready(Err(refused)),
                None => {
                    if let Poll::Ready(decided) = self.begin(true) {
                        return Poll::Ready(decided);
                    }
                }
            }
        }
        self.place.as_mut().map_or(Poll::Pending, |place| place.as_mut().poll(cx))
    }

    /// The task's budget is spent: it takes its place in line, and decides at the next poll.
    #[cold]
    fn line_up(&mut self, cx: &mut Context<'_>) {
        if self.place.is_some() || self.untold.is_some() {
            return;
        }
        if let Poll::Ready(Err(refused)) = self.begin(false) {
            self.untold = Some(refused);
        }
        if let Some(place) = &mut self.place
            && let Poll::Ready(Err(refused)) = place.as_mut().take_turn(cx)
        {
            (self.place, self.untold) = (None, Some(refused));
        }
    }

    /// Tries without a place in line, if it may go; joins it where that may help.
    #[inline]
    fn begin(&mut self, may_go: bool) -> Poll<Result<(), Refused>> {
        let Some(gate) = self.gate.as_deref() else { return Poll::Pending };
        let deadline = self.timeout.map(|timeout| gate.time.now().saturating_add(timeout));
        let in_vain = || gate.hopeless().err().map(Err);
        let is_free = may_go && gate.line.is_open_and_free();
        match if is_free { Some(gate.go()) } else { in_vain() } {
            None => {}
            Some(Err(refused)) if !refused.is_permanent() => {}
            Some(decided) => return Poll::Ready(decided),
        }
        self.join(deadline, may_go)
    }

    #[cold]
    fn join(&mut self, deadline: Option<Timestamp>, waits: bool) -> Poll<Result<(), Refused>> {
        let Some(gate) = self.gate.as_deref() else { return Poll::Pending };
        // SAFETY: `Handle`: the gate stays where it is until `self.gate` is dropped or given out, and
        // `self.place`, which alone gets this reference, is dropped before either.
        let gate: &'static Gate = unsafe { &*ptr::from_ref(gate) };
        if let Some(deadline) = deadline {
            let turn = gate.newcomers_turn();
            if turn.is_some_and(|later| !later.comes_by(deadline)) {
                return Poll::Ready(Err(gate.refusal(turn)));
            }
        }
        let taken = match if waits { gate.take_place() } else { Ok(None) } {
            Ok(taken) => taken,
            Err(refused) => return Poll::Ready(Err(refused)),
        };
        self.place = Some(Box::pin(Place {
            gate,
            waiting: Some(Waiting::new(&gate.waiting)),
            taken,
            has_yet_to_take: !waits,
            stage: Stage::Line(gate.line.wait()),
            sleep: None,
            alarm: deadline.map(|deadline| gate.time.sleep_until(deadline)),
            turn: None,
        }));
        Poll::Pending
    }
}

impl<G: Handle> fmt::Debug for Admission<G> {
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
                Stage::Line(_) => ready!(self.as_mut().take_turn(cx))?,
                Stage::Rate(interruptions) => {
                    ready!(wait_for_rate(gate, interruptions, this.sleep, cx))?;
                    *this.stage = Stage::Slot(TakingSlot::of(gate), Changes::of(gate));
                }
                Stage::Slot(slot, changes) => match slot.poll(gate, cx) {
                    Poll::Ready(slot) => match self.as_mut().stamp(slot?) {
                        Some(decided) => return Poll::Ready(decided),
                        None => return again(cx),
                    },
                    // By a new rate it may have to wait again, or for ever.
                    Poll::Pending => {
                        if !changes.has_come(cx)? {
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

    /// Waits for its turn, to be the first in line.
    fn take_turn(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let this = self.project();
        if let Stage::Line(line) = this.stage {
            match ready!(Pin::new(line).poll(cx)) {
                Ok(turn) => {
                    *this.turn = Some(turn);
                    *this.stage = Stage::Rate(Interruptions::of(this.gate));
                }
                Err(_) => return Poll::Ready(Err(Refused::closed())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Both limits are open, the slot is had; `None` if somebody was faster, or the clock stepped
    /// back: then the slot goes back meanwhile.
    fn stamp(mut self: Pin<&mut Self>, slot: Slot<'_>) -> Option<Result<(), Refused>> {
        let this = self.as_mut().project();
        let gate = *this.gate;
        // Not counted as waiting any more when it is found in the log.
        *this.waiting = None;
        if gate.is_closed() {
            return Some(Err(Refused::closed()));
        }
        match gate.stamp() {
            Ok(()) => {
                // While the slot is still a guard: the next in line may have a waker that panics,
                // and so may what its timers keep.
                self.leave();
                slot.keep();
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
        *this.taken = None;
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
        let this = self.as_mut().project();
        if core::mem::take(this.has_yet_to_take) {
            match this.gate.take_place() {
                Ok(taken) => *this.taken = taken,
                Err(refused) => {
                    self.leave();
                    return Poll::Ready(Err(refused));
                }
            }
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
        let mut closed = gate.slots.semaphores().map(Semaphore::closed);
        Self { closed: [closed.next(), closed.next()], changes: Changes::of(gate) }
    }

    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        self.closed.iter_mut().flatten().any(|closed| Pin::new(closed).poll(cx).is_ready())
    }
}

impl<'a> Changes<'a> {
    fn of(gate: &'a Gate) -> Self {
        Self { gate, next: gate.changes.wait() }
    }

    /// An error if the last one has: the gate is closed.
    fn has_come(&mut self, cx: &mut Context<'_>) -> Result<bool, Refused> {
        let Poll::Ready(change) = Pin::new(&mut self.next).poll(cx) else { return Ok(false) };
        change.map_err(|_| Refused::closed())?.forget();
        // However many there have been, one look is enough.
        self.gate.changes.forget_permits(usize::MAX);
        self.next = self.gate.changes.wait();
        Ok(true)
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
            return Poll::Ready(Err(Refused::closed()));
        }
        if !interruptions.changes.has_come(cx)? {
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

impl<'a> TakingSlot<'a> {
    fn of(gate: &'a Gate) -> Self {
        Self { first: None, next: gate.slots.semaphores().next().map(Semaphore::wait) }
    }

    /// Ready when there is a slot, or none is needed. The first in line keeps its limiter's own permit
    /// while it waits for a shared one: nobody else could take it.
    fn poll(&mut self, gate: &'a Gate, cx: &mut Context<'_>) -> Poll<Result<Slot<'a>, Refused>> {
        let Slots::Of(_, second) = &gate.slots else {
            return Poll::Ready(gate.slots.try_take());
        };
        while let Some(next) = &mut self.next {
            let Ok(permit) = ready!(Pin::new(next).poll(cx)) else {
                let never = gate.slots.semaphores().find_map(never_again);
                return Poll::Ready(Err(never.unwrap_or_else(Refused::closed)));
            };
            match (self.first.take(), second) {
                (None, Some(second)) => {
                    self.first = Some(permit);
                    self.next = Some(second.wait());
                }
                (None, None) => return Poll::Ready(Ok(Slot { first: Some(permit), second: None })),
                (first, _) => return Poll::Ready(Ok(Slot { first, second: Some(permit) })),
            }
        }
        Poll::Pending
    }
}
