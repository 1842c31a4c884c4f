//! Provider pools and their policies.

mod books;
#[path = "../common/mod.rs"]
mod common;
mod failing;
mod oracle;
mod original_faults;
mod policies;
mod policy_serde;
#[path = "../common/refusal.rs"]
mod refusal;
mod tokens;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
