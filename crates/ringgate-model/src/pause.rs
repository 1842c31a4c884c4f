//! A pause, as what is left of it at the newest time that was seen.

use crate::rates::JUMP;

/// Until when a limiter admits no call.
///
/// It is told the time at each step. After a jump back it continues from the newest time.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pause {
    newest: u64,
    rest: Rest,
}

/// What is left at the newest time. It is less than zero if the clock is behind that.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Rest {
    #[default]
    None,
    Nanos(i128),
    UntilResumed,
}

impl Pause {
    /// What is left now; `None` if it is not paused.
    #[must_use]
    pub fn left(&self, now: u64) -> Option<u64> {
        match self.rest {
            Rest::None => None,
            Rest::Nanos(rest) => {
                let left = rest - (i128::from(now) - i128::from(self.newest));
                u64::try_from(left).ok().filter(|left| *left > 0)
            }
            Rest::UntilResumed => Some(u64::MAX - now),
        }
    }

    /// The time is this now. One that is over is none.
    pub(crate) fn see(&mut self, now: u64) {
        if let Rest::Nanos(_) = self.rest {
            self.go_on(now);
            if self.left(now).is_none() {
                self.rest = Rest::None;
            }
        }
    }

    fn go_on(&mut self, now: u64) {
        if self.newest.saturating_sub(now) > JUMP {
            self.newest = now;
        } else if let Some(passed) = now.checked_sub(self.newest) {
            self.newest = now;
            if let Rest::Nanos(rest) = &mut self.rest {
                *rest -= i128::from(passed);
            }
        }
    }

    /// Begins one of this length, unless a longer one is under way. `u64::MAX`: until it is resumed.
    pub(crate) fn begin(&mut self, length: u64, now: u64) {
        if length == u64::MAX {
            self.rest = Rest::UntilResumed;
        } else if self.rest != Rest::UntilResumed {
            self.go_on(now);
            if length > self.left(now).unwrap_or(0) {
                let behind = i128::from(self.newest) - i128::from(now);
                self.rest = Rest::Nanos(i128::from(length) - behind);
            }
        }
    }

    pub(crate) fn end(&mut self) {
        self.rest = Rest::None;
    }
}

#[cfg(test)]
mod tests {
    use super::{JUMP, Pause};

    /// Broken by: a rest that is not moved with the newest time.
    #[test]
    fn what_is_left_goes_on_from_the_newest_time_after_a_jump() {
        let mut pause = Pause::default();
        pause.begin(100, 5 * JUMP);
        pause.see(5 * JUMP + 40);
        pause.see(5 * JUMP + 30);
        assert_eq!(pause.left(5 * JUMP + 30), Some(70));
        pause.see(7);
        assert_eq!((pause.left(7), pause.left(66), pause.left(67)), (Some(60), Some(1), None));
        pause.begin(59, 7);
        assert_eq!(pause.left(7), Some(60));
        pause.begin(u64::MAX, 7);
        assert_eq!(pause.left(u64::MAX), Some(0));
        pause.end();
        assert_eq!(pause.left(7), None);
    }
}
