//! What a provider has said about a call, and what follows for all.

use super::shared::Core;
use crate::feedback::{Feedback, Signal};
use crate::raw::left::Sent;
use core::time::Duration;

/// How long calls begin slowly if the provider wants that.
pub(super) const RAMP: Duration = Duration::from_secs(60);

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
        let is_refusal = feedback.signal() != Signal::Proceed;
        if is_refusal {
            self.observe_refusal(sent);
        }
        for quota in feedback.quotas() {
            self.observe_quota(quota, is_refusal, sent);
        }
    }

    /// How long to pause after a refusal that tells no time; `None` if it is paused: the answers of calls that were under way
    /// together say the same. In a ramp calls go one after another, so each says something.
    fn untold_pause(&self) -> Option<Duration> {
        (!self.is_before_a_ramp()).then(|| self.untold.next())
    }
}
