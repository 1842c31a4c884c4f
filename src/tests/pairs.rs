//! Any two public operations of a part at the same time, for loom and for the frozen thread.
//!
//! Each part has a table of its operations (the files under `pairs/`), a few starts and one account of the
//! end. The account compares what was there, what each operation reports that it took or left, and what
//! must follow in any order. Under loom every two operations run on two threads (one test a pair). Under
//! freeze every one stops at each of its steps while another one runs to its end.
//!
//! A waiter is polled only when it is woken. So a lost wake shows as a waiter that waits for what is there.

pub(crate) mod budgets;
pub(crate) mod claims;
pub(crate) mod held_tokens;
pub(crate) mod leased;
pub(crate) mod leases;
pub(crate) mod limiter;
pub(crate) mod semaphore;
pub(crate) mod shared;
pub(crate) mod tokens;
pub(crate) mod window;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

/// The state before two operations begin.
pub(crate) trait Start: Send + 'static {
    /// What an operation leaves.
    type Left: Send + 'static;

    /// Both operations have taken what they need, and have not begun.
    fn begin(&mut self) {}

    /// The first operation has stalled and the second is done: every other caller is served.
    /// `has_sleepers`: the first one holds the sleepers of the manual clock.
    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Self::Left, has_sleepers: bool);

    /// Both are done: everything is accounted for, and every caller is served.
    fn settle(self, left: [Self::Left; 2]);
}

/// An operation that has taken what it needs from the start.
pub(crate) struct Run<Left> {
    pub(crate) work: Box<dyn FnOnce() -> Left + Send>,
    /// Whether it takes the sleepers of the manual clock in its hands: while it stalls, nobody else wakes them.
    #[cfg_attr(ringgate_loom, expect(dead_code, reason = "for the frozen thread"))]
    pub(crate) holds_the_sleepers: bool,
}

impl<Left> Run<Left> {
    pub(crate) fn new(work: impl FnOnce() -> Left + Send + 'static) -> Self {
        Self { work: Box::new(work), holds_the_sleepers: false }
    }
}

/// Takes what it needs from the start.
pub(crate) type Operation<S> = fn(&mut S) -> Run<<S as Start>::Left>;

/// Runs two operations at the same time, from each of these starts.
#[cfg(ringgate_loom)]
pub(crate) fn model_pair<S: Start>(
    (bound, starts): (usize, Vec<fn() -> S>),
    one: Operation<S>,
    other: Operation<S>,
) {
    use crate::sync::{atomic, models, thread::spawn};

    models(
        bound,
        starts.into_iter().map(|start| {
            move || {
                let mut start = start();
                let whistle = Arc::new(atomic::AtomicU32::new(0));
                let operations = [one, other].map(|operation| operation(&mut start).work);
                start.begin();
                let threads = operations.map(|work| {
                    let whistle = Arc::clone(&whistle);
                    move || {
                        // Both threads write here, so that loom lets either be first. It would not
                        // reorder an operation that begins with a load.
                        // ORDERING: Relaxed: it publishes nothing.
                        whistle.fetch_add(1, atomic::Ordering::Relaxed);
                        work()
                    }
                });
                let left = threads.map(spawn).map(|thread| thread.join().unwrap());
                start.settle(left);
            }
        }),
    );
}

/// The list of a part's operations, and under loom a test for every two of them, each with itself included:
/// `model::one::other`. Onlookers write nothing: two of them are no pair. Only one thread may have the operations of a keeper: two of
/// these are none either.
macro_rules! every_pair {
    (
        starts of $start:ty: $($from:ident)*;
        operations: $($operation:ident)*;
        $(keepers: $($keeper:ident)*;)?
        onlookers: $($onlooker:ident)*;
    ) => {
        /// By name.
        #[cfg(ringgate_freeze)]
        pub(crate) const STARTS: &[(&str, fn() -> $start)] = &[$((stringify!($from), $from)),*];

        /// By name.
        #[cfg(ringgate_freeze)]
        pub(crate) const OPERATIONS: &[(&str, crate::tests::pairs::Operation<$start>)] = &[
            $((stringify!($operation), $operation),)*
            $($((stringify!($keeper), $keeper),)*)?
            $((stringify!($onlooker), $onlooker),)*
        ];

        #[cfg(ringgate_loom)]
        mod model {
            crate::tests::pairs::every_pair!(@each [$($operation)*] [$($($keeper)*)? $($onlooker)*]);
            crate::tests::pairs::every_pair!(@across [$($($keeper)*)?] [$($onlooker)*]);
        }
    };
    (@across [] $onlookers:tt) => {};
    (@across [$keeper:ident $($rest:ident)*] [$($onlooker:ident)*]) => {
        mod $keeper {
            crate::tests::pairs::every_pair!(@with $keeper: $($onlooker)*);
        }
        crate::tests::pairs::every_pair!(@across [$($rest)*] [$($onlooker)*]);
    };
    (@each [] [$($onlooker:ident)*]) => {};
    (@each [$first:ident $($rest:ident)*] [$($onlooker:ident)*]) => {
        mod $first {
            crate::tests::pairs::every_pair!(@with $first: $first $($rest)* $($onlooker)*);
        }
        crate::tests::pairs::every_pair!(@each [$($rest)*] [$($onlooker)*]);
    };
    (@with $ours:ident: $($theirs:ident)*) => {
        $(
            #[test]
            fn $theirs() {
                use super::super as part;
                let plan = part::plan([stringify!($ours), stringify!($theirs)]);
                crate::tests::pairs::model_pair(plan, part::$ours, part::$theirs);
            }
        )*
    };
}
pub(crate) use every_pair;

// ---- waiters -------------------------------------------------------------------------------------

/// Wakes that have come.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// A step of its own: a thread may stop between the decision to wake and the wake.
    fn wake_by_ref(self: &Arc<Self>) {
        #[cfg(ringgate_freeze)]
        crate::sync::freeze::step();
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future and its task, which polls it only when it is woken.
pub(crate) struct Waiter<F: Future> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    seen: usize,
    /// Its place in line; waiters that came at the same time have the same place.
    pub(crate) place: u8,
    pub(crate) output: Option<F::Output>,
}

/// The place of waiters that join while the other operation runs.
pub(crate) const NEWCOMER: u8 = u8::MAX;

impl<F: Future> Waiter<F> {
    /// Polls once.
    pub(crate) fn new(place: u8, future: F) -> Self {
        let wakes = Arc::default();
        let mut waiter = Self { future: Box::pin(future), wakes, seen: 0, place, output: None };
        waiter.poll();
        waiter
    }

    fn poll(&mut self) {
        self.seen = self.wakes.0.load(SeqCst);
        let waker = Waker::from(Arc::clone(&self.wakes));
        if let Poll::Ready(output) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.output = Some(output);
        }
    }

    /// Polls from another task.
    pub(crate) fn poll_anew(&mut self) {
        self.wakes = Arc::default();
        self.poll();
    }

    /// Polls although nothing has woken it, as any task may.
    #[cfg(ringgate_freeze)]
    pub(crate) fn poll_unwoken(&mut self) {
        if !self.is_over() {
            self.poll();
        }
    }

    pub(crate) fn future(&self) -> &F {
        &self.future
    }

    pub(crate) fn is_over(&self) -> bool {
        self.output.is_some()
    }

    pub(crate) fn is_woken(&self) -> bool {
        !self.is_over() && self.wakes.0.load(SeqCst) != self.seen
    }
}

/// Polls every woken waiter until none is woken. A waiter that still waits has not been told anything.
pub(crate) fn go_on<'a, F: Future + 'a>(waiters: impl Iterator<Item = &'a mut Waiter<F>>) {
    let mut waiters: Vec<_> = waiters.collect();
    while let Some(woken) = waiters.iter_mut().find(|waiter| waiter.is_woken()) {
        woken.poll();
    }
}

/// Every served (not refused) waiter came before all that still wait.
pub(crate) fn assert_in_order<'a, T: 'a, E: 'a, F: Future<Output = Result<T, E>> + 'a>(
    waiters: impl Iterator<Item = &'a Waiter<F>>,
    a_newcomer_went: bool,
) {
    let (over, waiting): (Vec<_>, Vec<_>) = waiters.partition(|waiter| waiter.is_over());
    let served = over.iter().filter(|waiter| matches!(waiter.output, Some(Ok(_))));
    let newcomer = a_newcomer_went.then_some(NEWCOMER);
    let last_served = served.map(|waiter| waiter.place).chain(newcomer).max();
    let first_waiting = waiting.iter().map(|waiter| waiter.place).min();
    if let (Some(last_served), Some(first_waiting)) = (last_served, first_waiting) {
        assert!(last_served <= first_waiting, "{first_waiting} was overtaken by {last_served}");
    }
}
