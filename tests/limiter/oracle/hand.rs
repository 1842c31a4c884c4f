//! A clock in the test's hand.

use ringgate::time::{Clock, Sleep, Timestamp};
use ringgate_model::limiter::JUMP;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

type Timers = BTreeMap<u64, (u64, Waker)>;

/// It stands still, moves on or steps back. Its timers sleep until
/// their time, but for at most `longest`.
#[derive(Debug, Clone)]
pub(crate) struct HandClock {
    now: Arc<AtomicU64>,
    longest: u64,
    /// By number: when a timer rings and which waker it wakes, or `None` if it was dropped.
    timers: Sender<(u64, Option<(u64, Waker)>)>,
    number: Arc<AtomicU64>,
}

struct Timer {
    clock: HandClock,
    number: u64,
    rings_at: u64,
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let longest = self.now().as_nanos().saturating_add(self.longest);
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let rings_at = deadline.as_nanos().min(longest);
        Sleep::new(Timer { clock: self.clone(), number, rings_at })
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now().as_nanos() >= self.rings_at {
            return Poll::Ready(());
        }
        let ring = (self.rings_at, cx.waker().clone());
        self.clock.timers.send((self.number, Some(ring))).unwrap();
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // At the end of the test the receiver is gone.
        let _ = self.clock.timers.send((self.number, None));
    }
}

/// Moves the clock.
pub(crate) struct Hand {
    pub(crate) clock: HandClock,
    news: Receiver<(u64, Option<(u64, Waker)>)>,
    timers: Timers,
}

impl Hand {
    pub(crate) fn new(start: u64, longest: u64) -> Self {
        let (timers, news) = channel();
        let (now, number) = (Arc::new(AtomicU64::new(start)), Arc::default());
        Self { clock: HandClock { now, longest, timers, number }, news, timers: Timers::new() }
    }

    /// Rings the timers whose time has come; after a jump back all of them, as a manual clock does.
    pub(crate) fn set(&mut self, now: u64) {
        let before = self.clock.now.swap(now, Ordering::SeqCst);
        let jumps = before.saturating_sub(now) > JUMP;
        for (number, ring) in self.news.try_iter() {
            match ring {
                Some(ring) => self.timers.insert(number, ring),
                None => self.timers.remove(&number),
            };
        }
        let rings: Vec<u64> = self
            .timers
            .iter()
            .filter(|(_, (at, _))| jumps || *at <= now)
            .map(|(number, _)| *number)
            .collect();
        rings.iter().filter_map(|number| self.timers.remove(number)).for_each(|(_, w)| w.wake());
    }
}
