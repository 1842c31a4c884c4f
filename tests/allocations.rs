//! Only constructing and the first wait allocate. Allocations are counted by thread, so that the other
//! tests of this file do not disturb.

mod common;

use async_trait::async_trait;
use common::counting::{Counting, allocations, growth};
use common::{at_once, poll_once};
use futures_util::{StreamExt, stream};
use ringgate::time::{ManualClock, SystemClock};
use ringgate::{
    EventStream, Feedback, Limiter, Provider, ProviderPool, Quota, QuotaKind, QuotaWindow, Rate,
    RateLimitPolicy, Refused, Semaphore, SlidingWindow, Usage,
};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: Duration = Duration::from_secs(60);

/// Allocations of a thousand times `work`. The compiler may leave out one whose result nobody sees.
fn of_many<R>(mut work: impl FnMut() -> R) -> u64 {
    allocations(|| (0..1000).for_each(|_| drop(black_box(work()))))
}

/// The count counts. Broken by: the allocator not being the global one.
#[test]
fn an_allocation_is_noticed() {
    assert_eq!(allocations(|| black_box(Box::new(1_u64))), 1);
    assert_eq!(growth(|| std::mem::forget(black_box(Box::new(1_u64)))), 8);
}

// ---- the semaphore -------------------------------------------------------------------------------

/// Broken by: `poll_new` making the store or a node before it tries.
#[test]
fn a_semaphore_with_permits_free_allocates_nothing() {
    let semaphore = Semaphore::new(2);
    assert_eq!(of_many(|| at_once(semaphore.acquire()).unwrap()), 0);
    assert_eq!(of_many(|| semaphore.try_acquire().unwrap()), 0);
    assert_eq!(of_many(|| at_once(semaphore.acquire_many(2)).unwrap()), 0);
    assert_eq!(of_many(|| semaphore.try_acquire_many(3).is_err()), 0);
    let shared = Arc::new(semaphore);
    assert_eq!(of_many(|| at_once(Arc::clone(&shared).acquire_owned()).unwrap()), 0);
}

/// Queues and grants three, and cancels one more between them.
fn wait_and_go(semaphore: &Semaphore) {
    let mut line: [_; 4] = std::array::from_fn(|_| semaphore.acquire());
    for waiting in &mut line {
        assert!(poll_once(Pin::new(waiting)).is_pending());
    }
    let [mut first, cancelled, mut third, mut fourth] = line;
    drop(cancelled);
    semaphore.add_permits(3);
    for granted in [&mut first, &mut third, &mut fourth] {
        let Poll::Ready(Ok(permit)) = poll_once(Pin::new(granted)) else { panic!("no permit") };
        permit.forget();
    }
}

/// Broken by: `free` not putting the node on the free list.
#[test]
fn waiting_for_a_permit_allocates_nothing_once_somebody_has_waited() {
    let semaphore = Semaphore::new(0);
    for _ in 0..100 {
        wait_and_go(&semaphore);
    }
    assert_eq!(of_many(|| wait_and_go(&semaphore)), 0);
}

/// Broken by: `Semaphore::new` making the store.
#[test]
fn constructing_a_semaphore_allocates_nothing() {
    assert_eq!(of_many(|| Semaphore::new(3)), 0);
}

// ---- the window ----------------------------------------------------------------------------------

fn windows(limit: u32) -> Vec<(SlidingWindow, ManualClock)> {
    let clock = ManualClock::new();
    let manual = SlidingWindow::with_clock(Rate::per_minute(limit), clock.clone());
    let system = SlidingWindow::with_clock(Rate::per_minute(limit), SystemClock::new());
    let default = SlidingWindow::new(Rate::per_minute(limit));
    [manual, system, default].into_iter().map(|window| (window, clock.clone())).collect()
}

/// Broken by: a growing log of admissions instead of the ring.
#[test]
fn a_window_admits_and_refuses_without_allocating() {
    for (window, clock) in windows(500) {
        // Half are admitted, half refused.
        assert_eq!(of_many(|| window.try_acquire().is_ok()), 0);
        clock.advance(MINUTE);
        assert_eq!(of_many(|| window.try_acquire().is_ok()), 0);
        assert_eq!(of_many(|| window.remaining()), 0);
    }
}

/// Broken by: `Admission::start` joining the line before it tries.
#[test]
fn a_window_with_room_is_awaited_without_allocating() {
    for (window, _) in windows(1000) {
        assert_eq!(of_many(|| at_once(window.acquire()).unwrap()), 0);
    }
}

/// Less than a kilobyte, too, on machines with up to four processors: each ring has a head.
/// Broken by: cells of sixteen bytes.
#[test]
fn a_window_takes_eight_bytes_for_each_admission_of_its_limit() {
    let processors = std::thread::available_parallelism().unwrap().get();
    let rings = i128::try_from(processors.next_power_of_two().min(16)).unwrap();
    let heads = 256 + 144 * rings;
    assert!(heads < 1024 || processors > 4);
    for limit in [1, 60, 10_000, 1 << 20, 1 << 21, u32::MAX] {
        let cells = i128::from(limit.min(1 << 20)) * 8;
        let grown = growth(|| std::mem::forget(SlidingWindow::new(Rate::per_minute(limit))));
        assert!((cells..cells + heads).contains(&grown), "{grown} bytes for {limit}");
    }
}

// ---- the limiter ---------------------------------------------------------------------------------

/// Broken by: a boxed `Admission`; `Admission::start` joining the line before it tries.
#[test]
fn a_limiter_with_room_allocates_nothing() {
    let limiter = Limiter::new(Rate::per_minute(100_000), 2);
    assert_eq!(of_many(|| limiter.try_acquire().unwrap()), 0);
    assert_eq!(of_many(|| limiter.try_acquire_owned().unwrap()), 0);
    assert_eq!(of_many(|| at_once(limiter.acquire()).unwrap()), 0);
    assert_eq!(of_many(|| at_once(limiter.acquire_owned()).unwrap()), 0);
    assert_eq!(of_many(|| at_once(limiter.acquire_timeout(MINUTE)).unwrap()), 0);
}

/// Broken by: `Refused` carrying a `String`.
#[test]
fn a_limiter_refuses_without_allocating() {
    let limiter = Limiter::new(Rate::per_minute(1), 1);
    let held = limiter.try_acquire().unwrap();
    assert_eq!(of_many(|| limiter.try_acquire().unwrap_err()), 0);
    let never = Limiter::new(Rate::per_minute(0), 1);
    assert_eq!(of_many(|| at_once(never.acquire()).unwrap_err()), 0);
    drop(held);
}

/// Broken by: another unit for the lower limit of tokens; a slot that is not given back.
#[test]
fn a_provider_whose_limits_go_up_and_down_costs_no_memory() {
    for (requests, tokens) in [(60, 30_000), (2_000, 1_000_000_000)] {
        let builder = Limiter::builder().rate(Rate::per_minute(requests)).clock(ManualClock::new());
        let limiter = builder.tokens(tokens, MINUTE).output_tokens(tokens, MINUTE).build();
        let says = |part: u64| {
            let quota = |kind, limit: u64| {
                Quota::new(kind, QuotaWindow::Minute).with_limit(limit).with_remaining(limit)
            };
            Feedback::new()
                .with_quota(quota(QuotaKind::Requests, u64::from(requests) / part))
                .with_quota(quota(QuotaKind::Tokens, tokens / part))
                .with_quota(quota(QuotaKind::OutputTokens, tokens / part))
        };
        let all = [says(1), says(6), says(1), says(60)];
        // The first answer makes room for baselines.
        limiter.observe(&all[0]);
        assert_eq!(of_many(|| all.iter().for_each(|feedback| limiter.observe(feedback))), 0);
        assert_eq!(limiter.remaining(), requests / 60);
    }
}

/// Broken by: a list of the admissions to come.
#[test]
fn a_refusal_behind_a_line_allocates_nothing() {
    let refuses = |limiter: Limiter| {
        while limiter.try_acquire().is_ok() {}
        let mut line: Vec<_> = (0..100).map(|_| Box::pin(limiter.acquire())).collect();
        assert!(line.iter_mut().all(|call| poll_once(call.as_mut()).is_pending()));
        assert_eq!(of_many(|| limiter.try_acquire().unwrap_err()), 0);
        assert_eq!(of_many(|| line[99].estimated_wait().unwrap()), 0);
    };
    let hourly = |limit| Limiter::builder().rate(Rate::per_hour(limit));
    refuses(hourly(10).build());
    refuses(hourly(10_000).build());
    refuses(hourly(10).rate(Rate::per_day(20)).rate(Rate::per_day(30)).build());
}

/// Broken by: a list of the leases that a call is of.
#[test]
fn a_limiter_with_leases_allocates_nothing_for_calls_and_settlements() {
    let builder = Limiter::builder().rate(Rate::per_minute(1_000_000)).clock(ManualClock::new());
    let builder = builder.tokens(1_000_000, MINUTE).output_tokens(1_000_000, MINUTE);
    let (limiter, mut lessee) = builder.max_concurrent(8).build_leased().unwrap();
    let until = lessee.now().saturating_add(MINUTE);
    lessee.set_slots(8);
    let call = limiter.call().input_tokens(3).output_tokens(4);
    // Refused, while the granter waits for it.
    assert_eq!(of_many(|| call.try_acquire().unwrap_err()), 0);
    for n in 0..3 {
        assert_eq!(of_many(|| lessee.grant(n, 100_000, until).unwrap()), 0);
    }
    lessee.set_mark(0, u64::MAX);
    let used = Usage::new(1, 2);
    assert_eq!(of_many(|| call.try_acquire().unwrap().settle(used)), 0);
    assert_eq!(of_many(|| call.try_acquire_owned().unwrap().cancel()), 0);
    assert_eq!(of_many(|| drop(at_once(call.acquire()).unwrap())), 0);
}

/// A runtime whose timers the calls use: those outside of any runtime allocate.
#[cfg(feature = "tokio")]
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The place in line, so that a call that need not wait stays small. Broken by: a box for a waiter's
/// node; one for a timer.
#[cfg(feature = "tokio")]
#[test]
fn waiting_for_a_slot_allocates_once_for_each_call() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let limiter = Limiter::new(Rate::per_minute(100_000), 1);
    let wait_and_go = || {
        let held = limiter.try_acquire().unwrap();
        let mut first = std::pin::pin!(limiter.acquire());
        let mut second = std::pin::pin!(limiter.acquire());
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        drop(held);
        assert!(poll_once(first.as_mut()).is_ready());
        assert!(poll_once(second.as_mut()).is_ready());
    };
    wait_and_go();
    assert_eq!(of_many(wait_and_go), of_many(|| Box::new(0_u8)) * 2);
}

/// Broken by: a place in line kept inside the future.
#[test]
fn the_futures_are_small() {
    let limiter = Limiter::new(Rate::per_minute(1), 1);
    let window = Arc::new(SlidingWindow::new(Rate::per_minute(1)));
    assert!(size_of_val(&limiter.acquire()) <= 128);
    assert!(size_of_val(&limiter.acquire_owned()) <= 128);
    assert!(size_of_val(&window.acquire()) <= 128);
    assert!(size_of_val(&Arc::clone(&window).acquire_owned()) <= 128);
}

// ---- what stays --------------------------------------------------------------------------------------

/// Measures the bytes that the documentation states: before any wait, after two, and after ten thousand.
/// Broken by: chunks of nodes that begin large; a store of more than it needs.
#[cfg(feature = "tokio")]
#[test]
fn memory_is_what_the_documentation_says() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let wait = |calls: usize, limiter: &Limiter| {
        let mut line: Vec<_> = (0..calls).map(|_| Box::pin(limiter.acquire())).collect();
        assert!(line.iter_mut().all(|call| poll_once(call.as_mut()).is_pending()));
    };
    let mut limiter = None;
    let idle = growth(|| limiter = Some(Limiter::new(Rate::per_minute(1), 1)));
    let limiter = limiter.unwrap();
    drop(limiter.try_acquire());
    let two = growth(|| wait(2, &limiter));
    let many = growth(|| wait(10_000, &limiter));
    assert!(idle <= 1472, "{idle} B for a limiter");
    assert!(two <= 5 * 1024, "{two} B after two have waited");
    assert!((640_000..=700_000).contains(&many), "{many} B after ten thousand have waited");

    let semaphore = Semaphore::new(0);
    let first = growth(|| assert!(poll_once(std::pin::pin!(semaphore.acquire())).is_pending()));
    assert!(first <= 1024 + 256, "{first} B with the first wait");

    let window = growth(|| std::mem::forget(SlidingWindow::new(Rate::per_minute(1))));
    assert!(window <= 1024, "{window} B for a window");
}

// ---- the pool ------------------------------------------------------------------------------------

/// A provider that answers at once.
struct Ready;

#[async_trait]
impl Provider for Ready {
    type Request = ();
    type Event = u8;
    type Error = Refused;

    fn name(&self) -> &'static str {
        "ready"
    }

    async fn stream(&self, (): ()) -> Result<EventStream<u8>, Refused> {
        Ok(Box::pin(stream::iter([1, 2, 3])))
    }
}

/// Broken by: `PoolStream` boxing its stream once more.
#[test]
fn a_pool_with_room_allocates_nothing_beyond_its_provider() {
    let bare = of_many(|| at_once(Ready.stream(())).unwrap());
    assert_eq!(bare, 2000, "a box for the future and one for the stream");
    let policy = RateLimitPolicy::rpm(100_000).with_max_concurrent(4);
    let pool = ProviderPool::new(Arc::new(Ready), policy, "pool");
    assert_eq!(of_many(|| at_once(pool.stream(())).unwrap()), bare);
}

/// Broken by: a box for each poll; one for the reader of a stream's events.
#[test]
fn a_pool_that_limits_tokens_allocates_no_more() {
    let bare = of_many(|| at_once(Ready.stream(())).unwrap());
    let policy = RateLimitPolicy::rpm(100_000).with_max_concurrent(4);
    let policy = policy.with_tpm(1_000_000).with_input_tpm(1).with_output_tpm(1);
    let pool = ProviderPool::new(Arc::new(Ready), policy, "pool");
    let read = || {
        let mut answer = at_once(pool.stream(())).unwrap();
        while let Poll::Ready(Some(_)) = poll_once(std::pin::pin!(answer.next())) {}
    };
    // The first call of a clock that begins far from zero makes the windows anew.
    read();
    assert_eq!(of_many(read), bare);
}
