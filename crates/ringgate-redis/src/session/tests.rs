//! Sessions by hand, with answers that no store has given.

use super::{Demand, Session, Unused};
use crate::script::{Ask, Granted, Reply, Return, Terms, Trip, Window};

const SECOND: u64 = 1_000_000;
const TTL: u64 = 9 * SECOND;

struct Scene {
    session: Session,
    now: u64,
    epoch: u64,
    unused: Vec<Unused>,
}

impl Scene {
    fn new() -> Self {
        let kept = 10 * SECOND;
        let window = Window { limit: 100, kept, tick: SECOND / 10, produced: false };
        let (windows, fallback) = (vec![window], Some(60 * SECOND));
        let terms = Terms { windows, slots: Some(4), time_to_live: TTL, fallback };
        let session = Session::new(1, terms, true);
        Self { session, now: 5 * SECOND, epoch: 1, unused: Vec::new() }
    }

    fn begin(&mut self) -> Trip {
        let asks = vec![Ask { least: 1, need: 3, want: 3 }];
        let demand = Demand { asks, tallies: vec![(7, 0)], ..Demand::default() };
        self.session.begin(self.now, &demand, &mut self.unused, 9)
    }

    /// The limit's time has another beginning.
    fn reply(&self) -> Reply {
        Reply {
            epoch: self.epoch,
            now: 1000 * SECOND + self.now,
            steps: 0,
            paused: 0,
            quiet: 0,
            retry: Some(0),
            is_behind: false,
            processes: 1,
            slots: 0,
            slots_wanted: 0,
            slots_fair: 0,
            fallback: 500_000,
            windows: vec![Granted { amount: 3, used: 3, wanted: 0 }],
        }
    }

    /// A trip that takes a tenth of a second, and a lease of what it brought.
    fn go(&mut self, lease: u64) -> Trip {
        let trip = self.begin();
        self.now += SECOND / 10;
        let began = self.session.complete(self.now, trip.seq, &self.reply());
        assert_eq!(began, Some(self.now - SECOND / 10));
        self.session.leased(0, lease);
        trip
    }

    fn give_back(&mut self, lease: u64, amount: u64) {
        self.unused.push(Unused { window: 0, lease, amount });
    }
}

#[test]
fn what_comes_back_is_told_once_with_the_time_of_its_grant() {
    let mut scene = Scene::new();
    scene.go(1);
    let granted_at = 1000 * SECOND + scene.now;
    scene.give_back(1, 2);
    scene.give_back(8, 2);
    assert_eq!(scene.begin().returns, [Return { window: 0, granted_at, amount: 2 }]);
    assert_eq!(scene.begin().returns, [], "told twice it would be too much");
}

#[test]
fn a_store_that_has_forgotten_a_lease_gets_nothing_of_it_back() {
    let mut scene = Scene::new();
    scene.go(1);
    scene.epoch = 2;
    scene.go(2);
    scene.give_back(1, 3);
    scene.give_back(2, 1);
    let returns = scene.begin().returns;
    assert_eq!(returns.iter().map(|back| back.amount).collect::<Vec<_>>(), [1]);
}

#[test]
fn more_than_a_trip_takes_goes_with_the_next() {
    let mut scene = Scene::new();
    scene.go(1);
    (0..70).for_each(|_| scene.give_back(1, 1));
    assert_eq!((scene.begin().returns.len(), scene.begin().returns.len()), (64, 6));
}

#[test]
fn an_answer_to_another_trip_is_dropped() {
    let mut scene = Scene::new();
    scene.go(1);
    let late = scene.begin();
    let next = scene.begin();
    let reply = scene.reply();
    assert_eq!(scene.session.complete(scene.now, late.seq, &reply), None);
    assert_eq!((next.seq, next.acked), (3, 1), "the store takes the second's grant back");
    assert!(scene.session.complete(scene.now, next.seq, &reply).is_some());
    assert_eq!(scene.session.complete(scene.now, next.seq, &reply), None, "it comes twice");
}

#[test]
fn it_vouches_for_the_time_since_its_last_answer_came() {
    let mut scene = Scene::new();
    let first = scene.begin();
    assert_eq!((first.vouched, first.unused), (0, true));
    scene.go(1);
    let came = 1000 * SECOND + scene.now;
    let last = scene.begin().slack;
    // The last trip took a tenth of a second.
    assert!(last >= SECOND / 10);
    scene.now += 2_000 * SECOND;
    let trip = scene.begin();
    assert_eq!(trip.acked_at, came);
    // A clock that is wrong by half a second in a thousand.
    assert_eq!((trip.vouched, trip.unused), (came + 1_999 * SECOND, false));
    assert_eq!(trip.slack, last + 2 * SECOND);
    scene.session.forget_times();
    assert_eq!(scene.begin().vouched, 0);
}

#[test]
fn what_an_answered_trip_has_told_is_known() {
    let mut scene = Scene::new();
    assert_eq!(scene.go(1).tallies[0].used_acked, 0);
    assert_eq!(scene.begin().tallies[0].used_acked, 7);
}

#[test]
fn a_process_that_is_cut_off_says_so_and_uses_its_share_later() {
    let mut scene = Scene::new();
    let began = scene.now;
    scene.go(1);
    scene.now = began + TTL;
    assert!(!scene.begin().apart);
    let joined = scene.now;
    scene.now += 1;
    let trip = scene.begin();
    assert_eq!((trip.apart, trip.fallback), (true, 500_000));
    let share = scene.session.fallback(0).unwrap();
    assert!(share.begins > joined + TTL + 10 * SECOND, "{share:?}");
    assert!(share.ends < began + TTL + 60 * SECOND - 10 * SECOND, "{share:?}");
    assert_eq!(
        scene.session.fallback(25 * SECOND).unwrap().begins,
        share.begins.max(began + 25 * SECOND)
    );
    scene.now = share.ends;
    assert_eq!(scene.begin().fallback, 500_000, "what it may have used counts");
    scene.now = began + TTL + 60 * SECOND;
    assert_eq!(scene.begin().fallback, 0);
    let demand = Demand { leave: true, ..Demand::default() };
    scene.session.begin(scene.now, &demand, &mut scene.unused, 9);
    assert_eq!(scene.session.fallback(0), None);
}

#[test]
fn the_share_of_an_answer_that_took_long_is_not_believed() {
    let mut scene = Scene::new();
    let trip = scene.begin();
    scene.now += SECOND;
    assert!(scene.session.complete(scene.now, trip.seq, &scene.reply()).is_some());
    assert_eq!(scene.session.fallback(0), None);
}

/// A trip of before it left arrived after it had left, and the store took it for a sign that it had lost something.
#[test]
fn a_process_that_has_left_came_back_by_the_same_number() {
    let mut scene = Scene::new();
    scene.go(1);
    let came = 1000 * SECOND + scene.now;
    scene.session.rename(2);
    let trip = scene.begin();
    assert_eq!((trip.process, trip.seq, trip.acked, trip.acked_at), (2, 1, 0, 0));
    // What it knows stays true.
    assert_eq!((trip.epoch, trip.vouched, trip.tallies[0].used_acked), (Some(1), came, 7));
}
