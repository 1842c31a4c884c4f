//! How many calls may be in flight: fewer after an overload.

use super::shared::Core;

impl Core {
    /// A call was answered.
    pub(super) fn succeed(&self) {
        let _ = self;
    }

    /// The provider is overloaded.
    pub(super) fn shrink(&self) {
        let _ = self;
    }
}
