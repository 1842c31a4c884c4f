//! What oxi-ai's errors and events say, and what the pool's limiter learns from them.

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};
use oxi_ai::{
    Api, AssistantMessage, Context, Message, Model, Provider, ProviderError, ProviderEvent,
    StopReason, StreamOptions,
};
use ringgate::time::ManualClock;
use ringgate::{EventStream, Feedback, LimiterBuilder, RateLimitPolicy, Signal};
use ringgate_oxi_ai::{ProviderPool, event_feedback, feedback};
use std::sync::Arc;
use std::time::Duration;

const OVERLOADED: &str =
    r#"{"type": "error", "error": {"type": "overloaded_error", "message": ""}}"#;

fn http(status: u16, body: &str) -> ProviderError {
    ProviderError::HttpError(status, body.into())
}

fn error(text: Option<&str>) -> ProviderEvent {
    let mut error = AssistantMessage::new(Api::AnthropicMessages, "p", "m");
    error.error_message = text.map(Into::into);
    ProviderEvent::Error { reason: StopReason::Error, error }
}

/// Broken by: a body that is not read; a status that is not looked at; success for what says nothing.
#[test]
fn errors_say_what_their_status_and_their_body_say() {
    let seconds = Duration::from_secs;
    let delay = r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details":
        [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45s"}]}}"#;
    let stop = r#"{"error": {"code": "insufficient_quota", "message": "Nothing is left."}}"#;
    assert_eq!(feedback(&http(429, "no")), Some(Feedback::cool_down(None)));
    assert_eq!(feedback(&http(429, delay)), Some(Feedback::cool_down(seconds(45))));
    assert_eq!(feedback(&http(529, "")), Some(Feedback::overload()));
    assert_eq!(feedback(&http(500, OVERLOADED)), Some(Feedback::overload()));
    let reason = ringgate::StopReason::QuotaExhausted;
    assert_eq!(feedback(&http(429, stop)).map(|said| said.signal()), Some(Signal::Stop(reason)));
    for (told, expected) in [(None, None), (Some(seconds(7)), Some(seconds(7)))] {
        let limited = ProviderError::RateLimited { retry_after: told };
        assert_eq!(feedback(&limited), Some(Feedback::cool_down(expected)));
    }
    let in_stream = ProviderError::StreamError(OVERLOADED.into());
    assert_eq!(feedback(&in_stream), Some(Feedback::overload()));
}

/// Broken by: a default that is a pause.
#[test]
fn errors_of_one_call_say_nothing() {
    let silent = [
        http(400, "{}"),
        http(401, ""),
        http(404, "no such model"),
        http(500, "oops"),
        http(200, ""),
        http(99, ""),
        http(u16::MAX, "429"),
        ProviderError::MissingApiKey,
        ProviderError::Timeout,
        ProviderError::NetworkError("429".into()),
        ProviderError::StreamError("it broke".into()),
        ProviderError::InvalidResponse(String::new()),
    ];
    for error in silent {
        assert_eq!(feedback(&error), None, "{error}");
    }
}

/// Broken by: another event that is read; a message that is not.
#[test]
fn an_error_event_says_what_its_message_says() {
    assert_eq!(event_feedback(&error(Some(OVERLOADED))), Some(Feedback::overload()));
    assert_eq!(event_feedback(&error(Some("connection reset"))), None);
    assert_eq!(event_feedback(&error(None)), None);
    let mut message = AssistantMessage::new(Api::AnthropicMessages, "p", "m");
    message.error_message = Some(OVERLOADED.into());
    let done = ProviderEvent::Done { reason: StopReason::Stop, message };
    assert_eq!(event_feedback(&done), None);
}

// ---- in the pool ---------------------------------------------------------------------------------

/// Streams this event, or fails.
struct Says(Option<ProviderEvent>);

#[async_trait]
impl Provider for Says {
    fn name(&self) -> &'static str {
        "says"
    }

    async fn stream(
        &self,
        _: &Model,
        _: &Context,
        _: Option<StreamOptions>,
    ) -> Result<EventStream<ProviderEvent>, ProviderError> {
        match &self.0 {
            Some(event) => Ok(Box::pin(stream::iter([event.clone()]))),
            None => Err(http(429, r#"{"error": {"message": "Please try again in 5s."}}"#)),
        }
    }
}

/// Broken by: an error that is returned before the limiter has observed it; a stream without `with_feedback`, with limits on tokens
/// or without.
#[test]
fn the_pools_limiter_learns_what_is_said() {
    let in_event =
        r#"{"error": {"code": "rate_limit_exceeded", "message": "Please try again in 5s."}}"#;
    for policy in [RateLimitPolicy::rpm(60), RateLimitPolicy::anthropic(60, 10_000, 10_000)] {
        for event in [None, Some(error(Some(in_event)))] {
            let limiter = LimiterBuilder::from(&policy).clock(ManualClock::new()).build();
            let pool = ProviderPool::with_limiter(Arc::new(Says(event)), limiter.clone(), "pool");
            let model = Model::new("m", "m", Api::AnthropicMessages, "p", "");
            let context = Context::from(Message::user("?"));
            let answer = pool.stream(&model, &context, None).now_or_never().unwrap();
            if let Ok(mut answer) = answer {
                assert_eq!(limiter.paused_for(), None);
                assert!(answer.next().now_or_never().is_some());
            }
            assert_eq!(limiter.paused_for(), Some(Duration::from_secs(5)));
        }
    }
}
