//! What a call asks for.

use super::priority::Priority;
use crate::tokens::Usage;
use core::time::Duration;

/// What a call asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask {
    pub(crate) class: Priority,
    pub(crate) timeout: Option<Duration>,
    /// What it expects to use.
    pub(crate) tokens: Usage,
    /// It has been sent before, and goes before those that have not.
    pub(crate) is_again: bool,
}

impl Ask {
    pub(crate) fn within(timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..Self::default() }
    }
}
