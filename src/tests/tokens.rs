//! Tokens on ordinary threads: against a plain list of all admissions, and on a real clock.

pub(crate) mod plain;
#[cfg(not(any(ringgate_shuttle, ringgate_freeze)))]
mod oracle;
