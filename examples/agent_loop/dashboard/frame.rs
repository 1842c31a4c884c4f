//! The limiter at one moment, for the page.

use crate::ledger::Ledger;
use crate::tally::Tally;
use core::time::Duration;
use ringgate::Limiter;
use serde_json::{Value, json};

pub(super) struct Frame<'a> {
    pub(super) elapsed: Duration,
    pub(super) limiter: &'a Limiter,
    pub(super) ledger: &'a Ledger,
    pub(super) tally: &'a Tally,
}

impl Frame<'_> {
    /// All by the limiter's own count, but for the answers, which are the agents', and what was beyond, which is the server's.
    pub(super) fn to_json(&self) -> Value {
        let stats = self.limiter.stats();
        let limits = stats.limits().iter().map(|limit| {
            json!({ "name": limit.to_string(), "limit": limit.limit(), "used": limit.used() })
        });
        json!({
            "t": self.elapsed.as_secs_f64(),
            "limits": limits.collect::<Vec<_>>(),
            "in_flight": stats.in_flight(),
            "level": stats.concurrency_limit(),
            "waiting": stats.waiting(),
            "paused": stats.paused_for().map(|left| left.as_secs_f64()),
            "stopped": stats.stopped().map(|reason| reason.to_string()),
            "admitted": stats.admitted(),
            "refused": stats.refused(),
            "reserved": stats.tokens_reserved(),
            "settled": stats.tokens_settled(),
            "answers": self.tally.answers(),
            "beyond": self.ledger.counts().beyond(),
        })
    }
}
