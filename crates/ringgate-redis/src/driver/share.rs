//! While the store is away: leases from the process's own share.

use super::plan::Earliest;
use super::{Driver, count, wakers};
use crate::ledger::Ledger;
use crate::link::Link;

/// A limit of which this many parts are a whole.
const PARTS: u128 = 1_000_000;
/// How often it looks whether a slot is free for the next call, while some are not.
const LOOKS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Share {
    ledgers: Vec<Ledger>,
    ends: u64,
    /// When there may be room for the first call in line.
    wake: Option<u64>,
}

impl<L: Link> Driver<L> {
    /// Begins to use the share, goes on with it or ends it.
    pub(super) fn look_at_share(&mut self) {
        match &self.share {
            Some(share) if self.now >= share.ends => self.end_share(),
            Some(_) => self.serve(),
            None if self.failures > 0 => self.begin_share(),
            None => {}
        }
    }

    fn begin_share(&mut self) {
        let Some(fallback) = self.session.fallback(self.settings.after) else { return };
        if self.now < fallback.begins || self.now >= fallback.ends || self.refuses {
            return;
        }
        let part = |limit: u64| {
            let part = u128::from(limit) * u128::from(fallback.share) / PARTS;
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        // They have ended long ago.
        self.reclaim_all();
        let terms = self.session.terms();
        let windows = terms.windows.iter().enumerate();
        let ledger = |(n, window): (usize, &crate::script::Window)| {
            Ledger::new(part(window.limit), window.kept, window.produced, self.lessee.used(n))
        };
        let ledgers = windows.map(ledger).collect();
        if let Some(slots) = terms.slots {
            self.set_slots(part(slots));
        }
        self.share = Some(Share { ledgers, ends: fallback.ends, wake: None });
        self.tell(|status| status.is_share = true);
        self.serve();
    }

    /// What it has granted to itself is not used any more.
    pub(super) fn end_share(&mut self) {
        if self.share.take().is_some() {
            self.set_slots(0);
            self.reclaim_all();
            self.tell(|status| status.is_share = false);
        }
    }

    /// Grants what the calls in line need, if there is room for the first of them.
    fn serve(&mut self) {
        let Some(mut share) = self.share.take() else { return };
        let rooms: Vec<u64> = (0..share.ledgers.len()).map(|n| self.room(&mut share, n)).collect();
        share.wake = None;
        let has_slot = self.session.terms().slots.is_none() || self.in_flight < self.slots;
        // What it grants itself counts, used or not: nothing while none could go.
        let may_go = self.lessee.may_go() > 0 && !self.is_held_back();
        if self.waiters > 0 && has_slot && may_go {
            let fits = |n: usize| self.limits[n].need().least <= rooms[n];
            if (0..rooms.len()).all(fits) {
                self.serve_line(&mut share, &rooms);
            } else {
                let leaves = (0..rooms.len())
                    .filter(|&n| !fits(n))
                    .filter_map(|n| share.ledgers[n].leaves());
                share.wake = leaves.max();
            }
        } else if self.waiters == 0 {
            self.serve_tries(&mut share, &rooms);
        }
        if self.waiters > 0 && share.wake.is_none() {
            share.wake = Some(self.now.saturating_add(LOOKS));
        }
        self.share = Some(share);
    }

    fn room(&self, share: &mut Share, n: usize) -> u64 {
        // Held first: what is settled meanwhile then counts twice, and is not left out.
        let held = self.lessee.held(n);
        share.ledgers[n].look(self.now, self.lessee.used(n));
        share.ledgers[n].room(held)
    }

    fn serve_line(&mut self, share: &mut Share, rooms: &[u64]) {
        let free = self.slots.saturating_sub(self.in_flight);
        let has_slots = self.session.terms().slots.is_none() || free >= self.waiters;
        let all_go = has_slots && count(self.lessee.may_go()) >= self.waiters;
        for (n, room) in rooms.iter().enumerate() {
            let need = self.limits[n].need();
            let amount = if all_go { need.need } else { need.least };
            self.grant_itself(share, n, amount.min(*room));
        }
    }

    fn serve_tries(&mut self, share: &mut Share, rooms: &[u64]) {
        for (n, room) in rooms.iter().enumerate() {
            let window = &mut self.limits[n];
            let amount = window.tried.saturating_sub(window.left);
            window.tried = 0;
            self.grant_itself(share, n, amount.min(*room));
        }
    }

    fn grant_itself(&mut self, share: &mut Share, n: usize, amount: u64) {
        let until = self.now.saturating_add(self.settings.lease);
        if amount > 0 && wakers::grant(&mut self.lessee, n, amount, until).is_some() {
            share.ledgers[n].grant(self.now, amount);
            let window = &mut self.limits[n];
            window.leased(until);
            window.left = self.lessee.left(n);
            window.flow.now_left(window.left);
        }
    }

    pub(super) fn share_wakes(&self, next: &mut Earliest) {
        if let Some(share) = &self.share {
            next.at(share.ends);
            if let Some(wake) = share.wake {
                next.at(wake);
            }
        } else if self.failures > 0
            && !self.refuses
            && let Some(fallback) = self.session.fallback(self.settings.after)
            && self.now < fallback.ends
        {
            next.at(fallback.begins.max(self.now));
        }
    }
}
