//! Mutants that nothing catches, and why nothing has to.

/// Names and reasons.
const KNOWN: &[(&str, &str)] = &[
    (
        "src/time/manual.rs wake ordering 1: Acquire to Relaxed",
        "needed, but beyond loom: what it orders is the waker's own word, which is no atomic of \
         loom's; there the order of execution is the order of exchanges",
    ),
    ("src/time/manual.rs join ordering 1: Release to Relaxed", "the other end of the same pair"),
];

pub(crate) fn reason(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}
