//! What the rates remember.

use super::shared::Core;
use crate::raw::entry::Entry;

impl Core {
    /// What was admitted in the longest window, the youngest first; nothing if there is no rate.
    pub(crate) fn admissions(&self) -> Vec<Entry> {
        self.rate().map_or_else(Vec::new, |log| log.entries(&|| self.now()))
    }
}
