//! The faults of the provider pool this crate replaces (oxi-ai 0.20, `provider_pool.rs`), one test
//! each. "Every call scans the whole window under a lock" is a matter of cost: the benchmarks show it, and
//! `allocations.rs` shows that no call allocates.
#![cfg(feature = "tokio")]
#![expect(clippy::disallowed_methods, reason = "departures go by tokio's paused time")]

use crate::common::Dice;
use crate::common::counting::growth;
use crate::failing::Error;
use async_trait::async_trait;
use futures_util::stream::poll_fn;
use futures_util::{FutureExt, StreamExt};
use ringgate::{
    EventStream, Limit, Limiter, Provider, ProviderPool, Rate, RateLimitPolicy, Semaphore,
};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// ---- a provider in the test's hand ---------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Streams what the test sends.
    Answer(u64),
    /// Never answers.
    Fail,
    /// Panics before it returns a stream.
    Panic,
    /// Panics in the stream.
    PanicLater,
}

/// A request as it arrived at the provider.
struct Arrival {
    request: Request,
    at: Instant,
    /// The stream returns what is sent here, and ends when this is dropped.
    answer: UnboundedSender<char>,
}

struct Fake {
    arrivals: UnboundedSender<Arrival>,
}

fn fake() -> (Arc<Fake>, UnboundedReceiver<Arrival>) {
    let (arrivals, seen) = unbounded_channel();
    (Arc::new(Fake { arrivals }), seen)
}

#[async_trait]
impl Provider for Fake {
    type Request = Request;
    type Event = char;
    type Error = Error;

    fn name(&self) -> &'static str {
        "fake"
    }

    async fn stream(&self, request: Request) -> Result<EventStream<char>, Error> {
        let (answer, mut events) = unbounded_channel();
        // The test may have dropped the receiver.
        let _ = self.arrivals.send(Arrival { request, at: Instant::now(), answer });
        yield_now().await;
        match request {
            Request::Answer(_) => Ok(Box::pin(poll_fn(move |cx| events.poll_recv(cx)))),
            Request::Fail => Err(Error::Failed),
            Request::Panic => panic!("the provider panics"),
            Request::PanicLater => Ok(Box::pin(poll_fn(|_| panic!("the stream panics")))),
        }
    }
}

type Pool = ProviderPool<Fake>;

fn pool(policy: RateLimitPolicy) -> (Arc<Pool>, UnboundedReceiver<Arrival>) {
    let (provider, arrivals) = fake();
    (Arc::new(ProviderPool::new(provider, policy, "pool")), arrivals)
}

/// One call at a time, without a limit on the rate.
fn single() -> RateLimitPolicy {
    RateLimitPolicy::unlimited().with_max_concurrent(1)
}

/// A limit per minute, without a limit on calls in flight.
fn per_minute(rpm: u32) -> RateLimitPolicy {
    RateLimitPolicy::rpm(rpm).with_margin(Duration::ZERO).with_max_concurrent(usize::MAX)
}

/// Starts a task that calls and keeps its stream for `hold`.
fn call(pool: &Arc<Pool>, request: Request, hold: Duration) -> JoinHandle<Result<(), Error>> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        let stream = pool.stream(request).await?;
        sleep(hold).await;
        drop(stream);
        Ok(())
    })
}

/// Runs all tasks that can run, and fires the timers that are due now.
async fn settle() {
    advance(Duration::ZERO).await;
    for _ in 0..20 {
        yield_now().await;
    }
}

// ---- the permit is given back when `stream()` returns instead of when the stream ends ------------

/// Broken by: `PoolStream` not keeping the permit.
#[tokio::test(start_paused = true)]
async fn the_permit_is_held_until_the_stream_has_ended() {
    let (pool, mut arrivals) = pool(single());
    let mut stream = pool.stream(Request::Answer(1)).await.unwrap();
    let first = arrivals.recv().await.unwrap();
    let second = call(&pool, Request::Answer(2), Duration::ZERO);
    first.answer.send('a').unwrap();
    assert_eq!(stream.next().await, Some('a'));
    sleep(s(3600)).await;
    assert!(arrivals.try_recv().is_err(), "two in flight");

    drop(first);
    assert_eq!(stream.next().await, None);
    assert_eq!(arrivals.recv().await.unwrap().request, Request::Answer(2));
    assert_eq!(stream.next().await, None);
    second.await.unwrap().unwrap();
    assert_eq!(pool.limiter().available_permits(), 1);
}

/// Broken by: `PoolStream` forgetting the permit when it is dropped.
#[tokio::test(start_paused = true)]
async fn the_permit_is_held_until_the_stream_is_dropped() {
    let (pool, mut arrivals) = pool(single());
    let stream = pool.stream(Request::Answer(1)).await.unwrap();
    let first = arrivals.recv().await.unwrap();
    let second = call(&pool, Request::Answer(2), Duration::ZERO);
    sleep(s(3600)).await;
    assert!(arrivals.try_recv().is_err(), "two in flight");
    drop(stream);
    assert!(first.answer.is_closed());
    assert_eq!(arrivals.recv().await.unwrap().request, Request::Answer(2));
    second.await.unwrap().unwrap();
}

/// Broken by: the permit taken after the provider was called.
#[tokio::test(start_paused = true)]
async fn no_more_than_the_allowed_number_of_streams_is_ever_open() {
    let (pool, mut arrivals) = pool(RateLimitPolicy::unlimited().with_max_concurrent(3));
    let calls: Vec<_> =
        (0..30).map(|i| call(&pool, Request::Answer(i), ms(700 + 10 * i))).collect();
    let mut open: Vec<Arrival> = Vec::new();
    for _ in 0..30 {
        let arrival = arrivals.recv().await.unwrap();
        open.retain(|earlier| !earlier.answer.is_closed());
        open.push(arrival);
        assert!(open.len() <= 3, "{} streams open", open.len());
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

// ---- policies that panic, overflow, or hang ------------------------------------------------------

/// Broken by: a semaphore made of `usize::MAX` permits that panics above its maximum.
#[tokio::test(start_paused = true)]
async fn unlimited_does_not_panic_and_limits_nothing() {
    let (pool, mut arrivals) = pool(RateLimitPolicy::unlimited());
    let start = Instant::now();
    let mut open = Vec::new();
    for i in 0..1000 {
        open.push(pool.stream(Request::Answer(i)).await.unwrap());
        arrivals.recv().await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Broken by: `*` for `saturating_mul` in `per_second`.
#[tokio::test(start_paused = true)]
async fn per_second_does_not_overflow() {
    for rps in [71_582_788, 71_582_789, u32::MAX] {
        let policy = RateLimitPolicy::per_second(rps);
        assert_eq!(policy.rpm, rps.saturating_mul(60));
        let (pool, _arrivals) = pool(policy);
        assert_eq!(pool.limiter().remaining(), rps);
        assert!(pool.stream(Request::Answer(0)).await.is_ok());
    }
}

/// Broken by: a rate of zero or `Concurrency::Zero` waiting.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_refuses_at_once_and_for_good() {
    let start = Instant::now();
    let none = RateLimitPolicy::rpm(60).with_max_concurrent(0);
    for policy in [RateLimitPolicy::rpm(0), RateLimitPolicy::per_second(0), none] {
        let (pool, mut arrivals) = pool(policy);
        let Err(Error::Refused(refused)) = pool.stream(Request::Answer(0)).await else {
            panic!("not refused")
        };
        assert!(refused.is_permanent());
        assert_eq!(refused.retry_after(), None);
        assert!(arrivals.try_recv().is_err(), "sent all the same");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

// ---- waiting ---------------------------------------------------------------------------------------

/// One blind second, then an error. Broken by: `Queued::sleep` sleeping for a fixed time.
#[tokio::test(start_paused = true)]
async fn a_call_over_the_rate_waits_exactly_until_there_is_room_and_is_then_sent() {
    let (pool, mut arrivals) = pool(per_minute(2));
    let start = Instant::now();
    for delay in [ms(0), ms(12_345), ms(0), ms(0), ms(0)] {
        sleep(delay).await;
        drop(pool.stream(Request::Answer(0)).await.unwrap());
    }
    for expected in [0, 12_345, 60_000, 72_345, 120_000].map(ms) {
        assert_eq!(arrivals.recv().await.unwrap().at - start, expected);
    }
}

/// Broken by: `RateLimitPolicy` without its default margin.
#[tokio::test(start_paused = true)]
async fn by_default_a_call_counts_a_little_longer_than_its_minute() {
    let (pool, _arrivals) = pool(RateLimitPolicy::rpm(1));
    let start = Instant::now();
    drop(pool.stream(Request::Answer(0)).await.unwrap());
    drop(pool.stream(Request::Answer(1)).await.unwrap());
    assert_eq!(start.elapsed(), ms(60_250));
}

/// Broken by: `Refused::for_now` with a constant.
#[tokio::test(start_paused = true)]
async fn retry_after_is_the_time_after_which_a_retry_succeeds() {
    let (pool, _arrivals) = pool(per_minute(1));
    let limiter = pool.limiter();
    drop(limiter.try_acquire().unwrap());
    for passed in [ms(0), ms(1), ms(59_998)] {
        sleep(passed).await;
        let refused = limiter.try_acquire().unwrap_err();
        assert_eq!(refused.limit(), Limit::Rate);
        let wait = refused.retry_after().unwrap();
        assert!(
            limiter.acquire_timeout(wait.saturating_sub(Duration::from_nanos(1))).await.is_err()
        );
    }
    let wait = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert_eq!(wait, ms(1));
    sleep(wait).await;
    assert!(limiter.try_acquire().is_ok());
}

/// Sleepers wake together and newcomers overtake them. Broken by: each call sleeping by
/// itself (no `line.wait` in `Queued::new`).
#[tokio::test(start_paused = true)]
async fn waiting_calls_go_one_by_one_in_their_order_and_newcomers_go_behind() {
    let (pool, mut arrivals) = pool(per_minute(1));
    let start = Instant::now();
    let mut calls = Vec::new();
    for i in 0..6 {
        calls.push(call(&pool, Request::Answer(i), Duration::ZERO));
        settle().await;
    }
    // New calls at the exact moments when there is room.
    for i in 6..12 {
        advance(s(60)).await;
        calls.push(call(&pool, Request::Answer(i), Duration::ZERO));
        settle().await;
    }
    for i in 0..12 {
        let arrival = arrivals.recv().await.unwrap();
        assert_eq!(arrival.request, Request::Answer(i));
        assert_eq!(arrival.at - start, s(60 * i));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

// ---- cost ------------------------------------------------------------------------------------------

/// Broken by: a log of admissions that grows, such as a `Vec` of them.
#[tokio::test(start_paused = true)]
async fn nothing_grows_with_the_number_of_calls_limited_or_not() {
    for policy in [RateLimitPolicy::unlimited(), per_minute(u32::MAX - 1), per_minute(100)] {
        let limiter = Limiter::from(&policy);
        let calls = || (0..50_000).for_each(|_| drop(limiter.try_acquire()));
        calls();
        assert_eq!(growth(calls), 0, "{policy:?}");
    }
}

// ---- the rate --------------------------------------------------------------------------------------

/// The original allowed sixty times as many in the first second. Broken by: `RateLimitPolicy::rate`
/// taking the minute for it.
#[tokio::test(start_paused = true)]
async fn per_second_never_admits_more_in_any_second_and_uses_what_it_may() {
    for rps in [1, 3, 10] {
        let (pool, mut arrivals) = pool(RateLimitPolicy::per_second(rps));
        let n = u64::from(rps);
        let (start, mut dice) = (Instant::now(), Dice(n));
        let calls: Vec<_> =
            (0..100 * n).map(|i| call(&pool, Request::Answer(i), ms(dice.below(900)))).collect();
        let mut sent = Vec::new();
        for _ in 0..100 * n {
            sent.push(arrivals.recv().await.unwrap().at);
        }
        let per_second = usize::try_from(rps).unwrap();
        for calls in sent.windows(per_second + 1) {
            assert!(calls[per_second] - calls[0] >= s(1), "more than {rps} in a second");
        }
        // A hundred seconds' worth, each lengthened by the margin of a fortieth, and tokio's timer.
        assert!(*sent.last().unwrap() - start <= s(104), "{:?}", sent.last().unwrap());
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
}

// ---- what goes wrong at the provider ---------------------------------------------------------------

/// Broken by: `ProviderPool::stream` forgetting the permit if the provider fails.
#[tokio::test(start_paused = true)]
async fn a_call_that_fails_gives_its_slot_back_and_stays_counted() {
    let (pool, mut arrivals) = pool(per_minute(3).with_max_concurrent(1));
    for _ in 0..3 {
        assert_eq!(pool.stream(Request::Fail).await.unwrap_err(), Error::Failed);
        arrivals.recv().await.unwrap();
    }
    assert_eq!(pool.limiter().available_permits(), 1);
    assert_eq!(pool.limiter().remaining(), 0);
}

/// Broken by: a permit that is not a guard while the provider is called.
#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_gives_its_slot_back_and_stays_counted() {
    let (pool, _arrivals) = pool(per_minute(3).with_max_concurrent(1));
    let panicked = call(&pool, Request::Panic, Duration::ZERO).await.unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, 2));
}

/// Broken by: `poll_next` keeping the permit if the provider's stream panics.
#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_gives_its_slot_back_at_once_and_is_over() {
    let (pool, _arrivals) = pool(single());
    let mut stream = pool.stream(Request::PanicLater).await.unwrap();
    assert!(AssertUnwindSafe(stream.next()).catch_unwind().await.is_err());
    assert_eq!(pool.limiter().available_permits(), 1);
    assert_eq!(stream.next().await, None);
}

/// What a provider's stream finds when it is dropped.
struct AtItsEnd {
    slots: Arc<Semaphore>,
    free: UnboundedSender<usize>,
}

impl Drop for AtItsEnd {
    fn drop(&mut self) {
        self.free.send(self.slots.available_permits()).unwrap();
    }
}

/// The test makes the streams.
struct Made;

#[async_trait]
impl Provider for Made {
    type Request = EventStream<char>;
    type Event = char;
    type Error = Error;

    fn name(&self) -> &'static str {
        "made"
    }

    async fn stream(&self, made: EventStream<char>) -> Result<EventStream<char>, Error> {
        Ok(made)
    }
}

/// Broken by: `poll_next` dropping the permit before the stream.
#[tokio::test(start_paused = true)]
async fn the_slot_is_free_only_after_the_providers_stream_has_gone() {
    let slots = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder().semaphore(Arc::clone(&slots)).build();
    let pool = ProviderPool::with_limiter(Arc::new(Made), limiter, "pool");
    let (free, mut found) = unbounded_channel();
    for panics in [false, true] {
        let at_its_end = AtItsEnd { slots: Arc::clone(&slots), free: free.clone() };
        let events = poll_fn(move |_| {
            let _with_it = &at_its_end;
            assert!(!panics, "the stream panics");
            Poll::Ready(None)
        });
        let mut stream = pool.stream(Box::pin(events)).await.unwrap();
        let end = AssertUnwindSafe(stream.next()).catch_unwind().await;
        assert_eq!(end.is_err(), panics);
        assert_eq!(found.try_recv(), Ok(0));
        assert_eq!(slots.available_permits(), 1);
    }
}

/// Broken by: `acquire_owned` counting before its turn.
#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_in_line_counts_nothing_and_sends_nothing() {
    let (pool, mut arrivals) = pool(per_minute(2).with_max_concurrent(1));
    let stream = pool.stream(Request::Answer(1)).await.unwrap();
    let impatient = call(&pool, Request::Answer(2), Duration::ZERO);
    settle().await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    drop(stream);
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, 1));
    assert_eq!(arrivals.recv().await.unwrap().request, Request::Answer(1));
    assert!(arrivals.try_recv().is_err());
}

/// Broken by: the call's future dropped without its permit.
#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_while_the_provider_thinks_frees_the_slot_and_stays_counted() {
    let (pool, _arrivals) = pool(per_minute(2).with_max_concurrent(1));
    // The provider yields once before it answers.
    assert!(pool.stream(Request::Answer(1)).now_or_never().is_none());
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (1, 1));
}

// ---- where a provider stood ------------------------------------------------------------------------

type AnyProvider = dyn Provider<Request = Request, Event = char, Error = Error>;

/// Broken by: `Provider` not object-safe, `ProviderPool` not for unsized ones.
#[tokio::test(start_paused = true)]
async fn a_pool_stands_where_a_provider_stood_and_pools_can_be_nested() {
    let (provider, mut arrivals) = fake();
    let inner = ProviderPool::new(provider, single(), "the key's");
    let inner_limiter = inner.limiter().clone();
    let any: Arc<AnyProvider> = Arc::new(inner);
    let outer: Arc<ProviderPool<AnyProvider>> =
        Arc::new(ProviderPool::new(any, per_minute(2), "the agent's"));
    let outermost: Arc<AnyProvider> = Arc::clone(&outer) as Arc<AnyProvider>;
    assert_eq!(outermost.name(), "the agent's");

    let stream = outermost.stream(Request::Answer(1)).await.unwrap();
    arrivals.recv().await.unwrap().answer.send('x').unwrap();
    assert_eq!((outer.limiter().remaining(), inner_limiter.available_permits()), (1, 0));
    assert_eq!(stream.collect::<String>().await, "x");
    assert_eq!(inner_limiter.available_permits(), 1);
}

/// Broken by: `with_limiter` making a new one.
#[tokio::test(start_paused = true)]
async fn two_pools_may_share_one_limiter() {
    let limiter = Limiter::new(Rate::per_minute(10), 1);
    let (first, _seen) = fake();
    let (second, _seen_too) = fake();
    let first = ProviderPool::with_limiter(first, limiter.clone(), "first");
    let second = ProviderPool::with_limiter(second, limiter.clone(), "second");
    let stream = first.stream(Request::Answer(1)).await.unwrap();
    assert!(second.stream(Request::Answer(2)).now_or_never().is_none());
    assert_eq!(limiter.remaining(), 9);
    drop(stream);
    assert!(second.stream(Request::Answer(2)).await.is_ok());
}
