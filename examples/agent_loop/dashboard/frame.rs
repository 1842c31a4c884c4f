//! The limiter at one moment, for the page.

use super::Calls;
use core::time::Duration;
use ringgate::{Limit, LimitStats, LimiterStats};
use serde_json::{Value, json};

/// All by the limiter's own count, but for the calls.
pub(super) fn of(elapsed: Duration, stats: &LimiterStats, calls: Calls) -> Value {
    let windows = stats.limits.iter().filter(|limit| limit.window.is_some());
    let has_tokens = windows.clone().any(|limit| limit.kind != Limit::Rate);
    let tokens = has_tokens.then_some(stats.tokens);
    json!({
        "t": elapsed.as_secs_f64(),
        "limits": windows.map(limit).collect::<Vec<_>>(),
        "in_flight": stats.in_flight,
        "level": stats.concurrency_limit,
        "waiting": [stats.waiting.high, stats.waiting.normal, stats.waiting.low],
        "paused": stats.paused_for.map(|left| left.as_secs_f64()),
        "stopped": stats.stopped.map(|reason| reason.to_string()),
        "admitted": stats.admitted,
        "refused": stats.refused.total(),
        "reserved": tokens.map(|tokens| tokens.reserved),
        "settled": tokens.map(|tokens| tokens.settled),
        "answers": calls.answered,
        "beyond": calls.beyond,
    })
}

fn limit(limit: &LimitStats) -> Value {
    let name = match limit.kind {
        Limit::Rate => "requests",
        Limit::InputTokens => "input tokens",
        Limit::OutputTokens => "output tokens",
        _ => "tokens",
    };
    let window = limit.window.unwrap_or_default();
    let name = format!("{name} in {window:?}");
    json!({ "name": name, "used": limit.used, "limit": limit.limit })
}
