//! Tokens through the pool: what a call of oxi-ai is expected to use, and what it counts as in the end.

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};
use oxi_ai::{
    Api, AssistantMessage, ContentBlock, Context, ImageContent, Message, Model, Provider,
    ProviderError, ProviderEvent, StopReason, StreamOptions, TextContent, ThinkingContent, Tool,
    ToolCall,
};
use ringgate::{EventStream, Limiter, LimiterBuilder, RateLimitPolicy, time::ManualClock};
use ringgate_oxi_ai::{DEFAULT_MAX_TOKENS, ProviderPool, Usage, estimate_input, usage};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const INPUT: u64 = 8 + 1;

fn model() -> Model {
    Model::new("m", "m", Api::AnthropicMessages, "p", "")
}

fn question() -> Context {
    Context::from(Message::user("?"))
}

fn at_most(max_tokens: usize) -> StreamOptions {
    StreamOptions::new().max_tokens(max_tokens)
}

fn message(input: usize, output: usize) -> AssistantMessage {
    let mut message = AssistantMessage::new(Api::AnthropicMessages, "p", "m");
    message.usage.input = input;
    message.usage.output = output;
    message
}

fn text(partial: AssistantMessage) -> ProviderEvent {
    ProviderEvent::TextDelta { content_index: 0, delta: "text".into(), partial }
}

fn done(message: AssistantMessage) -> ProviderEvent {
    ProviderEvent::Done { reason: StopReason::Stop, message }
}

fn error(error: AssistantMessage) -> ProviderEvent {
    ProviderEvent::Error { reason: StopReason::Error, error }
}

/// Streams these to every call.
struct Says(Vec<ProviderEvent>);

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
        Ok(Box::pin(stream::iter(self.0.clone())))
    }
}

/// 10,000 tokens of input, as many of output, in a minute.
fn says(events: &[ProviderEvent]) -> ProviderPool {
    let policy = RateLimitPolicy::anthropic(60, 10_000, 10_000);
    let limiter = LimiterBuilder::from(&policy).clock(ManualClock::new()).build();
    ProviderPool::with_limiter(Arc::new(Says(events.to_vec())), limiter, "pool")
}

/// The answer to a call that need not wait.
fn ask(
    pool: &ProviderPool,
    options: Option<StreamOptions>,
) -> Result<EventStream<ProviderEvent>, ProviderError> {
    pool.stream(&model(), &question(), options).now_or_never().expect("it waits")
}

/// Tokens of input and of output that count.
fn counted(pool: &ProviderPool) -> (u64, u64) {
    let limiter = pool.limiter();
    (10_000 - limiter.remaining_input_tokens(), 10_000 - limiter.remaining_output_tokens())
}

// ---- before the call -----------------------------------------------------------------------------

/// Broken by: any part of a request that is left out; an image by the length of its Base64.
#[test]
fn every_part_of_a_request_is_estimated() {
    let of = |content: Vec<ContentBlock>| {
        let messages = [
            Message::user(content.clone()),
            Message::assistant(content.clone()),
            Message::tool_result("id", "tool", content),
        ];
        messages.map(|message| estimate_input(&Context::from(message)))
    };
    let both = |tokens: u64| [8 + tokens, 8 + tokens, 8 + 1 + 2 + tokens];
    assert_eq!(of(vec![]), both(0));
    assert_eq!(of(vec![ContentBlock::Text(TextContent::new("abcdef"))]), both(2));
    assert_eq!(of(vec![ContentBlock::Thinking(ThinkingContent::new("abc"))]), both(1));
    let image = ContentBlock::Image(ImageContent::new("A".repeat(1_000_000), "image/png"));
    assert_eq!(of(vec![image.clone(), image]), both(3_200));
    let call = ToolCall::new("id", "find", json!({ "name": "x" }));
    assert_eq!(of(vec![ContentBlock::ToolCall(call)]), both(8 + 1 + 2 + 4));
    assert_eq!(of(vec![ContentBlock::Unknown(json!("abcd"))]), both(2));

    let mut context = Context::new();
    assert_eq!(estimate_input(&context), 0);
    context.set_system_prompt("abc");
    assert_eq!(estimate_input(&context), 8 + 1);
    context.add_tool(Tool::new("find", "finds it", json!({ "type": "object" })));
    assert_eq!(estimate_input(&context), 8 + 1 + 8 + 2 + 3 + 6);
    context.add_message(Message::user("abcd"));
    assert_eq!(estimate_input(&context), 8 + 1 + 8 + 2 + 3 + 6 + 8 + 2);
}

/// Broken by: options that are not asked; a default above the model's own maximum; one that is not kept.
#[test]
fn the_output_is_expected_as_the_options_allow_or_by_default() {
    let expected = |pool: &ProviderPool, model: &Model, options| {
        let before = counted(pool).1;
        drop(pool.stream(model, &question(), options).now_or_never().unwrap().unwrap());
        counted(pool).1 - before
    };
    let pool = says(&[]);
    assert_eq!(expected(&pool, &model(), Some(at_most(300))), 300);
    assert_eq!(expected(&pool, &model(), Some(at_most(0))), 0);
    assert_eq!(expected(&pool, &model(), None), DEFAULT_MAX_TOKENS);
    assert_eq!(expected(&pool, &model(), Some(StreamOptions::new())), DEFAULT_MAX_TOKENS);
    let (mut small, mut silent) = (model(), model());
    small.max_tokens = 1_000;
    silent.max_tokens = 0;
    let pool = says(&[]).with_default_max_tokens(2_000);
    assert_eq!(expected(&pool, &small, None), 1_000);
    assert_eq!(expected(&pool, &silent, None), 2_000);
    assert_eq!(expected(&pool, &small, Some(at_most(3_000))), 3_000);
}

/// Broken by: `expected` that asks its own estimate first.
#[test]
fn another_estimate_takes_its_place() {
    let pool = says(&[]).with_estimate(|model, context, options| {
        let max = options.and_then(|options| options.max_tokens).unwrap_or(model.max_tokens);
        Usage::new(context.len() as u64, max as u64 / 10)
    });
    drop(ask(&pool, None).unwrap());
    assert_eq!(counted(&pool), (1, 3_200));
    drop(ask(&pool, Some(at_most(50))).unwrap());
    assert_eq!(counted(&pool), (2, 3_205));
}

/// Broken by: a call that is estimated all the same.
#[test]
fn without_limits_on_tokens_nothing_is_estimated() {
    let limiter = Limiter::from(&RateLimitPolicy::rpm(60));
    let pool = ProviderPool::with_limiter(Arc::new(Says(vec![])), limiter, "pool")
        .with_estimate(|_, _, _| panic!("estimated"));
    assert!(ask(&pool, None).is_ok());
}

/// Broken by: `admit` without the tokens, with a timeout or without.
#[test]
fn a_call_above_a_limit_is_refused_for_good_and_one_that_has_to_wait_is_told_the_time() {
    let refused = |pool: &ProviderPool, max_tokens| match ask(pool, Some(at_most(max_tokens))) {
        Err(ProviderError::RateLimited { retry_after }) => retry_after,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("admitted"),
    };
    let pool = says(&[done(message(5, 9_000))]);
    assert_eq!(refused(&pool, 10_001), None);
    let pool = pool.with_acquire_timeout(Duration::from_secs(50));
    assert_eq!(refused(&pool, 10_001), None);
    assert!(ask(&pool, Some(at_most(9_000))).unwrap().count().now_or_never().is_some());
    assert_eq!(counted(&pool), (5, 9_000));
    let wait = refused(&pool, 2_000).unwrap();
    assert!((60_000..60_500).contains(&wait.as_millis()), "{wait:?}");
}

// ---- after it ------------------------------------------------------------------------------------

/// Broken by: a sum without the cache's writes, or with its reads; zeros that count; other events that do.
#[test]
fn the_last_event_tells_the_usage() {
    assert_eq!(usage(&done(message(80, 20))), Some(Usage::new(80, 20)));
    assert_eq!(usage(&done(message(0, 20))), Some(Usage::new(0, 20)));
    let mut cached = message(0, 0);
    cached.usage.cache_read = 500;
    assert_eq!(usage(&done(cached.clone())), Some(Usage::new(0, 0)));
    cached.usage.cache_write = 40;
    cached.usage.input = 3;
    assert_eq!(usage(&done(cached)), Some(Usage::new(43, 0)));
    assert_eq!(usage(&done(message(0, 0))), None);
    assert_eq!(usage(&text(message(80, 20))), None);
    assert_eq!(usage(&error(message(80, 20))), None);
}

/// Broken by: `PoolStream::new` in the place of `with_usage`.
#[test]
fn a_call_counts_as_reserved_until_its_end_and_then_as_it_was_used() {
    let pool = says(&[text(message(0, 0)), done(message(7, 20))]);
    let provider: &dyn Provider = &pool;
    for through_the_trait in [false, true] {
        let before = counted(&pool);
        let context = question();
        let mut answer = if through_the_trait {
            provider.stream(&model(), &context, Some(at_most(300))).now_or_never().unwrap().unwrap()
        } else {
            ask(&pool, Some(at_most(300))).unwrap()
        };
        assert!(answer.next().now_or_never().flatten().is_some());
        assert!(answer.next().now_or_never().flatten().is_some());
        assert_eq!(counted(&pool), (before.0 + INPUT, before.1 + 300));
        assert!(answer.next().now_or_never().unwrap().is_none());
        assert_eq!(counted(&pool), (before.0 + 7, before.1 + 20));
    }
}

/// Broken by: `usage` that counts what the events before an error have told.
#[test]
fn a_call_that_tells_nothing_or_ends_with_an_error_counts_as_reserved() {
    let partial = || text(message(7, 20));
    for events in [vec![], vec![done(message(0, 0))], vec![partial(), error(message(7, 20))]] {
        let pool = says(&events);
        let answer = ask(&pool, Some(at_most(300))).unwrap();
        assert_eq!(answer.count().now_or_never(), Some(events.len()));
        assert_eq!(counted(&pool), (INPUT, 300));
    }
}
