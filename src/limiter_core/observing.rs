//! What a provider has said about a call, and what follows for all.

use super::shared::Core;
use crate::feedback::{Feedback, Signal};
use crate::time::Timestamp;
use core::time::Duration;

/// How long a pause lasts if the provider has not said it.
const UNTOLD: Duration = Duration::from_secs(1);

impl Core {
    /// Takes over what an answer says; `sent` is when its call was admitted, if that is known.
    pub(crate) fn observe(&self, feedback: &Feedback, sent: Option<Timestamp>) {
        match feedback.signal() {
            Signal::Proceed => self.succeed(),
            Signal::CoolDown | Signal::Ramp | Signal::Stop(_) => {
                self.pause(feedback.retry_after().unwrap_or(UNTOLD));
            }
            Signal::Overload => self.shrink(),
        }
        for quota in feedback.quotas() {
            self.observe_quota(quota, sent);
        }
    }
}
