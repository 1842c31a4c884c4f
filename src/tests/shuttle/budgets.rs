//! Tasks whose calls need tokens, of random weights, and settle them with random numbers.

use super::tasks::{Guards, STEPS, spawn_all};
use super::{AtomicUsize, Ordering, poll_once, with_two_wakers};
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Limiter, OwnedLimiterPermit, Rate, Refused, TokenLimit, Usage};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Ten ticks.
const WINDOW: Duration = Duration::from_micros(10);
/// More than a window and two ticks.
const PASSES: Duration = Duration::from_micros(20);
/// Longer than any program, so that nobody is served only because it has looked by itself.
const GRACE: Duration = Duration::from_secs(3600);
/// No more in a window, whatever the limits have been.
const MOST: u64 = 8;

/// When a call was admitted, or settled, and what it counts for in the end.
struct Counted {
    begun: Timestamp,
    ended: Timestamp,
    amount: u64,
}

struct Calls {
    limiter: Limiter,
    clock: ManualClock,
    guards: Guards,
    /// Output that is reserved or about to be.
    held: AtomicUsize,
    admitted: Sender<Counted>,
    settled: Sender<Counted>,
}

/// An admitted call. It ends in one of several ways.
struct Running {
    calls: Arc<Calls>,
    permit: Option<OwnedLimiterPermit>,
    expected: Usage,
    begun: Timestamp,
    ended: Timestamp,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let (calls, expected) = (&self.calls, self.expected);
        calls.held.fetch_sub(expected.output as usize, Ordering::SeqCst);
        let part = |of: u64| u64::from(below(u32::try_from(of).unwrap() + 1));
        let begun = calls.clock.now();
        let used = match below(5) {
            0 => {
                permit.cancel();
                Usage::default()
            }
            1 => {
                drop(permit);
                expected
            }
            way => {
                let used = Usage::new(part(expected.input), part(expected.output));
                if way == 2 {
                    permit.release_slot().settle(used);
                } else {
                    permit.settle(used);
                }
                used
            }
        };
        // What it has counted for without an end is the least that counts of it.
        let (input, output) = (used.input, used.output);
        let admission = Counted { begun: self.begun, ended: self.ended, amount: input };
        calls.admitted.send(admission).unwrap();
        let ended = calls.clock.now();
        calls.settled.send(Counted { begun, ended, amount: output }).unwrap();
        calls.guards.end(1, ());
    }
}

impl Calls {
    fn running(
        self: &Arc<Self>,
        begun: Timestamp,
        expected: Usage,
        permit: OwnedLimiterPermit,
    ) -> Running {
        self.guards.begin(1);
        let output = expected.output as usize;
        let held = self.held.fetch_add(output, Ordering::SeqCst) + output;
        assert!(held as u64 <= MOST, "{held} are held");
        let (calls, ended) = (Arc::clone(self), self.clock.now());
        Running { calls, permit: Some(permit), expected, begun, ended }
    }

    /// Polls until it is admitted, and records the interval of that poll.
    async fn acquire(self: &Arc<Self>) -> Option<Running> {
        let expected = any_usage();
        let mut call = pin!(self.limiter.call().tokens(expected).acquire_owned());
        poll_fn(|cx| {
            let begun = self.clock.now();
            let polled = call.as_mut().poll(cx);
            polled
                .map(|permit: Result<_, Refused>| Some(self.running(begun, expected, permit.ok()?)))
        })
        .await
    }

    async fn step(self: &Arc<Self>) {
        match below(10) {
            0 => drop(with_two_wakers(self.acquire()).await),
            1 => drop(poll_once(self.acquire())),
            2 => {
                let call = self.acquire().await;
                drop(spawn(async {
                    yield_now().await;
                    drop(call);
                }));
            }
            3 => match select(pin!(self.acquire()), pin!(self.acquire())).await {
                Either::Left((call, _)) | Either::Right((call, _)) => drop(call),
            },
            4 => {
                let (begun, expected) = (self.clock.now(), any_usage());
                let tried = self.limiter.call().tokens(expected).try_acquire_owned();
                drop(tried.map(|permit| self.running(begun, expected, permit)));
            }
            5 => {
                let limit = MOST - u64::from(below(3));
                self.limiter.set_token_limit(below(2) as usize, limit).unwrap();
            }
            _ => {
                let call = self.acquire().await;
                // Long enough that those who come last wait for it: newcomers would wake them otherwise.
                for _ in 0..below(30) {
                    yield_now().await;
                }
                drop(call);
            }
        }
    }

    /// At the end all tokens and places are free.
    fn assert_whole(&self) {
        assert_eq!(self.limiter.waiters(), 0);
        self.clock.advance(PASSES);
        let remaining = || {
            Usage::new(
                self.limiter.remaining_input_tokens(),
                self.limiter.remaining_output_tokens(),
            )
        };
        let all = remaining();
        assert!((MOST - 2..=MOST).contains(&all.input), "{all:?}");
        assert!((MOST - 2..=MOST).contains(&all.output), "{all:?}");
        drop(self.limiter.call().tokens(all).try_acquire().unwrap());
        assert_eq!(remaining(), Usage::default());
    }
}

/// Often small, and never more than the lowest limit.
fn any_usage() -> Usage {
    let any = || u64::from(below(if below(2) == 0 { 7 } else { 3 }));
    Usage::new(any(), any())
}

/// If the intervals of some all lie inside a window, so do their stamps.
fn assert_exact(counted: &[Counted]) {
    for Counted { begun: start, .. } in counted {
        let end = start.saturating_add(WINDOW);
        let inside = counted.iter().filter(|other| other.begun >= *start && other.ended < end);
        let sum: u64 = inside.map(|counted| counted.amount).sum();
        assert!(sum <= MOST, "{sum} from {start:?} on");
    }
}

fn tokens_program() {
    let clock = ManualClock::new();
    let mut builder = Limiter::builder().margin(Duration::ZERO).grace(GRACE);
    // Whichever is the second one may refuse a call that has its tokens in the first one.
    let mut limits = [TokenLimit::input(MOST, WINDOW), TokenLimit::output(MOST, WINDOW)];
    limits.rotate_left(below(2) as usize);
    builder = builder.token_limit(limits[0]).token_limit(limits[1]);
    if below(2) == 0 {
        builder = builder.rate(Rate::new(3, WINDOW)).max_concurrent(2);
    }
    let limiter = builder.clock(clock.clone()).build();
    let ((admitted, admissions), (settled, settlements)) = (channel(), channel());
    let (guards, held) = (Guards::default(), AtomicUsize::new(0));
    let calls = Arc::new(Calls { limiter, clock, guards, held, admitted, settled });
    let tasks = spawn_all(|| {
        let calls = Arc::clone(&calls);
        async move {
            for _ in 0..STEPS {
                calls.step().await;
            }
        }
    });
    let mut moments = 0;
    while !tasks.iter().all(JoinHandle::is_finished) {
        calls.clock.advance(Duration::from_micros(u64::from(below(8))));
        thread::yield_now();
        moments += 1;
        assert!(moments < 5_000, "a waiter was not woken");
    }
    // An error says that it was aborted.
    tasks.into_iter().for_each(|task| block_on(task).unwrap_or(()));
    calls.guards.wait_for_all();
    assert_exact(&admissions.try_iter().collect::<Vec<_>>());
    assert_exact(&settlements.try_iter().collect::<Vec<_>>());
    calls.assert_whole();
}

/// Broken by: `Tokens::drop` or `Budgets::reserve` that give nothing back; `Budgets::settle_each` that settles nothing, or that
/// returns false (which shows in a few of a hundred schedules: newcomers wake those in line, too).
#[test]
fn shuttle_tasks_settle_their_tokens_and_all_come_back() {
    check(500, tokens_program);
}
