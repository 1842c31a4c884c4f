//! A process's side by hand, with answers that no store has given.

use crate::scene::{SECOND, TTL, terms};
use ringgate_redis::script::{Ask, Granted, Reply, Return, Trip};
use ringgate_redis::session::{Demand, Session};

const LENGTH: u64 = SECOND;

struct Scene {
    session: Session,
    now: u64,
    epoch: u64,
}

impl Scene {
    fn new() -> Self {
        let session = Session::new(1, terms(100, Some(4)), LENGTH);
        Self { session, now: 5 * SECOND, epoch: 1 }
    }

    fn begin(&mut self, need: u64) -> Trip {
        let asks = vec![Ask { least: need.min(1), need, want: need }];
        let demand = Demand { asks, slots: need, slots_ahead: need, ..Demand::default() };
        self.session.begin(self.now, &demand, 9)
    }

    fn reply(&self, amount: u64, wanted: u64) -> Reply {
        Reply {
            epoch: self.epoch,
            // The limit's time has another beginning.
            now: 1000 * SECOND + self.now,
            steps: 0,
            paused: 0,
            quiet: 0,
            retry: Some(0),
            processes: 1,
            slots: amount,
            slots_wanted: 0,
            fallback: 0,
            windows: vec![Granted { amount, used: amount, wanted }],
        }
    }

    /// A trip that takes a tenth of a second.
    fn go(&mut self, need: u64, wanted: u64) -> Trip {
        let trip = self.begin(need);
        self.now += SECOND / 10;
        let reply = self.reply(need, wanted);
        assert!(self.session.complete(self.now, trip.seq, &reply));
        trip
    }
}

#[test]
fn a_lease_ends_by_the_time_at_which_its_trip_began() {
    let mut scene = Scene::new();
    let began = scene.now;
    scene.go(3, 0);
    assert!(scene.session.spend(began + LENGTH - 1, &[1]));
    assert_eq!(scene.session.slots(began + TTL - 1), 3);
    assert_eq!(scene.session.left(began + LENGTH, 0), 0);
    assert!(!scene.session.spend(began + LENGTH, &[1]));
    assert_eq!(scene.session.slots(began + TTL), 0);
}

#[test]
fn a_lease_that_has_ended_is_not_spent_in_the_place_of_one_that_lives() {
    let mut scene = Scene::new();
    scene.go(3, 0);
    scene.now += LENGTH / 2;
    scene.go(2, 0);
    scene.now += LENGTH / 2;
    assert!(scene.session.spend(scene.now, &[2]));
    assert!(!scene.session.spend(scene.now, &[1]));
}

#[test]
fn what_was_not_spent_in_time_goes_back_once() {
    let mut scene = Scene::new();
    scene.go(3, 0);
    let granted_at = 1000 * SECOND + scene.now;
    assert!(scene.session.spend(scene.now, &[1]));
    scene.now += LENGTH;
    assert_eq!(scene.begin(1).returns, [Return { window: 0, granted_at, amount: 2 }]);
    assert_eq!(scene.begin(1).returns, []);
}

#[test]
fn a_store_that_has_forgotten_a_lease_gets_nothing_of_it_back() {
    let mut scene = Scene::new();
    scene.go(3, 0);
    scene.epoch = 2;
    scene.go(1, 0);
    assert!(scene.session.spend(scene.now, &[1]), "until it ends it is good");
    scene.now += LENGTH;
    let returns = scene.begin(0).returns;
    assert_eq!(returns.iter().map(|back| back.amount).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_others_need_goes_back_where_nobody_here_is_in_line() {
    let mut scene = Scene::new();
    scene.go(5, 2);
    assert_eq!(scene.begin(1).returns, []);
    let returns = scene.begin(0).returns;
    assert_eq!(returns.iter().map(|back| back.amount).sum::<u64>(), 2);
    assert_eq!(scene.session.left(scene.now, 0), 3);
}

#[test]
fn all_goes_back_on_leaving() {
    let mut scene = Scene::new();
    scene.go(5, 0);
    let demand = Demand { leave: true, ..Demand::default() };
    let last = scene.session.begin(scene.now, &demand, 9);
    assert_eq!(last.returns.iter().map(|back| back.amount).sum::<u64>(), 5);
    assert_eq!((scene.session.left(scene.now, 0), scene.session.slots(scene.now)), (0, 0));
}

#[test]
fn an_answer_that_comes_after_another_trip_has_begun_is_dropped() {
    let mut scene = Scene::new();
    scene.go(1, 0);
    let late = scene.begin(3);
    let next = scene.begin(3);
    let reply = scene.reply(3, 0);
    assert!(!scene.session.complete(scene.now, late.seq, &reply));
    assert_eq!((next.seq, next.acked), (3, 1), "the store takes the second's grant back");
    assert!(scene.session.complete(scene.now, next.seq, &reply));
    assert!(!scene.session.complete(scene.now, next.seq, &reply), "it comes twice");
    assert_eq!(scene.session.left(scene.now, 0), 4);
}

#[test]
fn it_vouches_for_the_time_since_its_last_answer_came() {
    let mut scene = Scene::new();
    assert_eq!(scene.begin(0).vouched, 0);
    scene.go(0, 0);
    let came = 1000 * SECOND + scene.now;
    scene.now += 3 * SECOND;
    let trip = scene.begin(0);
    assert_eq!(trip.vouched, came + 3 * SECOND);
    // The last trip took a tenth of a second.
    assert!(trip.slack >= SECOND / 10);
}
