//! How texts become tokens.

use serde_json::Value;

/// Bytes of a token. Real ones differ in length; here the size of a text is known exactly.
const BYTES: usize = 4;

/// How many tokens the provider counts for a text: its bytes in UTF-8 by four, rounded up.
///
/// ```
/// # use ringgate_mock_provider::count_tokens;
/// assert_eq!(count_tokens("Is anybody there?"), 5);
/// assert_eq!(count_tokens(""), 0);
/// ```
#[must_use]
pub fn count_tokens(text: &str) -> u64 {
    of_bytes(text.len())
}

/// How many tokens the provider counts for the prompt of a request, by its JSON body; `None` if that is not JSON.
///
/// The bytes of all texts are added up before they become tokens: the `content` of `messages`, Anthropic's `system`, and
/// `input` and `instructions` of OpenAI's other requests, as strings or as parts with a `text`. Roles, names, tools and
/// images count nothing. A number in the `input` of an embedding is a token.
///
/// ```
/// # use ringgate_mock_provider::count_prompt;
/// let body = br#"{ "messages": [{ "role": "user", "content": "Hello" }, { "role": "user", "content": "you" }] }"#;
/// assert_eq!(count_prompt(body), Some(2));
/// ```
#[must_use]
pub fn count_prompt(body: &[u8]) -> Option<u64> {
    serde_json::from_slice(body).ok().map(|body| prompt(&body))
}

/// The most tokens of a text that [`text_of`] makes: as many as the largest request has room for.
const LONGEST_TEXT: u64 = 8 << 20;

/// A text of so many tokens, as answers have them. At most 8,388,608: no request with more is read.
///
/// ```
/// # use ringgate_mock_provider::{count_tokens, text_of};
/// assert_eq!(count_tokens(&text_of(1000)), 1000);
/// ```
#[must_use]
pub fn text_of(tokens: u64) -> String {
    "abc ".repeat(usize::try_from(tokens.min(LONGEST_TEXT)).unwrap_or(0))
}

pub(crate) fn of_bytes(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES) as u64
}

pub(crate) fn prompt(body: &Value) -> u64 {
    let parts = ["system", "messages", "instructions", "input"].map(|name| &body[name]);
    let bytes = parts.iter().map(|part| bytes(part)).fold(0, usize::saturating_add);
    of_bytes(bytes)
}

/// The bytes of all texts in a string, in a message or part, or in a list of them.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Number(_) => BYTES,
        Value::Array(all) => all.iter().map(bytes).fold(0, usize::saturating_add),
        Value::Object(part) => ["content", "text"]
            .into_iter()
            .filter_map(|name| part.get(name))
            .map(bytes)
            .fold(0, usize::saturating_add),
        _ => 0,
    }
}
