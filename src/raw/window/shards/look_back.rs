//! How many admissions are later than some moments, in all rings.

use super::rings::Shards;
use crate::raw::window::ring::{Later, RingError};

impl Shards {
    /// How many admissions are later than each of these moments; `None` if they are stamped all the time. With several rings others may
    /// be stamped between two of them.
    pub(crate) fn later_than<const N: usize>(
        &self,
        moments: [u64; N],
    ) -> Result<Option<[Later; N]>, RingError> {
        let mut all = [Later { count: 0, is_all: true }; N];
        for ring in &self.rings {
            let Some(later) = ring.later_than(self.format, moments)? else { return Ok(None) };
            for (all, Later { count, is_all }) in all.iter_mut().zip(later) {
                all.count = all.count.saturating_add(count);
                all.is_all &= is_all;
            }
        }
        Ok(Some(all))
    }
}
