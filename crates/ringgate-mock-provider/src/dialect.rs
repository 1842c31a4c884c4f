//! The two ways to speak.

use serde_json::{Value, json};

/// The form of errors and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
}

/// An error as a dialect writes it.
#[derive(Debug, Clone)]
pub(crate) struct ErrorForm {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    /// OpenAI's alone.
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
}

impl ErrorForm {
    pub(crate) fn to_json(&self, dialect: Dialect) -> Value {
        let Self { kind, code, message, .. } = self;
        match dialect {
            Dialect::OpenAi => {
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
            Dialect::Anthropic => {
                json!({ "type": "error", "error": { "type": kind, "message": message } })
            }
        }
    }
}
