//! What a provider says.

use super::Limiter;
use crate::feedback::Feedback;

impl Limiter {
    /// Takes over what a provider has said, for all calls.
    ///
    /// ```
    /// use ringgate::{Feedback, Limit, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// limiter.observe(&Feedback::cool_down(Duration::from_secs(7)));
    /// assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
    /// ```
    pub fn observe(&self, feedback: &Feedback) {
        self.core.observe(feedback, None);
    }
}
