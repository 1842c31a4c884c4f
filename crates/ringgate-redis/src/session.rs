//! A process's side of the trips: what it may spend and until when, by its own clock. No connection, and no clock of its own.
//!
//! One trip is under way at a time. If another one begins, the answer to the first is not used any more when it comes: the store takes
//! back what that granted.
//!
//! All times are in microseconds of one clock of this process that never goes back. Its beginning does not matter.

use crate::script::{Ask, MOST_RETURNS, Pause, Reply, Return, SlotAsk, Terms, Trip};

/// What a request may take to arrive. What the store's clock steps by less than this and the time of a trip is not noticed.
const ON_ITS_WAY: u64 = 200_000;

/// What the calls of a process need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Of each window.
    pub asks: Vec<Ask>,
    /// How many slots it must have for its calls in flight and in line.
    pub slots: u64,
    /// That, and those that it would take ahead.
    pub slots_ahead: u64,
    /// For how long the first call in line has waited. Zero if there is none.
    pub waited: u64,
    /// A pause for all.
    pub pause: Pause,
    /// The process goes.
    pub leave: bool,
}

/// What is left of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    window: usize,
    /// By the limit's time, and until when it may be spent by this process's.
    granted_at: u64,
    until: u64,
    left: u64,
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

/// One process, in the eyes of the store.
#[derive(Debug)]
pub struct Session {
    process: u64,
    terms: Terms,
    length: u64,
    seq: u64,
    acked: u64,
    /// When the trip began that is under way.
    under_way: Option<u64>,
    known: Option<Known>,
    /// Those that end first come first.
    leases: Vec<Lease>,
    returns: Vec<Return>,
    slots: u64,
    slots_until: u64,
    /// What others in line need of each window.
    wanted: Vec<u64>,
}

impl Session {
    /// A process of a random number that has not been used before. A lease is spent within `length`: each window is
    /// [kept](crate::script::Window::kept) at least so much longer than it is.
    #[must_use]
    pub fn new(process: u64, terms: Terms, length: u64) -> Self {
        Self {
            process,
            length,
            seq: 0,
            acked: 0,
            under_way: None,
            known: None,
            leases: Vec::new(),
            returns: Vec::new(),
            slots: 0,
            slots_until: 0,
            wanted: vec![0; terms.windows.len()],
            terms,
        }
    }

    /// Takes what a call needs of each window, or nothing.
    pub fn spend(&mut self, now: u64, amounts: &[u64]) -> bool {
        self.end_leases(now);
        let is_enough =
            amounts.iter().enumerate().all(|(window, &amount)| self.left(now, window) >= amount);
        if is_enough {
            for (window, &amount) in amounts.iter().enumerate() {
                self.take(window, amount);
            }
        }
        is_enough
    }

    /// What may be spent of a window.
    #[must_use]
    pub fn left(&self, now: u64, window: usize) -> u64 {
        let leases = self.leases.iter().filter(|lease| lease.window == window && now < lease.until);
        leases.fold(0, |sum, lease| sum.saturating_add(lease.left))
    }

    /// How many slots it has.
    #[must_use]
    pub fn slots(&self, now: u64) -> u64 {
        if now < self.slots_until { self.slots } else { 0 }
    }

    /// Begins a trip. `next_epoch` is a random number.
    pub fn begin(&mut self, now: u64, demand: &Demand, next_epoch: u64) -> Trip {
        self.end_leases(now);
        self.give_back_what_others_need(demand);
        self.seq += 1;
        self.under_way = Some(now);
        let want = if demand.leave { 0 } else { demand.slots_ahead.max(demand.slots) };
        // Those that go back are not used from here on.
        self.slots = self.slots(now).min(want);
        let back = self.returns.len().min(MOST_RETURNS);
        let vouched = self.known.map(|known| {
            let vouched = known.now.saturating_add(now.saturating_sub(known.came_at));
            (vouched, known.took.saturating_add(ON_ITS_WAY), known.steps)
        });
        let (vouched, slack, steps) = vouched.unwrap_or_default();
        Trip {
            process: self.process,
            seq: self.seq,
            acked: self.acked,
            epoch: self.known.map(|known| known.epoch),
            next_epoch,
            vouched,
            slack,
            steps,
            waited: demand.waited,
            pause: demand.pause,
            leave: demand.leave,
            slots: SlotAsk { have: self.slots, need: demand.slots.min(want), want },
            asks: demand.asks.clone(),
            // Whether they arrive or not: they are not spent any more.
            returns: self.returns.drain(..back).collect(),
            ..Trip::default()
        }
    }

    /// Takes the answer to a trip. One that comes late is dropped; returns whether it was taken.
    pub fn complete(&mut self, now: u64, seq: u64, reply: &Reply) -> bool {
        if seq != self.seq || reply.windows.len() != self.terms.windows.len() {
            return false;
        }
        let Some(began) = self.under_way.take() else { return false };
        self.acked = seq;
        if self.known.is_some_and(|known| known.epoch != reply.epoch) {
            // The store knows nothing of them any more, and its time is another one.
            self.returns.clear();
        }
        self.known = Some(Known {
            epoch: reply.epoch,
            steps: reply.steps,
            now: reply.now,
            came_at: now,
            took: now.saturating_sub(began),
        });
        self.slots = reply.slots;
        self.slots_until = began.saturating_add(self.terms.time_to_live);
        let until = began.saturating_add(self.length);
        for (window, granted) in reply.windows.iter().enumerate() {
            self.wanted[window] = granted.wanted;
            if granted.amount > 0 {
                let (granted_at, left) = (reply.now, granted.amount);
                let epoch = reply.epoch;
                self.leases.push(Lease { window, granted_at, until, left, epoch });
            }
        }
        true
    }

    /// What has not been spent in time goes back.
    fn end_leases(&mut self, now: u64) {
        let epoch = self.known.map(|known| known.epoch);
        let Self { leases, returns, .. } = self;
        leases.retain(|lease| {
            let lives = now < lease.until && lease.left > 0;
            if !lives && lease.left > 0 && epoch == Some(lease.epoch) {
                returns.push(lease.back(lease.left));
            }
            lives
        });
    }

    /// Where no call of this process is in line, and others are; and all of it on leaving.
    fn give_back_what_others_need(&mut self, demand: &Demand) {
        let epoch = self.known.map(|known| known.epoch);
        let known = self.leases.iter_mut().filter(|lease| epoch == Some(lease.epoch));
        for lease in known.rev() {
            let need = demand.asks.get(lease.window).map_or(0, |ask| ask.need);
            let wanted = &mut self.wanted[lease.window];
            let back = if demand.leave {
                lease.left
            } else if need == 0 {
                lease.left.min(*wanted)
            } else {
                0
            };
            *wanted = wanted.saturating_sub(back);
            if back > 0 {
                lease.left -= back;
                self.returns.push(lease.back(back));
            }
        }
    }

    fn take(&mut self, window: usize, mut amount: u64) {
        for lease in self.leases.iter_mut().filter(|lease| lease.window == window) {
            let taken = amount.min(lease.left);
            lease.left -= taken;
            amount -= taken;
        }
    }
}

impl Lease {
    fn back(&self, amount: u64) -> Return {
        Return { window: self.window, granted_at: self.granted_at, amount }
    }
}
