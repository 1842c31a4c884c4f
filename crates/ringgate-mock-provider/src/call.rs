//! What a request asks for.

use crate::dialect::Dialect;
use crate::terms::Size;
use crate::tokens;
use serde_json::Value;
use std::sync::Arc;

/// What can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Chat,
    Responses,
    Embeddings,
    Messages,
}

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// A stream of chat completions tells its usage at the end.
    pub(crate) include_usage: bool,
    /// Of its prompt.
    pub(crate) prompt: u64,
    /// The most that the answer may have, if that is limited.
    pub(crate) max_tokens: Option<u64>,
    /// How many messages, or texts to embed, it has.
    pub(crate) items: usize,
    pub(crate) user: Option<Arc<str>>,
}

impl Route {
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/responses" => Some(Self::Responses),
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/messages" => Some(Self::Messages),
            _ => None,
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings => Dialect::OpenAi,
            Self::Messages => Dialect::Anthropic,
        }
    }

    /// The members of the request that limit its answer.
    fn names_of_max_tokens(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["max_completion_tokens", "max_tokens"],
            Self::Responses => &["max_output_tokens"],
            Self::Embeddings => &[],
            Self::Messages => &["max_tokens"],
        }
    }

    fn name_of_items(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Responses | Self::Embeddings => "input",
        }
    }
}

impl Call {
    /// The error says what is missing.
    pub(crate) fn read(route: Route, body: &[u8]) -> Result<Self, String> {
        let json: Value = serde_json::from_slice(body)
            .map_err(|error| format!("The body is no JSON: {error}"))?;
        let name = route.name_of_items();
        let items = match &json[name] {
            Value::String(_) if name == "input" => 1,
            Value::Array(items) if is_one_text(items) => 1,
            Value::Array(items) => items.len(),
            _ => return Err(format!("{name} is missing")),
        };
        let max_tokens = max_tokens(route, &json)?;
        if route == Route::Messages && max_tokens.is_none() {
            return Err("max_tokens: Field required".to_owned());
        }
        if route == Route::Embeddings && json["encoding_format"] == "base64" {
            return Err("embeddings are told as numbers only".to_owned());
        }
        let model = json["model"].as_str().ok_or("you must provide a model parameter")?.to_owned();
        let user = json["user"].as_str().or(json["metadata"]["user_id"].as_str());
        Ok(Self {
            route,
            model,
            stream: json["stream"] == true && route != Route::Embeddings,
            include_usage: json["stream_options"]["include_usage"] == true,
            prompt: tokens::prompt(&json),
            max_tokens,
            items,
            user: user.map(Arc::from),
        })
    }

    pub(crate) fn size(&self) -> Size {
        Size { prompt: self.prompt, max_tokens: self.max_tokens.unwrap_or(0) }
    }
}

/// A list of tokens.
fn is_one_text(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(Value::is_number)
}

fn max_tokens(route: Route, json: &Value) -> Result<Option<u64>, String> {
    let said = |name: &&&str| !json[**name].is_null();
    let Some(name) = route.names_of_max_tokens().iter().find(said) else { return Ok(None) };
    match json[*name].as_u64() {
        Some(most) if most > 0 => Ok(Some(most)),
        _ => Err(format!("{name} must be a number, and at least 1")),
    }
}
