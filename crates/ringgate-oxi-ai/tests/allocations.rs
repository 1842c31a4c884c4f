//! What a call through the pool allocates. Counted by thread, so that the other tests of this file do
//! not disturb.

#[allow(dead_code, reason = "a part of it is for the library's tests")]
#[path = "../../../tests/common/counting.rs"]
mod counting;
#[path = "common/ready.rs"]
mod ready;

use counting::{Counting, allocations};
use futures_util::FutureExt;
use oxi_ai::{Api, Context, Message, Model, Provider};
use ready::Ready;
use ringgate::Limiter;
use ringgate_oxi_ai::{ProviderPool, RateLimitPolicy};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a thousand times `work`.
fn of_many<R>(mut work: impl FnMut() -> R) -> u64 {
    allocations(|| (0..1000).for_each(|_| drop(work())))
}

/// The output of a future that must not have to wait.
fn at_once<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("it waits")
}

fn ready() -> (ProviderPool, Model, Context) {
    let policy = RateLimitPolicy { rpm: 100_000, max_concurrent: 4 };
    let pool = ProviderPool::new(Arc::new(Ready), policy, "pool");
    (pool, Model::new("m", "m", Api::OpenAiCompletions, "p", ""), Context::new())
}

/// The original adds a box for its future. Broken by: a box around all of `admit`.
#[test]
fn a_call_allocates_once_beyond_its_provider_and_through_the_trait_twice() {
    let (pool, model, context) = ready();
    let call = |provider: &dyn Provider| {
        of_many(|| at_once(provider.stream(&model, &context, None)).unwrap())
    };
    let bare = call(&Ready);
    assert_eq!(bare, 2000, "a box for the future and one for the stream");
    let direct = of_many(|| at_once(pool.stream(&model, &context, None)).unwrap());
    assert_eq!((direct, call(&pool)), (bare + 1000, bare + 2000));
}

/// Allocators keep blocks of up to about 1 KiB at hand; a larger one cost 100 ns more. Broken by:
/// a limiter's future with its place in line inside.
#[test]
fn the_box_of_a_calls_future_is_small() {
    let (pool, model, context) = ready();
    let call = Provider::stream(&pool, &model, &context, None);
    assert!(size_of_val(&*call) <= 1024, "{} bytes", size_of_val(&*call));
}

/// Broken by: an estimate that copies texts; a `usage` that has something to remember.
#[test]
fn a_limit_on_tokens_costs_no_allocation_for_texts() {
    let (_, model, _) = ready();
    let context = Context::from(Message::user("What is a ring?")).with_system_prompt("Be brief.");
    let policy = ringgate::RateLimitPolicy::unlimited().with_tpm(1 << 40).with_input_tpm(1 << 40);
    let pool = ProviderPool::with_limiter(Arc::new(Ready), Limiter::from(&policy), "pool");
    let direct = || drop(at_once(pool.stream(&model, &context, None)).unwrap());
    // The first call of a clock that begins far from zero makes the windows anew.
    direct();
    assert_eq!(of_many(direct), 2000 + 1000);
}
