//! The rules that a ring keeps.

use crate::raw::window::cell::{Format, Rule};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Rules that hold together, each with this ring's share of its limit.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) format: Format,
    pub(crate) first: Rule,
    pub(crate) more: &'a [AtomicU64],
}

impl Rules<'_> {
    pub(super) fn all(self) -> impl Iterator<Item = Rule> {
        // ORDERING: Relaxed: a rule is one word; no other memory goes with it.
        let read = move |word: &AtomicU64| self.format.unpack_rule(word.load(Ordering::Relaxed));
        core::iter::once(self.first).chain(self.more.iter().map(read))
    }
}
