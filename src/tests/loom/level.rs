//! The level of calls in flight under loom: it is lowered and raised while calls come and end.
//!
//! Each scene ends with the account: so many slots are free as the level has beyond the calls in flight, then all calls end, and as many
//! go as the level says.

use super::pause::{Call, elsewhere, joins, went};
use crate::sync::{model, thread};
use crate::tests::pairs::go_on;
use crate::{Feedback, Lessee, Limiter, OwnedLimiterPermit, Rate};
use core::time::Duration;

type InFlight = Vec<OwnedLimiterPermit>;

fn with_in_flight(max: usize, calls: usize) -> (Limiter, InFlight) {
    let limiter = Limiter::builder().max_concurrent(max).build();
    let in_flight = (0..calls).map(|_| limiter.try_acquire_owned().unwrap()).collect();
    (limiter, in_flight)
}

/// With so many slots granted of `max`.
fn leased(max: usize, granted: usize, calls: usize) -> (Limiter, Lessee, InFlight) {
    let builder = Limiter::builder().max_concurrent(max);
    let (limiter, mut lessee) = builder.build_leased().unwrap();
    lessee.set_slots(granted);
    let in_flight = (0..calls).map(|_| limiter.try_acquire_owned().unwrap()).collect();
    (limiter, lessee, in_flight)
}

fn overload(limiter: &Limiter) {
    limiter.observe(&Feedback::overload());
}

fn succeed(limiter: &Limiter) {
    limiter.observe(&Feedback::new());
}

#[track_caller]
fn assert_conserved(limiter: &Limiter, mut in_flight: InFlight) {
    let level = limiter.concurrency_limit();
    loop {
        let free = level.saturating_sub(in_flight.len());
        assert_eq!(limiter.available_permits(), free, "{} in flight", in_flight.len());
        if in_flight.pop().is_none() {
            break;
        }
    }
    let went: Vec<_> = (0..=level).map_while(|_| limiter.try_acquire().ok()).collect();
    assert_eq!(went.len(), level);
}

/// Caught: a store in the place of the exchange in `Gate::lower`.
#[test]
fn model_a_decrease_beside_releases() {
    model(3, || {
        let (limiter, mut in_flight) = with_in_flight(4, 4);
        let other = elsewhere(&limiter, overload);
        in_flight.truncate(3);
        assert!(limiter.available_permits() <= 1);
        in_flight.truncate(2);
        assert!(limiter.available_permits() <= 2);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        assert_conserved(&limiter, in_flight);
    });
}

/// Who sees the lower level finds no slot of the higher one. Caught: as above; a level that is lowered in one step, and its slots in
/// another.
#[test]
fn model_a_decrease_beside_takes() {
    model(3, || {
        let (limiter, mut in_flight) = with_in_flight(4, 2);
        let other = elsewhere(&limiter, overload);
        for _ in 0..2 {
            let level = limiter.concurrency_limit();
            let took = limiter.try_acquire_owned().ok();
            assert!(level > 2 || took.is_none(), "more than the level are in flight");
            in_flight.extend(took);
        }
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        assert_conserved(&limiter, in_flight);
    });
}

/// Caught: a store in the place of either exchange of the gate.
#[test]
fn model_a_decrease_beside_an_increase() {
    model(3, || {
        let (limiter, in_flight) = with_in_flight(4, 2);
        overload(&limiter);
        succeed(&limiter);
        assert_eq!(limiter.concurrency_limit(), 2);
        let other = elsewhere(&limiter, overload);
        succeed(&limiter);
        other.join().unwrap();
        // 3 and then 1, or 1 and then 2, or both were decided at 2.
        assert!([1, 2].contains(&limiter.concurrency_limit()));
        assert_conserved(&limiter, in_flight);
    });
}

/// Caught: `Aimd` that stores what it has read.
#[test]
fn model_two_overloads_halve_once() {
    model(3, || {
        let (limiter, in_flight) = with_in_flight(8, 5);
        let other = elsewhere(&limiter, overload);
        overload(&limiter);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 4);
        assert_conserved(&limiter, in_flight);
    });
}

/// Caught: as above.
#[test]
fn model_two_successes_count_twice() {
    model(3, || {
        let (limiter, in_flight) = with_in_flight(4, 2);
        overload(&limiter);
        let other = elsewhere(&limiter, succeed);
        succeed(&limiter);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 3);
        // What was awaited has come.
        overload(&limiter);
        assert_eq!(limiter.concurrency_limit(), 1);
        assert_conserved(&limiter, in_flight);
    });
}

/// At most the configured number, whoever raises it. Caught: `Gate::raise` that goes by the level that was seen.
#[test]
fn model_two_successes_raise_it_to_the_configured_number_and_no_further() {
    model(3, || {
        let (limiter, in_flight) = with_in_flight(2, 2);
        overload(&limiter);
        assert_eq!(limiter.concurrency_limit(), 1);
        let other = elsewhere(&limiter, succeed);
        succeed(&limiter);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        assert_conserved(&limiter, in_flight);
    });
}

/// It finds the slot, or is woken. Caught: `Core::succeed` that wakes nobody.
#[test]
fn model_a_call_joins_while_the_level_rises() {
    model(2, || {
        let (limiter, mut in_flight) = with_in_flight(2, 1);
        overload(&limiter);
        assert_eq!(limiter.available_permits(), 0);
        let other = elsewhere(&limiter, succeed);
        let call = joins(&limiter);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        in_flight.push(goes(call, "though the level has risen"));
        assert_conserved(&limiter, in_flight);
    });
}

/// One of the two pays what is owed, the other one frees a slot and wakes the call. Caught: `Core::succeed` that wakes nobody.
#[test]
fn model_what_is_owed_is_paid_by_a_release_beside_an_increase() {
    model(2, || {
        let (limiter, mut in_flight) = with_in_flight(2, 2);
        overload(&limiter);
        let call = joins(&limiter);
        let other = elsewhere(&limiter, succeed);
        drop(in_flight.pop());
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        in_flight.push(goes(call, "though a slot is free"));
        assert_conserved(&limiter, in_flight);
    });
}

/// A slot is free, or is taken back before the call has it. Then it waits until one has ended.
#[test]
fn model_a_call_in_line_has_a_turn_while_the_level_is_lowered() {
    model(2, || {
        let (limiter, mut in_flight) = with_in_flight(2, 2);
        let mut call = joins(&limiter);
        let other = elsewhere(&limiter, overload);
        drop(in_flight.pop());
        go_on([&mut call].into_iter());
        other.join().unwrap();
        go_on([&mut call].into_iter());
        assert_eq!(limiter.concurrency_limit(), 1);
        if !went(&call) {
            in_flight.clear();
        }
        in_flight.push(goes(call, "though nobody is in flight"));
        assert_conserved(&limiter, in_flight);
    });
}

/// Whichever comes first, the lower of the two numbers holds. Caught: `Gate::shift` that stores.
#[test]
fn model_fewer_slots_are_leased_beside_a_decrease() {
    model(3, || {
        let (limiter, mut lessee, mut in_flight) = leased(4, 4, 3);
        let other = elsewhere(&limiter, overload);
        lessee.set_slots(1);
        drop(in_flight.pop());
        assert_eq!((lessee.slots_owed(), limiter.available_permits()), (1, 0));
        other.join().unwrap();
        assert!([1, 2].contains(&limiter.concurrency_limit()));
        assert_eq!((lessee.slots_owed(), limiter.available_permits()), (1, 0));
        lessee.set_slots(4);
        assert_conserved(&limiter, in_flight);
    });
}

/// What is granted beyond the level frees nothing; the level beyond what is granted does not, either. Caught: as above.
#[test]
fn model_more_slots_are_leased_beside_an_increase() {
    model(3, || {
        let (limiter, mut lessee, in_flight) = leased(2, 2, 2);
        overload(&limiter);
        lessee.set_slots(1);
        let other = elsewhere(&limiter, succeed);
        lessee.set_slots(2);
        assert!(limiter.available_permits() == 0);
        other.join().unwrap();
        assert_eq!(limiter.concurrency_limit(), 2);
        assert_conserved(&limiter, in_flight);
    });
}

/// Who has a slot after that owes it, and nobody gets another. Caught: as above.
#[test]
fn model_slots_are_taken_away_beside_a_take() {
    model(3, || {
        let (limiter, mut lessee, mut in_flight) = leased(2, 1, 0);
        let there = limiter.clone();
        let other = thread::spawn(move || there.try_acquire_owned().ok());
        lessee.set_slots(0);
        in_flight.extend(limiter.try_acquire_owned());
        assert!(in_flight.is_empty(), "a slot that was taken away");
        in_flight.extend(other.join().unwrap());
        assert_eq!((lessee.in_flight(), lessee.slots_owed()), (in_flight.len(), in_flight.len()));
        lessee.set_slots(2);
        assert_conserved(&limiter, in_flight);
    });
}

/// What is owed is paid by the end of a call, or by what is granted; the other one frees a slot. Caught: `Core::lease_slots` that wakes nobody.
#[test]
fn model_what_is_owed_is_paid_by_a_release_beside_a_grant() {
    model(2, || {
        let (limiter, mut lessee, mut in_flight) = leased(2, 1, 1);
        lessee.set_slots(0);
        assert_eq!(lessee.slots_owed(), 1);
        let call = joins(&limiter);
        let other = thread::spawn(move || {
            lessee.set_slots(1);
            lessee
        });
        drop(in_flight.pop());
        let mut lessee = other.join().unwrap();
        in_flight.push(goes(call, "though a slot was granted"));
        assert_eq!((lessee.slots_owed(), limiter.available_permits()), (0, 0));
        lessee.set_slots(2);
        assert_conserved(&limiter, in_flight);
    });
}

/// The slot became free after all calls were held back. Caught: `Core::is_held_back` that is not asked in `try_one_lease`, or in
/// `try_admit_by_leases`.
#[test]
fn model_a_leased_slot_that_is_freed_in_a_pause_admits_nobody() {
    for (waits, is_paused) in [(false, true), (true, true), (false, false), (true, false)] {
        model(2, move || {
            let builder = Limiter::builder().rate(Rate::new(8, Duration::from_secs(60)));
            let (limiter, mut lessee) = builder.max_concurrent(1).build_leased().unwrap();
            let until = lessee.now().saturating_add(Duration::from_secs(60));
            assert!(lessee.grant(0, 8, until).is_some());
            lessee.set_slots(1);
            let held = limiter.try_acquire_owned().unwrap();
            let there = limiter.clone();
            let other = thread::spawn(move || {
                if is_paused {
                    there.pause(Duration::from_secs(3600));
                } else {
                    lessee.refuse_all(true);
                }
                drop(held);
            });
            if waits {
                let call = joins(&limiter);
                assert!(!went(&call), "it went by a slot of after that");
            } else {
                assert!(limiter.try_acquire_owned().is_err(), "it went by a slot of after that");
            }
            other.join().unwrap();
        });
    }
}

#[track_caller]
fn goes(mut call: Call, why: &str) -> OwnedLimiterPermit {
    go_on([&mut call].into_iter());
    assert!(went(&call), "it waits {why}");
    call.output.take().unwrap().unwrap()
}
