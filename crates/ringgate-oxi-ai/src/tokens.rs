//! What a call of oxi-ai is expected to use, and what it has used.

use oxi_ai::{
    AssistantMessage, ContentBlock, Context, Message, MessageContent, Model, ProviderEvent,
    StreamOptions,
};
use ringgate::{Usage, estimate_tokens};

/// How many tokens of output a call is expected to use at most if its options do not say so.
///
/// A model's own maximum ([`Model::max_tokens`]) is often more than a small account may use in a minute, so that no call would ever
/// be admitted. [`ProviderPool::with_default_max_tokens`](crate::ProviderPool::with_default_max_tokens) sets another number.
pub const DEFAULT_MAX_TOKENS: u64 = 4_096;

/// What chat formats put around a message or a tool.
const FRAME: u64 = 8;

/// About what a large image costs with the providers that scale it down. Its Base64 says nothing about that.
const IMAGE: u64 = 1_600;

/// About how many tokens of input a request has, rather too many than too few: by [`estimate_tokens`], with 8 more for each
/// message and tool, and 1,600 for each image.
///
/// ```
/// use oxi_ai::{Context, Message};
/// use ringgate_oxi_ai::estimate_input;
///
/// let mut context = Context::new().with_system_prompt("Be brief.");
/// context.add_message(Message::user("What is a ring?"));
/// assert_eq!(estimate_input(&context), (8 + 3) + (8 + 5));
/// ```
#[must_use]
pub fn estimate_input(context: &Context) -> u64 {
    let prompt = context.system_prompt.as_deref().map_or(0, framed);
    let messages: u64 = context.messages.iter().map(of_message).sum();
    let tools = context.tools.iter().map(|tool| {
        let schema = estimate_tokens(&tool.parameters.to_string());
        framed(&tool.name) + estimate_tokens(&tool.description) + schema
    });
    prompt + messages + tools.sum::<u64>()
}

fn framed(text: &str) -> u64 {
    FRAME + estimate_tokens(text)
}

fn of_message(message: &Message) -> u64 {
    match message {
        Message::User(message) => match &message.content {
            MessageContent::Text(text) => framed(text),
            MessageContent::Blocks(blocks) => FRAME + of_blocks(blocks),
        },
        Message::Assistant(message) => FRAME + of_blocks(&message.content),
        Message::ToolResult(message) => {
            framed(&message.tool_call_id)
                + estimate_tokens(&message.tool_name)
                + of_blocks(&message.content)
        }
    }
}

fn of_blocks(blocks: &[ContentBlock]) -> u64 {
    blocks.iter().map(of_block).sum()
}

fn of_block(block: &ContentBlock) -> u64 {
    match block {
        ContentBlock::Text(text) => estimate_tokens(&text.text),
        ContentBlock::Thinking(thinking) => estimate_tokens(&thinking.thinking),
        ContentBlock::Image(_) => IMAGE,
        ContentBlock::ToolCall(call) => {
            framed(&call.id)
                + estimate_tokens(&call.name)
                + estimate_tokens(&call.arguments.to_string())
        }
        ContentBlock::Unknown(value) => estimate_tokens(&value.to_string()),
    }
}

/// The input, and as much output as the options allow.
pub(crate) fn estimate(
    model: &Model,
    context: &Context,
    options: Option<&StreamOptions>,
    default_max_tokens: u64,
) -> Usage {
    let output = match options.and_then(|options| options.max_tokens) {
        Some(max) => tokens(max),
        // Zero is a model that says nothing.
        None if model.max_tokens == 0 => default_max_tokens,
        None => default_max_tokens.min(tokens(model.max_tokens)),
    };
    Usage::new(estimate_input(context), output)
}

/// What an event says that its call has used: [`ProviderEvent::Done`] does.
///
/// Input counts with what was written to the cache, and without what was read from it where the provider reports that separately
/// (as Anthropic does, which does not count it). `None` if all numbers are zero: the provider does not tell them. (oxi-ai 0.20's
/// `OpenAiProvider` is one of those with servers that send the usage after the last choice, as OpenAI does. OpenAI gives nothing
/// back, so its limits lose nothing by that.)
///
/// ```
/// use oxi_ai::{Api, AssistantMessage, ProviderEvent, StopReason};
/// use ringgate_oxi_ai::{Usage, usage};
///
/// let mut message = AssistantMessage::new(Api::AnthropicMessages, "anthropic", "claude");
/// message.usage.input = 1_180;
/// message.usage.output = 512;
/// let done = ProviderEvent::Done { reason: StopReason::Stop, message };
/// assert_eq!(usage(&done), Some(Usage::new(1_180, 512)));
/// ```
#[must_use]
pub fn usage(event: &ProviderEvent) -> Option<Usage> {
    // Other events carry partial numbers at most. An answer that ends with an error after them counts as reserved.
    let ProviderEvent::Done { message: AssistantMessage { usage, .. }, .. } = event else {
        return None;
    };
    let input = tokens(usage.input).saturating_add(tokens(usage.cache_write));
    let used = Usage::new(input, tokens(usage.output));
    let says_nothing = used == Usage::default() && usage.cache_read == 0;
    (!says_nothing).then_some(used)
}

fn tokens(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
