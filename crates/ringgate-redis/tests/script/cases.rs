//! Cases by hand: what the store promises.

use crate::scene::{Process, SECOND, Scene, TTL, asking, slots, terms};
use ringgate_redis::script::{Ask, Injected, Pause, Return, Terms, Trip};

#[test]
fn a_grant_counts_for_its_whole_time_and_two_ticks_more_at_most() {
    let mut scene = Scene::new(5, None);
    let mut process = Process::new(1);
    assert_eq!(scene.take(&mut process, 3), 3);
    scene.pass(SECOND);
    assert_eq!(scene.take(&mut process, 3), 2);
    scene.pass(9 * SECOND - 1);
    assert_eq!(scene.take(&mut process, 5), 0);
    scene.pass(SECOND / 5);
    assert_eq!(scene.take(&mut process, 5), 3);
}

#[test]
fn the_time_that_is_told_is_the_first_at_which_there_is_room() {
    let mut scene = Scene::new(5, None);
    let mut process = Process::new(1);
    scene.pass(77_777);
    assert_eq!(scene.take(&mut process, 5), 5);
    scene.pass(3 * SECOND + 12_345);
    let told = scene.go(&mut process, asking(1)).retry.unwrap();
    scene.pass(told - 1);
    assert_eq!(scene.take(&mut process, 1), 0);
    scene.pass(1);
    assert_eq!(scene.take(&mut process, 1), 1);
}

#[test]
fn a_call_that_needs_more_than_the_limit_is_told_so() {
    let mut scene = Scene::new(5, None);
    let ask = Ask { least: 6, need: 6, want: 6 };
    let trip = Trip { asks: vec![ask], ..asking(1) };
    assert_eq!(scene.go(&mut Process::new(1), trip).retry, None);
}

#[test]
fn room_is_kept_for_those_who_have_waited_longer() {
    let mut scene = Scene::new(10, None);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    assert_eq!(scene.take(&mut first, 8), 8);
    // It has waited for five seconds, and needs more than there is.
    let ask = Ask { least: 4, need: 4, want: 4 };
    let long = Trip { asks: vec![ask], waited: 5 * SECOND, ..asking(0) };
    assert_eq!(scene.go(&mut second, long.clone()).windows[0].amount, 0);
    // The first has waited for one.
    let refused = scene.go(&mut first, asking(1));
    assert_eq!((refused.windows[0].amount, refused.windows[0].wanted), (0, 4));
    scene.pass(11 * SECOND);
    // It has not been heard of for too long.
    assert_eq!(scene.take(&mut first, 10), 10);
}

/// Each took the other for the first, and both left the room to it.
#[test]
fn a_call_lost_its_place_if_the_trip_that_told_it_again_took_longer() {
    let mut scene = Scene::new(10, None);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    assert_eq!(scene.take(&mut Process::new(3), 4), 4);
    let asks = |amount, waited| {
        let ask = Ask { least: amount, need: amount, want: amount };
        Trip { asks: vec![ask], waited, ..asking(0) }
    };
    assert_eq!(scene.go(&mut first, asks(8, 5_000)).windows[0].amount, 0);
    assert_eq!(scene.go(&mut second, asks(5, 4_900)).windows[0].amount, 0);
    scene.pass(1_000);
    // It has waited for longer, by its own clock.
    assert_eq!(scene.go(&mut first, asks(8, 5_800)).windows[0].amount, 0);
    assert_eq!(scene.go(&mut second, asks(5, 5_900)).windows[0].amount, 0);
}

#[test]
fn what_is_taken_ahead_is_a_share_of_what_nobody_waits_for() {
    let mut scene = Scene::new(100, None);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    scene.go(&mut first, asking(0));
    let ahead = Trip { asks: vec![Ask { least: 0, need: 0, want: 100 }], ..asking(0) };
    assert_eq!(scene.go(&mut second, ahead.clone()).windows[0].amount, 50);
    assert_eq!(scene.go(&mut first, ahead).windows[0].amount, 25);
}

#[test]
fn what_goes_back_makes_room_once_and_never_too_much() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let granted_at = scene.go(&mut process, asking(10)).now;
    let back = |amount| {
        let returns = vec![Return { window: 0, granted_at, amount }];
        Trip { returns, ..asking(0) }
    };
    let four = process.next(back(4));
    let reply = scene.call(&four).unwrap();
    process.take(&four, &reply);
    assert_eq!(reply.windows[0].used, 6);
    assert!(scene.call(&four).is_err(), "it arrives twice");
    assert_eq!(scene.go(&mut process, back(1000)).windows[0].used, 0);
    assert_eq!(scene.take(&mut process, 11), 10);
}

#[test]
fn a_grant_whose_answer_is_lost_goes_back_with_the_next_trip() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let lost = process.next(asking(10));
    drop(scene.call(&lost));
    assert_eq!(scene.take(&mut process, 10), 10);
    // This time it was not lost.
    assert_eq!(scene.take(&mut process, 10), 0);
}

#[test]
fn the_slots_of_a_killed_process_come_back_within_their_time_to_live() {
    let mut scene = Scene::new(10, Some(4));
    let (mut killed, mut other) = (Process::new(1), Process::new(2));
    assert_eq!(scene.go(&mut killed, slots(0, 4, 4)).slots, 4);
    scene.pass(TTL - 1);
    assert_eq!(scene.go(&mut other, slots(0, 4, 4)).slots, 0);
    scene.pass(1);
    assert_eq!(scene.go(&mut other, slots(0, 4, 4)).slots, 4);
    // If it was only away, it has none any more.
    assert_eq!(scene.go(&mut killed, slots(0, 4, 4)).slots, 0);
}

#[test]
fn slots_go_to_who_has_waited_longest_also_where_nothing_else_is_limited() {
    let mut scene = Scene::new(10, None);
    let no_windows = Terms { windows: Vec::new(), ..terms(1, Some(4)) };
    scene.store = scene.store.with_terms(no_windows);
    let mut processes = [1, 2, 3].map(Process::new);
    let asks = |have, need, waited| Trip { asks: vec![], waited, ..slots(have, need, need) };
    assert_eq!(scene.go(&mut processes[0], asks(0, 4, 1)).slots, 4);
    assert_eq!(scene.go(&mut processes[1], asks(0, 3, 5 * SECOND)).slots, 0);
    assert_eq!(scene.go(&mut processes[2], asks(0, 2, SECOND)).slots_wanted, 3);
    assert_eq!(scene.go(&mut processes[0], asks(4, 0, 0)).slots_wanted, 5);
    assert_eq!(scene.go(&mut processes[2], asks(0, 2, SECOND)).slots, 1);
    assert_eq!(scene.go(&mut processes[1], asks(0, 3, 5 * SECOND)).slots, 3);
}

/// Lines up for slots. The last number is how long it has waited.
fn in_line(have: u64, need: u64, waited: u64) -> Trip {
    Trip { waited, ..slots(have, need, need) }
}

/// Broken by: it has it until its next trip, which would be made to give it back.
#[test]
fn a_slot_is_given_up_by_the_trip_that_lines_up_for_the_next() {
    let mut scene = Scene::new(10, Some(1));
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    assert_eq!(scene.go(&mut first, in_line(0, 1, 1)).slots, 1);
    assert_eq!(scene.go(&mut second, in_line(0, 1, SECOND)).slots, 0);
    // Its call has ended, and the next has come just now.
    let reply = scene.go(&mut first, in_line(0, 1, 1));
    assert_eq!((reply.slots, reply.slots_wanted), (0, 1));
    assert_eq!(scene.go(&mut second, in_line(0, 1, SECOND)).slots, 1);
    // A call of the second has waited for longer than that of the first.
    assert_eq!(scene.go(&mut second, in_line(0, 1, 2 * SECOND)).slots, 1);
}

/// Broken by: what was granted by a trip without an answer goes to others; a call in flight has no slot if its process says so.
#[test]
fn what_is_not_known_to_be_free_is_not_given_up() {
    let mut scene = Scene::new(10, Some(1));
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    scene.go(&mut first, slots(0, 0, 0));
    let unanswered = first.next(in_line(0, 1, 1));
    assert_eq!(scene.call(&unanswered).unwrap().slots, 1);
    assert_eq!(scene.go(&mut second, in_line(0, 1, SECOND)).slots, 0);
    assert_eq!(scene.go(&mut first, in_line(0, 1, 1)).slots, 1);
    // By its own clock it has none any more. The call goes on.
    let going = Trip { in_flight: 1, ..in_line(0, 1, 1) };
    assert_eq!(scene.go(&mut first, going).slots, 1);
    assert_eq!(scene.go(&mut second, in_line(0, 1, SECOND)).slots, 0);
}

#[test]
fn a_process_that_leaves_frees_its_slots_at_once() {
    let mut scene = Scene::new(10, Some(4));
    let (mut leaving, mut other) = (Process::new(1), Process::new(2));
    scene.go(&mut leaving, slots(0, 4, 4));
    let last = Trip { leave: true, ..slots(4, 0, 0) };
    assert_eq!(scene.go(&mut leaving, last).slots, 0);
    let reply = scene.go(&mut other, slots(0, 4, 4));
    assert_eq!((reply.slots, reply.processes), (4, 1));
}

#[test]
fn a_pause_is_for_all_and_the_longest_holds() {
    let mut scene = Scene::new(10, None);
    let (mut first, mut second) = (Process::new(1), Process::new(2));
    for length in [5 * SECOND, 2 * SECOND] {
        scene.go(&mut first, Trip { pause: Pause::For(length), ..asking(0) });
    }
    scene.pass(5 * SECOND - 1);
    assert_eq!(scene.go(&mut second, asking(1)).paused, 1);
    scene.pass(1);
    assert_eq!(scene.take(&mut second, 1), 1);
    scene.go(&mut first, Trip { pause: Pause::For(5 * SECOND), ..asking(0) });
    scene.go(&mut first, Trip { pause: Pause::End, ..asking(0) });
    assert_eq!(scene.take(&mut second, 1), 1);
}

#[test]
fn a_store_that_may_have_forgotten_grants_nothing_until_it_cannot_matter() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let epoch = scene.go(&mut process, asking(0)).epoch;
    // Restarted, with what it had.
    scene.at.run = 2;
    let reply = scene.go(&mut process, asking(1));
    assert_ne!(reply.epoch, epoch);
    assert_eq!((reply.windows[0].amount, reply.quiet), (0, 10 * SECOND + SECOND / 5));
    scene.pass(reply.quiet - 1);
    assert_eq!(scene.take(&mut process, 1), 0);
    scene.pass(1);
    assert_eq!(scene.take(&mut process, 1), 1);
}

#[test]
fn a_new_limit_waits_only_where_the_server_is_new_too() {
    let mut scene = Scene::new(10, None);
    assert_eq!(scene.go(&mut Process::new(1), asking(1)).quiet, 0);
    let mut scene = Scene::new(10, None);
    scene.at = Injected { uptime: 4 * SECOND, ..scene.at };
    assert_eq!(scene.go(&mut Process::new(1), asking(1)).quiet, 6 * SECOND + SECOND / 5);
}

#[test]
fn a_step_of_the_stores_clock_changes_nothing_for_who_knows_the_time() {
    let mut scene = Scene::new(10, None);
    let mut process = Process::new(1);
    let mut known = scene.go(&mut process, asking(10));
    for ahead in [false, true] {
        let step = 3600 * SECOND;
        scene.at.clock = if ahead { scene.at.clock + step } else { scene.at.clock - step };
        scene.pass(SECOND);
        let (vouched, steps) = (known.now + SECOND, known.steps);
        let trip = Trip { vouched, slack: SECOND / 10, steps, ..asking(1) };
        let reply = scene.go(&mut process, trip);
        assert_eq!((reply.now, reply.steps), (vouched, known.steps + 1));
        assert_eq!(reply.windows[0].amount, 0);
        known = reply;
    }
}

#[test]
fn time_never_goes_back() {
    let mut scene = Scene::new(10, None);
    let before = scene.go(&mut Process::new(1), asking(10)).now;
    scene.at.clock -= 3600 * SECOND;
    // It does not know the time.
    let reply = scene.go(&mut Process::new(2), asking(1));
    assert_eq!((reply.now, reply.windows[0].amount), (before, 0));
    scene.pass(11 * SECOND);
    assert_eq!(scene.take(&mut Process::new(3), 1), 1);
}
