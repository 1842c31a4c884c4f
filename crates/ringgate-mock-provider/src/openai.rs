//! Chat completions and embeddings, as OpenAI writes them.

use crate::call::Call;
use crate::plan::Plan;
use crate::sse::Frame;
use serde_json::{Value, json};

/// The time that answers say they were made at: the same in each run.
pub(crate) const CREATED: u64 = 1_700_000_000;

/// The numbers of an embedding.
const DIMENSIONS: usize = 8;

pub(crate) fn chat(call: &Call, plan: &Plan) -> Value {
    json!({
        "id": id(plan),
        "object": "chat.completion",
        "created": CREATED,
        "model": call.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": plan.text(), "refusal": null },
            "logprobs": null,
            "finish_reason": finish_reason(plan)
        }],
        "usage": usage(call, plan)
    })
}

/// Usage comes last, if the request wants it, and then all other chunks say that theirs is null.
pub(crate) fn chat_stream(call: &Call, plan: &Plan) -> Vec<Frame> {
    let chunk = |choices: Value| {
        let mut chunk = json!({
            "id": id(plan),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": call.model,
            "choices": choices
        });
        if call.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let choice = |delta: Value, finish_reason: Option<&str>| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish_reason }]))
    };
    let mut frames = Vec::new();
    for (place, piece) in plan.pieces.iter().enumerate() {
        let delta = if place == 0 {
            json!({ "role": "assistant", "content": piece.text })
        } else {
            json!({ "content": piece.text })
        };
        frames.push(Frame::data(&choice(delta, None)).with_tokens(piece.tokens));
    }
    frames.push(Frame::data(&choice(json!({}), Some(finish_reason(plan)))));
    if call.include_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage(call, plan);
        frames.push(Frame::data(&last));
    }
    frames.push(Frame::done());
    frames
}

pub(crate) fn embeddings(call: &Call, plan: &Plan) -> Value {
    let vector = |index: usize| -> Vec<f32> {
        let place = (plan.number + index) % DIMENSIONS;
        (0..DIMENSIONS).map(|n| if n == place { 1.0 } else { 0.0 }).collect()
    };
    let one = |index| json!({ "object": "embedding", "index": index, "embedding": vector(index) });
    json!({
        "object": "list",
        "data": (0..call.items).map(one).collect::<Vec<_>>(),
        "model": call.model,
        "usage": { "prompt_tokens": call.prompt, "total_tokens": call.prompt }
    })
}

fn id(plan: &Plan) -> String {
    format!("chatcmpl-{}", plan.number)
}

fn finish_reason(plan: &Plan) -> &'static str {
    if plan.is_cut_off { "length" } else { "stop" }
}

fn usage(call: &Call, plan: &Plan) -> Value {
    let (prompt, output) = (call.prompt, plan.output());
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt.saturating_add(output)
    })
}
