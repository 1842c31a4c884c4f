//! One process: a limiter, its driver and its calls.

use crate::ledger::Ledger;
use crate::network::{Network, Way};
use crate::random::Random;
use crate::tasks::Tasks;
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{LimiterBuilder, OwnedLimiterPermit, Priority, Usage};
use ringgate_redis::{SharedLimiter, SharedLimiterBuilder};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What calls of all processes count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) open: Cell<u64>,
    pub(crate) by_itself: Cell<u64>,
    pub(crate) refused: Cell<u64>,
}

pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) limiter: SharedLimiter,
    pub(crate) clock: ManualClock,
    /// How often the driver or a call has begun to sleep.
    pub(crate) sleeps: Arc<AtomicU64>,
    /// So many ns pass before each reading of the clock: the thread stands still.
    pub(crate) stalls: Arc<AtomicU64>,
    pub(crate) tasks: Tasks,
    pub(crate) contact: Rc<Cell<u64>>,
    pub(crate) cut_until: Rc<Cell<u64>>,
    pub(crate) stopped_until: u64,
    pub(crate) forgotten: bool,
}

#[derive(Debug, Clone)]
struct Counted {
    clock: ManualClock,
    sleeps: Arc<AtomicU64>,
    stalls: Arc<AtomicU64>,
}

impl Clock for Counted {
    fn now(&self) -> Timestamp {
        let stalls = self.stalls.load(Ordering::Relaxed);
        if stalls > 0 {
            self.clock.advance(Duration::from_nanos(stalls));
        }
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep_until(deadline)
    }
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) tokens: Usage,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    /// How long it takes, and what it uses.
    pub(crate) takes: Duration,
    pub(crate) used: Usage,
    pub(crate) is_try: bool,
    /// It is given up after so long, in line or not.
    pub(crate) patience: Option<Duration>,
}

impl Process {
    pub(crate) fn new(
        id: u64,
        builder: impl Fn(LimiterBuilder) -> SharedLimiterBuilder,
        limits: LimiterBuilder,
        network: &Rc<RefCell<Network>>,
        random: &mut Random,
    ) -> Self {
        let clock = ManualClock::new();
        // Its clock has another beginning.
        clock.set(Timestamp::from_nanos((1 << 40) + random.up_to(1 << 50)));
        let sleeps = Arc::<AtomicU64>::default();
        let stalls = Arc::<AtomicU64>::default();
        let contact = Rc::new(Cell::new(network.borrow().time.get()));
        let cut_until = Rc::new(Cell::new(0));
        let way = Way::new(network, &contact, &cut_until);
        let (by, sleeps_of, stalls_of) = (clock.clone(), Arc::clone(&sleeps), Arc::clone(&stalls));
        let counted = Counted { clock: by, sleeps: sleeps_of, stalls: stalls_of };
        let builder = builder(limits.clock(counted)).seed(random.next());
        let (limiter, driver) = builder.driver(way).unwrap();
        let mut tasks = Tasks::default();
        tasks.spawn(driver.run());
        Self {
            id,
            limiter,
            clock,
            sleeps,
            stalls,
            tasks,
            contact,
            cut_until,
            stopped_until: 0,
            forgotten: false,
        }
    }

    pub(crate) fn call(&mut self, plan: Plan, ledger: &Rc<RefCell<Ledger>>, counts: &Rc<Counts>) {
        let (limiter, clock) = (self.limiter.clone(), self.clock.clone());
        let (ledger, counts, process) = (Rc::clone(ledger), Rc::clone(counts), self.id);
        counts.open.set(counts.open.get() + 1);
        self.tasks.spawn(async move {
            let permit = match plan.patience {
                None => admit(&limiter, plan).await,
                Some(patience) => {
                    let until = clock.now().saturating_add(patience);
                    first_of(admit(&limiter, plan), clock.sleep_until(until)).await
                }
            };
            match permit {
                Some(permit) => {
                    let id = ledger.borrow_mut().admit(process, plan.tokens);
                    if limiter.status().is_share {
                        counts.by_itself.set(counts.by_itself.get() + 1);
                    }
                    let ends = clock.now().saturating_add(plan.takes);
                    while clock.now() < ends {
                        clock.sleep_until(ends).await;
                    }
                    ledger.borrow_mut().settle(id, plan.used);
                    permit.settle(plan.used);
                }
                None => counts.refused.set(counts.refused.get() + 1),
            }
            counts.open.set(counts.open.get() - 1);
        });
    }

    pub(crate) fn is_stopped(&self, now: u64) -> bool {
        now < self.stopped_until
    }
}

async fn admit(limiter: &SharedLimiter, plan: Plan) -> Option<OwnedLimiterPermit> {
    let call = limiter.call().tokens(plan.tokens).priority(plan.priority).timeout(plan.timeout);
    if plan.is_try {
        return call.try_acquire_owned().ok();
    }
    match call.acquire_owned().await {
        Ok(permit) => Some(permit),
        Err(refused) => {
            assert!(plan.timeout.is_some(), "refused: {refused:?}");
            None
        }
    }
}

/// The call is dropped if the time is over first.
async fn first_of<T>(
    call: impl Future<Output = Option<T>>,
    over: impl Future<Output = ()>,
) -> Option<T> {
    let (mut call, mut over) = (std::pin::pin!(call), std::pin::pin!(over));
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(admitted) = call.as_mut().poll(cx) {
            return std::task::Poll::Ready(admitted);
        }
        over.as_mut().poll(cx).map(|()| None)
    })
    .await
}
