//! A process in the eyes of the store: which trip is under way, what it may believe of the last answer, and until when.
//!
//! It has no connection and no clock, and the leases themselves are in the limiter. One trip is under way at a time. All times are in
//! microseconds of one clock of this process that never goes back. Where that begins does not matter.

use crate::script::{Ask, MOST_RETURNS, Pause, Reply, Return, SlotAsk, Tally, Terms, Trip};
use std::collections::VecDeque;

/// What a request may take to arrive. What the store's clock steps by less than this and the time of a trip is not noticed.
const ON_ITS_WAY: u64 = 200_000;

/// A share is believed only if its answer took no longer.
const SHARE_BELIEVED: u64 = 1_000_000;

/// The most leases of a window whose time of grant is known. What is given back of older ones counts until it leaves.
const REMEMBERED: usize = 512;

/// What the calls of a process need, and what they have used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Of each window.
    pub(crate) asks: Vec<Ask>,
    /// `used` and `held` of each window.
    pub(crate) tallies: Vec<(u64, u64)>,
    pub(crate) slots: SlotAsk,
    /// For how long the first call in line has waited. Zero if there is none.
    pub(crate) waited: u64,
    pub(crate) pause: Pause,
    pub(crate) leave: bool,
}

/// What goes back: of which window, of which of its leases, how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) window: usize,
    pub(crate) lease: u64,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, Copy)]
struct Granted {
    lease: u64,
    /// By the limit's time.
    at: u64,
    epoch: u64,
}

/// The last answer.
#[derive(Debug, Clone, Copy)]
struct Known {
    epoch: u64,
    steps: u64,
    now: u64,
    came_at: u64,
    took: u64,
}

#[derive(Debug, Clone)]
struct UnderWay {
    seq: u64,
    began: u64,
    leave: bool,
    used: Vec<u64>,
}

/// When a process whose store is away uses a share of the limits by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fallback {
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    /// Millionths of each limit.
    pub(crate) share: u64,
}

#[derive(Debug)]
pub(crate) struct Session {
    process: u64,
    terms: Terms,
    seq: u64,
    acked: u64,
    under_way: Option<UnderWay>,
    known: Option<Known>,
    /// Of each window, the newest last.
    granted: Vec<VecDeque<Granted>>,
    /// Of each window, as the last answered trip told.
    used_acked: Vec<u64>,
    /// When the last trip began that has an answer, unless it has left by it.
    answered: Option<u64>,
    /// When the last trip began in which it was not apart, or that it has an answer to.
    joined: Option<u64>,
    share: u64,
    assumes_unused: bool,
}

impl Session {
    /// A process of a random number that has not been used before.
    pub(crate) fn new(process: u64, terms: Terms, assumes_unused: bool) -> Self {
        let windows = terms.windows.len();
        Self {
            process,
            seq: 0,
            acked: 0,
            under_way: None,
            known: None,
            granted: vec![VecDeque::new(); windows],
            used_acked: vec![0; windows],
            answered: None,
            joined: None,
            share: 0,
            assumes_unused,
            terms,
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn epoch(&self) -> Option<u64> {
        self.known.map(|known| known.epoch)
    }

    /// Begins a trip. `next_epoch` is a random number. What goes back above [`MOST_RETURNS`] is left in `unused`.
    ///
    /// What goes with a trip that fails is lost, whether it has arrived or not: told twice it would be too much.
    pub(crate) fn begin(
        &mut self,
        now: u64,
        demand: &Demand,
        unused: &mut Vec<Unused>,
        next_epoch: u64,
    ) -> Trip {
        self.seq += 1;
        let apart = self.is_apart(now);
        if !apart {
            self.joined = Some(now);
        }
        if demand.leave {
            // Once the store has it, others have its share.
            self.share = 0;
        }
        let used = demand.tallies.iter().map(|&(used, _)| used).collect();
        self.under_way = Some(UnderWay { seq: self.seq, began: now, leave: demand.leave, used });
        let (vouched, slack, steps) = self.vouched(now);
        Trip {
            process: self.process,
            seq: self.seq,
            acked: self.acked,
            epoch: self.epoch(),
            next_epoch,
            vouched,
            slack,
            steps,
            waited: demand.waited,
            pause: demand.pause,
            leave: demand.leave,
            apart,
            fallback: if self.share_ends(now) { 0 } else { self.share },
            unused: self.assumes_unused && self.known.is_none(),
            slots: demand.slots,
            asks: demand.asks.clone(),
            tallies: self.tallies(demand),
            returns: self.returns(unused),
        }
    }

    /// Whether the store may take it for silent, and may count on it to use its share by itself.
    fn is_apart(&self, now: u64) -> bool {
        let is_late = |answered| now > self.terms.time_to_live.saturating_add(answered);
        self.terms.fallback.is_some() && self.answered.is_some_and(is_late)
    }

    fn vouched(&self, now: u64) -> (u64, u64, u64) {
        let Some(known) = self.known else { return (0, 0, 0) };
        let vouched = known.now.saturating_add(now.saturating_sub(known.came_at));
        (vouched, known.took.saturating_add(ON_ITS_WAY), known.steps)
    }

    fn tallies(&self, demand: &Demand) -> Vec<Tally> {
        let tallies = demand.tallies.iter().zip(&self.used_acked);
        tallies.map(|(&(used, held), &used_acked)| Tally { used, used_acked, held }).collect()
    }

    fn returns(&self, unused: &mut Vec<Unused>) -> Vec<Return> {
        let mut returns = Vec::new();
        let mut looked_at = 0;
        for back in unused.iter() {
            if returns.len() == MOST_RETURNS {
                break;
            }
            looked_at += 1;
            returns.extend(self.granted_at(back).map(|granted_at| Return {
                window: back.window,
                granted_at,
                amount: back.amount,
            }));
        }
        unused.drain(..looked_at);
        returns
    }

    /// None if the store does not know of it: it is of another epoch, or was granted by this process itself.
    fn granted_at(&self, back: &Unused) -> Option<u64> {
        let granted = self.granted.get(back.window)?;
        let granted = granted.iter().rev().find(|granted| granted.lease == back.lease)?;
        (self.epoch() == Some(granted.epoch)).then_some(granted.at)
    }

    /// Takes the answer to the trip that is under way; tells when that began. None if it is not the answer to that.
    pub(crate) fn complete(&mut self, now: u64, seq: u64, reply: &Reply) -> Option<u64> {
        let is_its_answer = self.under_way.as_ref().is_some_and(|trip| trip.seq == seq);
        if !is_its_answer || reply.windows.len() != self.terms.windows.len() {
            return None;
        }
        let trip = self.under_way.take()?;
        self.acked = seq;
        self.used_acked = trip.used;
        self.known = Some(Known {
            epoch: reply.epoch,
            steps: reply.steps,
            now: reply.now,
            came_at: now,
            took: now.saturating_sub(trip.began),
        });
        let is_believed = !trip.leave && now.saturating_sub(trip.began) < SHARE_BELIEVED;
        self.share = if is_believed { reply.fallback.min(1_000_000) } else { 0 };
        self.answered = (!trip.leave).then_some(trip.began);
        self.joined = self.joined.max(Some(trip.began));
        Some(trip.began)
    }

    /// The answer to the trip that is under way is not waited for any more.
    pub(crate) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// The limiter has made a lease of what the last answer has granted.
    pub(crate) fn leased(&mut self, window: usize, lease: u64) {
        if let (Some(known), Some(granted)) = (self.known, self.granted.get_mut(window)) {
            if granted.len() == REMEMBERED {
                granted.pop_front();
            }
            granted.push_back(Granted { lease, at: known.now, epoch: known.epoch });
        }
    }

    /// Its clock has gone back: what it knows of times is worth nothing.
    pub(crate) fn forget_times(&mut self) {
        if let Some(known) = &mut self.known {
            // Steps that are no answer's are not believed.
            (known.came_at, known.now, known.took) = (u64::MAX, 0, 0);
        }
        (self.under_way, self.answered, self.joined, self.share) = (None, None, None, 0);
    }

    /// The share, if it has one. It begins when all that others could have been granted in its place has left the windows, and ends
    /// before the store takes it for gone.
    ///
    /// Not before so long `after` the last answer.
    pub(crate) fn fallback(&self, after: u64) -> Option<Fallback> {
        let begins = self.terms.share_begins(self.joined?)?.saturating_add(1);
        let begins = begins.max(self.answered?.saturating_add(after));
        let ends = self.ends()?;
        (self.share > 0 && begins < ends).then_some(Fallback { begins, ends, share: self.share })
    }

    fn ends(&self) -> Option<u64> {
        self.terms.share_ends(self.answered?)
    }

    fn share_ends(&self, now: u64) -> bool {
        self.ends().is_none_or(|ends| now >= ends)
    }
}

#[cfg(test)]
mod tests {
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
                processes: 1,
                slots: 0,
                slots_wanted: 0,
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
        scene.now += 3 * SECOND;
        let trip = scene.begin();
        assert_eq!((trip.vouched, trip.unused), (came + 3 * SECOND, false));
        // The last trip took a tenth of a second.
        assert!(trip.slack >= SECOND / 10);
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
}
