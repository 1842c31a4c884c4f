//! Provider pools and their policies.

mod again;
mod books;
#[path = "../common/mod.rs"]
mod common;
mod failing;
mod feedback;
mod oracle;
mod original_faults;
mod patience;
mod policies;
mod policy_serde;
#[path = "../common/refusal.rs"]
mod refusal;
mod scripted;
mod tokens;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
