//! The polls of a call in line.
//!
//! | state | what it waits for | goes on to |
//! |---|---|---|
//! | `Waiting` | a turn; the first in line also for the time that the log gives and for a close | `Done`; `Standing`; `Waiting` in front of others, if there is no room at its turn |
//! | `Standing` | a permit of the shared semaphore, in that one's line, or of a call that stands there and is silent | `Done`; `Waiting` in front of others, if the rate refuses, no own slot is free, or another has claimed its permit |
//! | `Done` | – | – |

use super::ask::Ask;
use super::going::{Deadline, Queued, State, Turn};
use super::hand_out::Reason;
use super::in_line::Rank;
use super::line::Lane;
use super::not_until::NotUntil;
use super::place::{Found, Place, Stood};
use super::reserved::Reserved;
use super::shared::Core;
use crate::error::Refused;
use crate::time::Timestamp;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// How many calls ahead make the second look later than the first one.
const FEW: u64 = 64;

/// How often one poll tries. With a clock that steps back at each reading it would never end.
const MAX_TRIES: u32 = 4;

impl<'a> Queued<'a> {
    /// Joins the line of `core`. `is_counted`: it takes one of the limited places now.
    pub(super) fn new(
        core: &'a Core,
        ask: Ask,
        deadline: Option<Deadline>,
        is_counted: bool,
    ) -> Result<Self, Refused> {
        // It had a place before, if it is sent again.
        let is_limited = !ask.is_again;
        let counted = if is_counted && is_limited { core.take_place()? } else { None };
        let class = ask.class;
        let number = if ask.is_again {
            core.line.join_again(class)
        } else {
            core.line.join(class, core.silent())
        };
        let nth = number.nth();
        let lane = match () {
            () if ask.is_again => number.home(),
            () if number.came_first() => number.lane_ahead(false),
            () => Lane::Class(class),
        };
        Ok(Self {
            core,
            ask,
            number,
            counted,
            share: core.budgets().and_then(|budgets| budgets.join(ask.tokens, nth)),
            has_yet_to_be_counted: !is_counted && is_limited,
            state: State::Waiting(Place::new(core, lane, nth)),
            unused_since: None,
            alarm: None,
            timeout: deadline.map(|deadline| core.time.sleep_until(deadline.at, deadline.set_at)),
        })
    }

    /// How many calls are ahead in line; `None` once it is done.
    pub(super) fn position(&self) -> Option<u64> {
        let waiting = match &self.state {
            State::Waiting(place) => place.position(),
            State::Standing(_) => None,
            State::Done => return None,
        };
        let with_turn = self.core.turns_out();
        // MUTANTS: position
        // If it has a turn itself, those before it that have one, too.
        Some(waiting.map_or_else(|| self.number.ahead().min(with_turn), |ahead| ahead + with_turn))
    }

    /// Takes its place in line, and decides later.
    pub(super) fn take_place(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), Refused> {
        let this = self.project();
        let State::Waiting(place) = this.state else { return Ok(()) };
        match place.poll(cx) {
            Found::Closed => return Err(Refused::closed()),
            // It has met what another call has left. The next poll finds it again.
            Found::Turn => {}
            Found::Nothing { .. } => this.core.hand_out(Reason::Room),
        }
        Ok(())
    }

    /// Goes from state to state.
    fn advance(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reserved, Refused>> {
        // Whether others were given turns together with its next one, and were not polled since.
        let mut gives_way = false;
        for _ in 0..MAX_TRIES {
            let this = self.as_mut().project();
            let turn = match this.state {
                State::Done => return Poll::Pending,
                State::Standing(_) => match ready!(self.as_mut().advance_standing(cx)) {
                    Some(decided) => return Poll::Ready(decided),
                    None => continue,
                },
                State::Waiting(place) => match place.poll(cx) {
                    Found::Closed => {
                        let refused = this.core.concurrency().permanent_refusal();
                        return Poll::Ready(Err(refused.unwrap_or_else(Refused::closed)));
                    }
                    // MUTANTS: advance 4
                    Found::Turn if gives_way => return yield_now(cx),
                    Found::Turn => Turn::Given,
                    Found::Nothing { is_new: true } => {
                        // MUTANTS: advance 1
                        this.core.hand_out(Reason::Room);
                        continue;
                    }
                    Found::Nothing { is_new: false } => {
                        let is_first = place.is_first();
                        // MUTANTS: advance 2
                        // Those that have a turn came before it.
                        if !is_first || !this.core.has_room_beside_turns(None) {
                            if self.as_mut().sleep(is_first, cx)?.is_pending() {
                                return Poll::Pending;
                            }
                            // Those before it may be silent, and those that stand for a shared permit count on.
                            self.as_mut().look_past_silent();
                            gives_way = true;
                            continue;
                        }
                        Turn::Own
                    }
                },
            };
            if let Some(decided) = self.as_mut().go(turn, cx) {
                return Poll::Ready(decided);
            }
            gives_way = true;
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

    /// [`advance`](Self::advance) of a call that stands. `None`: once more.
    fn advance_standing(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Reserved, Refused>>> {
        let this = self.as_mut().project();
        let State::Standing(stand) = this.state else { return Poll::Ready(None) };
        this.core.show(this.share.as_ref(), Rank::Stands(this.number.ahead()));
        let permit = match stand.poll(cx) {
            Poll::Ready(Stood::Closed) => return Poll::Ready(Some(Err(Refused::closed()))),
            Poll::Ready(Stood::Permit(permit)) => Some(permit),
            Poll::Ready(Stood::Nothing) => None,
            Poll::Pending => {
                if let Err(refused) = ready!(self.as_mut().sleep_standing(cx)) {
                    return Poll::Ready(Some(Err(refused)));
                }
                let lapsed = match self.as_mut().project().state {
                    State::Standing(stand) => stand.look(),
                    _ => None,
                };
                let Some(permit) = lapsed else { return Poll::Ready(None) };
                Some(permit)
            }
        };
        Poll::Ready(self.go_with(permit, Turn::Stood, cx))
    }

    /// If there is room, and nobody has used it since this call saw that before, those ahead are silent.
    fn look_past_silent(self: Pin<&mut Self>) {
        let this = self.project();
        let core = *this.core;
        let went = core.has_room_for(this.ask).then(|| core.line.went.so_far());
        // MUTANTS: look_past_silent
        if went.is_some() && went == *this.unused_since {
            // Enough that this call gets one, too.
            if let State::Waiting(place) = this.state
                && let Some(turns) = place.turns_until()
            {
                core.hand_out(Reason::Silent(turns));
            }
        }
        if went.is_some() && this.unused_since.is_none() {
            // It may have become free while nobody changed anything: time has passed. Those ahead may be behind a silent one, too, and
            // wait for more tokens: they come to the front by then, and watch.
            let ahead = match this.state {
                State::Waiting(place) if core.budgets().is_some() => place.turns_until(),
                _ => None,
            };
            core.hand_out(match ahead {
                Some(turns) if turns > 1 => Reason::Silent(turns - 1),
                _ => Reason::Room,
            });
        }
        *this.unused_since = went;
    }

    /// Sleeps until it is time to show itself, and to look for a permit that a silent call was granted. An error if the
    /// rate admits none any more.
    fn sleep_standing(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let mut this = self.project();
        let (core, ahead) = (*this.core, this.number.ahead());
        if this.alarm.is_none() {
            let now = core.time.now();
            // Those ahead may be the silent ones.
            let ahead = if core.has_unclaimed() { 0 } else { ahead };
            let at = now.saturating_add(core.shared_grace().between_looks(ahead));
            if at <= now {
                // At the end of time there is no later look.
                return Poll::Pending;
            }
            this.alarm.set(Some(core.time.sleep_until(at, now)));
        }
        let Some(alarm) = this.alarm.as_mut().as_pin_mut() else { return Poll::Pending };
        ready!(alarm.poll(cx));
        this.alarm.set(None);
        if let State::Standing(stand) = this.state {
            stand.show(ahead);
        }
        Poll::Ready(match core.peek_for(this.ask) {
            Err(busy) if busy.free_at.is_none() => Err(core.refused(busy)),
            _ => Ok(()),
        })
    }

    /// Sleeps until it is time to look for room. An error if that is never.
    fn sleep(
        mut self: Pin<&mut Self>,
        is_first: bool,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Refused> {
        let mut this = self.as_mut().project();
        let core = *this.core;
        if core.is_closed() {
            // Whoever closes the limiter has yet to close the line, and may be silent.
            return Err(Refused::closed());
        }
        let rank = if is_first { Rank::First } else { Rank::Behind(this.number.ahead()) };
        core.show(this.share.as_ref(), rank);
        let by_rate = core.peek_for(this.ask);
        let waits_for_rate = is_first && by_rate.is_err();
        if is_first && by_rate.is_ok() {
            // Before it looks: a slot that is freed later is told to it.
            core.line.sleep_untimed();
            // Time has moved on since it tried. Nobody would tell it. (An older one that has a turn tells it when it answers.)
            if core.has_room_for_the_first() && !core.is_behind_the_watch(this.number.nth()) {
                return Ok(Poll::Ready(()));
            }
        }
        let (at, now) = match by_rate {
            Err(busy) if busy.free_at.is_none() => return Err(core.refused(busy)),
            Err(NotUntil { free_at: Some(at), now, .. }) if is_first => {
                (core.watches_until(this.number.nth(), at, now), now)
            }
            by_rate => {
                let now = core.time.now();
                // A settlement may tell only those ahead, and they may be silent.
                let from = by_rate.err().and_then(|busy| busy.by_time()).unwrap_or(now);
                // Until then the first in line is not silent.
                let watched = core.budgets().filter(|_| !is_first);
                let lasts = watched.map(|budgets| budgets.watch.lasts(now, core.grace));
                let from = lasts.map_or(from, |lasts| from.max(now.saturating_add(lasts)));
                // Also if it is alone: whoever has freed a slot for it may be silent.
                let ahead = match *this.unused_since {
                    _ if is_first => 0,
                    // The second look comes soon, however many are ahead.
                    Some(_) => this.number.ahead().clamp(1, FEW),
                    None => this.number.ahead().max(1),
                };
                (from.saturating_add(core.grace.patience(ahead)), now)
            }
        };
        if at <= now && (!waits_for_rate || now == Timestamp::MAX) {
            // At the end of time there is no later look.
            this.alarm.set(None);
            return Ok(Poll::Pending);
        }
        Ok(self.sleep_until(at, now, waits_for_rate, cx))
    }

    /// Sleeps until then, or until the alarm that is set.
    fn sleep_until(
        self: Pin<&mut Self>,
        at: Timestamp,
        now: Timestamp,
        waits_for_rate: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.project();
        let core = *this.core;
        let set = this.alarm.as_ref().as_pin_ref().map(|alarm| alarm.deadline());
        // One that looks whether others are silent keeps its time, else it would never come.
        if set.is_none_or(|set| if waits_for_rate { set != at } else { set > at }) {
            this.alarm.set(Some(core.time.sleep_until(at, now)));
        }
        let Some(alarm) = this.alarm.as_mut().as_pin_mut() else { return Poll::Pending };
        let rung = alarm.poll(cx);
        if rung.is_ready() {
            this.alarm.set(None);
        }
        rung
    }
}

/// Looks again after other tasks have run: an erratic clock must not keep the thread.
fn yield_now<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl Future for Queued<'_> {
    type Output = Result<Reserved, Refused>;

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
        let (core, ask) = (self.core, self.ask);
        self.leave();
        Poll::Ready(match last {
            Poll::Ready(decided) => decided,
            Poll::Pending => core.try_admit(&ask).inspect_err(|refused| {
                // It may have been too short for anyone to hear that it was in line.
                core.note_refusal(&ask, refused);
            }),
        })
    }
}
