//! What all rings together will allow: how many admissions now, and when a later one.

use super::rings::Shards;
use crate::raw::window::cell::{NEVER, Rule};
use crate::raw::window::ring::{Forecast, MAX_SNAPSHOTS, RingError, Rules};
use crate::raw::window::select::MAX_RINGS;

/// How many pieces are dealt in turn.
const MAX_PIECES: u32 = 16;
/// How many times larger a ring's next piece is.
const GROWTH: u64 = 4;

impl Shards {
    pub(crate) fn remaining(&self, now: u64) -> Result<u64, RingError> {
        self.snapshot(|rule| match &*self.rings {
            [ring] => ring.forecast(self.format)?.remaining(self.rules(rule), now),
            rings => rings.iter().enumerate().try_fold(0_u64, |sum, (index, ring)| {
                let rules = self.rules(self.share(rule, index));
                Ok(sum.saturating_add(ring.forecast(self.format)?.remaining(rules, now)?))
            }),
        })
    }

    /// The same by one of the rules alone.
    pub(crate) fn remaining_of(&self, index: usize, now: u64) -> Result<u64, RingError> {
        let ([ring], Some(rule)) = (&*self.rings, self.rule(index)) else {
            return self.remaining(now);
        };
        let alone = Rules { format: self.format, first: rule, more: &[] };
        ring.forecast(self.format)?.remaining(alone, now)
    }

    /// When the admission after `ahead` others is free, or an earlier moment: see `free_at_all` and `Forecast::free_at`.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Result<u64, RingError> {
        self.snapshot(|rule| match &*self.rings {
            [ring] => ring.forecast(self.format)?.free_at(self.rules(rule), ahead, now),
            _ => self.free_at_all(rule, ahead, now),
        })
    }

    /// Reads what belongs to one rule and its shares.
    fn snapshot(&self, read: impl Fn(Rule) -> Result<u64, RingError>) -> Result<u64, RingError> {
        if self.rings.len() == 1 {
            return read(self.first_rule());
        }
        let mut tries = 0;
        loop {
            let (state, rule) = self.settled_rule();
            let result = read(rule);
            tries += 1;
            // If changes do not end, an estimate must do.
            if self.split.is_current(state) || tries == MAX_SNAPSHOTS {
                return result;
            }
        }
    }

    /// That moment for several rings, or an earlier one. Exact for two rings, if `ahead` is 0, and whenever it is `now`.
    ///
    /// **Why it is not too late.** Deal `ahead` out to the rings in any way. Before the first moment when some ring allows
    /// one more than its part, no ring has allowed more than its part, so all together have allowed at most `ahead`. Hence
    /// the admission after them is not free before that moment. Two ways to deal are tried, and the later moment is told.
    ///
    /// Each part begins with what its ring allows now. So if all together do not allow `ahead` and one more now, that
    /// moment is later than `now`.
    fn free_at_all(&self, rule: Rule, ahead: u64, now: u64) -> Result<u64, RingError> {
        if rule.is_unlimited() {
            return Ok(now);
        }
        let mut outlook = Outlook::new(self, rule, now);
        outlook.read()?;
        let mut left = ahead;
        for ring in 0..self.rings.len() {
            let Some(rest) = left.checked_sub(outlook.deal_room(ring)?) else { return Ok(now) };
            left = rest;
        }
        if self.rings.len() == 2 {
            return outlook.deal_to_two(left);
        }
        let evenly = outlook.deal_evenly(left)?;
        outlook.deal_in_turn(left)?;
        let (_, in_turn) = outlook.first();
        Ok(evenly.max(in_turn))
    }
}

/// What the rings will allow beyond the parts that they have been dealt.
struct Outlook<'a> {
    shards: &'a Shards,
    rule: Rule,
    now: u64,
    rings: [Option<Forecast<'a>>; MAX_RINGS],
    shares: [u64; MAX_RINGS],
    parts: [u64; MAX_RINGS],
    /// When each ring allows one more than its part.
    free_at: [u64; MAX_RINGS],
}

impl<'a> Outlook<'a> {
    /// No ring has a part.
    fn new(shards: &'a Shards, rule: Rule, now: u64) -> Self {
        Self {
            shards,
            rule,
            now,
            rings: [None; MAX_RINGS],
            shares: [0; MAX_RINGS],
            parts: [0; MAX_RINGS],
            free_at: [NEVER; MAX_RINGS],
        }
    }

    fn read(&mut self) -> Result<(), RingError> {
        let shards = self.shards;
        for (number, ring) in shards.rings.iter().enumerate() {
            self.rings[number] = Some(ring.forecast(shards.format)?);
            self.shares[number] = shards.share(self.rule, number).limit;
            self.deal(number, 0)?;
        }
        Ok(())
    }

    /// When a ring allows the admission after `ahead` others.
    #[inline]
    fn free_at(&mut self, ring: usize, ahead: u64) -> Result<u64, RingError> {
        let share = Rule { limit: self.shares[ring], ..self.rule };
        let forecast = self.rings[ring].as_mut();
        forecast.map_or(Ok(NEVER), |forecast| forecast.free_at_plain(share, ahead, self.now))
    }

    /// The ring that allows one more first, and when.
    #[inline]
    fn first(&self) -> (usize, u64) {
        let (mut first, mut least) = (0, self.free_at[0]);
        for ring in 1..MAX_RINGS {
            // Without a branch, which would often be foreseen wrongly.
            first = if self.free_at[ring] < least { ring } else { first };
            least = least.min(self.free_at[ring]);
        }
        (first, least)
    }

    #[inline]
    fn deal(&mut self, ring: usize, piece: u64) -> Result<(), RingError> {
        self.parts[ring] += piece;
        self.free_at[ring] = self.free_at(ring, self.parts[ring])?;
        Ok(())
    }

    /// Deals a ring what it allows now (most often nothing), and returns how many that are.
    fn deal_room(&mut self, ring: usize) -> Result<u64, RingError> {
        if self.free_at[ring] > self.now {
            return Ok(0);
        }
        let rules = self.shards.rules(Rule { limit: self.shares[ring], ..self.rule });
        let forecast = self.rings[ring].as_mut();
        let room = forecast.map_or(Ok(0), |forecast| forecast.remaining(rules, self.now))?;
        self.deal(ring, room)?;
        Ok(room)
    }

    /// When the first of two rings allows one more, if all were dealt as they will be claimed: exact.
    fn deal_to_two(&mut self, left: u64) -> Result<u64, RingError> {
        let [first, second, ..] = self.parts;
        // By halves: the most that the first ring allows before the second allows the rest and one more.
        let (mut start, mut end) = (0, left);
        while start < end {
            let middle = start.midpoint(end);
            let free_at = self.free_at(0, first + middle)?;
            if free_at < self.free_at(1, second + (left - 1 - middle))? {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(self.free_at(0, first + start)?.min(self.free_at(1, second + (left - start))?))
    }

    /// When the first ring allows one more, if all were dealt by their shares. Close to the truth where threads use all
    /// rings alike.
    fn deal_evenly(&mut self, left: u64) -> Result<u64, RingError> {
        let limit = self.shares.iter().sum::<u64>().max(1);
        let (laps, rest) = (left / limit, left % limit);
        let mut first = NEVER;
        for ring in 0..self.shards.rings.len() {
            let share = self.shares[ring];
            let part = self.parts[ring] + laps * share + rest * share / limit;
            first = first.min(self.free_at(ring, part)?);
        }
        Ok(first)
    }

    /// Deals to the ring that allows one more first, time and again, in pieces that grow. Close to the truth where few
    /// rings are used at a time.
    ///
    /// A piece's size depends on the pieces before only. So with more calls ahead the moment is not an earlier one.
    fn deal_in_turn(&mut self, mut left: u64) -> Result<(), RingError> {
        let mut pieces = [1; MAX_RINGS];
        for _ in 0..MAX_PIECES {
            if left == 0 {
                break;
            }
            let (ring, _) = self.first();
            let piece = left.min(pieces[ring]);
            pieces[ring] *= GROWTH;
            left -= piece;
            self.deal(ring, piece)?;
        }
        Ok(())
    }
}
