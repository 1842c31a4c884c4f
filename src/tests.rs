//! Checks that need more than the public API, or primitives under control. `tests/` at the top has the rest.
//!
//! | room | what runs | by |
//! |---|---|---|
//! | `loom` | single scenes, every interleaving | `cargo loom` |
//! | `pairs` | every two public operations of a part: tables for `loom` and `stall` | `cargo loom`, `cargo freeze` |
//! | `claims` | claims that own their semaphore, for those above and below | |
//! | `stall` | one thread stalled at each of its steps | `cargo freeze` |
//! | `shuttle` | random schedules of larger programs | `cargo shuttle` |
//! | `random` | how many random cases the oracles run, and which | |
//! | `schedules` | seeds and numbers of random schedules, for the two around it | |
//! | `linearizability` | histories from random schedules against a sequential specification | `cargo shuttle` |
//! | `oracle` | the log's layouts against a list of its stamps | `cargo test` |
//! | `quotas` | answers of a server beside what it knows, with their calls' times | `cargo test` |
//! | `tokens` | the window of tokens against a list, and on a real clock | `cargo test` |
//! | `units` | small parts by themselves | `cargo test` |

#[cfg(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))]
mod claims;
#[cfg(ringgate_shuttle)]
mod linearizability;
#[cfg(ringgate_loom)]
mod loom;
#[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
mod oracle;
#[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
mod others_faults;
#[cfg(any(ringgate_loom, ringgate_freeze))]
mod pairs;
#[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
mod quotas;
#[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
#[path = "../tests/common/random.rs"]
mod random;
#[cfg(ringgate_shuttle)]
mod schedules;
#[cfg(ringgate_shuttle)]
mod shuttle;
#[cfg(ringgate_freeze)]
mod stall;
#[cfg(not(any(ringgate_loom, ringgate_freeze)))]
mod tokens;
#[cfg(not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze)))]
mod units;
