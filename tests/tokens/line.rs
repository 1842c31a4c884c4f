//! The line before a window of tokens.

#![cfg(feature = "tokio")]

use crate::{MINUTE, as_produced, at_start, refused};
use futures_util::FutureExt;
use ringgate::time::{Clock, Timestamp, TokioClock};
use ringgate::{Limit, OwnedTokenReservation, Refused, TokenWindow};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::task::yield_now;

const SECOND: Duration = Duration::from_secs(1);

type Waiting = tokio::task::JoinHandle<Result<OwnedTokenReservation, Refused>>;

fn start() -> (TokioClock, Timestamp) {
    let clock = TokioClock::new();
    let now = clock.now();
    (clock, now)
}

fn elapsed((clock, start): &(TokioClock, Timestamp)) -> Duration {
    clock.now().saturating_duration_since(*start)
}

fn shared(limit: u64) -> Arc<TokenWindow> {
    Arc::new(TokenWindow::new(limit, MINUTE))
}

async fn wait(window: &Arc<TokenWindow>, weight: u64) -> Waiting {
    let waiting = tokio::spawn(Arc::clone(window).acquire_owned(weight));
    yield_now().await;
    waiting
}

/// Broken by: a window without a line (each tries by itself); a small call that goes before a large one in front.
#[tokio::test(start_paused = true)]
async fn a_large_call_is_not_passed_by_small_ones_behind_it() {
    let window = shared(1000);
    drop(window.acquire(600).await.unwrap());
    tokio::time::advance(30 * SECOND).await;
    drop(window.acquire(300).await.unwrap());
    let large = wait(&window, 900).await;
    let small = wait(&window, 50).await;
    assert_eq!((window.waiters(), window.remaining()), (2, 100));
    // There is room for it, but not before the others.
    let behind = window.try_acquire(50).unwrap_err();
    assert!(behind.retry_after().unwrap() > Duration::ZERO, "{behind:?}");
    assert!(window.check(50).is_ok());

    let start = start();
    let large = large.await.unwrap().unwrap();
    let took = elapsed(&start);
    assert!(took >= MINUTE && took <= MINUTE + SECOND, "{took:?}");
    drop(small.await.unwrap().unwrap());
    assert_eq!((window.remaining(), large.weight()), (50, 900));
    assert!(large.stamp().is_some());
}

/// Broken by: a settlement that wakes nobody.
#[tokio::test(start_paused = true)]
async fn what_a_settlement_gives_back_goes_to_the_first_in_line() {
    for make in [TokenWindow::new as fn(_, _) -> _, TokenWindow::as_produced] {
        let window = Arc::new(make(1000, MINUTE));
        let open = window.try_acquire(1000).unwrap();
        let (first, second) = (wait(&window, 500).await, wait(&window, 400).await);
        let start = start();
        open.settle(100);
        drop((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()));
        assert_eq!(elapsed(&start), Duration::ZERO);
        assert_eq!((window.waiters(), window.remaining()), (0, 0));
    }
}

/// Broken by: a cancelled call that keeps its place or its tokens.
#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_nothing_behind() {
    let window = shared(1000);
    let open = window.try_acquire(700).unwrap();
    let large = wait(&window, 1000).await;
    let small = wait(&window, 200).await;
    large.abort();
    drop(small.await.unwrap().unwrap());
    assert_eq!((window.waiters(), window.remaining()), (0, 100));
    open.cancel();
    assert_eq!(window.remaining(), 800);
    // Never polled.
    drop(window.acquire(800));
    assert_eq!(window.remaining(), 800);
}

/// Broken by: `close`, `set`, `set_limit` or `reset` that wakes nobody.
#[tokio::test(start_paused = true)]
async fn those_in_line_learn_of_changes() {
    let changes: [fn(&TokenWindow); 4] = [
        |window| window.set_limit(2000),
        |window| window.set(2000, SECOND),
        |window| window.reset(),
        |window| window.close(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let window = shared(1000);
        drop(window.try_acquire(900).unwrap());
        let waiting = wait(&window, 950).await;
        let start = start();
        change(&window);
        let answer = waiting.await.unwrap();
        assert_eq!(elapsed(&start), Duration::ZERO);
        match answer {
            Ok(reservation) => assert!(n < 3 && reservation.weight() == 950),
            Err(refused) => assert_eq!((refused.limit(), n), (Limit::Closed, 3)),
        }
        assert_eq!(window.is_closed(), n == 3);
        if window.is_closed() {
            assert_eq!(refused_by(&window, 0), [Limit::Closed; 3]);
        }
    }
}

fn refused_by(window: &TokenWindow, weight: u64) -> [Limit; 3] {
    let at = Timestamp::ZERO;
    [
        window.try_acquire(weight).unwrap_err().limit(),
        window.try_acquire_at(weight, at).unwrap_err().limit(),
        window.check(weight).unwrap_err().limit(),
    ]
}

/// Broken by: a call in line that does not see that its weight has become too large.
#[tokio::test(start_paused = true)]
async fn more_than_the_limit_never_waits() {
    let window = shared(1000);
    let too_large = window.acquire(1001).await.unwrap_err();
    assert!(too_large.is_permanent() && too_large.over_limit().is_some());
    drop(window.try_acquire(900).unwrap());
    let waiting = wait(&window, 500).await;
    window.set_limit(400);
    assert!(waiting.await.unwrap().unwrap_err().is_permanent());
}

/// Broken by: a timeout that is not told to the line.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_kept() {
    let window = shared(1000);
    drop(window.try_acquire(900).unwrap());
    let start = start();
    let late = window.acquire_timeout(500, SECOND).await.unwrap_err();
    assert!(late.retry_after().unwrap() >= MINUTE && elapsed(&start) < SECOND, "{late:?}");
    // Where tokens are held, a settlement may come in time.
    let window = Arc::new(TokenWindow::as_produced(1000, MINUTE));
    let open = window.try_acquire(900).unwrap();
    let late = window.acquire_timeout(500, SECOND).await.unwrap_err();
    assert_eq!((late.retry_after(), late.is_permanent()), (None, false));
    assert!((SECOND..2 * SECOND).contains(&elapsed(&start)));
    let window_there = Arc::clone(&window);
    let in_time = tokio::spawn(window_there.acquire_timeout_owned(500, SECOND));
    yield_now().await;
    open.cancel();
    assert_eq!(in_time.await.unwrap().unwrap().weight(), 500);
    assert_eq!((window.waiters(), window.remaining()), (0, 500));
}

/// Time ends before it fits by itself. Broken by: a refusal for good where a settlement helps.
#[tokio::test]
async fn in_a_window_without_end_a_call_waits_for_a_settlement() {
    let window = Arc::new(TokenWindow::new(1000, Duration::MAX));
    let open = window.try_acquire(900).unwrap();
    let waiting = wait(&window, 500).await;
    assert_eq!(window.waiters(), 1);
    open.settle(200);
    assert_eq!(waiting.await.unwrap().unwrap().weight(), 500);
}

#[test]
fn threads_wait_in_the_same_line() {
    let window = Arc::new(TokenWindow::new(1000, MINUTE));
    let open = window.blocking_acquire(800).unwrap();
    let there = Arc::clone(&window);
    let waiting = thread::spawn(move || there.blocking_acquire(500).unwrap().settle(100));
    while window.waiters() == 0 {
        thread::yield_now();
    }
    open.settle(200);
    waiting.join().unwrap();
    assert_eq!(window.remaining(), 700);
    assert!(window.blocking_acquire_timeout(800, Duration::from_millis(1)).is_err());
}

/// Broken by: a future that tells nothing; a margin that is not counted, or is told as a part of the window.
#[test]
fn a_future_tells_its_position_and_how_long_it_waits() {
    let (window, clock) = at_start(1000);
    drop(window.try_acquire(1000).unwrap());
    let mut first = pin!(window.acquire(100));
    let mut second = pin!(window.acquire(100));
    assert_eq!(first.position(), None);
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    assert_eq!((first.position(), second.position()), (Some(0), Some(1)));
    let wait = first.estimated_wait().unwrap();
    assert!(wait >= MINUTE && wait <= MINUTE + window.granularity(), "{wait:?}");
    clock.advance(wait);
    assert!(first.now_or_never().unwrap().is_ok() && second.now_or_never().unwrap().is_ok());

    let builder = TokenWindow::builder(1000, MINUTE).margin(SECOND).grace(SECOND);
    let window = builder.as_produced().clock(clock.clone()).build();
    window.try_acquire(1000).unwrap().settle(1000);
    assert_eq!((window.window(), window.limit()), (MINUTE, 1000));
    assert!(refused(&window, 1).retry_after().unwrap() >= MINUTE + SECOND);
    window.set(1000, 2 * MINUTE);
    assert_eq!(window.window(), 2 * MINUTE);
    assert!(refused(&window, 1).retry_after().unwrap() >= 2 * MINUTE + SECOND);
}

/// Held output is asked for as tokens, too. Broken by: a window as produced that is told as a limit on output.
#[test]
fn as_produced_refusals_are_told_as_tokens() {
    let (window, clock) = as_produced(1000);
    let _held = window.try_acquire(800).unwrap();
    assert_eq!(refused(&window, 300).limit(), Limit::Tokens);
    let at = window.try_acquire_at(300, clock.now()).unwrap_err();
    assert_eq!((at.limit(), at.retry_after()), (Limit::Tokens, None));
}
