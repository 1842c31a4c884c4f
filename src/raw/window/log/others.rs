//! What others have used of a rule.

use super::current::Log;
use crate::raw::left::Left;
use crate::raw::window::reading::ReadClock;
use crate::raw::window::shards::Others;

/// The most that one call counts.
const MOST: u32 = 64;

impl Log {
    /// Counts admissions of others at a reading of the clock, which it makes: until no more is left of the rule than a
    /// provider says, or it has counted as many as one call may. Returns how many it has counted. See
    /// `shards/others.rs`.
    pub(crate) fn count_others(&self, index: usize, left: Left, read: ReadClock<'_>) -> u32 {
        let most = self.most_of_others(index, left, read);
        let mut counted = 0;
        // Whoever loses leaves it to a later answer if that happens all the time.
        for _ in 0..2 * most {
            if counted == most {
                break;
            }
            let current = self.current();
            let reading = current.shards.read_clock(read, read);
            match current.shards.count_one_of_others(index, left, reading) {
                Ok(Others::Counted) => counted += 1,
                Ok(Others::Raced) => {}
                Ok(Others::Done) => break,
                Err(_) => self.promote_successor(&current),
            }
        }
        counted
    }

    /// An admission counts by all rules. So what others have used in a longer window, perhaps long ago, must not fill a shorter
    /// one. While it lasts for two of those it is not counted, and then not more than half of what all rules have room for.
    fn most_of_others(&self, index: usize, left: Left, read: ReadClock<'_>) -> u32 {
        let current = self.current();
        let Some(rule) = current.shards.rule(index) else { return 0 };
        let others = (0..self.rules()).filter_map(|other| current.shards.rule(other));
        let shorter = others.filter(|other| !other.is_unlimited() && other.window < rule.window);
        match shorter.map(|other| other.limit).min() {
            None => MOST,
            Some(limit) if left.amount >= limit.saturating_mul(2) => 0,
            Some(_) => self.remaining_by(read).div_ceil(2).min(MOST),
        }
    }
}
