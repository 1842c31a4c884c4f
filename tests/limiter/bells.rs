//! A clock that wakes those alone whose time has come, and calls that are polled only when they were woken: what was not told is
//! not seen.
#![expect(clippy::disallowed_types, reason = "the ban on locks is about the library")]

use crate::common::{Wakes, poll_with};
use ringgate::time::{Clock, Sleep, Timestamp};
use ringgate::{Limiter, LimiterAcquire, LimiterBuilder, LimiterPermit, Refused, Usage};
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Wakes those alone whose time has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    now: u64,
    sleepers: Vec<(u64, Waker)>,
}

impl Bells {
    /// When the next one rings.
    pub(crate) fn next(&self) -> Option<u64> {
        self.0.lock().unwrap().sleepers.iter().map(|(at, _)| *at).min()
    }

    pub(crate) fn set(&self, now: u64) {
        let mut inner = self.0.lock().unwrap();
        inner.now = now;
        let (due, rest) =
            mem::take(&mut inner.sleepers).into_iter().partition(|(at, _)| *at <= now);
        inner.sleepers = rest;
        drop(inner);
        let due: Vec<(u64, Waker)> = due;
        for (_, waker) in due {
            waker.wake();
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let now = self.now_ns();
        self.set(now + u64::try_from(by.as_nanos()).unwrap());
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.0.lock().unwrap().now
    }
}

impl Clock for Bells {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now_ns())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let bells = self.clone();
        Sleep::new(poll_fn(move |cx| {
            let mut inner = bells.0.lock().unwrap();
            if inner.now >= deadline.as_nanos() {
                return Poll::Ready(());
            }
            // One entry for each waker and time is enough.
            let has = inner
                .sleepers
                .iter()
                .any(|(at, w)| *at == deadline.as_nanos() && w.will_wake(cx.waker()));
            if !has {
                inner.sleepers.push((deadline.as_nanos(), cx.waker().clone()));
            }
            Poll::Pending
        }))
    }
}

pub(crate) fn limiter(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> (Limiter, Bells) {
    let bells = Bells::default();
    let builder =
        limits(Limiter::builder().margin(Duration::ZERO).grace(GRACE).clock(bells.clone()));
    (builder.build(), bells)
}

/// A call that is polled only when it was woken.
pub(crate) struct Woken<'a> {
    future: Option<Pin<Box<LimiterAcquire<'a>>>>,
    wakes: Arc<Wakes>,
    seen: usize,
}

impl<'a> Woken<'a> {
    pub(crate) fn new(future: LimiterAcquire<'a>) -> Self {
        Self { future: Some(Box::pin(future)), wakes: Wakes::new(), seen: 0 }
    }

    /// Polled once, and it waits.
    #[track_caller]
    pub(crate) fn waits(limiter: &'a Limiter, input: u64, output: u64) -> Self {
        let mut call = Self::new(limiter.call().tokens(Usage::new(input, output)).acquire());
        assert!(call.poll().is_pending());
        call
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.wakes.count() > self.seen
    }

    pub(crate) fn poll(&mut self) -> Poll<Result<LimiterPermit<'a>, Refused>> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        self.seen = self.wakes.count();
        let polled = poll_with(future.as_mut(), &Waker::from(self.wakes.clone()));
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }

    /// Polls it for as long as it was woken, but no more than so often.
    pub(crate) fn run(&mut self, most: usize) -> Option<Result<LimiterPermit<'a>, Refused>> {
        for _ in 0..most {
            if !self.is_woken() {
                return None;
            }
            if let Poll::Ready(answer) = self.poll() {
                return Some(answer);
            }
        }
        panic!("it wakes itself for ever");
    }
}

/// By the time that passes until it goes; no longer than `most`.
pub(crate) fn goes_within(bells: &Bells, call: &mut Woken<'_>, most: Duration) -> Option<Duration> {
    let start = bells.now_ns();
    loop {
        if let Some(answer) = call.run(100) {
            drop(answer.unwrap());
            return Some(Duration::from_nanos(bells.now_ns() - start));
        }
        let next = bells.next()?;
        if next > start + u64::try_from(most.as_nanos()).unwrap() {
            return None;
        }
        bells.set(next);
    }
}
