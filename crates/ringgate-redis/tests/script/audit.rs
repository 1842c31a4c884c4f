//! What a second adversary has found, each by the name of what went wrong.

use crate::scene::{Process, SECOND, Scene, TTL, asking, slots, terms};
use redis::{Commands, cmd};
use ringgate_redis::script::{Ask, Reply, SlotAsk, Terms, Trip, Window};

const FALLBACK: u64 = 60 * SECOND;
const SPAN: u64 = 10 * SECOND + SECOND / 5;

fn with(terms: Terms) -> Scene {
    let mut scene = Scene::new(10, None);
    scene.store = scene.store.with_terms(terms);
    scene
}

fn with_shares(limit: u64, slots: Option<u64>) -> Scene {
    with(Terms { fallback: Some(FALLBACK), ..terms(limit, slots) })
}

/// With so many calls in flight, of a process that was told of `told` slots.
fn running(told: u64, in_flight: u64) -> Trip {
    let slots = SlotAsk { have: told.min(in_flight), need: in_flight, want: in_flight };
    Trip { slots, in_flight, ..asking(0) }
}

fn waiting(have: u64, need: u64) -> Trip {
    Trip { waited: SECOND, ..slots(have, need, need) }
}

fn dump(scene: &mut Scene) -> Vec<u8> {
    let key = scene.store.key().to_owned();
    cmd("DUMP").arg(key).query(&mut scene.connection).unwrap()
}

/// To a server that has that, and was started just now.
fn fail_over(scene: &mut Scene, state: &[u8]) {
    (scene.at.run, scene.at.uptime) = (scene.at.run + 1, 0);
    let key = scene.store.key().to_owned();
    let mut restore = cmd("RESTORE");
    restore.arg(key).arg(0).arg(state).arg("REPLACE");
    let _: () = restore.query(&mut scene.connection).unwrap();
}

fn lose_all(scene: &mut Scene) {
    let key = scene.store.key().to_owned();
    let _: () = scene.connection.del(key).unwrap();
}

#[test]
fn calls_in_flight_that_older_state_had_no_slots_for_counted_for_one_trip() {
    let mut scene = Scene::new(10, Some(7));
    let [mut gives, mut takes, mut new] = [1, 2, 3].map(Process::new);
    assert_eq!(scene.go_on(&mut gives, slots(0, 7, 7)).slots, 7);
    scene.go_on(&mut takes, asking(0));
    let older = dump(&mut scene);
    assert_eq!(scene.go_on(&mut gives, running(7, 4)).slots, 4);
    assert_eq!(scene.go_on(&mut takes, waiting(0, 3)).slots, 3);
    fail_over(&mut scene, &older);
    let mut told = 3;
    for trip in 0..20 {
        scene.pass(3 * SECOND);
        told = scene.go_on(&mut takes, running(told, 3)).slots;
        assert_eq!(scene.go_on(&mut gives, running(4, 4)).slots, 4, "{trip}");
        assert_eq!(scene.go_on(&mut new, waiting(0, 7)).slots, 0, "{trip}");
    }
    assert_eq!(told, 3, "nobody else has them");
    scene.go_on(&mut takes, running(3, 0));
    assert_eq!(scene.go_on(&mut new, waiting(0, 7)).slots, 3);
}

#[test]
fn calls_in_flight_were_forgotten_after_a_restart_with_all_of_the_state() {
    let mut scene = with_shares(10, Some(16));
    let mut four = [1, 2, 3, 4].map(Process::new);
    for trip in 0..3 {
        for process in &mut four {
            let calls = if trip == 0 { waiting(0, 4) } else { running(4, 4) };
            assert_eq!(scene.go_on(process, calls).slots, 4);
        }
        scene.pass(SECOND);
    }
    let state = dump(&mut scene);
    fail_over(&mut scene, &state);
    let (mut told, mut new) = ([4; 4], Process::new(9));
    for trip in 0..40 {
        scene.pass(3 * SECOND);
        for (process, told) in four.iter_mut().zip(&mut told) {
            *told = scene.go_on(process, running(*told, 4)).slots;
        }
        assert_eq!(scene.go_on(&mut new, waiting(0, 16)).slots, 0, "{trip}");
    }
    assert_eq!(told, [4; 4]);
}

/// By tenths of a second. Calls of a share go on when it is over, while others are told of slots that they do not hear of.
#[test]
fn eight_slots_of_seven_were_in_use_after_a_share() {
    let window = Window { limit: 1000, kept: SECOND, tick: SECOND / 1000, produced: false };
    let (windows, fallback) = (vec![window], Some(FALLBACK));
    let mut scene = with(Terms { windows, slots: Some(7), time_to_live: TTL, fallback });
    let [mut back, mut half_cut, mut silent, mut new] = [1, 2, 3, 4].map(Process::new);
    let mut now = 0;
    let mut until = |scene: &mut Scene, at: u64| {
        scene.pass((at - now) * (SECOND / 10));
        now = at;
    };
    assert_eq!(scene.go_on(&mut back, asking(0)).fallback, 500_000);
    let mut told = 0;
    for at in [5, 30, 60, 95, 110, 125, 140, 155, 170, 185, 200, 215, 245, 275, 289] {
        until(&mut scene, at);
        if [110, 140, 170, 200].contains(&at) {
            scene.go_on(&mut silent, asking(0));
        } else {
            let calls = if at > 90 { 4 } else { 0 };
            let calls = Trip { in_flight: calls.min(told), ..slots(told, 4, 4) };
            told = scene.go_on(&mut half_cut, calls).slots;
        }
    }
    assert_eq!(told, 4);
    // Three calls have gone by the share.
    until(&mut scene, 291);
    let mut told = scene.go_on(&mut back, Trip { apart: true, ..running(0, 3) }).slots;
    for at in [320, 321, 350, 351, 378, 381, 410, 439, 467] {
        until(&mut scene, at);
        if [320, 350, 378].contains(&at) {
            let lost = half_cut.next(running(4, 4));
            scene.call(&lost).unwrap();
        } else {
            told = scene.go_on(&mut back, running(told, 3)).slots;
        }
    }
    until(&mut scene, 469);
    // One each is kept free for those that are silent.
    assert_eq!(scene.go_on(&mut new, waiting(0, 7)).slots, 2);
}

#[test]
fn a_process_that_tells_odd_numbers_of_calls_takes_no_more_than_all_slots() {
    let mut scene = Scene::new(10, Some(7));
    let [mut odd, mut other] = [1, 2].map(Process::new);
    assert_eq!(scene.go_on(&mut other, waiting(0, 3)).slots, 3);
    let lie = Trip { in_flight: u64::MAX, ..slots(u64::MAX, 0, 0) };
    assert_eq!(scene.go_on(&mut odd, lie).slots, 0);
    assert_eq!(scene.go_on(&mut other, running(3, 3)).slots, 0);
    assert_eq!(scene.go_on(&mut odd, running(0, 4)).slots, 4);
    assert_eq!(scene.go_on(&mut other, running(0, 3)).slots, 3);
    // Who leaves has none.
    scene.go_on(&mut odd, Trip { leave: true, in_flight: 9, ..asking(0) });
    assert_eq!(scene.go_on(&mut other, slots(3, 7, 7)).slots, 7);
}

/// Of 1000, half is kept free.
fn half_is_kept_free() -> (Scene, [Process; 2]) {
    let mut scene = with_shares(1000, None);
    let [mut killed, mut first, mut second] = [1, 2, 3].map(Process::new);
    assert_eq!(scene.go_on(&mut killed, asking(0)).fallback, 500_000);
    for _ in 0..2 {
        scene.pass(TTL / 2);
        scene.go_on(&mut first, asking(0));
        scene.go_on(&mut second, asking(0));
    }
    (scene, [first, second])
}

fn whole(amount: u64, waited: u64) -> Trip {
    let ask = Ask { least: amount, need: amount, want: amount };
    Trip { asks: vec![ask], waited, ..asking(0) }
}

fn amount(reply: &Reply) -> u64 {
    reply.windows[0].amount
}

#[test]
fn a_call_that_did_not_fit_beside_a_share_stopped_all_others() {
    let (mut scene, [mut first, mut second]) = half_is_kept_free();
    for second_of in 0..60 {
        let large = scene.go_on(&mut first, whole(600, (second_of + 1) * SECOND));
        assert_eq!((amount(&large), large.retry), (0, Some(TTL / 3)));
        let small = scene.go_on(&mut second, whole(10, 1));
        assert_eq!((amount(&small), small.windows[0].wanted), (10, 0), "{second_of}");
        scene.pass(SECOND);
    }
    // Nothing is kept free any more, and it has waited longest.
    assert_eq!(amount(&scene.go_on(&mut second, whole(500, 1))), 0);
    assert_eq!(amount(&scene.go_on(&mut first, whole(600, 60 * SECOND))), 600);
}

#[test]
fn a_call_that_fits_beside_a_share_is_waited_for() {
    let (mut scene, [mut first, mut second]) = half_is_kept_free();
    assert_eq!(amount(&scene.go_on(&mut second, whole(10, 1))), 10);
    // Many calls, of which the first fits.
    let ask = Ask { least: 500, need: 2000, want: 2000 };
    let many = Trip { asks: vec![ask], ..whole(500, SECOND) };
    assert_eq!(amount(&scene.go_on(&mut first, many)), 0);
    assert_eq!(amount(&scene.go_on(&mut second, whole(10, 1))), 0);
}

/// The clock of a process is slow by nearly a two thousandth, and the store's fast by as much, or the other way round.
fn by_the_stores_clock(length: u64, is_slow: bool) -> u64 {
    let differs = length / 2001;
    if is_slow { length + 2 * differs } else { length - 2 * differs }
}

#[test]
fn a_share_of_a_day_ended_later_by_a_slow_clock_than_the_store_kept_it_free() {
    let day = 86_400 * SECOND;
    let shares = Terms { fallback: Some(day), ..terms(10, None) };
    let mut scene = with(shares.clone());
    let [mut silent, mut new] = [1, 2].map(Process::new);
    assert_eq!(scene.go_on(&mut silent, asking(0)).fallback, 500_000);
    let ends = by_the_stores_clock(shares.share_ends(0).unwrap(), true);
    // What it has used last counts until then.
    scene.pass(ends + SPAN - 1);
    assert_eq!(amount(&scene.go_on(&mut new, asking(10))), 5);
}

#[test]
fn a_share_began_earlier_by_a_fast_clock_than_what_others_had_used_left_the_windows() {
    let hour = 3_600 * SECOND;
    let window = Window { limit: 10, kept: hour + 1, tick: 4 * SECOND, produced: false };
    let shares = Terms { windows: vec![window], fallback: Some(9 * hour), ..terms(10, None) };
    let mut scene = with(shares.clone());
    let [mut silent, mut other] = [1, 2].map(Process::new);
    // What is granted at the beginning of a tick counts for longest.
    scene.pass(3 * SECOND + 1);
    scene.go_on(&mut silent, asking(0));
    scene.pass(TTL - 1);
    assert_eq!(amount(&scene.go_on(&mut other, asking(10))), 10);
    let begins = by_the_stores_clock(shares.share_begins(0).unwrap(), false);
    scene.pass(begins - TTL + 1);
    assert_eq!(scene.go_on(&mut other, asking(0)).windows[0].used, 0);
}

/// The trip took a second, which is timely, and then the store's clock stepped back by less than what is noticed.
#[test]
fn a_share_began_too_early_after_a_slow_request_and_a_small_step_back() {
    let shares = Terms { fallback: Some(FALLBACK), ..terms(10, None) };
    let mut scene = with_shares(10, None);
    let [mut slow, mut other] = [1, 2].map(Process::new);
    for _ in 0..3 {
        scene.go_on(&mut slow, asking(0));
        scene.go_on(&mut other, asking(0));
    }
    // By true time: it begins at zero.
    let vouched = scene.at.clock;
    let request = slow.next(Trip { vouched, slack: SECOND, ..asking(0) });
    scene.pass(SECOND);
    let reply = scene.call(&request).unwrap();
    assert_eq!((reply.now, reply.steps), (scene.at.clock, 0));
    // Then 0.9 s are lost. A request that was under way for as long finds nothing odd.
    let kept_free_at = reply.now + TTL;
    scene.pass(SECOND / 10);
    let vouched = scene.at.clock - SECOND / 10;
    let request = other.next(Trip { vouched, slack: SECOND, ..asking(0) });
    let reply = scene.call(&request).unwrap();
    other.take(&request, &reply);
    assert_eq!(reply.steps, 0);
    let lost = SECOND * 9 / 10;
    let taken_at = kept_free_at - 1;
    scene.pass(taken_at - scene.at.clock);
    assert_eq!(amount(&scene.go_on(&mut other, asking(10))), 10);
    // Of true time since the slow one's trip began.
    let taken_at = SECOND + TTL - 1 + lost;
    let window = shares.windows[0].kept;
    assert!(shares.share_begins(0).unwrap() >= taken_at + window);
}

#[test]
fn a_store_that_lost_all_and_says_that_it_has_run_for_long_had_no_quiet_time() {
    let mut scene = with_shares(10, None);
    let mut old = Process::new(1);
    assert_eq!(amount(&scene.go_on(&mut old, asking(10))), 10);
    scene.pass(SPAN - 1);
    let before = (old, scene.at);
    lose_all(&mut scene);
    // It had an answer shortly before, so that all of it was lost since.
    let trip = old.next(Trip { vouched: scene.at.clock, slack: SECOND, ..asking(10) });
    let reply = scene.call(&trip).unwrap();
    assert_eq!((amount(&reply), reply.quiet), (0, SPAN));
    // One whose answer is older knows nothing of what was lost.
    (old, scene.at) = before;
    lose_all(&mut scene);
    scene.pass(1);
    let trip = old.next(Trip { vouched: scene.at.clock, slack: SECOND, ..asking(10) });
    let reply = scene.call(&trip).unwrap();
    assert_eq!((amount(&reply), reply.quiet), (10, 0));
}
