//! What each answer says is left of the limits.

use crate::dialect::Dialect;
use crate::ledger::Remains;
use crate::meter::Left;
use crate::time::{go, rfc3339_after};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The names of one limit's headers: limit, remaining, reset.
type Names = [&'static str; 3];

const OPENAI_REQUESTS: Names =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const OPENAI_TOKENS: Names =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
const ANTHROPIC_REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const ANTHROPIC_TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
const ANTHROPIC_INPUT: Names = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const ANTHROPIC_OUTPUT: Names = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

impl Remains {
    /// Writes it into the headers of an answer. OpenAI has none for input and output apart.
    pub(crate) fn tell(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let limits: &[(Option<Left>, Names)] = match dialect {
            Dialect::OpenAi => &[(self.requests, OPENAI_REQUESTS), (self.total, OPENAI_TOKENS)],
            Dialect::Anthropic => &[
                (self.requests, ANTHROPIC_REQUESTS),
                (self.total, ANTHROPIC_TOKENS),
                (self.input, ANTHROPIC_INPUT),
                (self.output, ANTHROPIC_OUTPUT),
            ],
        };
        for (left, names) in limits {
            if let Some(left) = left {
                left.tell(dialect, *names, headers);
            }
        }
    }
}

impl Left {
    fn tell(self, dialect: Dialect, names: Names, headers: &mut HeaderMap) {
        let reset = match dialect {
            Dialect::OpenAi => go(self.reset),
            Dialect::Anthropic => rfc3339_after(self.reset),
        };
        let values = [self.limit.to_string(), self.remaining.to_string(), reset];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}
