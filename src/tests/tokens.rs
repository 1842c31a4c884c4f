//! Tokens on ordinary threads: against a plain list of all admissions, and on a real clock.

#[cfg(not(ringgate_shuttle))]
mod changes;
#[cfg(not(ringgate_shuttle))]
mod inputs;
#[cfg(not(ringgate_shuttle))]
mod oracle;
#[cfg_attr(ringgate_shuttle, allow(dead_code, reason = "histories use a part of it"))]
pub(crate) mod plain;
#[cfg(not(ringgate_shuttle))]
mod threads;
