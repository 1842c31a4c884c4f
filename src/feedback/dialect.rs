//! Which provider an answer is from.

use super::quota::{QuotaKind, QuotaWindow};
use http::HeaderMap;

/// A provider, whose forms an answer has. See [`FeedbackReader::dialect`](crate::FeedbackReader::dialect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI: `x-ratelimit-…-requests` and `-tokens`, Go durations.
    OpenAi,
    /// Azure OpenAI: the names of OpenAI's headers, and bare numbers.
    Azure,
    /// Anthropic: `anthropic-ratelimit-…`, moments.
    Anthropic,
    /// Gemini: all in the body.
    Gemini,
    /// Groq: as OpenAI's, but what it says of requests is for a day.
    Groq,
    /// Cerebras: `x-ratelimit-…-requests-day` and `-tokens-minute`, seconds.
    Cerebras,
    /// Mistral: `x-ratelimit-…-req-minute` and `-tokens-minute`.
    Mistral,
    /// Together: `x-ratelimit-…` and `x-tokenlimit-…`, seconds.
    Together,
    /// OpenRouter: in the body, milliseconds since 1970.
    OpenRouter,
    /// Amazon Bedrock: exceptions, and no numbers.
    Bedrock,
}

/// What headers begin with that show their provider, the surest first: Groq and Azure may send headers of OpenAI's, too.
const MARKS: [(&str, Dialect); 13] = [
    ("anthropic-", Dialect::Anthropic),
    ("x-groq-", Dialect::Groq),
    ("apim-", Dialect::Azure),
    ("azureml-", Dialect::Azure),
    ("x-ms-", Dialect::Azure),
    ("openai-", Dialect::OpenAi),
    ("x-amzn-", Dialect::Bedrock),
    ("cerebras-", Dialect::Cerebras),
    ("mistral-", Dialect::Mistral),
    ("ratelimitbysize-", Dialect::Mistral),
    ("x-ratelimitbysize-", Dialect::Mistral),
    ("x-together-", Dialect::Together),
    ("x-tokenlimit-", Dialect::Together),
];

impl Dialect {
    /// The provider that the names of the headers show.
    pub(super) fn detect(headers: &HeaderMap) -> Option<Self> {
        let mark_of = |name: &str| MARKS.iter().position(|(start, _)| name.starts_with(start));
        let surest = headers.keys().filter_map(|name| mark_of(name.as_str())).min()?;
        Some(MARKS[surest].1)
    }

    /// Whether this provider's answers have such a header about a quota.
    pub(super) fn sends(self, name: &str) -> bool {
        match self {
            Self::Anthropic => name.starts_with("anthropic-"),
            Self::Gemini | Self::Bedrock => false,
            _ => !name.starts_with("anthropic-"),
        }
    }

    /// The window of a quota whose name tells none.
    pub(super) fn window_of(self, kind: QuotaKind) -> QuotaWindow {
        match (self, kind) {
            (Self::Groq, QuotaKind::Requests) => QuotaWindow::Day,
            // Per minute or per day, whichever is tighter.
            (Self::OpenAi | Self::Azure, QuotaKind::Requests) => QuotaWindow::Unknown,
            (Self::OpenAi | Self::Azure | Self::Groq | Self::Anthropic, _) => QuotaWindow::Minute,
            _ => QuotaWindow::Unknown,
        }
    }
}
