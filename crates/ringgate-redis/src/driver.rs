//! The future that keeps a limiter supplied: one owner of the leases, of the process's state and of the way to the store.
//!
//! Its loop: look at what calls need and have used (`look`), decide when the next trip is due and why (`plan`), wait for that or for
//! news, make the trip (`ask`) with what is needed and what goes back (`gather`), and take over the answer (`take`). Slots go round
//! where there are too few (`slots`). While the store is away it grants from the process's share (`share`). Pauses go both ways (`pauses`).
//!
//! All times in here are in microseconds of the limiter's clock.

mod gather;
mod look;
mod pauses;
mod plan;
mod share;
mod slots;
mod take;
mod wakers;

use crate::batch::Flow;
use crate::link::{Link, News};
use crate::random::Random;
use crate::script::{self, Reply, StoreError, Terms, Trip};
use crate::session::{Session, Unused};
use crate::status::Status;
use crate::suspension::Suspension;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use plan::{Earliest, Plan};
use redis::ErrorKind;
use ringgate::time::Timestamp;
use ringgate::{LeasedLimit, Lessee, Limit};
use share::Share;
use std::collections::VecDeque;
use tokio::sync::watch;

/// Between the beginnings of two trips there is at least so much.
const GAP: u64 = 1_000;

/// What a shared limiter is built of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) lessee: Lessee,
    pub(crate) terms: Terms,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
}

/// In microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) lease: u64,
    pub(crate) response: u64,
    /// How long calls wait at least before they use the process's share.
    pub(crate) after: u64,
    pub(crate) assumes_unused: bool,
}

/// Keeps a [`SharedLimiter`](crate::SharedLimiter) supplied with leases. From
/// [`SharedLimiterBuilder::driver`](crate::SharedLimiterBuilder::driver); [`connect`](crate::SharedLimiterBuilder::connect) spawns it.
///
/// # Cancel safety
///
/// If the future of [`run`](Self::run) is dropped, or not polled, the limiter goes on with the leases that it has until they end, and
/// then calls wait. What it had goes back to the others when the time to live is over.
///
/// # Cost
///
/// A trip for each batch of calls; three in a time to live while calls are in flight, or may still give something back, and nothing else
/// happens; none while the limiter is idle. Where others want slots, a slot beyond the process's part of them takes two trips each time that it
/// goes round: one gives it back and lines up for the next, one takes that with a lease. While a process waits for a slot it asks again after a quarter
/// of a second to two seconds, if the store has told when there were some, and else more often. Where a limit is used up, some trips only line
/// up. Whoever is not the first in line, and was told by the store before, waits to be told again, for half a lease longer than until its time,
/// and no more than half a second longer. What calls give back of leases that have ended goes with a trip that is made anyway; else a lease after
/// the last one, or half a second if that is shorter, while others wait for something, and four leases if not. Each time that the
/// driver wakes it reads three clocks.
#[must_use = "a limiter without its driver gets no leases"]
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself")]
pub struct Driver<L> {
    lessee: Lessee,
    /// Away while a trip is under way.
    link: Option<L>,
    session: Session,
    settings: Settings,
    random: Random,
    status: watch::Sender<Status>,
    limits: Vec<Window>,
    /// Not sent yet.
    unused: Vec<Unused>,
    /// The last reading of the clock.
    now: u64,
    /// What the limiter may use, and until when.
    slots: u64,
    slots_until: u64,
    /// What the store has given to it. More than it may use if others need them.
    had_slots: u64,
    slots_wanted: u64,
    /// A call was refused for lack of a slot since the last trip.
    slot_tried: bool,
    /// How many slots it keeps while others want some.
    slots_fair: u64,
    /// All slots have been in use at once since some were granted last.
    used_turn: bool,
    /// When these came.
    turn_began: u64,
    processes: u64,
    waiters: u64,
    in_flight: u64,
    /// When something was last in use.
    busy_at: u64,
    /// Until then calls that nobody counts may give something back.
    settled_at: u64,
    suspension: Suspension,
    /// The store has a record of this process, or may have.
    joined: bool,
    /// When the last trip began, and what that took.
    began: Option<u64>,
    took: u64,
    failures: u32,
    /// So many answers in a row came when the leases that they brought had ended.
    late_answers: u32,
    retry_at: u64,
    asked: Option<Asked>,
    /// The last answer brought what the first call in line needed, and nothing was taken since.
    in_vain: bool,
    /// Answers in a row that left something to wish for and told no time.
    misses: u32,
    pushed: Option<News>,
    /// The store has told when there were slots.
    hears: bool,
    /// The last news of room or slots that were to come have come.
    was_told: bool,
    told_pause: Option<u64>,
    refuses: bool,
    share: Option<Share>,
}

/// What the driver knows of one limit.
#[derive(Debug)]
struct Window {
    limit: u64,
    produced: bool,
    is_rate: bool,
    /// Nobody counts the calls that have taken of it, and they may give back some of it for so long.
    unsettled: u64,
    flow: Flow,
    /// When its live leases end; the newest last.
    ends: VecDeque<u64>,
    left: u64,
    first: u64,
    /// What of it the last trip told, or had.
    first_told: u64,
    in_line: u64,
    /// Counted as produced: calls hold some of it.
    is_held: bool,
    /// Refused to tries since the last trip.
    tried: u64,
    /// What others in line needed at the last answer.
    wanted: u64,
}

/// What the last answered trip asked for, and when to ask again.
#[derive(Debug)]
struct Asked {
    /// What its first call in line needed of each window, if not all in line had theirs. Nothing if that waited for something else.
    least: Vec<u64>,
    /// The store keeps something free for calls in line.
    holds_back: bool,
    /// Others who have waited longer get what comes first, and their trips bring news: it comes later by itself.
    waits_for_news: bool,
    /// When it was answered.
    at: u64,
    /// Not before that, unless something else is needed.
    again_at: u64,
    /// The same for what is refused to tries: without waiting for news.
    told_at: u64,
    /// The same for slots.
    slots_at: u64,
}

impl<L: Link> Driver<L> {
    pub(crate) fn new(parts: Parts, link: L) -> (watch::Receiver<Status>, Self) {
        let Parts { lessee, terms, settings, seed } = parts;
        let (mut random, now) = (Random::new(seed), micros(lessee.now()));
        let counts_calls = lessee.slots().is_some();
        let (status, watched) = watch::channel(Status::new());
        let windows = lessee.limits().iter().zip(&terms.windows);
        let limits =
            windows.map(|(limit, window)| Window::new(limit, window, counts_calls)).collect();
        let session = Session::new(random.next(), terms, settings.assumes_unused);
        let driver = Self {
            lessee,
            link: Some(link),
            session,
            settings,
            random,
            status,
            limits,
            unused: Vec::new(),
            now,
            slots: 0,
            slots_until: 0,
            had_slots: 0,
            slots_wanted: 0,
            slot_tried: false,
            slots_fair: 0,
            used_turn: false,
            turn_began: 0,
            processes: 1,
            waiters: 0,
            in_flight: 0,
            busy_at: now,
            settled_at: 0,
            suspension: Suspension::new(),
            joined: false,
            began: None,
            took: 0,
            failures: 0,
            late_answers: 0,
            retry_at: 0,
            asked: None,
            in_vain: false,
            misses: 0,
            pushed: None,
            hears: false,
            was_told: false,
            told_pause: None,
            refuses: false,
            share: None,
        };
        (watched, driver)
    }

    /// Runs until the limiter is [closed](crate::SharedLimiter::close) and its last call has ended; then it gives back all it has.
    pub async fn run(mut self) {
        loop {
            self.look();
            match self.plan() {
                Plan::Trip => drop(self.trip().await),
                Plan::At(at) => self.wait(Some(at)).await,
                Plan::Idle => self.wait(None).await,
                Plan::Over => break,
            }
        }
        self.tell(|status| status.has_left = true);
    }

    /// A first trip, which tells whether the store can be used.
    pub(crate) async fn greet(&mut self) -> Result<(), StoreError> {
        self.look();
        self.trip().await
    }

    /// Whether the store cannot be used until somebody mends it.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    async fn trip(&mut self) -> Result<(), StoreError> {
        let now = self.now;
        self.note_whether_room_is_told();
        let demand = self.gather();
        let next_epoch = self.random.next();
        let trip = self.session.begin(now, &demand, &mut self.unused, next_epoch);
        (self.began, self.joined) = (Some(now), true);
        self.tell(|status| status.trips += 1);
        let answer = self.ask(&trip, now).await;
        // An answer may have lain there while the machine slept.
        self.look_at_clocks();
        match answer {
            Ok(reply) => self.take(&trip, &reply),
            Err(error) => self.fail(error),
        }
    }

    /// Waits for the answer, but not for longer than it may take.
    async fn ask(&mut self, trip: &Trip, began: u64) -> Result<Reply, StoreError> {
        let no_answer = |reason| StoreError::Away((ErrorKind::Io, reason).into());
        let Some(mut link) = self.link.take() else { return Err(no_answer("a trip was dropped")) };
        let answer = self.answer_of(&mut link, trip, began).await;
        self.link = Some(link);
        answer.unwrap_or_else(|| Err(no_answer("no answer in time")))
    }

    /// Meanwhile slots end when they end, and calls are served from the share.
    async fn answer_of(
        &mut self,
        link: &mut L,
        trip: &Trip,
        began: u64,
    ) -> Option<Result<Reply, StoreError>> {
        let deadline = began.saturating_add(self.settings.response);
        let mut answer = pin!(link.trip(trip));
        loop {
            self.look();
            if self.now >= deadline || self.now < began {
                return None;
            }
            let mut wakes = Earliest(Some(deadline));
            self.wakes_in_trip(&mut wakes);
            let until = wakes.0.unwrap_or(deadline).max(self.now + 1);
            let mut sleep = pin!(self.lessee.sleep(Duration::from_micros(until - self.now)));
            let shares = self.share.is_some();
            let mut changed = pin!(self.lessee.changed());
            let answered = poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                if shares && changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                sleep.as_mut().poll(cx).map(|()| None)
            });
            if let Some(answer) = answered.await {
                return Some(answer);
            }
        }
    }

    /// Waits until then, or until something changes.
    async fn wait(&mut self, until: Option<u64>) {
        let length = until.map(|until| Duration::from_micros(until.saturating_sub(self.now)));
        let mut sleep = pin!(length.map(|length| self.lessee.sleep(length)));
        let mut changed = pin!(self.lessee.changed());
        let hears = self.joined;
        let mut pushed = pin!(self.link.as_mut().filter(|_| hears).map(Link::pushed));
        let news = poll_fn(|cx| {
            if let Some(pushed) = pushed.as_mut().as_pin_mut()
                && let Poll::Ready(news) = pushed.poll(cx)
            {
                return Poll::Ready(Some(news));
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match sleep.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        });
        let news = news.await;
        // A pause is not forgotten for the sake of room.
        if self.pushed != Some(News::Pause) {
            self.pushed = news.or(self.pushed);
            self.was_told |= news == Some(News::Room);
        }
    }
}

impl Window {
    fn new(limit: &LeasedLimit, window: &script::Window, counts_calls: bool) -> Self {
        let produced = limit.counts_as_produced();
        let is_settled = counts_calls || produced || limit.kind() == Limit::Rate;
        Self {
            limit: limit.limit(),
            produced,
            is_rate: limit.kind() == Limit::Rate,
            unsettled: if is_settled { 0 } else { window.kept },
            flow: Flow::default(),
            ends: VecDeque::new(),
            left: 0,
            first: 0,
            first_told: 0,
            in_line: 0,
            is_held: false,
            tried: 0,
            wanted: 0,
        }
    }
}

/// Rounded down: a lease is used no longer than it may be.
fn micros(at: Timestamp) -> u64 {
    at.as_nanos() / 1000
}

fn timestamp(micros: u64) -> Timestamp {
    Timestamp::from_nanos(micros.saturating_mul(1000))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

/// Omits the link.
impl<L> fmt::Debug for Driver<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("session", &self.session)
            .field("limits", &self.limits)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
