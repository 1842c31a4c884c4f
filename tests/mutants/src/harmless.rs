//! Mutants that nothing catches, and why nothing has to.

/// Names and reasons.
const KNOWN: &[(&str, &str)] = &[
    (
        "src/time/manual.rs wake ordering 1: Acquire to Relaxed",
        "needed, but beyond loom: what it orders is the waker's own word, which is no atomic of \
         loom's; there the order of execution is the order of exchanges",
    ),
    ("src/time/manual.rs join ordering 1: Release to Relaxed", "the other end of the same pair"),
    (
        "src/raw/window/reclaim.rs unpin: frees, though it is not the last",
        "needed, but beyond loom: one reader reads the count from before a second one came, which sees a third replace \
         the log it holds. That pins and unpins six times; loom remembers seven writes",
    ),
    (
        "src/raw/window/reclaim.rs unpin ordering 3: Acquire to Relaxed",
        "needed only where a list of several is put back; what is freed is ordered by the count of pins",
    ),
    (
        "src/raw/window/reclaim.rs push ordering 1: Release to Relaxed",
        "the other end of the same pair",
    ),
    (
        "src/raw/window/shards/rings.rs time_base ordering 1: Acquire to Relaxed",
        "needed if the thread that linked the shards had closed the old ones for finer cells and only then saw the \
         cause of a jump; no model has a jump, finer cells and a clock together",
    ),
    (
        "src/raw/window/shards/rings.rs set_offset ordering 1: Release to Relaxed",
        "the other end of the same pair",
    ),
    (
        "src/raw/leases/view.rs look_at_newest ordering 3: Acquire to Relaxed",
        "where a later lease's time is found in the slot, all before that lease is spent: the exchange fails, or nothing is left",
    ),
    (
        "src/raw/leases/view.rs look_at_newest ordering 5: Acquire to Relaxed",
        "the same of the lease before it",
    ),
    (
        "src/raw/leases/view.rs look_at_newest ordering 6: Acquire to Relaxed",
        "a later lease's end in the slot is more than what is spent: then the quick look finds nothing",
    ),
    (
        "src/raw/window/reclaim.rs push ordering 3: Acquire to Relaxed",
        "as in `unpin`, where two push back",
    ),
];

pub(crate) fn reason(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}
