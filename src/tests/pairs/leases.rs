//! The operations on leases, and every two of them at once. One thread grants: its operations are a keeper's.
//!
//! The account knows what was granted by each lease. It compares that with what each call has used of it, what has come back of
//! it, and what is left: all of a lease is in one of these, once. Of what counts once it is settled, it compares what is held.
//!
//! Caught by the frozen thread: `grant` that shows the number before the slot, or that shows the slot before the oldest lease has
//! ended; `pass` that stores instead of comparing.

use crate::raw::leases::{Granter, KEPT, LIVE, MOST, RawLeases, Taken};
#[cfg(ringgate_loom)]
use crate::tests::loom::bound;
use crate::tests::pairs::{Run, Start, every_pair};
use crate::time::Timestamp;
use std::sync::Arc;

every_pair! {
    starts of Scene: one_lease many_leases one_held_lease many_held_leases;
    operations:
        take_one take_of_two_leases take_too_much take_later
        settle_in_full settle_less settle_more cancel;
    keepers: grant grant_two grant_for_less_time reclaim take_back set_mark ask_what_is_held;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    let starts: Vec<fn() -> Scene> = match pair {
        // It takes back of what counts at the start, and asks for the rest.
        [_, "take_back"] | ["take_back", _] => vec![one_lease, many_leases],
        [_, "ask_what_is_held"] | ["ask_what_is_held", _] => vec![one_held_lease, many_held_leases],
        _ => vec![one_lease, many_leases, one_held_lease, many_held_leases],
    };
    // Two grants are two writes more.
    (if pair[1] == "grant_two" { bound(2, 3) } else { 3 }, starts)
}

// ---- starts --------------------------------------------------------------------------------------

/// When the operations begin.
const NOW: u64 = 1;
/// The oldest lease that has something left has run out by now, the next one has not.
const LATER: u64 = 8;
/// Leases that are granted run out then.
const LAST: u64 = 90;
/// All have.
const END: u64 = 100;
const AMOUNT: u64 = 3;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

/// An amount that was taken.
#[derive(Debug)]
pub(crate) struct Call {
    taken: Taken,
    amount: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    amount: u64,
    until: u64,
    /// Before another one made it end earlier.
    once_until: u64,
    /// What calls have used of it.
    used: u64,
    told: u64,
}

pub(crate) struct Scene {
    leases: Arc<RawLeases>,
    /// One of the operations has it, or nobody.
    granter: Option<Granter>,
    is_held: bool,
    /// By number, from 1.
    granted: Vec<Lease>,
    /// To be settled.
    open: Vec<Call>,
    /// The most that a frozen thread may have.
    #[cfg(ringgate_freeze)]
    left_at_first: u64,
    /// Others have taken what was left while an operation was stalled.
    went_on: bool,
}

impl Scene {
    /// So many leases have something left. One call has used two leases.
    fn new(is_held: bool, live: u64) -> Self {
        let (leases, granter) = RawLeases::with_granter(is_held);
        let (leases, granted, open) = (Arc::new(leases), Vec::new(), Vec::new());
        let granter = Some(granter);
        let mut scene = Self {
            leases,
            granter,
            is_held,
            granted,
            open,
            #[cfg(ringgate_freeze)]
            left_at_first: 2 * live,
            went_on: false,
        };
        scene.grant(2, LATER);
        let first = scene.take(1);
        scene.grant(3, LATER);
        let straddles = scene.take(2);
        assert_eq!(parts(&straddles), [(2, 1), (1, 1)]);
        for lease in 1..live {
            scene.grant(2, LATER + lease);
        }
        scene.open = vec![straddles, first];
        assert_eq!(scene.leases.left(at(NOW)), 2 * live);
        scene
    }

    fn grant(&mut self, amount: u64, until: u64) {
        let granter = self.granter.as_mut().unwrap();
        assert_eq!(
            self.leases.grant(granter, amount, at(until)),
            Some(self.granted.len() as u64 + 1)
        );
        enter(&mut self.granted, (amount, until));
    }

    fn take(&self, amount: u64) -> Call {
        Call { taken: self.leases.take(at(NOW), amount).unwrap(), amount }
    }
}

/// Leases that are granted end the older ones, too.
fn enter(granted: &mut Vec<Lease>, (amount, until): (u64, u64)) {
    granted.iter_mut().for_each(|lease| lease.until = lease.until.min(until));
    granted.push(Lease { amount, until, once_until: until, used: 0, told: 0 });
}

/// What a call has of the newest lease, and of the one before that.
fn parts(call: &Call) -> [(u64, u64); 2] {
    let (number, parts) = call.taken.mark.as_lease().unwrap_or_default();
    [(number, parts & MOST), (number.saturating_sub(1), parts >> 40)]
}

fn one_lease() -> Scene {
    Scene::new(false, 1)
}

/// One more, and the oldest ends.
fn many_leases() -> Scene {
    Scene::new(false, LIVE)
}

/// Amounts count once they are settled.
fn one_held_lease() -> Scene {
    Scene::new(true, 1)
}

fn many_held_leases() -> Scene {
    Scene::new(true, LIVE)
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// With its time.
    taken: Option<(u64, Call)>,
    /// When, and what.
    refused: Option<(u64, u64)>,
    /// And what it has used.
    settled: Option<(Call, u64)>,
    granter: Option<Granter>,
    /// Amounts and their ends.
    granted: Vec<(u64, u64)>,
    told: Vec<(u64, u64)>,
    reclaimed: u64,
    /// The mark, and what was left once it was set.
    mark: Option<(u64, u64)>,
    /// What was held, and then what was used.
    held: Option<(u64, u64)>,
    /// What was left may have run out.
    ends_leases: bool,
}

fn on(scene: &Scene, work: impl FnOnce(&RawLeases) -> Left + Send + 'static) -> Run<Left> {
    let leases = Arc::clone(&scene.leases);
    Run::new(move || work(&leases))
}

fn take_at(scene: &Scene, now: u64, amount: u64) -> Run<Left> {
    on(scene, move |leases| {
        let ends_leases = now > NOW;
        match leases.take(at(now), amount) {
            Ok(taken) => {
                Left { taken: Some((now, Call { taken, amount })), ends_leases, ..Left::default() }
            }
            Err(_) => Left { refused: Some((now, amount)), ..Left::default() },
        }
    })
}

fn take_one(scene: &mut Scene) -> Run<Left> {
    take_at(scene, NOW, 1)
}

/// From one if there is only one.
fn take_of_two_leases(scene: &mut Scene) -> Run<Left> {
    let amount = if scene.granted.len() > 2 { 3 } else { 2 };
    take_at(scene, NOW, amount)
}

/// One more than is left. A lease makes it fit.
fn take_too_much(scene: &mut Scene) -> Run<Left> {
    take_at(scene, NOW, scene.leases.left(at(NOW)) + 1)
}

/// The oldest has run out. If it was the only one, there is nothing.
fn take_later(scene: &mut Scene) -> Run<Left> {
    take_at(scene, LATER, 1)
}

fn settle(scene: &mut Scene, actual: u64) -> Run<Left> {
    let call = scene.open.remove(0);
    on(scene, move |leases| {
        leases.settle(&call.taken.mark, call.amount, actual);
        Left { settled: Some((call, actual)), ..Left::default() }
    })
}

fn settle_in_full(scene: &mut Scene) -> Run<Left> {
    let amount = scene.open[0].amount;
    settle(scene, amount)
}

fn settle_less(scene: &mut Scene) -> Run<Left> {
    let amount = scene.open[0].amount;
    settle(scene, amount - 1)
}

fn settle_more(scene: &mut Scene) -> Run<Left> {
    let amount = scene.open[0].amount;
    settle(scene, amount + 1)
}

fn cancel(scene: &mut Scene) -> Run<Left> {
    settle(scene, 0)
}

/// There is one who may; if the other operation has the right, this one does nothing.
fn keep(
    scene: &mut Scene,
    work: impl FnOnce(&RawLeases, &mut Granter) -> Left + Send + 'static,
) -> Run<Left> {
    let granter = scene.granter.take();
    on(scene, move |leases| {
        let Some(mut granter) = granter else { return Left::default() };
        let left = work(leases, &mut granter);
        Left { granter: Some(granter), ..left }
    })
}

fn grant_all(
    scene: &mut Scene,
    ends_leases: bool,
    all: impl IntoIterator<Item = (u64, u64)> + Send + 'static,
) -> Run<Left> {
    keep(scene, move |leases, granter| {
        let mut granted = Vec::new();
        for (amount, until) in all {
            assert!(leases.grant(granter, amount, at(until)).is_some());
            granted.push((amount, until));
        }
        Left { granted, ends_leases, ..Left::default() }
    })
}

fn is_full(scene: &Scene) -> bool {
    scene.granted.len() as u64 > LIVE
}

fn grant(scene: &mut Scene) -> Run<Left> {
    grant_all(scene, is_full(scene), [(AMOUNT, LAST)])
}

/// Under loom the slot of the second one is that of a lease that a look may read.
fn grant_two(scene: &mut Scene) -> Run<Left> {
    let ends_leases = is_full(scene) || scene.granted.len() as u64 + 1 > LIVE;
    grant_all(scene, ends_leases, [(AMOUNT, LAST), (AMOUNT, LAST)])
}

/// The older ones run out by then, too.
fn grant_for_less_time(scene: &mut Scene) -> Run<Left> {
    grant_all(scene, true, [(AMOUNT, NOW + 1)])
}

fn reclaim(scene: &mut Scene) -> Run<Left> {
    keep(scene, |leases, granter| {
        let reclaimed = leases.reclaim(granter, at(NOW), 3);
        Left { reclaimed, ..Left::default() }
    })
}

fn take_back(scene: &mut Scene) -> Run<Left> {
    keep(scene, |leases, granter| {
        // In two parts, and nothing twice.
        let mut told = leases.take_unused(granter, at(NOW), 1);
        told.extend(leases.take_unused(granter, at(NOW), 9));
        Left { told, ..Left::default() }
    })
}

fn set_mark(scene: &mut Scene) -> Run<Left> {
    let mark = scene.leases.left(at(NOW));
    keep(scene, move |leases, _| {
        leases.set_mark(mark);
        Left { mark: Some((mark, leases.left(at(NOW)))), ..Left::default() }
    })
}

fn ask_what_is_held(scene: &mut Scene) -> Run<Left> {
    keep(scene, |leases, granter| {
        let held = leases.held(granter, at(NOW));
        Left { held: Some((held, leases.used())), ..Left::default() }
    })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    let granted = scene.granted.iter().map(|lease| lease.amount).sum::<u64>() + 2 * AMOUNT;
    on(scene, move |leases| {
        assert!(leases.left(at(NOW)) <= granted);
        assert!(leases.used() <= granted);
        Left::default()
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, _: bool) {
        // What is left can be taken, all of it, though the granter may have stopped in the middle of a lease. So can what is granted
        // by a granter that has not.
        let mut granter = self.granter.take().or_else(|| left.granter.take());
        if let Some(granter) = &mut granter {
            let all = &mut left.granted;
            assert!(self.leases.grant(granter, AMOUNT, at(LAST)).is_some());
            all.push((AMOUNT, LAST));
            left.ends_leases = true;
        }
        let rest = self.leases.left(at(NOW));
        assert!(granter.is_none() || rest >= AMOUNT);
        // A stalled call has three at most, a lease that ends or is reclaimed the rest.
        let gone = left.ends_leases || left.reclaimed > 0 || left.taken.is_some();
        assert!(granter.is_none() || gone || rest + 3 >= self.left_at_first);
        for _ in 0..rest {
            let call = self.take(1);
            self.open.push(call);
        }
        assert!(self.leases.take(at(NOW), 1).is_err());
        (self.granter, self.went_on) = (granter, true);
    }

    fn settle(mut self, mut left: [Left; 2]) {
        let kept = left.iter_mut().find_map(|left| left.granter.take());
        let mut granter = self.granter.take().or(kept).unwrap();
        self.assert_rightly_refused(&left);
        self.assert_told_low(&left);
        self.assert_held_or_used(&left);
        let ended = left.iter().any(|left| left.ends_leases);
        for lease in left.iter().flat_map(|left| &left.granted) {
            enter(&mut self.granted, *lease);
        }
        let calls = left.iter_mut().filter_map(|left| left.taken.take());
        for (now, call) in calls {
            self.assert_in_time(now, &call);
            self.open.push(call);
        }
        let (mut given_back, mut used) = (0, 0);
        for (call, actual) in left.iter_mut().filter_map(|left| left.settled.take()) {
            given_back += call.amount.saturating_sub(actual);
            used += self.count(&call, actual);
        }
        let mut told: u64 = 0;
        for told_there in left.iter_mut().map(|left| std::mem::take(&mut left.told)) {
            told += self.tell(told_there);
        }
        assert_eq!(self.leases.used(), used);

        // All that was granted was taken, is left, or came back.
        let granted: u64 = self.granted.iter().map(|lease| lease.amount).sum();
        let open: u64 = self.open.iter().map(|call| call.amount).sum();
        let held = self.leases.held(&granter, at(NOW));
        told += self.tell(self.leases.take_unused(&mut granter, at(NOW), usize::MAX));
        let remains = self.leases.left(at(NOW));
        let reclaimed: u64 = left.iter().map(|left| left.reclaimed).sum();
        if self.is_held {
            assert_eq!((held, told), (remains + open, 0));
        } else {
            let kept: u64 = self.granted.iter().map(|lease| lease.used).sum();
            let dropped = granted - (open + kept + told + remains);
            assert!(dropped == 0 || self.is_long_ago(1));
            assert!(ended || told == given_back + reclaimed, "{told} has come back");
        }
        self.assert_runs_out();

        // So is all of each lease.
        for call in std::mem::take(&mut self.open) {
            self.leases.settle(&call.taken.mark, call.amount, call.amount);
            self.count(&call, call.amount);
        }
        let rest = self.leases.take_unused(&mut granter, at(END), usize::MAX);
        self.tell(rest);
        assert_eq!(self.leases.held(&granter, at(END)), 0);
        for (nth, lease) in self.granted.iter().enumerate().filter(|_| !self.is_held) {
            let all = lease.used + lease.told;
            let is_dropped = all < lease.amount && self.is_long_ago(nth + 1);
            assert!(all == lease.amount || is_dropped, "{:?}", self.granted);
        }
        assert!(self.leases.take(at(END), 1).is_err());
        assert!(self.leases.grant(&mut granter, AMOUNT, at(END + 1)).is_some());
        assert_eq!(self.leases.left(at(END)), AMOUNT);
    }
}

impl Scene {
    /// Enters what a settled call has used. Returns what it adds to what is said to be used.
    fn count(&mut self, call: &Call, actual: u64) -> u64 {
        let mut rest = call.amount.saturating_sub(actual);
        let mut counted = 0;
        for (number, amount) in parts(call) {
            counted += amount;
            let less = rest.min(amount);
            rest -= less;
            if let Some(lease) = self.granted.get_mut(number.wrapping_sub(1) as usize) {
                lease.used += amount - less;
            }
        }
        // A call of more than two leases: between these it has all that was left.
        let mut number = parts(call)[1].0;
        while counted < call.amount {
            number -= 1;
            let lease = &mut self.granted[number as usize - 1];
            let amount = (lease.amount - lease.used - lease.told).min(call.amount - counted);
            lease.used += amount;
            counted += amount;
        }
        if self.is_held { actual } else { actual.saturating_sub(call.amount) }
    }

    /// What comes back of it may be dropped.
    fn is_long_ago(&self, number: usize) -> bool {
        (self.granted.len() - number) as u64 >= KEPT
    }

    fn tell(&mut self, told: Vec<(u64, u64)>) -> u64 {
        for (number, amount) in &told {
            let lease = &mut self.granted[*number as usize - 1];
            lease.told += amount;
            assert!(lease.used + lease.told <= lease.amount, "{lease:?} has too much back");
        }
        told.iter().map(|(_, amount)| amount).sum()
    }

    /// Nothing is used after its end.
    fn assert_in_time(&self, now: u64, call: &Call) {
        for (number, _) in parts(call).into_iter().filter(|(_, amount)| *amount > 0) {
            let lease = self.granted[number as usize - 1];
            assert!(now < lease.once_until, "{lease:?} was used at {now}");
        }
    }

    /// At no time more is left than of the leases that have not run out and are not too old.
    fn assert_runs_out(&self) {
        let too_old = self.granted.len().saturating_sub(LIVE as usize);
        for now in NOW..=LATER + LIVE + 1 {
            let most = self.granted[too_old..].iter().filter(|lease| lease.until > now);
            let most: u64 = most.map(|lease| lease.amount - lease.used - lease.told).sum();
            assert!(self.leases.left(at(now)) <= most, "more than {most} are left at {now}");
        }
    }

    /// No call is refused while there is as much throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some((now, amount)) = one.refused else { continue };
            let taken = other.taken.as_ref().map_or(0, |(_, call)| call.amount);
            let at_first = self.granted.iter().enumerate().filter(|(_, lease)| lease.until > now);
            // All of the first, and a third of the second.
            let at_first: u64 = at_first.map(|(nth, _)| if nth == 0 { 0 } else { 2 }).sum();
            let is_short = at_first < amount + taken + other.reclaimed;
            assert!(
                is_short || other.ends_leases || self.went_on,
                "refused though there is as much"
            );
        }
    }

    /// Either the call tells that less than the mark is left, or who has set the mark sees it.
    fn assert_told_low(&self, left: &[Left; 2]) {
        let Some((mark, seen)) = left.iter().find_map(|left| left.mark) else { return };
        let told = left.iter().filter_map(|left| left.taken.as_ref());
        let told = told.map(|(_, call)| call.taken.is_low).next();
        assert!(told.is_none() || told == Some(true) || seen < mark, "a mark was not told");
    }

    /// What is no longer held is used.
    fn assert_held_or_used(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some((held, used)) = one.held.filter(|_| self.is_held) else { continue };
            let settled = other.settled.as_ref();
            let unused = settled.map_or(0, |(call, actual)| call.amount.saturating_sub(*actual));
            // Five were granted and are open, three of them taken.
            let at_first: u64 = self.granted.iter().map(|lease| lease.amount).sum();
            let ran_out = if other.ends_leases { 2 } else { 0 };
            assert!(held + used + unused + ran_out >= at_first, "{held} held, {used} used");
        }
    }
}
