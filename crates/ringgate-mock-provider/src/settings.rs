//! How the provider answers, whatever it allows.

use crate::terms::LONGEST;
use core::ops::RangeInclusive;
use core::time::Duration;

/// The steps of the jitter.
const STEPS: u32 = 15;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) answer_time: RangeInclusive<Duration>,
    /// How long answers are, if that is told.
    pub(crate) output_tokens: Option<u64>,
}

impl Settings {
    /// How long the answer to the call of this number takes: the same each time.
    pub(crate) fn takes(&self, number: usize) -> Duration {
        let step = u32::try_from(number % 16).unwrap_or(0) * 37 % (STEPS + 1);
        let least = self.least();
        let more = (*self.answer_time.end()).min(LONGEST).saturating_sub(least);
        least + more * step / STEPS
    }

    /// The least time that an answer takes.
    pub(crate) fn least(&self) -> Duration {
        (*self.answer_time.start()).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use core::time::Duration;

    /// Broken by: jitter that leaves the range, or has only one value.
    #[test]
    fn times_to_answer_fill_their_range_and_are_the_same_each_time() {
        let [least, most] = [100, 250].map(Duration::from_millis);
        let settings = Settings { answer_time: least..=most, output_tokens: None };
        let times: Vec<Duration> = (0..64).map(|number| settings.takes(number)).collect();
        assert_eq!((times.iter().min(), times.iter().max()), (Some(&least), Some(&most)));
        assert_eq!(times[..16], times[48..]);
    }

    /// Broken by: a range that is subtracted unchecked, or a sum without a bound.
    #[test]
    fn a_range_that_makes_no_sense_is_no_trouble() {
        for (least, most) in [(250, 100), (0, 0)] {
            let [least, most] = [least, most].map(Duration::from_millis);
            let settings = Settings { answer_time: least..=most, output_tokens: None };
            assert_eq!(settings.takes(3), least);
        }
        let longest = Duration::MAX..=Duration::MAX;
        let settings = Settings { answer_time: longest, output_tokens: None };
        assert!(settings.takes(15) < Duration::MAX);
    }
}
