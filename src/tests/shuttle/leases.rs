//! Leases on random schedules: the engine, and calls of a leased limiter beside the one who grants.

use super::{AtomicUsize, Ordering, poll_once};
use crate::raw::leases::RawLeases;
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Lessee, Limiter, Usage};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use futures_util::future::{Either, select};
use shuttle::future::{block_on, spawn, yield_now};
use std::sync::Arc;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

/// Calls take, settle and are cancelled by clocks that disagree, while leases are granted, end and are taken back. In the end all that was
/// granted was used or has come back, and no lease has more than it was of. Broken by: a skip that is told before the exchange; `add`
/// that does not look at the number; `take` of what is unused that is no exchange.
#[test]
fn shuttle_all_that_is_granted_is_used_or_comes_back() {
    check(20_000, || {
        let (leases, mut granter) = RawLeases::with_granter(false);
        let leases = Arc::new(leases);
        let caller = |_| {
            let leases = Arc::clone(&leases);
            thread::spawn(move || {
                let (mut used, mut more) = (0, 0);
                for _ in 0..5 {
                    // Of two leases at most, so that nothing is dropped.
                    let amount = u64::from(1 + below(2));
                    let Ok(taken) = leases.take(at(u64::from(below(12))), amount) else { continue };
                    thread::yield_now();
                    let actual = u64::from(below(4));
                    leases.settle(&taken.mark, amount, actual);
                    used += actual.min(amount);
                    more += actual.saturating_sub(amount);
                }
                (used, more)
            })
        };
        let callers: Vec<_> = (0..3).map(caller).collect();
        let (mut granted, mut told, mut now) = (Vec::new(), Vec::new(), 0);
        for _ in 0..12 {
            match below(5) {
                0 => {
                    leases.reclaim(&mut granter, at(now), u64::from(below(4)));
                }
                1 => told.extend(leases.take_unused(&mut granter, at(now), 2)),
                2 => now += u64::from(below(3)),
                _ => {
                    let (amount, until) = (u64::from(1 + below(3)), now + u64::from(below(6)));
                    leases.grant(&mut granter, amount, at(until)).unwrap();
                    granted.push(amount);
                }
            }
        }
        let (mut used, mut more) = (0, 0);
        for caller in callers {
            let (its, beyond) = caller.join().unwrap();
            used += its;
            more += beyond;
        }
        told.extend(leases.take_unused(&mut granter, at(1000), usize::MAX));
        let mut left = granted.clone();
        for (number, amount) in told {
            let lease = &mut left[usize::try_from(number).unwrap() - 1];
            *lease = lease.checked_sub(amount).expect("more has come back than was granted");
        }
        assert_eq!((left.iter().sum::<u64>(), leases.used()), (used, more));
    });
}

const WINDOW: Duration = Duration::from_micros(10);
const LIMIT: u64 = 8;
const TASKS: u32 = 5;
const CALLS: u32 = 3;

/// One task's calls: they wait, try, give up, and end in several ways.
async fn calls(limiter: Limiter, used: Arc<AtomicUsize>) {
    for _ in 0..CALLS {
        // Of two leases at most, so that nothing is dropped.
        let weight = u64::from(1 + below(2));
        let call = || limiter.call().input_tokens(weight);
        let permit = match below(5) {
            0 => call().try_acquire_owned().ok(),
            // It gives up unless it goes at once.
            1 => match poll_once(call().acquire_owned()) {
                Poll::Ready(permit) => permit.ok(),
                Poll::Pending => None,
            },
            2 => match select(pin!(call().acquire_owned()), pin!(call().acquire_owned())).await {
                Either::Left((permit, _)) | Either::Right((permit, _)) => permit.ok(),
            },
            _ => call().acquire_owned().await.ok(),
        };
        yield_now().await;
        let Some(permit) = permit else { continue };
        let counts = match below(3) {
            0 => {
                permit.cancel();
                0
            }
            1 => {
                let less = u64::from(below(2)).min(weight);
                permit.settle(Usage::new(less, 0));
                less
            }
            _ => {
                drop(permit);
                weight
            }
        };
        used.fetch_add(usize::try_from(counts).unwrap(), Ordering::SeqCst);
    }
}

/// It grants what is asked for, whenever it is told of a change, and never looks by itself.
async fn grants(
    mut lessee: Lessee,
    clock: ManualClock,
    is_done: Arc<AtomicUsize>,
) -> (Lessee, u64) {
    let mut granted = 0;
    while is_done.load(Ordering::SeqCst) < TASKS as usize {
        let demand = lessee.demand(0);
        let wanted = demand.in_line.max(demand.tried);
        let missing = wanted.saturating_sub(lessee.left(0)).min(LIMIT);
        if missing > 0 {
            let until = clock.now().saturating_add(WINDOW);
            lessee.grant(0, missing, until).unwrap();
            granted += missing;
        } else {
            // They run out behind its back, at times.
            if below(4) == 0 {
                clock.advance(WINDOW / 2);
                continue;
            }
            lessee.changed().await;
        }
    }
    (lessee, granted)
}

/// Nobody waits in vain: each call in line is told to the lessee, which grants what it needs, and each grant to the call. In the end
/// all that was granted was used, is left, or has come back. Broken by: `Lessee::grant` that wakes nobody; a join that rings before it is
/// in line, or not at all; `arm` after the look.
#[test]
fn shuttle_a_lessee_that_is_told_serves_every_call() {
    check(5_000, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).input_tokens(LIMIT, WINDOW);
        let builder = builder.grace(Duration::from_secs(3600)).clock(clock.clone());
        let (limiter, lessee) = builder.build_leased().unwrap();
        let (done, used) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let granter = spawn(grants(lessee, clock, Arc::clone(&done)));
        for _ in 0..TASKS {
            let (limiter, used, done) = (limiter.clone(), Arc::clone(&used), Arc::clone(&done));
            drop(spawn(async move {
                calls(limiter.clone(), used).await;
                done.fetch_add(1, Ordering::SeqCst);
                limiter.resume();
            }));
        }
        let (mut lessee, granted) = block_on(granter).unwrap();
        assert_eq!((limiter.waiters(), lessee.demand(0).in_line), (0, 0));
        let told: u64 = lessee.take_unused(0, usize::MAX).iter().map(|(_, amount)| amount).sum();
        let used = used.load(Ordering::SeqCst) as u64;
        assert_eq!(used + told + lessee.left(0), granted);
        assert_eq!(lessee.used(0), 0);
    });
}
