//! Shares of processes that are cut off, windows that count as produced, and what is used beyond a grant: by hand.

use crate::scene::{Process, SECOND, Scene, TTL, asking, slots, terms};
use redis::Commands;
use ringgate_redis::script::{Ask, Return, StoreError, Tally, Terms, Trip, Window};

const FALLBACK: u64 = 60 * SECOND;
/// A window and two ticks, and with what is held.
const SPAN: u64 = 10 * SECOND + SECOND / 5;
/// And what an answer may take, until which it uses its share.
const SETTLED: u64 = SPAN + TTL / 3;

fn with_shares(limit: u64, slots: Option<u64>) -> Scene {
    with(Terms { fallback: Some(FALLBACK), ..terms(limit, slots) })
}

fn with(terms: Terms) -> Scene {
    let mut scene = Scene::new(10, None);
    scene.store = scene.store.with_terms(terms);
    scene
}

fn produced(limit: u64) -> Scene {
    let mut terms = terms(limit, None);
    terms.windows[0] = Window { produced: true, ..terms.windows[0] };
    with(terms)
}

fn telling(used: u64, used_acked: u64, held: u64, more: Trip) -> Trip {
    Trip { tallies: vec![Tally { used, used_acked, held }], ..more }
}

/// Two processes that have a third of all each.
fn two(scene: &mut Scene) -> [Process; 2] {
    let mut both = [Process::new(1), Process::new(2)];
    for _ in 0..3 {
        for process in &mut both {
            scene.go_on(process, asking(0));
        }
    }
    assert_eq!(both.map(|process| process.fallback), [333_333; 2]);
    both
}

/// Time passes, and these make their trips.
fn live(scene: &mut Scene, time: u64, processes: &mut [&mut Process]) {
    for passed in (0..time).step_by(usize::try_from(SECOND).unwrap()) {
        scene.pass(SECOND.min(time - passed));
        for process in &mut *processes {
            scene.go_on(process, asking(0));
        }
    }
}

#[test]
fn all_shares_together_are_never_more_than_all() {
    let mut scene = with_shares(10, None);
    let mut processes: Vec<Process> = (1..=7).map(Process::new).collect();
    let mut random = crate::random::Random::new(5);
    for _ in 0..300 {
        let index = usize::try_from(random.up_to(6)).unwrap();
        let trip = processes[index].next(asking(0));
        let reply = scene.call(&trip).unwrap();
        // Half of the answers are lost: who has none goes on with the share of an older one.
        if random.one_in(2) {
            processes[index].take(&trip, &reply);
        }
        let sum: u64 = processes.iter().map(|process| process.fallback).sum();
        assert!(sum <= 1_000_000, "{processes:?}");
    }
    for _ in 0..2 {
        for process in &mut processes {
            scene.go_on(process, asking(0));
        }
    }
    assert!(processes.iter().all(|process| process.fallback == 125_000), "{processes:?}");
}

#[test]
fn the_share_of_a_silent_process_is_kept_free_and_then_it_is_forgotten() {
    let mut scene = with_shares(10, Some(5));
    let [mut first, _silent] = two(&mut scene);
    scene.pass(TTL - 1);
    assert_eq!(scene.go_on(&mut first, slots(0, 5, 5)).slots, 5);
    scene.pass(1);
    // Those that it has of the other's share are taken from it.
    let reply = scene.go_on(&mut first, Trip { slots: slots(5, 5, 5).slots, ..asking(10) });
    assert_eq!((reply.windows[0].amount, reply.slots, reply.processes), (7, 4, 1));
    live(&mut scene, FALLBACK - 1, &mut [&mut first]);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 7);
    assert_eq!(scene.go_on(&mut first, asking(0)).fallback, 333_333);
    live(&mut scene, SPAN, &mut [&mut first]);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 10);
    assert_eq!(scene.go_on(&mut first, asking(0)).fallback, 500_000);
}

#[test]
fn who_comes_after_the_only_process_was_killed_gets_what_that_did_not_have() {
    let mut scene = with_shares(10, Some(5));
    let (mut killed, mut next) = (Process::new(1), Process::new(2));
    assert_eq!(scene.go_on(&mut killed, slots(0, 5, 5)).fallback, 500_000);
    scene.pass(TTL);
    let reply = scene.go_on(&mut next, Trip { slots: slots(0, 5, 5).slots, ..asking(10) });
    assert_eq!((reply.windows[0].amount, reply.slots, reply.fallback), (5, 3, 250_000));
    live(&mut scene, FALLBACK, &mut [&mut next]);
    assert_eq!(scene.go_on(&mut next, asking(10)).windows[0].amount, 10);
}

#[test]
fn there_is_something_left_however_many_were_killed_one_after_the_other() {
    let mut scene = with_shares(1000, None);
    for id in 1..=6 {
        let mut process = Process::new(id);
        let reply = scene.go_on(&mut process, asking(1));
        assert_eq!((reply.windows[0].amount, reply.fallback), (1, 1_000_000 >> id), "{id}");
        scene.pass(TTL);
    }
}

#[test]
fn a_process_that_is_apart_gets_nothing_and_after_its_return_its_share_is_free_for_a_while() {
    let mut scene = with_shares(10, None);
    let [mut first, mut other] = two(&mut scene);
    let reply = scene.go_on(&mut other, Trip { apart: true, ..asking(1) });
    assert_eq!((reply.windows[0].amount, reply.retry), (0, Some(0)));
    let ahead = Trip { asks: vec![Ask { least: 0, need: 0, want: 20 }], ..asking(0) };
    assert_eq!(
        scene.go_on(&mut first, ahead).windows[0].amount,
        3,
        "half of what is not kept free"
    );
    assert_eq!(scene.go_on(&mut first, asking(4)).windows[0].amount, 4);
    assert_eq!(scene.go_on(&mut other, asking(1)).windows[0].amount, 0, "also from itself");
    live(&mut scene, SETTLED - 1, &mut [&mut first, &mut other]);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 7);
    scene.pass(1);
    assert_eq!(scene.go_on(&mut first, asking(3)).windows[0].amount, 3);
}

#[test]
fn a_process_that_leaves_has_no_share_and_one_that_was_apart_keeps_its_own_free() {
    let mut scene = with_shares(10, None);
    let [mut first, mut other] = two(&mut scene);
    let reply = scene.go_on(&mut other, Trip { leave: true, ..asking(0) });
    assert_eq!(reply.fallback, 0);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 10);
    assert_eq!(scene.go_on(&mut first, asking(0)).fallback, 500_000);

    let mut scene = with_shares(10, None);
    let [mut first, mut other] = two(&mut scene);
    scene.go_on(&mut other, Trip { apart: true, ..asking(0) });
    scene.go_on(&mut other, Trip { leave: true, ..asking(0) });
    live(&mut scene, SETTLED - 1, &mut [&mut first]);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 7);
    scene.pass(1);
    assert_eq!(scene.go_on(&mut first, asking(3)).windows[0].amount, 3);
}

#[test]
fn a_request_that_was_under_way_for_long_is_no_sign_of_life() {
    let mut scene = with_shares(10, None);
    let [mut first, mut late] = two(&mut scene);
    // It knows the time: the answer came at once.
    let known = scene.go_on(&mut late, asking(0));
    let request = late.next(Trip { vouched: known.now, slack: SECOND / 10, ..asking(0) });
    for _ in 0..4 {
        scene.pass(TTL / 4 - 1);
        scene.go_on(&mut first, asking(0));
    }
    scene.call(&request).unwrap();
    scene.pass(8);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 7);
}

#[test]
fn after_a_loss_what_no_process_has_claimed_is_kept_free() {
    let mut scene = with_shares(10, None);
    let [mut first, _lost] = two(&mut scene);
    // An older state, on another server.
    scene.at.run = 2;
    let reply = scene.go_on(&mut first, asking(1));
    assert_eq!((reply.quiet, reply.fallback), (SPAN, 333_333));
    let mut joined = Process::new(3);
    for _ in 0..20 {
        scene.pass(SECOND);
        scene.go_on(&mut first, asking(0));
        assert_eq!(scene.go_on(&mut joined, asking(0)).fallback, 0);
    }
    assert_eq!(scene.go_on(&mut joined, asking(10)).windows[0].amount, 4);
    for _ in 20..69 {
        scene.pass(SECOND);
        scene.go_on(&mut first, asking(0));
    }
    assert_eq!(scene.go_on(&mut joined, asking(10)).windows[0].amount, 10);
}

/// As a server that has just been started.
fn lose_all(scene: &mut Scene) {
    (scene.at.run, scene.at.uptime) = (scene.at.run + 1, 0);
    let key = scene.store.key().to_owned();
    let _: () = scene.connection.del(key).unwrap();
}

#[test]
fn a_limit_on_a_new_server_waits_for_the_quiet_time_only() {
    let mut scene = with_shares(10, Some(5));
    lose_all(&mut scene);
    let mut process = Process::new(1);
    let reply = scene.go_on(&mut process, asking(1));
    assert_eq!((reply.quiet, reply.fallback), (SPAN, 0));
    live(&mut scene, SPAN, &mut [&mut process]);
    let reply = scene.go_on(&mut process, Trip { slots: slots(0, 5, 5).slots, ..asking(10) });
    assert_eq!((reply.windows[0].amount, reply.slots, reply.fallback), (10, 5, 500_000));
}

#[test]
fn a_share_that_is_claimed_in_the_quiet_time_tells_of_others() {
    let mut scene = with_shares(10, None);
    let [mut first, mut second] = two(&mut scene);
    lose_all(&mut scene);
    // A new one is there before them, and takes nothing of what they may claim.
    let mut joined = Process::new(3);
    assert_eq!(scene.go_on(&mut joined, asking(0)).fallback, 0);
    assert_eq!(scene.go_on(&mut joined, asking(0)).fallback, 0);
    scene.pass(SECOND);
    // Its answer is lost, so it claims twice: the time for all of them began with the first.
    let claim = Trip { fallback: first.fallback, ..asking(0) };
    let lost = first.next(claim);
    assert_eq!(scene.call(&lost).unwrap().fallback, 333_333);
    live(&mut scene, SPAN, &mut [&mut joined]);
    assert_eq!(scene.go_on(&mut first, asking(0)).fallback, 333_333);
    live(&mut scene, SETTLED + SECOND, &mut [&mut joined, &mut first]);
    let reply = scene.go_on(&mut joined, asking(10));
    assert_eq!((reply.windows[0].amount, reply.fallback), (4, 0));
    assert_eq!(scene.go_on(&mut second, asking(0)).fallback, 333_333);
    let rest = TTL + FALLBACK - SPAN - SETTLED - SECOND - 1;
    live(&mut scene, rest, &mut [&mut joined, &mut first, &mut second]);
    let reply = scene.go_on(&mut joined, asking(10));
    assert_eq!((reply.windows[0].amount, reply.fallback), (7, 0));
    scene.pass(1);
    let reply = scene.go_on(&mut joined, asking(3));
    assert_eq!((reply.windows[0].amount, reply.fallback), (3, 166_667));
}

#[test]
fn a_share_is_claimed_for_as_long_as_what_was_used_of_it_counts() {
    let mut scene = with_shares(10, None);
    let shares = Terms { fallback: Some(FALLBACK), ..terms(10, None) };
    let (mut old, mut new) = (Process::new(1), Process::new(2));
    scene.go_on(&mut old, asking(0));
    let ends = shares.share_ends(0).unwrap();
    assert!(shares.share_counts_until(0).unwrap() >= ends + SPAN);
    // Until then it has used its share. The store has lost all, and the quiet time is just over.
    scene.pass(ends);
    lose_all(&mut scene);
    scene.at.uptime = SPAN;
    scene.go_on(&mut old, Trip { apart: true, ..asking(0) });
    assert_eq!(scene.go_on(&mut new, asking(10)).windows[0].amount, 0);
}

#[test]
fn a_user_may_vouch_for_a_limit_that_was_never_used() {
    let mut scene = with_shares(10, None);
    scene.at.uptime = 0;
    let mut process = Process::new(1);
    let first = Trip { unused: true, ..asking(1) };
    let reply = scene.go_on(&mut process, first.clone());
    assert_eq!((reply.windows[0].amount, reply.fallback), (1, 500_000));
    // Not once it is known: its own process knows better.
    scene.at.run = 2;
    assert_eq!(scene.go_on(&mut process, first.clone()).windows[0].amount, 0);
    lose_all(&mut scene);
    assert_eq!(scene.go_on(&mut process, first).windows[0].amount, 0);
}

#[test]
fn a_share_of_a_large_limit_is_exact() {
    // Its product with the share is no number that the script has.
    let limit = (1 << 52) - 5;
    let mut scene = with_shares(limit, None);
    let mut processes = [1, 2].map(Process::new);
    for _ in 0..4 {
        for process in &mut processes {
            scene.go_on(process, asking(0));
        }
    }
    scene.go_on(&mut processes[1], Trip { apart: true, ..asking(0) });
    let share = u64::try_from(u128::from(limit) * 333_333 / 1_000_000).unwrap();
    assert_eq!(scene.go_on(&mut processes[0], asking(limit)).windows[0].amount, limit - share);
}

#[test]
fn without_shares_nothing_is_kept_free() {
    let mut scene = with(terms(10, None));
    let (mut first, mut silent) = (Process::new(1), Process::new(2));
    for process in [&mut first, &mut silent] {
        assert_eq!(scene.go_on(process, Trip { fallback: 1_000_000, ..asking(0) }).fallback, 0);
    }
    scene.pass(TTL);
    assert_eq!(scene.go_on(&mut first, asking(10)).windows[0].amount, 10);
}

#[test]
fn what_is_held_counts_until_it_is_used_and_then_for_a_window() {
    let mut scene = produced(10);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    assert_eq!(scene.take(&mut first, 8), 8);
    for _ in 0..3 {
        scene.pass(8 * SECOND);
        let reply = scene.go_on(&mut first, telling(0, 0, 8, asking(0)));
        assert_eq!(reply.windows[0].used, 8);
    }
    assert_eq!(scene.take(&mut second, 3), 2);
    // It used five, and gives up three.
    assert_eq!(scene.go_on(&mut first, telling(5, 0, 0, asking(0))).windows[0].used, 7);
    scene.go_on(&mut second, telling(0, 0, 0, asking(0)));
    scene.pass(9 * SECOND);
    assert_eq!(scene.go_on(&mut second, telling(0, 0, 0, asking(0))).windows[0].used, 5);
    scene.pass(2 * SECOND);
    assert_eq!(scene.go_on(&mut second, telling(0, 0, 0, asking(0))).windows[0].used, 0);
}

#[test]
fn what_was_used_counts_once_whatever_is_lost_or_repeated() {
    for is_produced in [false, true] {
        let mut scene = if is_produced { produced(10) } else { with(terms(10, None)) };
        let mut process = Process::new(1);
        scene.go_on(&mut process, asking(0));
        let four = process.next(telling(4, 0, 0, asking(0)));
        scene.call(&four).unwrap();
        assert!(matches!(scene.call(&four), Err(StoreError::Stale)));
        // The answer was lost: it does not know whether the store knows of the four.
        let reply = scene.go_on(&mut process, telling(6, 0, 0, asking(0)));
        assert_eq!(reply.windows[0].used, 6);
        scene.pass(TTL);
        // Forgotten, and all others, too: the last answer is what counts.
        scene.go_on(&mut Process::new(2), asking(0));
        let reply = scene.go_on(&mut process, telling(9, 6, 0, asking(0)));
        assert_eq!(reply.windows[0].used, 9);
    }
}

#[test]
fn a_grant_to_hold_whose_answer_is_lost_is_not_held() {
    let mut scene = produced(10);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    let lost = first.next(asking(10));
    scene.call(&lost).unwrap();
    assert_eq!(scene.take(&mut second, 1), 0);
    scene.go_on(&mut first, telling(0, 0, 0, asking(0)));
    assert_eq!(scene.take(&mut second, 10), 10);
}

#[test]
fn what_a_forgotten_or_leaving_process_held_counts_as_used_then() {
    let mut scene = produced(10);
    let (mut gone, mut other) = (Process::new(1), Process::new(2));
    assert_eq!(scene.take(&mut gone, 6), 6);
    scene.pass(TTL + SECOND);
    assert_eq!(scene.take(&mut other, 10), 4);
    scene.pass(TTL);
    scene.go_on(&mut other, telling(0, 0, 4, Trip { leave: true, ..asking(0) }));
    scene.pass(SECOND + SECOND / 5);
    assert_eq!(scene.take(&mut gone, 10), 6, "it comes back and holds nothing");
}

#[test]
fn what_is_used_beyond_the_limit_counts() {
    let mut scene = with(terms(10, None));
    let mut process = Process::new(1);
    scene.take(&mut process, 10);
    let reply = scene.go_on(&mut process, telling(25, 0, 0, asking(0)));
    assert_eq!(reply.windows[0].used, 35);
    scene.pass(10 * SECOND + SECOND / 5);
    assert_eq!(scene.go_on(&mut process, telling(25, 0, 0, asking(10))).windows[0].amount, 10);
}

#[test]
fn what_counts_as_produced_has_no_returns() {
    let mut scene = produced(10);
    let returns = vec![Return { window: 0, granted_at: 1, amount: 1 }];
    let trip = Process::new(1).next(Trip { returns, ..asking(0) });
    assert!(matches!(scene.call(&trip), Err(StoreError::Arguments)));
}

#[test]
fn as_many_as_there_may_be_and_numbers_as_large_as_they_may_be() {
    let most = u64::MAX;
    let window = |n: u64| Window { limit: most, kept: n * SECOND, tick: SECOND, produced: n > 4 };
    let windows: Vec<Window> = (1..=8).map(window).collect();
    let fallback = Some(most);
    let mut scene = with(Terms { windows, slots: Some(most), time_to_live: TTL, fallback });
    scene.at.clock = (1 << 52) - 1;
    let ask = Ask { least: 0, need: most, want: most };
    let tally = Tally { used: most, used_acked: 0, held: most };
    let trip = Trip {
        asks: vec![ask; 8],
        tallies: vec![tally; 8],
        waited: most,
        fallback: most,
        ..slots(most, most, most)
    };
    let mut last = None;
    for id in 1..=256 {
        let mut process = Process::new(u64::MAX - id);
        let reply = scene.go_on(&mut process, trip.clone());
        assert!(reply.windows.iter().all(|window| window.used == 1 << 52), "{reply:?}");
        last = Some(process);
    }
    let refused = scene.call(&Process::new(1).next(trip.clone()));
    assert!(matches!(refused, Err(StoreError::TooManyProcesses)), "{refused:?}");
    // All of it can be read again.
    let reply = scene.go_on(last.as_mut().unwrap(), trip);
    assert_eq!(reply.processes, 256);
}
