//! Tokens through a pool: what a call reserves, and what it counts as in the end.

use crate::common::{Wakes, at_once, poll_once, poll_with};
use crate::failing::{Error, panics};
use async_trait::async_trait;
use futures_util::{FutureExt, Stream, StreamExt};
use ringgate::time::ManualClock;
use ringgate::{
    EventStream, Limit, LimiterBuilder, OverLimit, PoolStream, Provider, ProviderPool,
    RateLimitPolicy, Refused, Usage, estimate_tokens,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

// ---- a provider in the test's hand ---------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Text,
    /// So much was used so far.
    Says(u64, u64),
    /// `usage` panics.
    Breaks,
}
use Event::{Breaks, Says, Text};

#[derive(Debug, Clone, Copy)]
enum Answer {
    Ends,
    Panics,
    /// Goes on, but not now.
    Thinks,
    /// There is no stream.
    Fails,
    PanicsAtOnce,
}

struct Request {
    /// `estimate` panics without one.
    estimate: Option<Usage>,
    events: Vec<Event>,
    answer: Answer,
}

fn request(events: &[Event], answer: Answer) -> Request {
    Request { estimate: Some(EXPECTED), events: events.to_vec(), answer }
}

#[derive(Default)]
struct Fake {
    arrived: AtomicUsize,
    estimated: AtomicUsize,
    asked: AtomicUsize,
}

#[async_trait]
impl Provider for Fake {
    type Request = Request;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "fake"
    }

    async fn stream(&self, request: Request) -> Result<EventStream<Event>, Error> {
        self.arrived.fetch_add(1, SeqCst);
        match request.answer {
            Answer::Fails => Err(Error::Failed),
            Answer::PanicsAtOnce => panics(),
            answer => Ok(Box::pin(Events { all: request.events, next: 0, answer })),
        }
    }

    fn estimate(&self, request: &Request) -> Usage {
        self.estimated.fetch_add(1, SeqCst);
        request.estimate.unwrap_or_else(|| panics())
    }

    fn usage(&self, event: &Event) -> Option<Usage> {
        self.asked.fetch_add(1, SeqCst);
        match *event {
            Text => None,
            Says(input, output) => Some(Usage::new(input, output)),
            Breaks => panics(),
        }
    }
}

struct Events {
    all: Vec<Event>,
    next: usize,
    answer: Answer,
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        self.next += 1;
        match (self.all.get(self.next - 1), self.answer) {
            (Some(event), _) => Poll::Ready(Some(*event)),
            (None, Answer::Panics) => panics(),
            (None, Answer::Thinks) => Poll::Pending,
            (None, _) => Poll::Ready(None),
        }
    }
}

// ---- what is left --------------------------------------------------------------------------------

type Pool<P = Fake> = ProviderPool<P>;
type AnyProvider = dyn Provider<Request = Request, Event = Event, Error = Error>;

const EXPECTED: Usage = Usage::new(100, 50);
/// Tokens, input and output that are left of [`policy`].
type Left = (u64, u64, u64);
/// A call that counts as reserved.
const AS_RESERVED: Left = (850, 900, 950);

fn policy() -> RateLimitPolicy {
    let policy = RateLimitPolicy::rpm(100).with_max_concurrent(3);
    policy.with_tpm(1_000).with_input_tpm(1_000).with_output_tpm(1_000)
}

fn by_hand(policy: &RateLimitPolicy) -> (Pool, ManualClock) {
    let clock = ManualClock::new();
    let limiter = LimiterBuilder::from(policy).clock(clock.clone()).build();
    (ProviderPool::with_limiter(Arc::new(Fake::default()), limiter, "pool"), clock)
}

fn left<P: Provider + ?Sized>(pool: &Pool<P>) -> Left {
    let limiter = pool.limiter();
    (
        limiter.remaining_tokens(),
        limiter.remaining_input_tokens(),
        limiter.remaining_output_tokens(),
    )
}

/// What is left after a call that is read until it has no more to say. No slot may be missing.
fn after(request: Request) -> Left {
    let (pool, _clock) = by_hand(&policy());
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Ok(mut answer) = at_once(pool.stream(request)) else { return };
        while let Poll::Ready(Some(_)) = poll_once(Pin::new(&mut answer.next())) {}
    }));
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (3, 99));
    left(&pool)
}

// ---- a call that ends ----------------------------------------------------------------------------

/// Broken by: `end` that does not settle; `or_more` that keeps the latest; `note` that keeps the first.
#[test]
fn a_stream_that_has_ended_counts_as_its_events_said() {
    let used = |events: &[Event]| {
        let (total, input, output) = after(request(events, Answer::Ends));
        assert_eq!(1_000 - total, 2_000 - input - output);
        (1_000 - input, 1_000 - output)
    };
    assert_eq!(used(&[Text, Says(90, 20)]), (90, 20));
    assert_eq!(used(&[Says(0, 0)]), (0, 0));
    // The input at the start, the output as it grows.
    assert_eq!(used(&[Says(90, 1), Text, Says(0, 10), Says(0, 30), Text]), (90, 30));
    assert_eq!(used(&[Says(90, 30), Says(80, 0)]), (90, 30));
    // More than expected.
    assert_eq!(used(&[Says(300, 200)]), (300, 200));
    // Nothing was said.
    assert_eq!(after(request(&[Text, Text], Answer::Ends)), AS_RESERVED);
    assert_eq!(after(request(&[], Answer::Ends)), AS_RESERVED);
}

/// Broken by: the pool's own `Provider` without `estimate`, or without `usage`.
#[test]
fn through_the_trait_and_through_pools_in_pools_it_is_the_same() {
    let (inner, _clock) = by_hand(&policy());
    let in_front = inner.limiter().clone();
    let any: Arc<AnyProvider> = Arc::new(inner);
    let outer: Pool<AnyProvider> = ProviderPool::new(any, policy(), "outer");
    let mut answer =
        at_once(Provider::stream(&outer, request(&[Says(90, 20)], Answer::Ends))).unwrap();
    assert_eq!(left(&outer), AS_RESERVED);
    assert_eq!(in_front.remaining_tokens(), 850);
    assert_eq!(answer.next().now_or_never(), Some(Some(Says(90, 20))));
    assert_eq!(answer.next().now_or_never(), Some(None));
    assert_eq!(left(&outer), (890, 910, 980));
    assert_eq!(in_front.remaining_tokens(), 890);
}

/// The requests of a pool wait while its limiter is paused, and none arrives before. Broken by: `Core::stamp` without
/// `check_pause`.
#[test]
fn a_pool_whose_limiter_is_paused_sends_nothing_until_that_is_over() {
    let (pool, clock) = by_hand(&policy());
    pool.limiter().pause(Duration::from_secs(20));
    let mut calls = [(); 2].map(|()| Box::pin(pool.stream(request(&[Text], Answer::Ends))));
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), &waker).is_pending()));
    clock.advance(Duration::from_secs(19));
    assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), &waker).is_pending()));
    assert_eq!((pool.limiter().waiters(), left(&pool)), (2, (1_000, 1_000, 1_000)));
    let before = wakes.count();
    clock.advance(Duration::from_secs(1));
    assert!(wakes.count() > before);
    assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), &waker).is_ready()));
}

// ---- a call that does not end --------------------------------------------------------------------

/// Broken by: a `Drop` that settles at what was said; that ignores it; that compares totals.
#[test]
fn a_stream_that_is_dropped_counts_as_reserved_or_as_more_if_more_was_said() {
    for answer in [Answer::Thinks, Answer::Panics] {
        assert_eq!(after(request(&[Text], answer)), AS_RESERVED);
        assert_eq!(after(request(&[Says(90, 20)], answer)), AS_RESERVED);
        assert_eq!(after(request(&[Says(300, 200)], answer)), (500, 700, 800));
        // Of the output only a part was said, so the rest may have been produced.
        assert_eq!(after(request(&[Says(300, 1)], answer)), (650, 700, 950));
    }
    // Also at once, and after the last event but before the end.
    let (pool, _clock) = by_hand(&policy());
    drop(at_once(pool.stream(request(&[Says(90, 20)], Answer::Ends))).unwrap());
    assert_eq!(left(&pool), AS_RESERVED);
    let mut answer = at_once(pool.stream(request(&[Says(90, 20)], Answer::Ends))).unwrap();
    assert!(at_once(answer.next()).is_some());
    drop(answer);
    assert_eq!(left(&pool), (700, 800, 900));
}

/// Broken by: a `Drop` that always settles.
#[test]
fn a_factor_does_not_count_for_output_that_nobody_has_told() {
    let (pool, _clock) = by_hand(&RateLimitPolicy::bedrock(100, 1_000, 5));
    drop(at_once(pool.stream(request(&[Text], Answer::Thinks))).unwrap());
    assert_eq!(pool.limiter().remaining_tokens(), 850);
    let answer = at_once(pool.stream(request(&[Says(90, 20)], Answer::Ends))).unwrap();
    assert_eq!(at_once(answer.count()), 1);
    assert_eq!(pool.limiter().remaining_tokens(), 660);
}

/// What was expected counts once, what was said five times: each part is the larger of the two.
///
/// Broken by: a `Drop` that settles at `said.or_more(expected)`, by which output that nobody has told counted five times; one
/// that drops the permit if no more was said than expected; `settles_at_least` that compares only the sums.
#[test]
fn a_dropped_stream_that_had_told_more_was_settled_too_high_by_a_factor() {
    let left = |says: Event| {
        let (pool, _clock) = by_hand(&RateLimitPolicy::bedrock(100, 1_000, 5));
        let mut answer = at_once(pool.stream(request(&[says], Answer::Thinks))).unwrap();
        assert!(at_once(answer.next()).is_some());
        drop(answer);
        assert_eq!(pool.limiter().available_permits(), 16);
        pool.limiter().remaining_tokens()
    };
    assert_eq!(left(Says(90, 10)), 1_000 - (100 + 50));
    // More input than expected, and less output, five times, than was: 300 + 5 * 50 was counted.
    assert_eq!(left(Says(300, 1)), 1_000 - (300 + 50));
    assert_eq!(left(Says(300, 20)), 1_000 - (300 + 5 * 20));
    // As much as was expected at most, but more by its factor: 150 was counted.
    assert_eq!(left(Says(90, 20)), 1_000 - (100 + 5 * 20));
    assert_eq!(left(Says(0, u64::MAX)), 0);
}

/// Broken by: a permit that is cancelled or forgotten if the provider fails.
#[test]
fn a_provider_that_fails_or_panics_counts_as_reserved() {
    assert_eq!(after(request(&[], Answer::Fails)), AS_RESERVED);
    assert_eq!(after(request(&[], Answer::PanicsAtOnce)), AS_RESERVED);
}

/// Broken by: `poll_next` that keeps the call before it asks `usage`.
#[test]
fn a_usage_that_panics_frees_the_slot_and_counts_the_tokens() {
    assert_eq!(after(request(&[Text, Breaks, Says(1, 1)], Answer::Ends)), AS_RESERVED);
    assert_eq!(after(request(&[Says(300, 200), Breaks], Answer::Ends)), (500, 700, 800));
    let (pool, _clock) = by_hand(&policy());
    let mut answer = at_once(pool.stream(request(&[Breaks, Text], Answer::Ends))).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| at_once(answer.next()))).is_err());
    assert_eq!(pool.limiter().available_permits(), 3);
    assert_eq!(at_once(answer.next()), None, "it is over");
}

/// Broken by: an estimate after the admission.
#[test]
fn an_estimate_that_panics_takes_nothing() {
    let (pool, _clock) = by_hand(&policy());
    let broken = Request { estimate: None, events: vec![], answer: Answer::Ends };
    assert!(catch_unwind(AssertUnwindSafe(|| at_once(pool.stream(broken)).is_ok())).is_err());
    assert_eq!(left(&pool), (1_000, 1_000, 1_000));
    assert_eq!((pool.limiter().available_permits(), pool.limiter().remaining()), (3, 100));
}

// ---- waiting and refusing ------------------------------------------------------------------------

/// Broken by: a call without its tokens; `Call::end` that forgets the permit.
#[test]
fn a_call_waits_for_tokens_and_goes_when_another_has_used_less() {
    let (pool, _clock) = by_hand(&policy().with_tpm(u64::MAX).with_output_tpm(80));
    let mut first = at_once(pool.stream(request(&[Says(90, 20)], Answer::Ends))).unwrap();
    let wakes = Wakes::new();
    let mut second = Box::pin(pool.stream(request(&[], Answer::Ends)));
    assert!(poll_with(second.as_mut(), &Waker::from(wakes.clone())).is_pending());
    // One that gives up in line takes nothing.
    assert!(pool.stream(request(&[], Answer::Ends)).now_or_never().is_none());
    assert_eq!((left(&pool).2, pool.limiter().waiters()), (30, 1));
    assert!(at_once(first.next()).is_some());
    assert_eq!(at_once(first.next()), None);
    assert_eq!((left(&pool).2, wakes.count()), (60, 1));
    let Poll::Ready(Ok(answer)) = poll_once(second.as_mut()) else { panic!("it waits") };
    assert_eq!(left(&pool).2, 10);
    drop(answer);
}

/// Broken by: a preset whose output counts from the admission.
#[test]
fn output_counts_from_the_end_of_the_stream() {
    let (pool, clock) = by_hand(&RateLimitPolicy::anthropic(600, 1_000, 1_000));
    let mut answer = at_once(pool.stream(request(&[Says(90, 40)], Answer::Ends))).unwrap();
    assert!(at_once(answer.next()).is_some());
    clock.advance(Duration::from_secs(600));
    assert_eq!(left(&pool), (u64::MAX, 1_000, 950));
    assert_eq!(at_once(answer.next()), None);
    assert_eq!(left(&pool), (u64::MAX, 1_000, 960));
    clock.advance(Duration::from_secs(61));
    assert_eq!(left(&pool), (u64::MAX, 1_000, 1_000));
}

/// Broken by: an estimate that is cut to what is left.
#[test]
fn an_estimate_above_a_limit_is_refused_for_good_and_nothing_is_sent() {
    let provider = Arc::new(Fake::default());
    let pool = ProviderPool::new(Arc::clone(&provider), policy().with_output_tpm(49), "pool");
    for by_trait in [false, true] {
        let request = request(&[], Answer::Ends);
        let refused = if by_trait {
            at_once(Provider::stream(&pool, request)).map(drop)
        } else {
            at_once(pool.stream(request)).map(drop)
        };
        let Err(Error::Refused(refused)) = refused else { panic!("not refused") };
        assert_eq!(refused.limit(), Limit::OutputTokens);
        assert_eq!(refused.over_limit(), Some(OverLimit { asked: 50, limit: 49 }));
    }
    assert_eq!(provider.arrived.load(SeqCst), 0);
    assert_eq!(left(&pool), (1_000, 1_000, 49));
}

// ---- estimates -----------------------------------------------------------------------------------

/// Broken by: `expected` that asks the provider first; the trait's `estimate` that goes past it.
#[test]
fn an_estimate_of_the_pools_own_replaces_the_providers() {
    let provider = Arc::new(Fake::default());
    let pool = ProviderPool::new(Arc::clone(&provider), policy(), "pool")
        .with_estimate(|request| Usage::new(7, request.events.len() as u64));
    let broken = || Request { estimate: None, events: vec![Text; 3], answer: Answer::Fails };
    assert!(at_once(pool.stream(broken())).is_err());
    assert_eq!(left(&pool), (990, 993, 997));
    assert_eq!(Provider::estimate(&pool, &broken()), Usage::new(7, 3));
    assert_eq!(provider.estimated.load(SeqCst), 0);
}

/// Broken by: `has_token_limits` always true; a stream that asks all the same.
#[test]
fn a_pool_without_limits_on_tokens_asks_nothing() {
    let provider = Arc::new(Fake::default());
    let policy = RateLimitPolicy::rpm(100);
    let pool = ProviderPool::new(Arc::clone(&provider), policy, "pool");
    let answer = at_once(pool.stream(request(&[Text, Breaks], Answer::Ends))).unwrap();
    assert_eq!(at_once(answer.count()), 2);
    assert_eq!((provider.estimated.load(SeqCst), provider.asked.load(SeqCst)), (0, 0));
}

/// A provider as those of before.
struct Old;

#[async_trait]
impl Provider for Old {
    type Request = ();
    type Event = char;
    type Error = Refused;

    fn name(&self) -> &'static str {
        "old"
    }

    async fn stream(&self, (): ()) -> Result<EventStream<char>, Refused> {
        Ok(Box::pin(futures_util::stream::iter(['a'])))
    }
}

/// Broken by: a default estimate above zero.
#[test]
fn a_provider_that_tells_nothing_is_not_held_up_by_tokens() {
    let pool = ProviderPool::new(Arc::new(Old), RateLimitPolicy::rpm(100).with_tpm(0), "pool");
    assert_eq!(at_once(at_once(pool.stream(())).unwrap().collect::<String>()), "a");
    assert_eq!((Old.estimate(&()), Old.usage(&'a')), (Usage::default(), None));
}

/// Broken by: `Call::drop` that forgets a permit if something was said.
#[test]
fn a_stream_of_ones_own_may_tell_its_usage_to_a_limiter_without_tokens() {
    let limiter = ringgate::Limiter::builder().max_concurrent(1).build();
    for ends in [true, false] {
        let permit = limiter.try_acquire_owned().unwrap();
        assert_eq!(permit.expected(), Usage::default());
        let events = Box::pin(futures_util::stream::iter([1, 2, 3]));
        let mut most = 0;
        let mut answer = PoolStream::with_usage(events, permit, move |event| {
            most = most.max(*event);
            Some(Usage::new(most, most))
        });
        assert_eq!(at_once(answer.next()), Some(1));
        if ends {
            assert_eq!(at_once(answer.count()), 2);
        }
        assert_eq!(limiter.available_permits(), usize::from(ends));
    }
    assert_eq!(limiter.available_permits(), 1);
}

/// Broken by: a sum that is rounded down; digits that count as letters; characters that count once each.
#[test]
fn a_text_is_estimated_by_its_letters_digits_and_further_bytes() {
    let estimates = [
        ("", 0),
        ("a", 1),
        ("abc", 1),
        ("abcd", 2),
        ("a b\n", 2),
        ("123", 3),
        ("1a", 2),
        ("é", 1),
        ("я", 1),
        ("字", 2),
        ("😀", 3),
        ("\u{10FFFF}", 3),
        ("\u{80}\u{7F}", 2),
    ];
    for (text, tokens) in estimates {
        assert_eq!(estimate_tokens(text), tokens, "{text:?}");
    }
    let english = "The quick brown fox jumps over the lazy dog. ".repeat(100);
    assert_eq!(estimate_tokens(&english), 1_500);
}
