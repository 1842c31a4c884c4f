//! What is left of a limit, by the provider's count.

use super::shared::Core;
use crate::feedback::Quota;
use crate::time::Timestamp;

impl Core {
    /// Counts what others have used of a limit.
    pub(super) fn observe_quota(&self, quota: &Quota, sent: Option<Timestamp>) {
        let _ = (self, quota, sent);
    }
}
