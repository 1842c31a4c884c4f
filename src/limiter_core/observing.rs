//! What a provider has said about a call, and what follows for all.

use super::shared::Core;
use crate::feedback::{Feedback, Signal};
use crate::raw::left::Sent;
use crate::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// How long the first pause lasts if the provider has not said it. Each one that follows without a success in between lasts
/// twice as long as the one before, up to [`LONGEST_UNTOLD`].
const UNTOLD: Duration = Duration::from_secs(1);
const LONGEST_UNTOLD: Duration = Duration::from_secs(60);
/// How long calls begin slowly if the provider wants that.
const RAMP: Duration = Duration::from_secs(60);

/// How many pauses of a length that was not told have followed one another.
#[derive(Debug, Default)]
pub(super) struct Untold(AtomicU32);

impl Untold {
    fn next(&self) -> Duration {
        // ORDERING: Relaxed: the number alone. It wraps after four billion pauses.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let length = 2_u32.checked_pow(before).and_then(|times| UNTOLD.checked_mul(times));
        length.map_or(LONGEST_UNTOLD, |length| length.min(LONGEST_UNTOLD))
    }

    fn forget(&self) {
        // ORDERING: Relaxed: the number alone, in both.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

impl Core {
    /// Takes over what an answer says, to a call that was admitted then.
    pub(crate) fn observe(&self, feedback: &Feedback, sent: Sent) {
        let told = feedback.retry_after().filter(|told| !told.is_zero());
        match feedback.signal() {
            Signal::Proceed => {
                self.untold.forget();
                self.succeed();
            }
            Signal::CoolDown => {
                if let Some(length) = told.or_else(|| self.untold_pause()) {
                    self.pause(length);
                }
            }
            Signal::Ramp => {
                if let Some(length) = told.or_else(|| self.untold_pause()) {
                    self.pause_then_ramp(length, RAMP);
                }
            }
            Signal::Overload => self.shrink(),
            Signal::Stop(reason) => self.stop(reason, told),
        }
        for quota in feedback.quotas() {
            self.observe_quota(quota, sent);
        }
    }

    /// How long to pause after a refusal that tells no time; `None` if it is paused: the answers of calls that were under way
    /// together say the same. In a ramp calls go one after another, so each says something.
    fn untold_pause(&self) -> Option<Duration> {
        (!self.is_before_a_ramp()).then(|| self.untold.next())
    }
}
