//! Converts a refusal to the model's.

use ringgate::{Limit, Refused};
use ringgate_model::limiter::Refusal;

pub(crate) fn refusal(refused: Refused) -> Refusal {
    let wait = refused.retry_after().map(|wait| u64::try_from(wait.as_nanos()).unwrap());
    match (refused.limit(), wait, refused.is_permanent()) {
        (Limit::Rate, Some(wait), false) => Refusal::Rate(wait),
        (Limit::Rate, None, true) => Refusal::RateNever,
        (Limit::Paused, Some(wait), false) => Refusal::Paused(wait),
        (Limit::Concurrency, None, false) => Refusal::Slots,
        (Limit::Concurrency, None, true) => Refusal::SlotsNever,
        (Limit::Closed, None, true) => Refusal::Closed,
        _ => panic!("a refusal that contradicts itself: {refused:?}"),
    }
}
