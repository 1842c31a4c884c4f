//! What a provider has said about a call, and what follows for all.

use super::shared::Core;
use crate::feedback::{Feedback, Signal};
use crate::raw::left::Sent;
use core::time::Duration;

/// How long calls begin slowly if the provider wants that.
pub(super) const RAMP: Duration = Duration::from_secs(60);

/// What has changed by an answer.
#[derive(Clone, Copy)]
pub(super) enum Follows {
    Nothing,
    Pause,
    Level,
}

impl Core {
    /// Takes over what an answer says, to a call that was admitted then.
    pub(crate) fn observe(&self, feedback: &Feedback, sent: Sent) {
        self.count_signal(feedback.signal());
        let follows = self.follow(feedback);
        let is_refusal = feedback.signal() != Signal::Proceed;
        if is_refusal {
            self.observe_refusal(sent);
        }
        for quota in feedback.quotas() {
            self.observe_quota(quota, is_refusal, sent);
        }
        // Last: a subscriber may panic.
        if is_refusal {
            self.tell_observation(feedback);
        }
        self.tell(follows);
    }

    /// Tells what has changed.
    pub(super) fn tell(&self, follows: Follows) {
        match follows {
            Follows::Nothing => {}
            Follows::Pause => self.tell_pause(),
            Follows::Level => self.tell_level(),
        }
    }

    /// Does what it asks for.
    fn follow(&self, feedback: &Feedback) -> Follows {
        let told = feedback.retry_after().filter(|told| !told.is_zero());
        let level = |has_changed| if has_changed { Follows::Level } else { Follows::Nothing };
        match feedback.signal() {
            Signal::Proceed => {
                self.untold.forget();
                level(self.succeed())
            }
            Signal::CoolDown => {
                let Some(length) = told.or_else(|| self.untold_pause()) else {
                    return Follows::Nothing;
                };
                self.pause(length);
                Follows::Pause
            }
            Signal::Ramp => {
                let Some(length) = told.or_else(|| self.untold_pause()) else {
                    return Follows::Nothing;
                };
                self.pause_then_ramp(length, RAMP);
                Follows::Pause
            }
            Signal::Overload => level(self.shrink()),
            Signal::Stop(reason) => {
                self.stop(reason, told);
                Follows::Pause
            }
        }
    }

    /// How long to pause after a refusal that tells no time; `None` if it is paused: the answers of calls that were under way
    /// together say the same. In a ramp calls go one after another, so each says something.
    fn untold_pause(&self) -> Option<Duration> {
        (!self.is_before_a_ramp()).then(|| self.untold.next())
    }
}
