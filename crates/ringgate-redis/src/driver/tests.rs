//! What a simulation cannot show: a machine that sleeps, and trips whose time is known.

use super::Driver;
use crate::link::News;
use crate::script::{Granted, Pause, Reply, StoreError, Trip};
use crate::suspension::SUSPENDED;
use crate::{Link, SharedLimiter, StoreState};
use core::future::{Future, pending};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use ringgate::time::ManualClock;
use ringgate::{Feedback, Limiter, OwnedLimiterPermit, Priority, Rate, Refused, Usage};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Each answer brings one request. The first lies there until the machine wakes.
struct Way {
    clock: ManualClock,
    takes: Duration,
    sleeps: Duration,
}

impl Link for Way {
    async fn trip(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        SUSPENDED.set(self.sleeps);
        self.clock.advance(self.takes);
        let paused = if let Pause::For(length) = trip.pause { length } else { 0 };
        Ok(Reply { paused, ..reply(&[1], 0) })
    }
}

/// So much of each limit was granted, and the process has so many slots.
fn reply(amounts: &[u64], slots: u64) -> Reply {
    let granted = amounts.iter().map(|&amount| Granted { amount, used: 1, wanted: 0 });
    Reply {
        epoch: 1,
        now: 1_000_000_000,
        steps: 0,
        paused: 0,
        quiet: 0,
        retry: Some(0),
        is_behind: false,
        processes: 1,
        slots,
        slots_wanted: 0,
        slots_fair: 0,
        fallback: 0,
        windows: granted.collect(),
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A limiter whose trips take so long, and its driver. The machine sleeps during the first trip.
fn scene(takes: Duration, sleeps: Duration) -> (SharedLimiter, Driver<Way>, ManualClock) {
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1_000));
    let limits = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone());
    let way = Way { clock: clock.clone(), takes, sleeps };
    let (limiter, driver) = SharedLimiter::builder(limits, "tests", "driver").driver(way).unwrap();
    (limiter, driver, clock)
}

/// The next look at the clocks came after the grant.
#[test]
fn an_answer_that_had_lain_there_while_the_machine_slept_was_granted() {
    let (limiter, driver, clock) = scene(Duration::ZERO, Duration::from_secs(3_600));
    let (mut driver, mut call) = (pin!(driver.run()), pin!(limiter.acquire()));
    assert!(poll(call.as_mut()).is_pending());
    assert!(poll(driver.as_mut()).is_pending());
    assert!(matches!(limiter.status().store, StoreState::Away(_)));
    assert_eq!(limiter.remaining(), 0);
    assert!(poll(call.as_mut()).is_pending());
    // The next trip is another one.
    clock.advance(Duration::from_secs(1));
    assert!(poll(driver.as_mut()).is_pending());
    assert!(limiter.status().is_connected());
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(_))));
}

/// The store has it since the trip arrived, so it ends later there.
#[test]
fn a_pause_came_back_longer_by_the_time_of_the_trip_that_told_it() {
    let (limiter, driver, clock) = scene(Duration::from_millis(50), Duration::ZERO);
    let mut driver = pin!(driver.run());
    limiter.pause(Duration::from_secs(60));
    assert!(poll(driver.as_mut()).is_pending());
    assert_eq!(limiter.status().trips, 1);
    assert_eq!(limiter.paused_for(), Some(Duration::from_millis(59_950)));
    clock.advance(Duration::from_secs(1));
    assert!(poll(driver.as_mut()).is_pending());
    assert_eq!(limiter.paused_for(), Some(Duration::from_millis(58_950)));
}

// ---- slots, with the test as the store ----------------------------------------------------------

const MINUTE: Duration = Duration::from_secs(60);

/// Its trips go to the test, which answers them.
struct Wire {
    trips: UnboundedSender<Trip>,
    replies: UnboundedReceiver<Reply>,
    news: UnboundedReceiver<News>,
}

impl Link for Wire {
    async fn trip(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        self.trips.send(trip.clone()).expect("the test goes on");
        Ok(self.replies.recv().await.expect("the test goes on"))
    }

    async fn pushed(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => pending().await,
        }
    }
}

/// A process with two slots at most, whose store is the test.
struct Process {
    limiter: SharedLimiter,
    clock: ManualClock,
    driver: Pin<Box<dyn Future<Output = ()>>>,
    trips: UnboundedReceiver<Trip>,
    replies: UnboundedSender<Reply>,
    news: UnboundedSender<News>,
}

impl Process {
    fn new() -> Self {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(1_000));
        let limits = Limiter::builder().rate(Rate::per_minute(60)).tokens(1_000, MINUTE);
        let limits = limits.max_concurrent(2).clock(clock.clone());
        let ((trips, told), (replies, answers), (news, heard)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let wire = Wire { trips, replies: answers, news: heard };
        let builder = SharedLimiter::builder(limits, "tests", "slots");
        let (limiter, driver) = builder.driver(wire).unwrap();
        Self { limiter, clock, driver: Box::pin(driver.run()), trips: told, replies, news }
    }

    /// The trip that is due now, if one is.
    fn trip(&mut self) -> Option<Trip> {
        // Two begin so far apart at least.
        self.clock.advance(Duration::from_millis(1));
        assert!(poll(self.driver.as_mut()).is_pending());
        self.trips.try_recv().ok()
    }

    fn answer(&mut self, reply: Reply) {
        self.replies.send(reply).expect("the driver is there");
        assert!(poll(self.driver.as_mut()).is_pending());
    }

    /// So many calls go by slots of their own, and by all that their trip asks for.
    fn go<const CALLS: usize>(&mut self) -> [OwnedLimiterPermit; CALLS] {
        let mut calls = [(); CALLS].map(|()| Box::pin(self.limiter.acquire_owned()));
        assert!(calls.iter_mut().all(|call| poll(call.as_mut()).is_pending()));
        let trip = self.trip().expect("calls wait");
        let all: Vec<u64> = trip.asks.iter().map(|ask| ask.want).collect();
        self.answer(reply(&all, CALLS as u64));
        calls.map(|mut call| admitted(call.as_mut()))
    }
}

fn admitted(
    call: Pin<&mut (impl Future<Output = Result<OwnedLimiterPermit, Refused>> + ?Sized)>,
) -> OwnedLimiterPermit {
    match poll(call) {
        Poll::Ready(permit) => permit.expect("it has a slot and a lease"),
        Poll::Pending => panic!("it waits"),
    }
}

/// It waited for as long as the try, for which no time was told.
#[test]
fn a_call_that_came_after_a_refused_try_was_not_in_the_stores_line() {
    let mut process = Process::new();
    assert!(process.limiter.try_acquire().is_err());
    let trip = process.trip().expect("a call was refused");
    assert_eq!((trip.waited, trip.slots.need), (0, 1));
    process.answer(Reply { retry: None, ..reply(&[1, 0], 0) });
    assert_eq!(process.trip(), None);
    let mut call = Box::pin(process.limiter.acquire_owned());
    assert!(poll(call.as_mut()).is_pending());
    let trip = process.trip().expect("a call waits");
    assert!(trip.waited > 0 && trip.slots.need == 1);
}

/// The call in line could not use it any more, but waited on: the store kept the slot for this process.
#[test]
fn news_of_a_slot_were_not_answered_where_no_call_could_use_it() {
    let mut process = Process::new();
    let [first] = process.go();
    let mut second = Box::pin(process.limiter.acquire_owned());
    assert!(poll(second.as_mut()).is_pending());
    let trip = process.trip().expect("a call waits");
    assert_eq!((trip.slots.have, trip.slots.need), (1, 2));
    process.answer(Reply { retry: None, ..reply(&[1, 0], 1) });
    process.limiter.observe(&Feedback::overload());
    assert_eq!((process.limiter.concurrency_limit(), process.trip()), (1, None));
    process.news.send(News::Room).unwrap();
    let trip = process.trip().expect("the store waits for it");
    assert_eq!((trip.waited, trip.slots.need), (0, 1));
    drop(first);
}

/// During a trip a call went by a slot that the store had given away meanwhile: it had been told of fewer calls.
#[test]
fn a_call_that_went_during_a_trip_hid_that_the_store_had_taken_its_slot() {
    let mut process = Process::new();
    // What one needs that is refused is asked for, too.
    assert!(process.limiter.call().tokens(Usage::new(50, 0)).try_acquire().is_err());
    let [first, second] = process.go();
    drop(second);
    process.news.send(News::Pause).unwrap();
    let trip = process.trip().expect("it has to look");
    assert_eq!((trip.in_flight, trip.slots.have), (1, 2));
    let third = process.limiter.try_acquire_owned().expect("it has a slot and a lease");
    assert_eq!(process.limiter.remaining_tokens(), 50);
    process.answer(reply(&[0, 0], 1));
    assert_eq!(process.limiter.remaining_tokens(), 0);
    drop((first, third));
}

// ---- full windows, with the test as the store ---------------------------------------------------

const MILLI: Duration = Duration::from_millis(1);

impl Process {
    fn call(
        &self,
        tokens: u64,
    ) -> Pin<Box<dyn Future<Output = Result<OwnedLimiterPermit, Refused>>>> {
        let call = self.limiter.call().tokens(Usage::new(tokens, 0)).acquire_owned();
        let mut call = Box::pin(call);
        assert!(poll(call.as_mut()).is_pending());
        call
    }

    /// There is no room for 400 ms.
    fn refuse(&mut self, is_behind: bool) {
        self.answer(Reply { retry: Some(400_000), is_behind, ..reply(&[0, 0], 1) });
    }

    fn trip_after(&mut self, length: Duration) -> Option<Trip> {
        self.clock.advance(length.saturating_sub(MILLI));
        self.trip()
    }
}

/// It found nothing at its time, because others were served first. The news came then, and each time that was a trip too many.
#[test]
fn who_had_others_before_it_came_at_its_time_instead_of_with_the_news() {
    let mut process = Process::new();
    let _call = process.call(50);
    assert!(process.trip().is_some());
    process.refuse(true);
    assert_eq!(process.trip_after(399 * MILLI), None);
    assert!(process.trip_after(MILLI).is_some(), "it has never heard any");
    process.refuse(true);
    process.news.send(News::Room).unwrap();
    assert!(process.trip().is_some());
    process.refuse(true);
    assert_eq!(process.trip_after(800 * MILLI), None);
    process.news.send(News::Room).unwrap();
    assert!(process.trip().is_some());
    process.refuse(true);
    assert_eq!(process.trip_after(899 * MILLI), None);
    assert!(process.trip_after(MILLI).is_some(), "they may be lost");
    process.refuse(true);
    assert!(process.trip_after(400 * MILLI).is_some(), "it has waited in vain");
    process.refuse(true);
    process.news.send(News::Room).unwrap();
    assert!(process.trip().is_some());
    process.refuse(false);
    assert!(process.trip_after(400 * MILLI).is_some(), "it is the first");
}

/// The time was that of a call which waits no more, and needed ten times as much. Meanwhile the store kept that for it.
#[test]
fn a_small_call_waited_for_as_long_as_the_large_one_before_it_would_have() {
    let mut process = Process::new();
    let large = process.call(50);
    let _small = process.call(5);
    assert!(process.trip().is_some());
    process.refuse(true);
    drop(large);
    assert_eq!(process.trip_after(39 * MILLI), None);
    assert!(process.trip_after(11 * MILLI).is_some(), "it looks so often");
}

/// Nobody waited for what was asked for, but a try had needed it.
#[test]
fn a_refused_try_waited_for_a_lease_and_a_call_after_it_for_the_time_of_the_try() {
    let mut process = Process::new();
    assert!(process.limiter.try_acquire().is_err());
    assert!(process.trip().is_some());
    process.answer(reply(&[0, 0], 1));
    assert!(process.limiter.try_acquire().is_err());
    assert_eq!(process.trip_after(239 * MILLI), None);
    assert!(process.trip_after(MILLI).is_some(), "a fifth of a lease");
    process.answer(Reply { retry: Some(5_000_000), ..reply(&[0, 0], 1) });
    let _call = process.call(5);
    assert!(process.trip().is_some(), "it is not in the store's line");
}

/// Another one had needed more of what it lacks, and has had it. Nobody was in the store's line any more.
#[test]
fn a_call_after_one_that_was_served_waited_for_what_could_not_be_taken_ahead() {
    let mut process = Process::new();
    assert!(process.limiter.try_acquire().is_err());
    let mut served = process.call(50);
    let trip = process.trip().expect("a call waits");
    assert_eq!((trip.asks[0].need, trip.asks[0].want), (1, 2));
    let mut granted = Reply { retry: Some(5_000_000), ..reply(&[1, 50], 2) };
    granted.windows[0].wanted = 5;
    process.answer(granted);
    assert!(poll(served.as_mut()).is_ready());
    let _call = process.call(30);
    assert!(process.trip().is_some());
}

/// The store had never heard of what it needed more of, and gave that to others who had waited for less.
#[test]
fn a_call_that_came_first_later_was_not_in_the_stores_line_with_all_that_it_needs() {
    let mut process = Process::new();
    let mut calls = [process.call(50), process.call(50)];
    assert!(process.trip().is_some());
    process.answer(reply(&[1, 100], 2));
    assert!(poll(calls[0].as_mut()).is_ready());
    // It has tokens, and lacks a request.
    let trip = process.trip_after(240 * MILLI).expect("a call waits");
    assert_eq!(trip.asks[1].least, 0);
    process.answer(Reply { retry: Some(5_000_000), ..reply(&[0, 0], 2) });
    assert_eq!(process.trip(), None);
    let call = process.limiter.call().tokens(Usage::new(800, 0)).priority(Priority::High);
    let mut call = Box::pin(call.acquire_owned());
    assert!(poll(call.as_mut()).is_pending());
    let trip = process.trip().expect("it needs more");
    assert_eq!(trip.asks[1].least, 750);
}

/// Its lease ended while the call waited for the other limit.
#[test]
fn a_limit_with_room_was_a_reason_to_ask_again_for_one_without() {
    let mut process = Process::new();
    let mut calls = [process.call(50), process.call(50)];
    assert!(process.trip().is_some());
    process.answer(Reply { retry: Some(5_000_000), ..reply(&[2, 50], 2) });
    assert!(poll(calls[0].as_mut()).is_ready());
    assert!(poll(calls[1].as_mut()).is_pending());
    assert_eq!(process.trip_after(1_300 * MILLI), None);
    assert!(process.trip_after(1_700 * MILLI).is_some(), "the heartbeat");
}

/// While others waited each call that used less than was reserved for it made a trip.
#[test]
fn what_comes_back_to_others_made_a_trip_for_each_call() {
    let mut process = Process::new();
    let calls = [process.call(50), process.call(50)];
    assert!(process.trip().is_some());
    process.answer(reply(&[2, 100], 2));
    let [first, second] = calls.map(|mut call| admitted(call.as_mut()));
    assert!(process.trip_after(3_000 * MILLI).is_some(), "the heartbeat");
    let mut waits = reply(&[0, 0], 2);
    waits.windows[1].wanted = 10;
    process.answer(waits.clone());
    first.settle(Usage::new(40, 0));
    // It looks, for something else.
    process.news.send(News::Room).unwrap();
    assert_eq!(process.trip_after(499 * MILLI), None);
    let trip = process.trip().expect("others wait");
    assert_eq!(trip.returns.len(), 1);
    process.answer(waits);
    second.settle(Usage::new(40, 0));
    process.news.send(News::Room).unwrap();
    assert_eq!(process.trip_after(499 * MILLI), None);
    assert!(process.trip().is_some());
}
