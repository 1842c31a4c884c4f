//! What an adversary has found: by hand.

use crate::scene::{Process, SECOND, Scene, TTL, asking, slots, terms};
use redis::{Commands, cmd};
use ringgate_redis::script::{Ask, Reply, Return, SlotAsk, StoreError, Terms, Trip, Window};

const FALLBACK: u64 = 60 * SECOND;
const SPAN: u64 = 10 * SECOND + SECOND / 5;

fn with_shares(limit: u64, slots: Option<u64>) -> Scene {
    let mut scene = Scene::new(limit, slots);
    scene.store = scene.store.with_terms(Terms { fallback: Some(FALLBACK), ..terms(limit, slots) });
    scene
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

#[test]
fn a_request_that_arrives_after_minutes_does_not_take_back_the_time_of_shares() {
    let mut scene = with_shares(10, None);
    let [mut first, _uses_its_share] = two(&mut scene);
    let (vouched, steps) = (scene.at.clock, 0);
    let late = first.next(Trip { vouched, slack: SECOND / 10, steps, ..asking(0) });
    // Nobody reaches the store.
    scene.pass(TTL + SPAN + 2 * SECOND);
    let reply = scene.call(&late).unwrap();
    assert_eq!((reply.now, reply.steps), (vouched, 1));
    // Both may be using theirs.
    assert_eq!(scene.take(&mut first, 10), 4);
}

#[test]
fn a_process_that_gets_no_answers_does_not_hold_back_others() {
    let mut scene = Scene::new(10, Some(4));
    let (mut deaf, mut other) = (Process::new(1), Process::new(2));
    let all = Trip { waited: 60 * SECOND, slots: slots(0, 4, 4).slots, ..asking(10) };
    for granted in [10, 10, 10, 0, 0] {
        let reply = scene.call(&deaf.next(all.clone())).unwrap();
        assert_eq!((reply.windows[0].amount, reply.slots), (granted, granted.min(4)));
    }
    let ask = Trip { slots: slots(0, 4, 4).slots, ..asking(10) };
    let reply = scene.go(&mut other, ask);
    assert_eq!((reply.windows[0].amount, reply.slots), (10, 4));
    // The first answer mends it.
    scene.go(&mut deaf, all.clone());
    scene.pass(11 * SECOND);
    let reply = scene.go(&mut deaf, all);
    assert_eq!((reply.windows[0].amount, reply.slots), (10, 4));
}

#[test]
fn calls_that_a_process_has_begun_by_itself_have_slots_after_its_share() {
    let mut scene = with_shares(10, Some(5));
    let [mut first, mut back] = two(&mut scene);
    let waits = |have| Trip { waited: 500 * SECOND, ..slots(have, 5, 5) };
    let mut has = 0;
    for _ in 0..30 {
        has = scene.go_on(&mut first, waits(has)).slots;
        scene.pass(SECOND);
    }
    assert_eq!(has, 4);
    let goes_on = |have| {
        let slots = SlotAsk { have, need: 1, want: 1 };
        Trip { slots, in_flight: 1, ..asking(0) }
    };
    let reply = scene.go_on(&mut back, Trip { apart: true, ..goes_on(0) });
    assert_eq!(reply.slots, 1);
    for _ in 0..30 {
        scene.pass(SECOND);
        assert_eq!(scene.go_on(&mut first, waits(4)).slots, 4);
        assert_eq!(scene.go_on(&mut back, goes_on(1)).slots, 1);
    }
    // Not more than its share was.
    let mut scene = with_shares(10, Some(5));
    let [_, mut back] = two(&mut scene);
    let slots = SlotAsk { have: 0, need: 3, want: 3 };
    let many = Trip { slots, in_flight: 3, apart: true, ..asking(0) };
    assert_eq!(scene.go_on(&mut back, many).slots, 1);
}

#[test]
fn a_fair_part_is_one_of_those_that_are_not_kept_free() {
    let mut scene = with_shares(10, Some(48));
    let [mut first, _silent] = two(&mut scene);
    assert_eq!(scene.go_on(&mut first, asking(0)).slots_fair, 24);
    scene.pass(TTL);
    // A third of 48 is kept free, rounded down. It may have used its own, too, and that is its own.
    assert_eq!(scene.go_on(&mut first, asking(0)).slots_fair, 48 - 2 * 15);
    assert_eq!(scene.go_on(&mut Process::new(3), asking(0)).slots_fair, (48 - 2 * 15) / 2);
}

#[test]
fn an_old_trip_that_comes_after_its_process_has_left_is_no_loss() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let old = process.next(asking(0));
    scene.pass(1);
    let epoch = scene.go(&mut process, asking(0)).epoch;
    scene.pass(1);
    scene.go(&mut process, Trip { leave: true, ..asking(0) });
    scene.pass(1);
    scene.call(&old).unwrap();
    scene.pass(1);
    let reply = scene.go(&mut process, asking(1));
    assert_eq!((reply.epoch, reply.quiet, reply.windows[0].amount), (epoch, 0, 1));
}

#[test]
fn older_state_on_the_same_server_is_noticed_by_who_has_a_later_answer() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let epoch = scene.go(&mut process, asking(0)).epoch;
    let key = scene.store.key().to_owned();
    let saved: Vec<u8> = cmd("DUMP").arg(&key).query(&mut scene.connection).unwrap();
    scene.pass(1);
    scene.go(&mut process, asking(3));
    let mut restore = cmd("RESTORE");
    restore.arg(&key).arg(0).arg(saved).arg("REPLACE");
    let _: () = restore.query(&mut scene.connection).unwrap();
    let reply = scene.go(&mut process, asking(1));
    assert_ne!(reply.epoch, epoch);
    assert_eq!((reply.quiet, reply.windows[0].amount), (SPAN, 0));
}

#[test]
fn what_was_granted_in_another_epoch_does_not_come_back() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let granted_at = scene.go(&mut process, asking(5)).now;
    scene.at.run = 2;
    let lost = process.next(asking(0));
    scene.call(&lost).unwrap();
    let returns = vec![Return { window: 0, granted_at, amount: 5 }];
    assert_eq!(scene.go(&mut process, Trip { returns, ..asking(0) }).windows[0].used, 5);
}

#[test]
fn a_store_that_does_not_say_which_run_it_is_is_an_error() {
    let mut scene = Scene::new(10, None);
    scene.at.run = 0;
    let refused = scene.call(&Process::new(1).next(asking(1)));
    assert!(matches!(refused, Err(StoreError::Unidentified)), "{refused:?}");
}

/// Terms with a second window, of which nothing is left when others follow.
fn old_terms(fallback: Option<u64>) -> Terms {
    let more = Window { limit: 9, kept: 30 * SECOND, tick: SECOND, produced: true };
    let mut old = terms(10, Some(3));
    old.windows.push(more);
    Terms { fallback, ..old }
}

fn fields(scene: &mut Scene) -> Vec<String> {
    let key = scene.store.key().to_owned();
    scene.connection.hkeys(key).unwrap()
}

fn change(scene: &mut Scene, fallback: Option<u64>) -> (Process, Reply) {
    scene.store = scene.store.with_terms(old_terms(fallback));
    let mut process = Process::new(1);
    let ask = Ask { least: 1, need: 3, want: 3 };
    let trip = Trip { asks: vec![ask; 2], ..asking(3) };
    let first = scene.go(&mut process, trip);
    scene.store = scene.store.with_terms(terms(20, None));
    (process, first)
}

#[test]
fn once_all_have_gone_others_may_have_other_limits() {
    let mut scene = Scene::new(10, None);
    let (old, first) = change(&mut scene, None);
    let mut new = Process::new(2);
    scene.pass(TTL - 1);
    let refused = scene.call(&new.next(asking(1)));
    assert!(matches!(refused, Err(StoreError::Limits(_))), "{refused:?}");
    scene.pass(1);
    let reply = scene.go(&mut new, asking(1));
    // The longest that any of it counts: what the old ones held, and were about to use.
    let quiet = 30 * SECOND + 2 * SECOND + TTL;
    assert_eq!((reply.quiet, reply.windows[0].used), (quiet, 0));
    assert_ne!(reply.epoch, first.epoch);
    let left = fields(&mut scene);
    assert!(left.iter().all(|field| !field.ends_with('2') && !field.contains(':')), "{left:?}");
    scene.pass(quiet - 1);
    assert_eq!(scene.go(&mut new, asking(20)).windows[0].amount, 0);
    scene.pass(1);
    assert_eq!(scene.go(&mut new, asking(20)).windows[0].amount, 20);
    // Now these are the others.
    scene.store = scene.store.with_terms(old_terms(None));
    let mut old = old;
    let refused = scene.call(&old.next(asking(1)));
    assert!(matches!(refused, Err(StoreError::Limits(_))), "{refused:?}");
}

#[test]
fn other_limits_wait_for_shares_and_for_processes_that_an_older_state_does_not_know() {
    let mut scene = Scene::new(10, None);
    change(&mut scene, Some(FALLBACK));
    let mut new = Process::new(2);
    scene.pass(TTL + FALLBACK - 1);
    let refused = scene.call(&new.next(asking(1)));
    assert!(matches!(refused, Err(StoreError::Limits(_))), "{refused:?}");
    scene.pass(1);
    scene.at.run = 2;
    scene.go(&mut new, asking(1));
    for passed in (0..TTL + FALLBACK).step_by(1_000_000) {
        assert_eq!(scene.take(&mut new, 20), 0, "{passed}");
        scene.pass(SECOND);
    }
    assert_eq!(scene.take(&mut new, 20), 20);
}
