//! What oxi-ai's errors and events say for all calls.

use http::{HeaderMap, StatusCode};
use oxi_ai::{ProviderError, ProviderEvent};
use ringgate::{Feedback, Signal};

/// What an error says for all calls that share the key; `None` if it concerns its own call only.
///
/// oxi-ai's errors have the status and the body of an answer, and none of its headers. So a time to wait is known only if the body
/// has one, as Gemini's has; otherwise the limiter pauses for as long as it does where none was told.
///
/// ```
/// use oxi_ai::ProviderError;
/// use ringgate::{Feedback, Signal, StopReason};
/// use ringgate_oxi_ai::feedback;
///
/// let error = ProviderError::HttpError(429, "Slower, please.".into());
/// assert_eq!(feedback(&error), Some(Feedback::cool_down(None)));
///
/// let body = r#"{"error": {"code": "insufficient_quota", "message": "No credits are left."}}"#;
/// let said = feedback(&ProviderError::HttpError(429, body.into())).unwrap();
/// assert_eq!(said.signal(), Signal::Stop(StopReason::QuotaExhausted));
///
/// assert_eq!(feedback(&ProviderError::HttpError(404, "No such model.".into())), None);
/// ```
#[must_use]
pub fn feedback(error: &ProviderError) -> Option<Feedback> {
    let answer = |status, body| Feedback::from_response(status, &HeaderMap::new(), body);
    let said = match error {
        ProviderError::HttpError(status, body) => {
            answer(StatusCode::from_u16(*status).ok()?, Some(body.as_bytes()))
        }
        ProviderError::RequestFailed(error) => answer(error.status()?, None),
        ProviderError::RateLimited { retry_after } => Feedback::cool_down(*retry_after),
        ProviderError::StreamError(text) | ProviderError::InvalidResponse(text) => {
            Feedback::from_stream_event(text.as_bytes())
        }
        _ => return None,
    };
    something(said)
}

/// The same for an event: [`ProviderEvent::Error`] may say something.
///
/// It does if its message is the provider's own error. oxi-ai 0.20's providers put only errors of the connection there.
///
/// ```
/// use oxi_ai::{Api, AssistantMessage, ProviderEvent, StopReason};
/// use ringgate::Feedback;
/// use ringgate_oxi_ai::event_feedback;
///
/// let mut error = AssistantMessage::new(Api::AnthropicMessages, "anthropic", "claude");
/// error.error_message = Some(r#"{"error": {"type": "overloaded_error", "message": "Overloaded"}}"#.into());
/// let event = ProviderEvent::Error { reason: StopReason::Error, error };
/// assert_eq!(event_feedback(&event), Some(Feedback::overload()));
/// ```
#[must_use]
pub fn event_feedback(event: &ProviderEvent) -> Option<Feedback> {
    let ProviderEvent::Error { error, .. } = event else { return None };
    something(Feedback::from_stream_event(error.error_message.as_ref()?.as_bytes()))
}

fn something(said: Feedback) -> Option<Feedback> {
    let says_nothing = said.signal() == Signal::Proceed && said.quotas().is_empty();
    (!says_nothing).then_some(said)
}
