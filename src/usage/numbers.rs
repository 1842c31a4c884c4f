//! The usage of each provider's form.
//!
//! | form | input | output |
//! |---|---|---|
//! | OpenAI's chat completions | `prompt_tokens`, of these cached `prompt_tokens_details.cached_tokens` | `completion_tokens` |
//! | OpenAI's responses | `input_tokens`, of these cached `input_tokens_details.cached_tokens` | `output_tokens` |
//! | Anthropic's messages | `input_tokens`, besides `cache_creation_input_tokens` and `cache_read_input_tokens` | `output_tokens` |

use crate::tokens::Usage;
use serde_json::Value;

/// The places of a document where a usage may stand.
pub(super) fn places(document: &Value) -> impl Iterator<Item = &Value> {
    let inner = ["message", "response", "x_groq"].into_iter().filter_map(|key| document.get(key));
    core::iter::once(document).chain(inner).filter_map(|place| place.get("usage"))
}

/// What a usage says. Of two numbers for the same the larger one counts.
///
/// `counts_cached` is whether input that was read from a cache counts. If it is not set, it counts as the form has it: OpenAI's
/// counts it as input, Anthropic's besides. Gateways tell Anthropic's numbers beside `prompt_tokens`, which has all of them in it.
pub(super) fn usage(told: &Value, counts_cached: Option<bool>) -> Option<Usage> {
    let number = |key: &str| told.get(key)?.as_u64();
    let output = number("output_tokens").max(number("completion_tokens"));
    let (own, all) = (number("input_tokens"), number("prompt_tokens"));
    let (written, read) =
        (number("cache_creation_input_tokens"), number("cache_read_input_tokens"));
    own.or(all).or(output).or(written).or(read)?;
    let (cached, read) = (cached(told), read.unwrap_or(0));
    let (beside, within) = (own.unwrap_or(0), all.unwrap_or(0));
    let (beside, within) = match counts_cached {
        None => (beside, within),
        Some(true) => (beside.saturating_add(read), within),
        Some(false) => (beside.saturating_sub(cached), within.saturating_sub(cached.max(read))),
    };
    let beside = beside.saturating_add(written.unwrap_or(0));
    Some(Usage::new(beside.max(within), output.unwrap_or(0)))
}

/// The part of the input that was read from a cache.
fn cached(told: &Value) -> u64 {
    let of = |key: &str| told.get(key)?.get("cached_tokens")?.as_u64();
    of("input_tokens_details").max(of("prompt_tokens_details")).unwrap_or(0)
}
