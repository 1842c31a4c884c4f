//! A limiter whose books are easy to read, and answers that follow a script.

use crate::common::poll_with;
use futures_util::Stream;
use ringgate::time::ManualClock;
use ringgate::{Limiter, OwnedLimiterPermit, StalledError, Usage};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(crate) const SLOTS: usize = 2;
const LIMIT: u64 = 1_000;
const EXPECTED: Usage = Usage::new(100, 50);
/// What a call counts as of which nothing is known.
pub(crate) const AS_RESERVED: (u64, u64) = (100, 50);

pub(crate) struct Scene {
    pub(crate) limiter: Limiter,
    pub(crate) clock: ManualClock,
}

pub(crate) fn scene() -> Scene {
    let clock = ManualClock::new();
    let minute = Duration::from_secs(60);
    let limiter = Limiter::builder()
        .max_concurrent(SLOTS)
        .input_tokens(LIMIT, minute)
        .output_tokens(LIMIT, minute)
        .clock(clock.clone())
        .build();
    Scene { limiter, clock }
}

impl Scene {
    /// A permit of a call that expects 100 and 50 tokens.
    pub(crate) fn permit(&self) -> OwnedLimiterPermit {
        self.limiter.call().tokens(EXPECTED).try_acquire_owned().unwrap()
    }

    /// Input and output that count.
    pub(crate) fn used(&self) -> (u64, u64) {
        let limiter = &self.limiter;
        (LIMIT - limiter.remaining_input_tokens(), LIMIT - limiter.remaining_output_tokens())
    }

    /// All slots are free, and so much counts.
    #[track_caller]
    pub(crate) fn assert_over(&self, used: (u64, u64)) {
        assert_eq!((self.limiter.available_permits(), self.used()), (SLOTS, used));
    }

    /// An answer that follows the script.
    pub(crate) fn answer(&self, script: &[Step]) -> (Answer, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let (limiter, script) = (self.limiter.clone(), script.iter().copied().collect());
        (Answer { script, drop_panics: false, limiter, seen: Arc::clone(&seen) }, seen)
    }
}

/// What an answer does when it is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tells what was used so far.
    Says(u64, u64),
    Breaks,
    Waits,
    Ends,
    Panics,
}
pub(crate) use Step::{Breaks, Ends, Panics, Says, Waits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Reset,
    Stalled(StalledError),
}

pub(crate) type Item = Result<Usage, Broken>;

pub(crate) fn says(input: u64, output: u64) -> Poll<Option<Item>> {
    Poll::Ready(Some(Ok(Usage::new(input, output))))
}

/// At the end of its script it waits.
pub(crate) struct Answer {
    script: VecDeque<Step>,
    pub(crate) drop_panics: bool,
    limiter: Limiter,
    seen: Arc<Seen>,
}

/// What has been done to an answer.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) polls: AtomicUsize,
    /// One more than the slots that were free when it was dropped.
    drop: AtomicUsize,
}

impl Seen {
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    /// The slots that were free when it was dropped, if it was.
    pub(crate) fn free_at_drop(&self) -> Option<usize> {
        self.drop.load(SeqCst).checked_sub(1)
    }
}

impl Answer {
    fn step(&mut self) -> Step {
        self.seen.polls.fetch_add(1, SeqCst);
        self.script.pop_front().unwrap_or(Waits)
    }

    pub(crate) fn advance(&mut self) -> Poll<Option<Item>> {
        match self.step() {
            Says(input, output) => says(input, output),
            Breaks => Poll::Ready(Some(Err(Broken::Reset))),
            Waits => Poll::Pending,
            Ends => Poll::Ready(None),
            Panics => panics(),
        }
    }
}

impl Stream for Answer {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
        self.advance()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.script.len(), Some(self.script.len()))
    }
}

/// It completes with the first item, if there is one.
impl Future for Answer {
    type Output = Option<Item>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Item>> {
        self.advance()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.seen.drop.store(1 + self.limiter.available_permits(), SeqCst);
        if self.drop_panics {
            panics();
        }
    }
}

/// Panics without a message.
pub(crate) fn panics() -> ! {
    resume_unwind(Box::new("the answer panics"))
}

/// What the first poll of the next item gives.
pub(crate) fn next<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    next_with(stream, Waker::noop())
}

pub(crate) fn next_with<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
    poll_with(pin!(next), waker)
}

/// Whether it panics.
pub(crate) fn has_panicked<T>(work: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}
