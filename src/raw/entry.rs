//! What was counted, and how long ago: what a snapshot is made of.

/// So much was counted so long ago.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "(u64, u64)", into = "(u64, u64)"))]
pub(crate) struct Entry {
    /// In ns.
    pub(crate) age: u64,
    pub(crate) amount: u64,
}

impl Entry {
    /// These entries, so much later (in ns): the youngest first, and one for each age.
    pub(crate) fn all_after(elapsed: u64, entries: &[Self]) -> Vec<Self> {
        let later = |entry: &Self| Self { age: entry.age.saturating_add(elapsed), ..*entry };
        Self::in_order(entries.iter().map(later).collect())
    }

    /// The youngest first, and one for each age.
    pub(crate) fn in_order(mut entries: Vec<Self>) -> Vec<Self> {
        entries.sort_unstable();
        entries.dedup_by(|next, kept| {
            let is_same = next.age == kept.age;
            if is_same {
                kept.amount = kept.amount.saturating_add(next.amount);
            }
            is_same
        });
        entries
    }
}

impl From<(u64, u64)> for Entry {
    fn from((age, amount): (u64, u64)) -> Self {
        Self { age, amount }
    }
}

impl From<Entry> for (u64, u64) {
    fn from(Entry { age, amount }: Entry) -> Self {
        (age, amount)
    }
}
